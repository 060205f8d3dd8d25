//! Who is connected goes on, whatever changes.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use streamgate_tests::proxy::Proxy;
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, Version};

use crate::balancing::change;
use crate::balancing::fleet::{NamedBroker, SERVICE, fate, slice};
use crate::routing::place::{MQTTS, PLAIN, Place};

const A: &str = "a.devices.example";

/// How long the devices publish after a change: long enough for who would cut them off for it.
const AFTERWARDS: Duration = Duration::from_millis(300);
/// The time between two messages.
const PAUSE: Duration = Duration::from_millis(1);

/// Two devices that publish numbered messages, one over TLS and one without, while `change` runs and for a while after it.
/// Then each of them hears from its broker.
fn undisturbed(change: impl FnOnce(&Place, &Proxy) -> Result<()>) -> Result<()> {
    let place = Place::new()?;
    let (broker, next) = (NamedBroker::start("broker")?, NamedBroker::start("next")?);
    let device = place.authority.device("device")?;
    place.config.config_map("acme", "ca", &[("ca.crt", place.authority.certificate_pem().as_bytes())])?;
    place.config.endpoints("acme", "broker", &format!("{SERVICE}{}", slice("pod", broker.address(), "")))?;
    place.config.stream_route("acme", "all", "upstream: {services: [{name: broker, port: mqtt}]}")?;
    place.tls_sni("acme/names", &[A], "clientAuth: {ca: {configMapName: ca}}")?;
    let proxy = place.start()?;

    let mut plain = wire::connect_tcp(proxy.address(PLAIN))?;
    assert_eq!(fate(&mut plain, &connect()), "broker");
    let mut tls = TlsClient::with_certificate(&place.authority, A, &device)?.connect(proxy.address(MQTTS))?;
    assert_eq!(fate(&mut tls, &connect()), "broker");

    let done = AtomicBool::new(false);
    let (done, sent) = thread::scope(|scope| {
        let senders =
            [scope.spawn(|| publish_until(&mut plain, &done)), scope.spawn(|| publish_until(&mut tls, &done))];
        let changed = change(&place, &proxy);
        thread::sleep(AFTERWARDS);
        done.store(true, Ordering::SeqCst);
        (changed, senders.map(|sender| sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))))
    });
    done?;
    for (index, sent) in sent.into_iter().enumerate() {
        let sent = sent??;
        let expected = [connect().bytes(), sent].concat();
        let received = broker.recorder.wait_for_bytes(index, expected.len(), wait::SOON)?;
        assert!(received == expected, "connection {index}: other bytes came than were sent");
        assert!(!broker.recorder.ended(index), "connection {index} was ended");
    }
    assert_eq!((broker.recorder.count(), next.recorder.count()), (2, 0));
    for (index, peer) in [&mut plain as &mut dyn Peer, &mut tls].into_iter().enumerate() {
        let message = wire::publish(Version::V311, "down", &[b'0' + u8::try_from(index)?], 0, 0, false);
        broker.recorder.send(index, &message)?;
        peer.limit_read(wait::SOON)?;
        let mut received = vec![0; message.len()];
        std::io::Read::read_exact(peer, &mut received).with_context(|| format!("connection {index}"))?;
        assert_eq!(received, message);
    }
    Ok(())
}

/// Publishes until it is told to stop; gives all that was sent.
fn publish_until(peer: &mut (impl Write + ?Sized), done: &AtomicBool) -> Result<Vec<u8>> {
    let mut sent = Vec::new();
    let mut number = 0_u32;
    loop {
        let is_last = done.load(Ordering::SeqCst);
        let message = wire::publish(Version::V311, "up", number.to_string().as_bytes(), 0, 0, false);
        peer.write_all(&message).and_then(|()| peer.flush()).with_context(|| format!("message {number}"))?;
        sent.extend(message);
        number += 1;
        if is_last {
            return Ok(sent);
        }
        thread::sleep(PAUSE);
    }
}

fn connect() -> Connect {
    Connect::new(Version::V311, "device")
}

#[test]
fn a_changed_route() -> Result<()> {
    undisturbed(|place, proxy| {
        change(proxy, || {
            let spec = "upstream: {services: [{name: broker, port: mqtt}], retries: 0}\nmqtt: {protocolLevels: [5]}";
            place.config.stream_route("acme", "all", spec).map(drop)
        })
    })
}

#[test]
fn an_endpoint_that_is_gone() -> Result<()> {
    undisturbed(|place, proxy| change(proxy, || place.config.endpoints("acme", "broker", SERVICE).map(drop)))
}

#[test]
fn a_replaced_certificate() -> Result<()> {
    undisturbed(|place, proxy| {
        let certificate = place.authority.server(&[A])?;
        change(proxy, || place.config.secret("acme", "names-tls", &certificate.tls_secret()).map(drop))
    })
}

#[test]
fn a_replaced_authority() -> Result<()> {
    undisturbed(|place, proxy| {
        let other = streamgate_tests::pki::CertificateAuthority::new("Other CA")?;
        change(proxy, || {
            place.config.config_map("acme", "ca", &[("ca.crt", other.certificate_pem().as_bytes())]).map(drop)
        })
    })
}

#[test]
fn a_removed_route() -> Result<()> {
    undisturbed(|place, proxy| change(proxy, || place.config.remove_stream_route("acme", "all").map(drop)))
}

#[test]
fn a_removed_tls_sni() -> Result<()> {
    undisturbed(|place, proxy| change(proxy, || place.config.remove_tls_sni("acme", "names").map(drop)))
}

#[test]
fn a_broken_route() -> Result<()> {
    undisturbed(|place, proxy| {
        place.config.write(&super::route_file("acme/all"), b"no manifest")?;
        super::wait_for_refusal(proxy, "StreamRoute", "acme/all").map(drop)
    })
}

#[test]
fn everything_at_once() -> Result<()> {
    undisturbed(|place, proxy| {
        for folder in ["streamroutes", "tlssnis", "endpoints", "secrets", "configmaps"] {
            place.config.remove(folder)?;
        }
        let nothing = serde_json::json!({"streamroutes": 0, "tlssnis": 0});
        proxy.wait_for_status("nothing applied", |status| status["applied"] == nothing)?;
        Ok(())
    })
}
