//! Moving over from a `HAProxy` that ends mutual TLS, as docs/moving.md and docs/from-haproxy-ingress.md say it, without a gap.

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use streamgate_tests::broker::NAME_TOPIC;
use streamgate_tests::mosquitto;
use streamgate_tests::tls_client::alert_of;
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};

mod device;
mod haproxy;
mod place;

use device::{By, Newcomers};
use place::{DEVICE, NAME, OTHER_NAME, Place};

/// The page's ConfigMap of today.
const BEFORE: &str = "haproxy.yaml";
/// The one that passes the port on.
const AFTER: &str = "haproxy-to-streamgate.yaml";

#[test]
fn by_the_old_address_no_device_is_refused_there_or_back() -> Result<()> {
    let mut place = Place::new()?;
    let mut haproxy = place.today()?;
    let newcomers = Newcomers::start(place.clients(NAME)?, place.old_address, "newcomer");
    newcomers.wait_for_ten(By::Haproxy)?;

    haproxy.reload(&place.of_config_map(AFTER)?)?;
    assert_eq!(place.visit(NAME, "moved")?, By::Streamgate);
    place.publish(place.old_address, "mosquitto", "moved")?;
    newcomers.wait_for_ten(By::Streamgate)?;
    for client_id in ["moved", "mosquitto"] {
        let line = place.proxy.wait_for_connection(client_id, |line| line["client_id"] == client_id)?;
        assert_eq!(
            (&line["subject"], &line["endpoint"]),
            (&format!("CN={DEVICE}").into(), &"broker-0".into()),
            "{line}"
        );
    }

    haproxy.reload(&place.of_config_map(BEFORE)?)?;
    assert_eq!(place.visit(NAME, "back")?, By::Haproxy);
    place.publish(place.old_address, "mosquitto", "back")?;
    newcomers.wait_for_ten(By::Haproxy)?;
    newcomers.finish().with_context(|| format!("{}\n{}", haproxy.log(), place.proxy.log()))?;
    Ok(())
}

#[test]
fn by_the_old_address_a_connected_device_stays_until_the_process_of_before_ends() -> Result<()> {
    let place = Place::new()?;
    let mut haproxy = place.today()?;
    let client = place.client(NAME)?;
    let mut device = client.connect(place.old_address)?;
    assert_eq!(device::visit(&mut device, "device")?, By::Haproxy);
    let port = place.broker.address().port().to_string();
    for (configuration, then) in [(AFTER, By::Streamgate), (BEFORE, By::Haproxy)] {
        let former = haproxy.reload(&place.of_config_map(configuration)?)?;
        let to = ["-h", "127.0.0.1", "-p", &port, "-t", NAME_TOPIC, "-m", "still there"];
        mosquitto::publish(&to, wait::SOON)?.succeeded("mosquitto_pub")?;
        let message = wire::read_packet(&mut device, wait::SOON)?.message(Version::V311);
        assert_eq!(message, Some((NAME_TOPIC.to_owned(), b"still there".to_vec())), "{configuration}");

        haproxy.end(&former)?;
        let (bytes, end) = wire::read_to_end(&mut device, wait::SOON);
        assert!(bytes.is_empty() && end != StreamEnd::StillOpen, "{configuration}: {bytes:?}, {end:?}");
        device = client.connect(place.old_address)?;
        assert_eq!(device::visit(&mut device, "device")?, then, "{configuration}");
    }
    Ok(())
}

#[test]
fn a_device_without_a_certificate_is_refused_before_and_after() -> Result<()> {
    let place = Place::new()?;
    let mut haproxy = place.today()?;
    let refused = || -> Result<()> {
        let mut device = place.client_without_certificate()?.connect(place.old_address)?;
        let error = wire::read_packet(&mut device, wait::SOON).expect_err("a device without a certificate");
        assert_eq!(alert_of(&error), Some(116), "{error:#}");
        Ok(())
    };
    refused()?;
    haproxy.reload(&place.of_config_map(AFTER)?)?;
    refused()
}

