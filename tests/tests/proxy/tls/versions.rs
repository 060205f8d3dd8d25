//! Versions of TLS, and of IP, and what client and server need to have in common.

use std::path::Path;

use anyhow::Result;
use streamgate_tests::openssl::SClient;
use streamgate_tests::proxy::{Listener, Proxy};

use super::fixture::{LISTENER, Outcome, Site, TLS, access_field, is_served, outcome, s_client};

const NAME: &str = "one.devices.example";

#[test]
fn both_versions_are_served_where_nothing_is_said() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let proxy = site.start()?;
    for tls in TLS {
        let session = s_client(proxy.address(LISTENER), tls).server_name(NAME).run()?;
        assert!(is_served(&session), "{session:?}");
    }
    let mut versions = access_field(&proxy, 2, "tls_version")?;
    versions.sort();
    assert_eq!(versions, TLS.map(|tls| tls.name));
    Ok(())
}

#[test]
fn a_client_of_tls_1_2_is_refused_with_protocol_version_where_1_3_is_the_least() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "minProtocolVersion: \"1.3\"")?;
    let proxy = site.start()?;
    let address = proxy.address(LISTENER);
    let session = s_client(address, TLS[0]).server_name(NAME).run()?;
    assert_eq!(session.alert, Some(70), "{session:?}");
    assert_eq!(access_field(&proxy, 1, "end")?, ["ProtocolVersion"]);
    assert!(is_served(&s_client(address, TLS[1]).server_name(NAME).run()?));
    Ok(())
}

#[test]
fn the_least_version_of_one_tls_sni_is_not_that_of_another() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "strict", &["strict.example"], "minProtocolVersion: \"1.3\"")?;
    site.serve("acme", "lenient", &["lenient.example"], "")?;
    let proxy = site.start()?;
    let address = proxy.address(LISTENER);
    assert_eq!(outcome(&site.client("lenient.example", TLS[0], None)?, address), Outcome::Served);
    assert_eq!(outcome(&site.client("strict.example", TLS[0], None)?, address), Outcome::Alert(70));
    Ok(())
}

#[test]
fn a_client_of_tls_1_1_is_refused_with_protocol_version() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let proxy = site.start()?;
    // OpenSSL 3 does not offer it but for this.
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let session = SClient::new(proxy.address(LISTENER)).server_name(NAME).arguments(&old).run()?;
    assert_eq!(session.alert, Some(70), "{session:?}");
    assert_eq!(access_field(&proxy, 1, "end")?, ["ProtocolVersion"]);
    Ok(())
}

#[test]
fn the_cipher_suite_is_the_cheapest_for_the_proxy_or_for_a_device_without_instructions_for_aes() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let proxy = site.start()?;
    let (aes_256, aes_128, chacha20) =
        ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256");
    for (offered, chosen) in
        [(vec![aes_256, chacha20, aes_128], aes_128), (vec![chacha20, aes_128], chacha20), (vec![aes_256], aes_256)]
    {
        let client = s_client(proxy.address(LISTENER), TLS[1]).server_name(NAME);
        let session = client.arguments(&["-ciphersuites", &offered.join(":")]).run()?;
        assert!(session.output.text().contains(&format!("Cipher is {chosen}")), "{offered:?}: {session:?}");
    }
    for (offered, chosen) in [
        ("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ] {
        let client = s_client(proxy.address(LISTENER), TLS[0]).server_name(NAME);
        let session = client.arguments(&["-cipher", offered]).run()?;
        assert!(session.output.text().contains(&format!("Cipher is {chosen}")), "{offered}: {session:?}");
    }
    Ok(())
}

#[test]
fn a_client_that_guesses_another_key_exchange_is_asked_again() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let proxy = site.start()?;
    // OpenSSL sends a share for the first of them, which rustls doesn't do: a HelloRetryRequest follows.
    let client = s_client(proxy.address(LISTENER), TLS[1]).server_name(NAME);
    let session = client.arguments(&["-groups", "P-521:P-256"]).run()?;
    assert!(is_served(&session), "{session:?}");
    Ok(())
}

#[test]
fn a_client_without_cipher_or_key_exchange_in_common_is_refused_with_handshake_failure() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let proxy = site.start()?;
    let offers = [
        (TLS[0], ["-cipher", "AES128-SHA"]),
        (TLS[0], ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
        (TLS[0], ["-groups", "P-521"]),
        (TLS[1], ["-ciphersuites", "TLS_AES_128_CCM_SHA256"]),
        (TLS[1], ["-groups", "P-521"]),
    ];
    for (tls, arguments) in offers {
        let session = s_client(proxy.address(LISTENER), tls).server_name(NAME).arguments(&arguments).run()?;
        assert_eq!(session.alert, Some(40), "{arguments:?} over {tls:?}: {session:?}");
    }
    assert_eq!(access_field(&proxy, offers.len(), "end")?, ["NoCommonCipher"; 5]);
    Ok(())
}

#[test]
fn a_listener_serves_ipv6() -> Result<()> {
    if !Path::new("/proc/net/if_inet6").exists() {
        eprintln!("this host has no IPv6: nothing to test");
        return Ok(());
    }
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let proxy = Proxy::start(&site.config, &[Listener::mqtts("v4"), Listener::mqtts("v6").at("[::1]:0")])?;
    for listener in ["v6", "v4"] {
        assert!(is_served(&s_client(proxy.address(listener), TLS[1]).server_name(NAME).run()?), "{listener}");
    }
    let mut sources = access_field(&proxy, 2, "source")?;
    sources.sort();
    assert!(sources[0].starts_with("127.0.0.1:") && sources[1].starts_with("[::1]:"), "{sources:?}");
    Ok(())
}
