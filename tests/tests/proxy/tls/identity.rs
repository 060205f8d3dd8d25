//! Which of several certificates a client is shown.

use anyhow::Result;
use streamgate_tests::pki::Leaf;
use streamgate_tests::proxy::Proxy;

use super::fixture::{LISTENER, Site, TLS, access_field, is_served, s_client};

const NAME: &str = "one.devices.example";

/// A site with an ECDSA and an RSA certificate for the same name, told apart by their subjects.
fn with_two_certificates(order: [&str; 2]) -> Result<(Site, Proxy)> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    for (name, leaf) in
        [("ecdsa", Leaf::server(&["ecdsa.example", NAME])), ("rsa", Leaf::server(&["rsa.example", NAME]).rsa())]
    {
        site.config.secret("acme", name, &site.authority.issue(&leaf)?.tls_secret())?;
    }
    let [first, second] = order;
    let spec = format!("snis: [{NAME}]\ncertificates: [{{secretName: {first}}}, {{secretName: {second}}}]");
    site.config.tls_sni("acme", "devices", &spec)?;
    let proxy = site.start()?;
    Ok((site, proxy))
}

#[test]
fn a_client_is_shown_the_certificate_that_it_can_verify() -> Result<()> {
    for order in [["ecdsa", "rsa"], ["rsa", "ecdsa"]] {
        let (_site, proxy) = with_two_certificates(order)?;
        for (tls, arguments, subject) in [
            (TLS[0], &[][..], "CN = ecdsa.example"),
            (TLS[0], &["-sigalgs", "ECDSA+SHA256"], "CN = ecdsa.example"),
            (TLS[0], &["-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"], "CN = rsa.example"),
            // In TLS 1.2 the cipher suite decides as well.
            (TLS[0], &["-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "CN = rsa.example"),
            (TLS[0], &["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "CN = ecdsa.example"),
            (TLS[1], &[], "CN = ecdsa.example"),
            (TLS[1], &["-sigalgs", "ECDSA+SHA256"], "CN = ecdsa.example"),
            (TLS[1], &["-sigalgs", "RSA-PSS+SHA256"], "CN = rsa.example"),
        ] {
            let client = s_client(proxy.address(LISTENER), tls).server_name(NAME).arguments(arguments);
            let session = client.run()?;
            assert!(is_served(&session), "{arguments:?} over {tls:?}: {session:?}");
            assert_eq!(session.subject.as_deref(), Some(subject), "{arguments:?} over {tls:?} of {order:?}");
        }
    }
    Ok(())
}

#[test]
fn a_client_that_can_verify_no_certificate_is_refused_with_handshake_failure() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let proxy = site.start()?;
    for tls in TLS {
        let client = s_client(proxy.address(LISTENER), tls).server_name(NAME).arguments(&["-sigalgs", "ed25519"]);
        let session = client.run()?;
        assert_eq!(session.alert, Some(40), "{tls:?}: {session:?}");
    }
    assert_eq!(access_field(&proxy, 2, "end")?, ["NoCommonCipher"; 2]);
    Ok(())
}

#[test]
fn a_client_is_shown_the_intermediate_certificates() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], "")?;
    let below = site.authority.intermediate("Server CA 2")?;
    site.config.secret("acme", "devices-tls", &below.server(&[NAME])?.tls_secret())?;
    let proxy = site.start()?;
    let root = site.authority.write(site.config.scratch(), "root")?;
    let root = root.to_string_lossy();
    for tls in TLS {
        let client = s_client(proxy.address(LISTENER), tls).server_name(NAME);
        let session = client.arguments(&["-CAfile", &root, "-verify_return_error"]).run()?;
        assert!(is_served(&session), "{tls:?}: {session:?}");
    }
    Ok(())
}
