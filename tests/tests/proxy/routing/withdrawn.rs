//! What changes between a client's handshake and its CONNECT.

use anyhow::Result;
use streamgate_tests::proxy::Proxy;
use streamgate_tests::wire::{self, Connect, Version};

use super::place::{MQTTS, Place, connect};
use crate::balancing::fleet::fate;

const A: &str = "a.devices.example";

fn started() -> Result<(Place, Proxy)> {
    let place = Place::new()?;
    place.tls_sni("acme/names", &[A], "")?.route("acme/all", "")?;
    let proxy = place.start()?;
    Ok((place, proxy))
}

#[test]
fn a_client_whose_tls_sni_is_gone_is_refused() -> Result<()> {
    let (place, proxy) = started()?;
    let mut device = place.client(A)?.connect(proxy.address(MQTTS))?;
    let generation = proxy.generation();
    place.config.remove_tls_sni("acme", "names")?;
    proxy.wait_for_generation_after(generation)?;
    assert_eq!(fate(&mut device, &connect()), "CONNACK 5");
    Ok(())
}

#[test]
fn a_client_of_mqtt_5_whose_tls_sni_is_gone_is_told_that_it_is_not_authorized() -> Result<()> {
    let (place, proxy) = started()?;
    let mut device = place.client(A)?.connect(proxy.address(MQTTS))?;
    let generation = proxy.generation();
    place.config.remove_tls_sni("acme", "names")?;
    proxy.wait_for_generation_after(generation)?;
    let answer = wire::connack(&mut device, &Connect::new(Version::V5, "device"))?;
    assert_eq!(answer.code(), Some(0x87));
    Ok(())
}

#[test]
fn a_client_whose_name_is_another_tenants_by_now_is_refused() -> Result<()> {
    let (place, proxy) = started()?;
    let mut device = place.client(A)?.connect(proxy.address(MQTTS))?;
    place.config.remove_tls_sni("acme", "names")?;
    place.tls_sni("globex/names", &[A], "")?.route("globex/all", "")?;
    proxy.wait_for_status("two routes, one TlsSni", |status| {
        status["applied"] == serde_json::json!({"streamroutes": 2, "tlssnis": 1})
            && status["refused"] == serde_json::json!([])
    })?;
    // Until that is true, the name may be nobody's, which is not what is asked here.
    assert_eq!(place.by_name(proxy.address(MQTTS), A)?, "globex/all");
    assert_eq!(fate(&mut device, &connect()), "CONNACK 5");
    Ok(())
}

#[test]
fn a_client_whose_route_is_gone_is_refused() -> Result<()> {
    let (place, proxy) = started()?;
    let mut device = place.client(A)?.connect(proxy.address(MQTTS))?;
    let generation = proxy.generation();
    place.config.remove_stream_route("acme", "all")?;
    proxy.wait_for_generation_after(generation)?;
    assert_eq!(fate(&mut device, &connect()), "CONNACK 5");
    Ok(())
}

#[test]
fn a_client_goes_by_the_route_that_is_there_at_its_connect() -> Result<()> {
    let (place, proxy) = started()?;
    let mut device = place.client(A)?.connect(proxy.address(MQTTS))?;
    let generation = proxy.generation();
    place.route("acme/named", &format!("match: {{snis: [{A}]}}"))?;
    proxy.wait_for_generation_after(generation)?;
    assert_eq!(fate(&mut device, &connect()), "acme/named");
    Ok(())
}

#[test]
fn a_client_whose_tls_sni_got_another_certificate_goes_on() -> Result<()> {
    let (place, proxy) = started()?;
    let mut device = place.client(A)?.connect(proxy.address(MQTTS))?;
    let generation = proxy.generation();
    place.tls_sni("acme/names", &[A, "b.devices.example"], "")?;
    proxy.wait_for_generation_after(generation)?;
    assert_eq!(fate(&mut device, &connect()), "acme/all");
    Ok(())
}
