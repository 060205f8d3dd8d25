//! `TlsSni`s with the certificates and authorities that they refer to.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamgate_crds::manifest::Manifest;
use streamgate_crds::sni::Sni;
use streamgate_crds::tls_sni::{AllowedRoutes, ClientAuthMode};
use streamgate_crds::{ObjectRef, Reason, Refusal, TlsSni, TlsSniSpec};

use crate::config::material::{Authorities, Materials};
use crate::config::snapshot::{TlsService, label};
use crate::tls::material::ServerCertificate;
use crate::tls::server::TlsServer;

/// The servers of the `TlsSni`s, kept as long as what they are made of stays the same: their session tickets go with them.
#[derive(Debug)]
pub(super) struct TlsServices {
    materials: Materials,
    served: HashMap<ObjectRef, Served>,
}

/// A server, and what it was made of.
#[derive(Debug)]
struct Served {
    /// Without what says nothing about the server itself: its names and who may attach.
    spec: TlsSniSpec,
    certificates: Vec<Arc<ServerCertificate>>,
    authorities: Option<Arc<Authorities>>,
    server: Arc<TlsServer>,
}

impl TlsServices {
    pub(super) fn new(config_dir: &Path) -> Self {
        Self { materials: Materials::new(config_dir), served: HashMap::new() }
    }

    /// Makes services of `TlsSni`s. What one refers to and can't be used is refused; then the server that it had goes on.
    pub(super) fn resolve(&mut self, tls_snis: Vec<TlsSni>, refused: &mut Vec<Refusal>) -> Vec<Arc<TlsService>> {
        let mut used = HashSet::new();
        let objects: HashSet<ObjectRef> = tls_snis.iter().map(Manifest::reference).collect();
        self.served.retain(|object, _| objects.contains(object));
        let services = tls_snis
            .into_iter()
            .map(|tls_sni| {
                let object = tls_sni.reference();
                used.extend(folders(&object.namespace, &tls_sni.spec));
                let server = self.server(&object, &tls_sni.spec, refused);
                Arc::new(TlsService { label: label(&object), object, spec: tls_sni.spec, server })
            })
            .collect();
        self.materials.keep_only(|folder| used.contains(folder));
        services
    }

    fn server(&mut self, object: &ObjectRef, spec: &TlsSniSpec, refused: &mut Vec<Refusal>) -> Option<Arc<TlsServer>> {
        let mut refuse = |reason, message| refused.push(Refusal { object: object.clone(), reason, message });
        let mut certificates = Vec::new();
        for reference in &spec.certificates {
            let (certificate, fault) = self.materials.certificate(&object.namespace, &reference.secret_name);
            certificates.push(certificate);
            if let Some(fault) = fault {
                refuse(fault.reason, fault.message);
            }
        }
        let mut authorities = Some(None);
        if let Some(ca) = &spec.client_auth.ca
            && spec.client_auth.mode() != ClientAuthMode::None
        {
            let (found, fault) = self.materials.authorities(&object.namespace, ca);
            authorities = found.map(Some);
            if let Some(fault) = fault {
                refuse(fault.reason, fault.message);
            }
        }
        let certificates: Option<Vec<_>> = certificates.into_iter().collect();
        let (Some(certificates), Some(authorities)) = (certificates, authorities) else {
            return self.last(object);
        };
        let spec = TlsSniSpec { snis: vec![Sni::Any], allowed_routes: AllowedRoutes::default(), ..spec.clone() };
        let is_same = |served: &Served| {
            served.spec == spec && served.certificates == certificates && served.authorities == authorities
        };
        if self.served.get(object).is_some_and(is_same) {
            return self.last(object);
        }
        let owned = certificates.iter().map(|certificate| (**certificate).clone()).collect();
        match TlsServer::new(
            &spec,
            owned,
            authorities.as_ref().map(|authorities| (**authorities).clone()).unwrap_or_default(),
        ) {
            Ok(server) => {
                let served = Served { spec, certificates, authorities, server: Arc::new(server) };
                self.served.insert(object.clone(), served);
            }
            Err(error) => refuse(Reason::InvalidCertificate, error.to_string()),
        }
        self.last(object)
    }

    fn last(&self, object: &ObjectRef) -> Option<Arc<TlsServer>> {
        self.served.get(object).map(|served| Arc::clone(&served.server))
    }
}

/// The folders that a `TlsSni` refers to.
fn folders(namespace: &str, spec: &TlsSniSpec) -> Vec<PathBuf> {
    let folder = |kind: &str, name: &str| Path::new(kind).join(format!("{namespace}.{name}"));
    let certificates = spec.certificates.iter().map(|certificate| folder("secrets", &certificate.secret_name));
    let ca = spec.client_auth.ca.iter();
    let authorities = ca.flat_map(|ca| {
        let secret = ca.secret_name.iter().map(|name| folder("secrets", name));
        secret.chain(ca.config_map_name.iter().map(|name| folder("configmaps", name)))
    });
    certificates.chain(authorities).collect()
}
