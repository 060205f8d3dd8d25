//! What a `TlsSni` must be to hold by itself.

use super::{
    CA_WANTED, CRL_CA_WANTED, CaRef, ClientAuth, ClientAuthMode, CrlRef, MOST_CERTIFICATES, MOST_DEPTH, MOST_PROTOCOLS,
    MOST_SNIS, MOST_SUBJECTS, PROTOCOL_WANTED, SUBJECTS_WANTED, TlsSni,
};
use crate::name;
use crate::problem::Problem;
use crate::validation::Findings;

impl TlsSni {
    /// Everything that is wrong with the object by itself, each with its object and the path of its field; if it is
    /// much, the first of it.
    pub fn validate(&self) -> Vec<Problem> {
        let spec = &self.spec;
        let mut found = Findings::default();
        found.metadata(self);
        found.word("spec.gateway", name::gateway(&spec.gateway));
        if spec.snis.is_empty() {
            found.add("spec.snis", "no name", "at least one, or `\"*\"` for all that no other TlsSni serves");
        }
        found.most("spec.snis", spec.snis.len(), MOST_SNIS);
        found.twice("spec.snis", &spec.snis);
        if spec.certificates.is_empty() {
            found.add("spec.certificates", "no certificate", "at least one: `[{secretName: my-tls}]`");
        }
        found.most("spec.certificates", spec.certificates.len(), MOST_CERTIFICATES);
        let secrets: Vec<_> = spec.certificates.iter().map(|certificate| &certificate.secret_name).collect();
        for (index, secret) in secrets.iter().enumerate() {
            found.word(format!("spec.certificates[{index}].secretName"), name::subdomain(secret, 253));
        }
        found.twice("spec.certificates", &secrets);
        validate_client_auth(&spec.client_auth, &mut found);
        for (index, protocol) in spec.alpn_protocols.iter().enumerate() {
            if !(1..=255).contains(&protocol.len()) {
                let bytes = format!("{} bytes", protocol.len());
                found.add(format!("spec.alpnProtocols[{index}]"), bytes, PROTOCOL_WANTED);
            }
        }
        found.most("spec.alpnProtocols", spec.alpn_protocols.len(), MOST_PROTOCOLS);
        found.twice("spec.alpnProtocols", &spec.alpn_protocols);
        found.of(self)
    }
}

fn validate_client_auth(client_auth: &ClientAuth, found: &mut Findings) {
    let ClientAuth { mode, ca, crl, max_depth, allowed_subjects } = client_auth;
    if *mode == Some(ClientAuthMode::None) && !allowed_subjects.is_empty() {
        found.add(
            "spec.clientAuth.allowedSubjects",
            "subjects with `mode: None`, so that no certificate is asked for",
            SUBJECTS_WANTED,
        );
    }
    match (mode, ca) {
        (_, Some(CaRef { config_map_name, secret_name, key })) => {
            validate_reference(
                "spec.clientAuth.ca",
                config_map_name.as_ref(),
                secret_name.as_ref(),
                key.as_ref(),
                found,
            );
        }
        (Some(mode @ (ClientAuthMode::Optional | ClientAuthMode::Require)), None) => {
            found.add("spec.clientAuth", format!("`mode: {mode:?}` without a `ca`"), CA_WANTED);
        }
        (None, None) if !allowed_subjects.is_empty() => found.add(
            "spec.clientAuth.allowedSubjects",
            "subjects without a `ca`, so that no certificate is asked for",
            CA_WANTED,
        ),
        (Some(ClientAuthMode::None) | None, None) => {}
    }
    found.most("spec.clientAuth.allowedSubjects", allowed_subjects.len(), MOST_SUBJECTS);
    if *max_depth > MOST_DEPTH {
        let wanted = format!("0 to {MOST_DEPTH}: no longer chain is verified");
        found.add("spec.clientAuth.maxDepth", format!("{max_depth} intermediates"), wanted);
    }
    if let Some(CrlRef { config_map_name, secret_name, key }) = crl {
        validate_reference("spec.clientAuth.crl", config_map_name.as_ref(), secret_name.as_ref(), key.as_ref(), found);
        if ca.is_none() {
            found.add("spec.clientAuth.crl", "revocation lists without a `ca`", CRL_CA_WANTED);
        }
    }
}

fn validate_reference(
    field: &str,
    config_map_name: Option<&String>,
    secret_name: Option<&String>,
    key: Option<&String>,
    found: &mut Findings,
) {
    match (config_map_name, secret_name) {
        (Some(_), Some(_)) => found.add(field, "both `configMapName` and `secretName`", "one of the two"),
        (None, None) => found.add(field, "neither `configMapName` nor `secretName`", "one of the two"),
        _ => {}
    }
    if let Some(config_map) = config_map_name {
        found.word(format!("{field}.configMapName"), name::subdomain(config_map, 253));
    }
    if let Some(secret) = secret_name {
        found.word(format!("{field}.secretName"), name::subdomain(secret, 253));
    }
    if let Some(key) = key {
        found.word(format!("{field}.key"), name::key(key));
    }
}
