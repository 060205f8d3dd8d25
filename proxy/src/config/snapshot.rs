//! What is applied: the `TlsSni`s by name and the `StreamRoute`s by what they match, immutable.

use std::sync::Arc;

use jiff::Timestamp;
use streamgate_crds::tls_sni::FromNamespaces;
use streamgate_crds::{ObjectRef, Refusal, StreamRouteSpec, TlsSniSpec};

use crate::mqtt::{ConnectLimits, LevelSet};
use crate::route::names::Names;
use crate::route::table::RouteTable;
use crate::tls::server::TlsServer;
use crate::upstream::Upstream;

/// One state of the configuration, as the workers read it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts the states, from 1; 0 before the first.
    pub generation: u64,
    /// What the file `revision` said before anything else was read.
    pub revision: Option<String>,
    /// When it was put together.
    pub applied_at: Timestamp,
    /// By the names that they serve.
    pub names: Names<Arc<TlsService>>,
    /// All of them, the oldest first.
    pub tls_services: Vec<Arc<TlsService>>,
    /// By what they match.
    pub routes: RouteTable,
    /// What takes no effect, and why. Sorted.
    pub refused: Vec<Refusal>,
}

/// A `TlsSni` that takes effect.
#[derive(Clone, Debug)]
pub struct TlsService {
    /// Which one.
    pub object: ObjectRef,
    /// `namespace/name`.
    pub label: Arc<str>,
    /// With the names that are left to it.
    pub spec: TlsSniSpec,
    /// `None` while what it refers to can't be used and never could: its names are refused then, rather than served by
    /// another.
    pub server: Option<Arc<TlsServer>>,
}

/// A `StreamRoute` that takes effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which one.
    pub object: ObjectRef,
    /// `namespace/name`.
    pub label: Arc<str>,
    /// With the names that are left to it.
    pub spec: StreamRouteSpec,
    /// Where its clients go.
    pub upstream: Upstream,
}

impl Snapshot {
    /// Nothing: what there is before the directory has been read.
    pub fn empty() -> Self {
        Self {
            generation: 0,
            revision: None,
            applied_at: Timestamp::UNIX_EPOCH,
            names: Names::default(),
            tls_services: Vec::new(),
            routes: RouteTable::default(),
            refused: Vec::new(),
        }
    }
}

impl Snapshot {
    /// How many TlsSnis are served.
    pub fn served_tls_snis(&self) -> usize {
        self.tls_services.iter().filter(|service| service.server.is_some()).count()
    }
}

impl TlsService {
    /// Whether a route of this namespace may attach.
    pub fn allows(&self, namespace: &str) -> bool {
        match self.spec.allowed_routes.namespaces {
            FromNamespaces::All => true,
            FromNamespaces::Same => self.object.namespace == namespace,
        }
    }
}

impl PartialEq for TlsService {
    /// A server is what it was as long as it is the same one.
    fn eq(&self, other: &Self) -> bool {
        self.object == other.object
            && self.spec == other.spec
            && self.server.as_ref().map(Arc::as_ptr) == other.server.as_ref().map(Arc::as_ptr)
    }
}

impl Route {
    /// What a CONNECT may be.
    pub fn connect_limits(&self) -> ConnectLimits {
        let mqtt = &self.spec.mqtt;
        ConnectLimits {
            max_packet_bytes: usize::try_from(mqtt.max_connect_size.0).unwrap_or(usize::MAX),
            levels: LevelSet::new(mqtt.levels()),
        }
    }
}

/// `namespace/name`.
pub(crate) fn label(object: &ObjectRef) -> Arc<str> {
    format!("{}/{}", object.namespace, object.name).into()
}
