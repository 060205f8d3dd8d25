//! `TlsSni`: which names are served, with which certificate, for which clients.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name;
use crate::sni::Sni;
use crate::subject::SubjectPattern;
use crate::word::{filled_list, is_default};

mod validation;

#[cfg(test)]
mod tests;

/// Serves TLS for names that clients ask for: its certificates, the clients that it lets in, and who may attach a
/// StreamRoute.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "streamgate.dev",
    version = "v1alpha1",
    kind = "TlsSni",
    plural = "tlssnis",
    namespaced,
    category = "streamgate",
    derive = "PartialEq",
    doc = "A TlsSni serves TLS for names that clients ask for: with which certificates, and for which clients."
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsSniSpec {
    /// Name of the gateway, the deployment of the proxy, that serves these names. Default: `default`.
    #[serde(default = "name::default_gateway")]
    pub gateway: String,
    /// Server names (SNI) that are served: exact, with `*` for the whole first label, or `"*"` alone for all that no
    /// other serves and for clients that send none. Exact goes before wildcard. Example:
    /// `[mqtt.example.com, "*.devices.example.com"]`.
    #[schemars(length(min = 1))]
    pub snis: Vec<Sni>,
    /// Certificates, of which the first that the client can do is shown; an ECDSA and an RSA one serve all clients.
    /// Example: `[{secretName: mqtt-tls}]`.
    #[schemars(length(min = 1))]
    pub certificates: Vec<CertificateRef>,
    /// Which certificates are asked of clients. Absent: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub client_auth: ClientAuth,
    /// Oldest version of TLS that is served: `"1.2"` or `"1.3"`, in quotes. Default: `"1.2"`.
    #[serde(default)]
    pub min_protocol_version: TlsVersion,
    /// Application protocols (ALPN) of which a client that offers any must offer one. Example: `[mqtt]`. Absent: `mqtt` is
    /// chosen where it is offered, whatever else is offered is ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(length(min = 1), inner(length(min = 1, max = 255)))]
    pub alpn_protocols: Vec<String>,
    /// Who may attach a StreamRoute to these names. Absent: this namespace.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_routes: AllowedRoutes,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRef {
    /// Name of a Secret of this namespace, of type `kubernetes.io/tls`: the chain in `tls.crt`, the key in `tls.key`.
    pub secret_name: String,
}

/// Which certificates are asked of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientAuth {
    /// `None`: none is asked for; `Optional`: one that is shown must be good; `Require`: one must be shown. Default:
    /// `Require` where a `ca` is given, else `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ClientAuthMode")]
    pub mode: Option<ClientAuthMode>,
    /// Certificate authorities that clients' certificates must come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaRef>,
    /// Revocation lists, PEM, in a ConfigMap or in a Secret of this namespace, of the key `ca.crl` where nothing else is said.
    /// A client's certificate whose issuer has one there must not be on it; a list that is past its next update lets nobody
    /// in. Absent: none are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<CrlRef>,
    /// How many intermediate certificates may stand between a client's certificate and one of `ca`, 0 to 255.
    /// Default: `4`.
    #[serde(default = "ClientAuth::default_max_depth")]
    pub max_depth: u8,
    /// Subjects of clients' certificates that are let in: distinguished names (RFC 4514) of which every attribute must be
    /// in the certificate, with `*` for any run of characters. Example: `["CN=sensor-*,O=Acme"]`. Absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(length(min = 1))]
    pub allowed_subjects: Vec<SubjectPattern>,
}

impl ClientAuth {
    /// The mode that holds: the one that is written, else `Require` where a `ca` is given, else `None`.
    pub fn mode(&self) -> ClientAuthMode {
        match (self.mode, &self.ca) {
            (Some(mode), _) => mode,
            (None, Some(_)) => ClientAuthMode::Require,
            (None, None) => ClientAuthMode::None,
        }
    }

    fn default_max_depth() -> u8 {
        4
    }
}

impl Default for ClientAuth {
    fn default() -> Self {
        Self { mode: None, ca: None, crl: None, max_depth: Self::default_max_depth(), allowed_subjects: Vec::new() }
    }
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuthMode {
    /// None is asked for.
    None,
    /// One is asked for; a client without one is let in.
    Optional,
    /// One must be shown.
    Require,
}

/// Where the certificates of authorities are, PEM, several one after the other: in a ConfigMap or in a Secret of this
/// namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaRef {
    /// Name of the ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_name: Option<String>,
    /// Name of the Secret, instead of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Key of the ConfigMap or Secret. Default: `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl CaRef {
    /// The key: the one that is written, else `ca.crt`.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("ca.crt")
    }
}

/// Where revocation lists are, PEM, several one after the other: in a ConfigMap or in a Secret of this namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrlRef {
    /// Name of the ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_name: Option<String>,
    /// Name of the Secret, instead of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Key of the ConfigMap or Secret. Default: `ca.crl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl CrlRef {
    /// The key: the one that is written, else `ca.crl`.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("ca.crl")
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Who may attach a StreamRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedRoutes {
    /// `Same`: this namespace alone; `All`: every namespace. Default: `Same`.
    #[serde(default)]
    pub namespaces: FromNamespaces,
}

/// Which namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FromNamespaces {
    /// The object's own.
    #[default]
    Same,
    /// Every one.
    All,
}
