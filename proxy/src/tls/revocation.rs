//! Revocation lists: which certificates their issuers have called back.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use webpki::{Cert, CertRevocationList, EndEntityCert, OwnedCertRevocationList};
use x509_parser::oid_registry::{OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::client_certificate::distinguished_name;
use super::material::MaterialError;

/// The revocation lists of one file, of each issuer and scope the newest.
pub struct RevocationLists {
    /// By issuer. An issuer has several where they are for parts of its certificates, or where two of one name have each
    /// a key of their own.
    by_issuer: Vec<Vec<List>>,
    /// Of the file that they were read from.
    digest: [u8; 32],
}

struct List {
    content: CertRevocationList<'static>,
    issuer: String,
    this_update: i64,
    next_update: i64,
}

/// A list that is past its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredList {
    /// Its issuer (RFC 4514).
    pub issuer: String,
    /// When the next one was due.
    pub next_update: Timestamp,
}

/// What lists are about the same certificates by: issuer, the issuer's key, and the part of its certificates.
type Scope = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

impl RevocationLists {
    /// Reads lists, one or more, from the file of this key.
    ///
    /// # Errors
    ///
    /// It holds none, or one that can't be read.
    pub fn read(key: &str, pem: &[u8]) -> Result<Self, MaterialError> {
        let wrong = |found: String| MaterialError::RevocationLists { key: key.to_owned(), found };
        let mut newest: BTreeMap<Scope, List> = BTreeMap::new();
        for der in CertificateRevocationListDer::pem_slice_iter(pem) {
            let der = der.map_err(|error| wrong(format!("PEM that can't be read ({error})")))?;
            let (scope, list) = List::read(&der).map_err(|why| wrong(format!("a list that can't be read ({why})")))?;
            match newest.get_mut(&scope) {
                Some(other) if other.this_update >= list.this_update => {}
                Some(other) => *other = list,
                None => {
                    newest.insert(scope, list);
                }
            }
        }
        if newest.is_empty() {
            return Err(wrong("no revocation list is in it".to_owned()));
        }
        let mut by_issuer: BTreeMap<Vec<u8>, Vec<List>> = BTreeMap::new();
        for ((issuer, ..), list) in newest {
            by_issuer.entry(issuer).or_default().push(list);
        }
        let mut file = [0; 32];
        file.copy_from_slice(digest(&SHA256, pem).as_ref());
        Ok(Self { by_issuer: by_issuer.into_values().collect(), digest: file })
    }

    /// The lists that are past their end at this time.
    pub fn expired(&self, now: Timestamp) -> impl Iterator<Item = ExpiredList> {
        let lists = self.by_issuer.iter().flatten();
        lists.filter(move |list| list.is_expired(now.as_second())).map(|list| ExpiredList {
            issuer: list.issuer.clone(),
            next_update: Timestamp::from_second(list.next_update).unwrap_or(Timestamp::MAX),
        })
    }

    /// All lists, in each of the orders that are to be tried: of several of one issuer the first that may be about a
    /// certificate is taken, and then may be signed by another key.
    pub(super) fn orders(&self) -> impl Iterator<Item = Vec<&CertRevocationList<'static>>> {
        let turns = self.by_issuer.iter().map(Vec::len).max().unwrap_or(0);
        (0..turns).map(|turn| {
            let turned = |lists: &'_ [List]| turn % lists.len().max(1);
            let of_issuer =
                self.by_issuer.iter().flat_map(|lists| lists.iter().cycle().skip(turned(lists)).take(lists.len()));
            of_issuer.map(|list| &list.content).collect()
        })
    }

    /// Whether a list of the certificate's issuer names it. An issuer gives no serial number twice, whichever its key
    /// (RFC 5280, section 4.1.2.2). Signatures are not looked at.
    pub(super) fn name(&self, certificate: &Cert<'_>) -> bool {
        self.of_issuer(certificate).any(|list| !matches!(list.content.find_serial(certificate.serial()), Ok(None)))
    }

    /// Whether no list of the certificate's issuer names it, and all of them are in their time.
    pub(super) fn clear(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        let (Ok(certificate), Ok(now)) = (EndEntityCert::try_from(certificate), i64::try_from(now.as_secs())) else {
            return false;
        };
        !self.name(&certificate) && self.of_issuer(&certificate).all(|list| !list.is_expired(now))
    }

    fn of_issuer<'a>(&'a self, certificate: &'a Cert<'_>) -> impl Iterator<Item = &'a List> {
        self.by_issuer.iter().flatten().filter(|list| list.content.issuer() == certificate.issuer())
    }
}

impl PartialEq for RevocationLists {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationLists").field("issuers", &self.by_issuer.len()).finish_non_exhaustive()
    }
}

impl List {
    fn read(der: &[u8]) -> Result<(Scope, Self), String> {
        let content = OwnedCertRevocationList::from_der(der).map_err(|error| format!("{error:?}"))?;
        let content = CertRevocationList::from(content);
        let (_, parsed) = CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
        let extension = |wanted| {
            let found = parsed.extensions().iter().find(|extension| extension.oid == wanted);
            found.map(|extension| extension.value.to_vec())
        };
        let scope = (
            content.issuer().to_vec(),
            extension(OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER),
            extension(OID_X509_EXT_ISSUER_DISTRIBUTION_POINT),
        );
        let next_update = parsed.next_update().ok_or("no next update")?.timestamp();
        let this_update = parsed.last_update().timestamp();
        Ok((scope, Self { issuer: distinguished_name(parsed.issuer()), content, this_update, next_update }))
    }

    /// As webpki has it.
    fn is_expired(&self, now: i64) -> bool {
        now >= self.next_update
    }
}

#[cfg(test)]
mod tests;