#[test]
fn name_by_name_one_moves_and_the_other_stays() -> Result<()> {
    let place = Place::new()?;
    let mut haproxy = place.today()?;
    let moving = Newcomers::start(place.clients(NAME)?, place.old_address, "moving");
    let staying = Newcomers::start(place.clients(OTHER_NAME)?, place.old_address, "staying");

    moving.wait_for_ten(By::Haproxy)?;

    haproxy.reload(&place.by_name()?)?;
    assert_eq!(place.visit(NAME, "moved")?, By::Streamgate);
    assert_eq!(place.visit(OTHER_NAME, "stayed")?, By::Haproxy);
    // A ClientHello need not come at once.
    for (name, by) in [(NAME, By::Streamgate), (OTHER_NAME, By::Haproxy)] {
        let stream = wire::connect_tcp(place.old_address)?;
        let mut device = place.client(name)?.handshake_in_pieces(stream, |hello, stream| {
            let (first, rest) = hello.split_at(hello.len() / 2);
            stream.write_all(first)?;
            // So that it is read alone; nothing tells when.
            thread::sleep(Duration::from_millis(50));
            stream.write_all(rest)
        })?;
        assert_eq!(device::visit(&mut device, "in pieces")?, by, "{name}");
    }
    moving.wait_for_ten(By::Streamgate)?;
    staying.wait_for_ten(By::Haproxy)?;
    let mut nameless = place.client(NAME)?.without_sni().connect(place.old_address)?;
    assert_eq!(device::visit(&mut nameless, "nameless")?, By::Haproxy);

    haproxy.reload(&place.of_config_map(BEFORE)?)?;
    assert_eq!(place.visit(NAME, "back")?, By::Haproxy);

    let log = || format!("{}\n{}", haproxy.log(), place.proxy.log());
    moving.finish().with_context(log)?;
    assert!(staying.finish().with_context(log)?.iter().all(|by| *by == By::Haproxy));
    Ok(())
}

#[test]
fn by_dns_both_ways_lead_to_the_same_broker_at_once() -> Result<()> {
    let place = Place::new()?;
    let _haproxy = place.today()?;
    let (old, new) = (place.old_address, place.proxy.address("mqtts"));
    let mut subscribers = [place.subscriber(old, "stays")?, place.subscriber(new, "moved")?];
    for (address, text) in [(old, "from the old way"), (new, "from the new way")] {
        place.publish(address, "publisher", text)?;
        for subscriber in &mut subscribers {
            subscriber.wait_for_line(text, wait::SOON)?;
        }
    }
    Ok(())
}

#[test]
fn by_dns_a_client_id_takes_its_session_along_and_ends_its_older_connection() -> Result<()> {
    let place = Place::new()?;
    let _haproxy = place.today()?;
    let client = place.client(NAME)?;
    let connect = Connect::new(Version::V311, "device").clean(false);
    let mut older = client.connect(place.old_address)?;
    assert_eq!(wire::connack(&mut older, &connect)?.body, [0, 0]);
    older.write_all(&wire::subscribe(Version::V311, 1, "up/#", 1))?;
    older.flush()?;
    assert_eq!(wire::read_packet(&mut older, wait::SOON)?.kind(), 9);

    let mut newer = client.connect(place.proxy.address("mqtts"))?;
    // The session is there.
    assert_eq!(wire::connack(&mut newer, &connect)?.body, [1, 0]);
    let (bytes, end) = wire::read_to_end(&mut older, wait::SOON);
    assert!(bytes.is_empty() && end != StreamEnd::StillOpen, "{bytes:?}, {end:?}");
    place.publish(place.old_address, "publisher", "after it moved")?;
    let message = wire::read_packet(&mut newer, wait::SOON)?.message(Version::V311);
    assert!(message.is_some_and(|(topic, _)| topic == "up/x"));
    Ok(())
}
