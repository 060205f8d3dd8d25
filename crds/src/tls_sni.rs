//! `TlsSni`: which names are served, with which certificate, for which clients.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, text_schema};
use crate::sni::{self, Sni};
use crate::subject::SubjectPattern;
use crate::word::{filled_list, is_default};
use crate::{condition, name};

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
    shortname = "tsni",
    category = "streamgate",
    status = "TlsSniStatus",
    derive = "PartialEq",
    validation = name::object_name_rule(),
    printcolumn(name = "SNIs", type_ = "string", json_path = ".spec.snis", description = "Server names that it serves."),
    printcolumn(
        name = "Until",
        type_ = "string",
        json_path = ".status.notAfter",
        description = "When the first of its certificates ends."
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status",
        description = "Whether every proxy that gets traffic has applied it."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    doc = "A TlsSni serves TLS for names that clients ask for: with which certificates, and for which clients."
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsSniSpec {
    /// Name of the gateway, the deployment of the proxy, that serves these names. Default: `default`.
    #[serde(default = "name::default_gateway")]
    #[schemars(with = "name::Gateway")]
    pub gateway: String,
    /// Server names (SNI) that are served: exact, with `*` for the whole first label, or `"*"` alone for all that no
    /// other serves and for clients that send none. Exact goes before wildcard. Example:
    /// `[mqtt.example.com, "*.devices.example.com"]`.
    #[schemars(length(min = 1, max = MOST_SNIS), transform = schema::set, transform = sni::each_once)]
    pub snis: Vec<Sni>,
    /// Certificates, of which the first that the client can do is shown; an ECDSA and an RSA one serve all clients.
    /// Example: `[{secretName: mqtt-tls}]`.
    #[schemars(length(min = 1, max = MOST_CERTIFICATES), transform = schema::map_by(&["secretName"]))]
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
    #[schemars(with = "Vec<Protocol>", length(min = 1, max = MOST_PROTOCOLS), transform = schema::set)]
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
    #[schemars(with = "name::Subdomain")]
    pub secret_name: String,
}

/// Which certificates are asked of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(
    transform = schema::rule(
        "!has(self.mode) || self.mode == 'None' || has(self.ca)",
        &schema::found("`mode: Require` or `mode: Optional` without a `ca`", CA_WANTED),
    ),
    transform = schema::rule_of(
        ".allowedSubjects",
        "!has(self.allowedSubjects) || has(self.mode) || has(self.ca)",
        &schema::found("subjects without a `ca`, so that no certificate is asked for", CA_WANTED),
    ),
    transform = schema::rule_of(
        ".allowedSubjects",
        "!has(self.allowedSubjects) || !has(self.mode) || self.mode != 'None'",
        &schema::found("subjects with `mode: None`, so that no certificate is asked for", SUBJECTS_WANTED),
    ),
    transform = schema::rule_of(
        ".crl",
        "!has(self.crl) || has(self.ca)",
        &schema::found("revocation lists without a `ca`", CRL_CA_WANTED),
    ),
)]
pub struct ClientAuth {
    /// `None`: none is asked for; `Optional`: one that is shown must be good; `Require`: one must be shown. Default:
    /// `Require` where a `ca` is given, else `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ClientAuthMode")]
    pub mode: Option<ClientAuthMode>,
    /// Certificate authorities that clients' certificates must come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CaRef")]
    pub ca: Option<CaRef>,
    /// Revocation lists, PEM, in a ConfigMap or in a Secret of this namespace, of the key `ca.crl` where nothing else is said.
    /// A client's certificate whose issuer has one there must not be on it; a list that is past its next update lets nobody
    /// in. Absent: none are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CrlRef")]
    pub crl: Option<CrlRef>,
    /// How many intermediate certificates may stand between a client's certificate and one of `ca`, 0 to 6.
    /// Default: `4`.
    #[serde(default = "ClientAuth::default_max_depth")]
    #[schemars(with = "i32", range(min = 0, max = MOST_DEPTH))]
    pub max_depth: u8,
    /// Subjects of clients' certificates that are let in: distinguished names (RFC 4514) of which every attribute must be
    /// in the certificate, with `*` for any run of characters. Example: `["CN=sensor-*,O=Acme"]`. Absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "filled_list")]
    #[schemars(length(min = 1, max = MOST_SUBJECTS), transform = schema::atomic)]
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

/// Writes a reference to PEM in a `ConfigMap` or a Secret: what is there, the type, the key where none is written, and what the
/// schema says of it.
macro_rules! pem_ref {
    ($(#[doc = $doc:literal])+ $name:ident, $key:literal, $key_doc:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[schemars(
            transform = schema::rule(
                "!(has(self.configMapName) && has(self.secretName))",
                &schema::found("both `configMapName` and `secretName`", "one of the two"),
            ),
            transform = schema::rule(
                "has(self.configMapName) || has(self.secretName)",
                &schema::found("neither `configMapName` nor `secretName`", "one of the two"),
            ),
        )]
        pub struct $name {
            /// Name of the ConfigMap.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(with = "name::Subdomain")]
            pub config_map_name: Option<String>,
            /// Name of the Secret, instead of a ConfigMap.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(with = "name::Subdomain")]
            pub secret_name: Option<String>,
            #[doc = $key_doc]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(with = "name::Key")]
            pub key: Option<String>,
        }

        impl $name {
            /// The key: the one that is written, else the default.
            pub fn key(&self) -> &str {
                self.key.as_deref().unwrap_or($key)
            }
        }
    };
}

