//! What a client's certificate says about it.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use streamgate_crds::stream_route::CertificateField;
use streamgate_crds::subject::short_name;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, GeneralName, X509Certificate, X509Name};

/// A client's certificate, as far as routing and logs want to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    attributes: Vec<(String, String)>,
    subject: String,
    dns_names: Vec<String>,
    uris: Vec<String>,
    email_addresses: Vec<String>,
}

impl ClientCertificate {
    /// Reads a certificate (DER). `None` if it can't be read.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let (mut dns_names, mut uris, mut email_addresses) = (Vec::new(), Vec::new(), Vec::new());
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                    GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                    GeneralName::RFC822Name(address) => email_addresses.push((*address).to_owned()),
                    _ => {}
                }
            }
        }
        Some(Self {
            attributes: attributes(certificate.subject()),
            subject: distinguished_name(certificate.subject()),
            dns_names,
            uris,
            email_addresses,
        })
    }

    /// The subject as RFC 4514 writes it: `CN=sensor-1,O=Acme`.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// The subject's attributes: short name or dotted object identifier, and value.
    pub(crate) fn subject_attributes(&self) -> &[(String, String)] {
        &self.attributes
    }

    /// All that the certificate says in `field`.
    pub(crate) fn values(&self, field: CertificateField) -> Vec<&str> {
        let names = match field {
            CertificateField::CommonName => {
                return self
                    .attributes
                    .iter()
                    .filter(|(name, _)| name == "CN")
                    .map(|(_, value)| value.as_str())
                    .collect();
            }
            CertificateField::DnsSan => &self.dns_names,
            CertificateField::UriSan => &self.uris,
            CertificateField::EmailSan => &self.email_addresses,
        };
        names.iter().map(String::as_str).collect()
    }
}

fn attributes(name: &X509Name<'_>) -> Vec<(String, String)> {
    name.iter_attributes().map(|attribute| (attribute_name(attribute), attribute_value(attribute))).collect()
}

fn attribute_name(attribute: &AttributeTypeAndValue<'_>) -> String {
    let identifier = attribute.attr_type().to_id_string();
    short_name(&identifier).map_or(identifier, str::to_owned)
}

fn attribute_value(attribute: &AttributeTypeAndValue<'_>) -> String {
    attribute
        .attr_value()
        .as_any_string()
        .map(str::to_owned)
        .or_else(|_| attribute.as_str().map(str::to_owned))
        .unwrap_or_else(|_| {
            attribute.as_slice().iter().fold("#".to_owned(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        })
}

/// A name by RFC 4514, section 2: the last attribute first, special characters escaped.
pub(super) fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let attributes: Vec<String> = part
                .iter()
                .map(|attribute| format!("{}={}", attribute_name(attribute), escape(&attribute_value(attribute))))
                .collect();
            attributes.join("+")
        })
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let is_edge = (index == 0 && matches!(character, ' ' | '#')) || (index == last && character == ' ');
        if is_edge || matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            escaped.push('\\');
        }
        if character == '\0' {
            escaped.push_str("\\00");
        } else {
            escaped.push(character);
        }
    }
    escaped
}
