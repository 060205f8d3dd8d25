//! `TlsSni`s with the certificates, authorities and revocation lists that they refer to.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use streamgate_crds::manifest::Manifest;
use streamgate_crds::sni::Sni;
use streamgate_crds::tls_sni::{AllowedRoutes, ClientAuthMode};
use streamgate_crds::{ObjectRef, Reason, Refusal, TlsSni, TlsSniSpec};

use crate::config::material::{Lookup, Materials, folder_of};
use crate::config::snapshot::{TlsService, label};
use crate::tls::revocation::ExpiredList;
use crate::tls::server::{Parts, TlsServer};
use crate::tls::tickets::keys::TicketKeys;

/// The servers of the `TlsSni`s, kept as long as what they are made of stays the same.
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
    parts: Parts,
    server: Arc<TlsServer>,
}

impl TlsServices {
    pub(super) fn new(config_dir: &Path) -> Self {
        Self { materials: Materials::new(config_dir), served: HashMap::new() }
    }

    /// Makes services of `TlsSni`s, whose tickets are sealed with these keys. What one refers to and can't be used is
    /// refused; then the server that it had goes on.
    pub(super) fn resolve(
        &mut self,
        tls_snis: Vec<TlsSni>,
        ticket_keys: &Arc<TicketKeys>,
        refused: &mut Vec<Refusal>,
    ) -> Vec<Arc<TlsService>> {
        let mut used = HashSet::new();
        let objects: HashSet<ObjectRef> = tls_snis.iter().map(Manifest::reference).collect();
        self.served.retain(|object, _| objects.contains(object));
        let services = tls_snis
            .into_iter()
            .map(|tls_sni| {
                let object = tls_sni.reference();
                used.extend(folders(&object.namespace, &tls_sni.spec));
                let server = self.server(&object, &tls_sni.spec, ticket_keys, refused);
                Arc::new(TlsService { label: label(&object), object, spec: tls_sni.spec, server })
            })
            .collect();
        self.materials.keep_only(|folder| used.contains(folder));
        services
    }

    fn server(
        &mut self,
        object: &ObjectRef,
        spec: &TlsSniSpec,
        ticket_keys: &Arc<TicketKeys>,
        refused: &mut Vec<Refusal>,
    ) -> Option<Arc<TlsServer>> {
        let mut refuse = |reason, message| refused.push(Refusal { object: object.clone(), reason, message });
        let Some(parts) = self.parts(object, spec, ticket_keys, &mut refuse) else {
            return self.last_with(object, ticket_keys, &mut refuse);
        };
        let spec = TlsSniSpec { snis: vec![Sni::Any], allowed_routes: AllowedRoutes::default(), ..spec.clone() };
        self.make(object, spec, parts, &mut refuse)
    }

    /// What the `TlsSni` refers to. `None` where some of it never could be used.
    fn parts(
        &mut self,
        object: &ObjectRef,
        spec: &TlsSniSpec,
        ticket_keys: &Arc<TicketKeys>,
        refuse: &mut impl FnMut(Reason, String),
    ) -> Option<Parts> {
        let mut certificates = Vec::new();
        for reference in &spec.certificates {
            certificates.push(usable(self.materials.certificate(&object.namespace, &reference.secret_name), refuse));
        }
        let asks = spec.client_auth.mode() != ClientAuthMode::None;
        let authorities = spec.client_auth.ca.as_ref().filter(|_| asks);
        let authorities = authorities.map(|ca| usable(self.materials.authorities(&object.namespace, ca), refuse));
        let revocation = spec.client_auth.crl.as_ref().filter(|_| asks);
        let revocation = revocation.map(|crl| {
            let lists = usable(self.materials.revocation(&object.namespace, crl), refuse)?;
            for ExpiredList { issuer, next_update } in lists.expired(Timestamp::now()) {
                let folder = folder_of(&object.namespace, crl.config_map_name.as_deref(), crl.secret_name.as_deref());
                let file = folder.join(crl.key()).display().to_string();
                refuse(
                    Reason::CrlExpired,
                    format!(
                        "{file}: the revocation list of `{issuer}` ended at {next_update}, so that no client of that \
                         issuer is let in; wanted a newer list"
                    ),
                );
            }
            Some(lists)
        });
        Some(Parts {
            certificates: certificates.into_iter().collect::<Option<_>>()?,
            authorities: match authorities {
                Some(found) => Some(found?),
                None => None,
            },
            revocation: match revocation {
                Some(found) => Some(found?),
                None => None,
            },
            ticket_keys: Arc::clone(ticket_keys),
        })
    }

    /// The server of these parts: the one that is there, if it is made of the same.
    fn make(
        &mut self,
        object: &ObjectRef,
        spec: TlsSniSpec,
        parts: Parts,
        refuse: &mut impl FnMut(Reason, String),
    ) -> Option<Arc<TlsServer>> {
        let is_same = |served: &Served| served.spec == spec && served.parts == parts;
        if !self.served.get(object).is_some_and(is_same) {
            match TlsServer::new(&label(object), &spec, &parts) {
                Ok(server) => {
                    self.served.insert(object.clone(), Served { spec, parts, server: Arc::new(server) });
                }
                Err(error) => refuse(Reason::InvalidCertificate, error.to_string()),
            }
        }
        self.served.get(object).map(|served| Arc::clone(&served.server))
    }

    /// The server that was there last, with today's ticket keys.
    fn last_with(
        &mut self,
        object: &ObjectRef,
        ticket_keys: &Arc<TicketKeys>,
        refuse: &mut impl FnMut(Reason, String),
    ) -> Option<Arc<TlsServer>> {
        let Served { spec, parts, .. } = self.served.get(object)?;
        let parts = Parts { ticket_keys: Arc::clone(ticket_keys), ..parts.clone() };
        let spec = spec.clone();
        self.make(object, spec, parts, refuse)
    }
}

/// What was found, in its last good version; what is wrong with the present one is refused.
fn usable<T>((found, fault): Lookup<T>, refuse: &mut impl FnMut(Reason, String)) -> Option<Arc<T>> {
    if let Some(fault) = fault {
        refuse(fault.reason, fault.message);
    }
    found
}

/// The folders that a `TlsSni` refers to.
fn folders(namespace: &str, spec: &TlsSniSpec) -> Vec<PathBuf> {
    let certificates = spec.certificates.iter().map(|one| folder_of(namespace, None, Some(&one.secret_name)));
    let ca = spec.client_auth.ca.iter();
    let authorities = ca.map(|ca| folder_of(namespace, ca.config_map_name.as_deref(), ca.secret_name.as_deref()));
    let crl = spec.client_auth.crl.iter();
    let revocation = crl.map(|crl| folder_of(namespace, crl.config_map_name.as_deref(), crl.secret_name.as_deref()));
    certificates.chain(authorities).chain(revocation).collect()
}
