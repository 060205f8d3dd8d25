//! Alerts in the clear, and two of rustls' that are set right:
//!
//! - A client of TLS 1.2 without a certificate gets `handshake_failure` (RFC 5246, section 7.4.6) in place of
//!   `certificate_required`, which that version doesn't know.
//! - A client of TLS 1.1 or older gets `protocol_version` in place of `handshake_failure`, with which rustls answers that it
//!   names no signature algorithms, as no such client does.
//!
//! Before there are keys an alert is a record of its own, in the clear. No other record looks like one: what is protected is
//! longer.

/// Whether these, the first bytes of a connection, are of a client that speaks TLS 1.1 at most: the version of a `ClientHello`
/// (RFC 5246, section 7.4.1.2) comes after the head of its record, its type and its length.
pub(super) fn is_outdated(first: &[u8]) -> bool {
    matches!(first, [22, _, _, _, _, 1, _, _, _, 3, 0..=2, ..])
}

/// The record to send in place of this one, which rustls would send, if there is a better one.
pub(super) fn replacement(record: &[u8], is_outdated: bool) -> Option<[u8; 7]> {
    if record == CERTIFICATE_REQUIRED {
        Some(HANDSHAKE_FAILURE)
    } else if is_outdated && record == HANDSHAKE_FAILURE {
        Some(PROTOCOL_VERSION)
    } else {
        None
    }
}

/// A plaintext alert (RFC 8446, section 5.1): no keys are agreed on before the ServerHello. Fatal, `unrecognized_name` (112).
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// The same with `certificate_required` (116), `handshake_failure` (40) and `protocol_version` (70).
const CERTIFICATE_REQUIRED: [u8; 7] = [21, 3, 3, 0, 2, 2, 116];
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];