pem_ref!(
    /// Where the certificates of authorities are, PEM, several one after the other: in a ConfigMap or in a Secret of this
    /// namespace.
    CaRef,
    "ca.crt",
    "Key of the ConfigMap or Secret. Default: `ca.crt`."
);

pem_ref!(
    /// Where revocation lists are, PEM, several one after the other: in a ConfigMap or in a Secret of this namespace.
    CrlRef,
    "ca.crl",
    "Key of the ConfigMap or Secret. Default: `ca.crl`."
);

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

/// What the operator says of a TlsSni. It changes when the truth about the object does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSniStatus {
    /// Whether the object holds (`Accepted`), whether all that it refers to is there (`ResolvedRefs`), and whether every proxy
    /// that gets traffic has applied it (`Programmed`). Absent: nobody has looked at it yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
    /// When the first of its certificates ends. Absent: none could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub not_after: Option<Time>,
    /// Names that its certificates are for (subject alternative names). Absent: none could be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 1024)), transform = schema::atomic)]
    pub subject_alt_names: Vec<String>,
}

text_schema!(
    /// The schema of an application protocol.
    Protocol,
    255,
    ["bytes(self).size() <= 255", PROTOCOL_WANTED]
);

/// How many names a TlsSni may have.
pub(crate) const MOST_SNIS: usize = 64;

/// How many certificates it may have.
pub(crate) const MOST_CERTIFICATES: usize = 8;

/// How many subjects it may allow.
pub(crate) const MOST_SUBJECTS: usize = 64;

/// How many application protocols it may have.
pub(crate) const MOST_PROTOCOLS: usize = 16;

/// How many intermediates webpki verifies a chain with.
pub(crate) const MOST_DEPTH: u8 = 6;

/// What an application protocol is, in a phrase.
const PROTOCOL_WANTED: &str = "1 to 255 bytes (RFC 7301), such as `mqtt`";

/// What goes with a mode other than `None`, in a phrase.
const CA_WANTED: &str = "the authorities whose certificates count: `ca: {configMapName: device-ca}`";

/// What goes with revocation lists, in a phrase.
const CRL_CA_WANTED: &str = "the authorities whose certificates it revokes: `ca: {configMapName: device-ca}`";

/// What goes with subjects, in a phrase.
const SUBJECTS_WANTED: &str = "`mode: Require` or `Optional`, or no `allowedSubjects`";
