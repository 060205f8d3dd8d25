//! What nobody is told: keys and passwords, in no page, no status and no log.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Result;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use crate::balancing::fleet::fate;
use crate::commands::Running;
use crate::routing::place::{MQTTS, Place};

const A: &str = "a.devices.example";
const PASSWORD: &str = "correct-horse-battery-staple";

/// A line in the middle of a key's text, which stands in nothing else.
fn line_of(pem: &str) -> String {
    pem.lines().nth(2).unwrap_or(pem).to_owned()
}

#[test]
fn no_page_and_no_status_has_key_material() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let certificate = place.authority.server(&[A])?;
    place.config.secret("acme", "names-tls", &certificate.tls_secret())?;
    let proxy = place.start()?;
    // A pair that doesn't match, and a key that is none: what is said of them neither.
    let other = place.authority.server(&[A])?;
    let generation = proxy.generation();
    let mixed = [("tls.crt", certificate.chain_pem.as_bytes()), ("tls.key", other.key_pem.as_bytes())];
    place.config.secret("acme", "names-tls", &mixed)?;
    proxy.wait_for_generation_after(generation)?;
    let generation = proxy.generation();
    let broken = other.key_pem.replace("BEGIN", "BEGUN");
    place.config.secret("acme", "names-tls", &[mixed[0], ("tls.key", broken.as_bytes())])?;
    proxy.wait_for_generation_after(generation)?;

    let pages = ["/config", "/metrics"].map(|path| proxy.admin_get(path).map(|response| response.body));
    let [config, metrics] = pages;
    let all = [config?, metrics?, proxy.status().to_string(), proxy.log()];
    for secret in [&line_of(&certificate.key_pem), &line_of(&other.key_pem), "PRIVATE KEY"] {
        for (index, text) in all.iter().enumerate() {
            assert!(!text.contains(secret), "{index}: {text}");
        }
    }
    Ok(())
}

/// Connects a device that is served, and one that is refused for what comes after its password.
fn connect_with_password(place: &Place, address: SocketAddr) -> Result<()> {
    let connect = |client_id| Connect::new(Version::V311, client_id).username("user").password(PASSWORD.as_bytes());
    let mut stream = TlsClient::new(&place.authority, A)?.connect(address)?;
    assert_eq!(fate(&mut stream, &connect("served")), "acme/all");
    let mut stream = TlsClient::new(&place.authority, A)?.connect(address)?;
    let mut bytes = connect("refused").bytes();
    bytes[1] += 1;
    bytes.push(b'x');
    stream.write_all(&bytes)?;
    wire::read_to_end(&mut stream, wait::SOON);
    Ok(())
}

/// Asserts that the password stands there neither as text nor as bytes.
fn assert_no_password(log: &str) {
    let hexadecimal = PASSWORD.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let numbers = PASSWORD.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    for secret in [PASSWORD, &hexadecimal, &numbers] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn no_json_log_has_a_password() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let mut proxy = place.start()?;
    connect_with_password(&place, proxy.address(MQTTS))?;
    for client_id in ["served", "refused"] {
        proxy.wait_for_connection(client_id, |line| line["client_id"] == client_id)?;
    }
    assert_no_password(&proxy.log());
    Ok(())
}

#[test]
fn no_text_log_has_a_password_however_much_it_says() -> Result<()> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let path = place.config.path().display().to_string();
    let listener = "name=mqtts,address=127.0.0.1:0,protocol=MQTTS";
    let flags = ["--config-dir", &path, "--admin", "127.0.0.1:0", "--listener", listener];
    let mut running = Running::start(&flags, "trace")?;
    connect_with_password(&place, running.address("listening listener=\"mqtts\"")?)?;
    for client_id in ["served", "refused"] {
        running.wait_for_line(&[" connection ", &format!("client_id=\"{client_id}\"")])?;
    }
    assert_no_password(&running.process.lines().join("\n"));
    Ok(())
}
