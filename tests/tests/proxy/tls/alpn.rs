//! Application protocols (ALPN).

use anyhow::Result;
use streamgate_tests::openssl::Session;
use streamgate_tests::proxy::Proxy;

use super::fixture::{LISTENER, Site, TLS, Tls, access_field, is_served, s_client};

const NAME: &str = "one.devices.example";

fn started(protocols: &str) -> Result<(Site, Proxy)> {
    let site = Site::new()?;
    site.serve("acme", "devices", &[NAME], protocols)?;
    let proxy = site.start()?;
    Ok((site, proxy))
}

fn offer(proxy: &Proxy, tls: Tls, protocols: &str) -> Result<Session> {
    s_client(proxy.address(LISTENER), tls).server_name(NAME).arguments(&["-alpn", protocols]).run()
}

#[test]
fn mqtt_is_chosen_where_it_is_offered_and_none_is_required() -> Result<()> {
    let (_site, proxy) = started("")?;
    for tls in TLS {
        for protocols in ["mqtt", "h2,mqtt", "mqtt,http/1.1"] {
            let session = offer(&proxy, tls, protocols)?;
            assert!(is_served(&session), "{session:?}");
            assert_eq!(session.alpn.as_deref(), Some("mqtt"), "{protocols}: {session:?}");
        }
    }
    Ok(())
}

#[test]
fn other_offers_are_ignored_where_none_is_required() -> Result<()> {
    let (_site, proxy) = started("")?;
    for tls in TLS {
        for protocols in ["h2", "MQTT", "x-amzn-mqtt-ca,http/1.1"] {
            let session = offer(&proxy, tls, protocols)?;
            assert!(is_served(&session), "{protocols}: {session:?}");
            assert_eq!(session.alpn, None, "{protocols}: {session:?}");
        }
    }
    Ok(())
}

#[test]
fn a_client_that_offers_no_required_protocol_is_refused_with_no_application_protocol() -> Result<()> {
    let (_site, proxy) = started("alpnProtocols: [mqtt, x-mqtt]")?;
    for tls in TLS {
        let session = offer(&proxy, tls, "h2,http/1.1")?;
        assert_eq!(session.alert, Some(120), "{session:?}");
    }
    assert_eq!(access_field(&proxy, 2, "end")?, ["NoApplicationProtocol"; 2]);
    Ok(())
}

#[test]
fn each_required_protocol_lets_a_client_in() -> Result<()> {
    let (_site, proxy) = started("alpnProtocols: [mqtt, x-mqtt]")?;
    for tls in TLS {
        for (protocols, chosen) in [("mqtt", "mqtt"), ("h2,x-mqtt", "x-mqtt"), ("x-mqtt,mqtt", "mqtt")] {
            let session = offer(&proxy, tls, protocols)?;
            assert!(is_served(&session), "{protocols}: {session:?}");
            assert_eq!(session.alpn.as_deref(), Some(chosen), "{protocols}: {session:?}");
        }
    }
    Ok(())
}

#[test]
fn mqtt_does_where_another_protocol_is_required_as_little_as_any() -> Result<()> {
    let (_site, proxy) = started("alpnProtocols: [x-mqtt]")?;
    for tls in TLS {
        assert_eq!(offer(&proxy, tls, "mqtt")?.alert, Some(120), "{tls:?}");
    }
    Ok(())
}

#[test]
fn a_client_that_offers_nothing_is_let_in_where_a_protocol_is_required() -> Result<()> {
    let (_site, proxy) = started("alpnProtocols: [mqtt]")?;
    for tls in TLS {
        let session = s_client(proxy.address(LISTENER), tls).server_name(NAME).run()?;
        assert!(is_served(&session), "{session:?}");
        assert_eq!(session.alpn, None, "{session:?}");
    }
    Ok(())
}
