//! What rustls puts into a ticket, as far as it has to be judged again: `ServerSessionValue` of rustls 0.23, which is not
//! public. What does not have exactly this form is not read at all, so that a rustls with another one resumes nothing.

use rustls::pki_types::CertificateDer;

/// The part of a session that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SessionValue<'a> {
    /// Whether it is one of TLS 1.2, where a session that goes on keeps its secret.
    pub(super) is_tls12: bool,
    /// The session's secret.
    pub(super) secret: &'a [u8],
    /// All that the client had shown, its own certificate first. Empty if it had shown none.
    pub(super) certificates: Vec<CertificateDer<'a>>,
}

impl<'a> SessionValue<'a> {
    /// Reads all of the bytes. `None` if they are of another form.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { rest: bytes };
        if reader.flag()? {
            let _server_name = reader.prefixed(1)?;
        }
        let is_tls12 = match reader.number(2)? {
            0x0303 => true,
            0x0304 => false,
            _ => return None,
        };
        let _cipher_suite = reader.number(2)?;
        let secret = reader.prefixed(1)?;
        let _extended_master_secret = reader.flag()?;
        let mut certificates = Vec::new();
        if reader.flag()? {
            let mut list = Reader { rest: reader.prefixed(3)? };
            while !list.rest.is_empty() {
                certificates.push(CertificateDer::from(list.prefixed(3)?));
            }
        }
        if reader.flag()? {
            let _protocol = reader.prefixed(1)?;
        }
        let _application_data = reader.prefixed(2)?;
        let _created = reader.take(8)?;
        let _age_obfuscation = reader.take(4)?;
        reader.rest.is_empty().then_some(Self { is_tls12, secret, certificates })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// An unsigned number of so many bytes, at most three.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Bytes after their count, which has so many bytes.
    fn prefixed(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.number(1)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tickets::testing::{Captured, captured, credentials};

    #[test]
    fn the_certificates_that_a_client_showed_are_found() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (chain, key) = credentials("sensor-1");
            let Captured { plain, .. } = captured(version, Some((chain.clone(), key)), true);
            let value = SessionValue::read(&plain).expect("a session");
            assert_eq!(value.certificates, chain, "{version:?}");
            assert_eq!(value.is_tls12, version.version == rustls::ProtocolVersion::TLSv1_2);
            assert!(value.secret.len() >= 32);
        }
    }

    #[test]
    fn a_client_without_certificate_or_name_is_read_too() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for has_name in [true, false] {
                let Captured { plain, .. } = captured(version, None, has_name);
                let value = SessionValue::read(&plain).expect("a session");
                assert_eq!(value.certificates, [], "{version:?}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_not_read() {
        let (chain, key) = credentials("sensor-1");
        let Captured { plain, .. } = captured(&rustls::version::TLS13, Some((chain, key)), true);
        for length in 0..plain.len() {
            assert_eq!(SessionValue::read(&plain[..length]), None, "{length} of {} bytes", plain.len());
        }
        assert_eq!(SessionValue::read(&[&plain[..], &[0]].concat()), None);
    }
}
