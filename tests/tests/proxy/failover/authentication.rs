//! Enhanced authentication (MQTT 5.0, section 4.12): AUTH goes both ways before the CONNACK.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::fake_broker::{Answer, FakeBroker, Step};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Peer, StreamEnd, Version, packet};

use super::{device, first, last, spec};
use crate::site::{Site, Way, recorder};

const METHOD: [u8; 8] = [0x15, 0, 5, b'S', b'C', b'R', b'A', b'M'];

fn connect() -> Vec<u8> {
    Connect::new(Version::V5, "device").properties(&METHOD).bytes()
}

/// An AUTH that goes on (0x18), with this data.
fn auth(data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).unwrap_or(0);
    let properties = [&METHOD[..], &[0x16, 0, length], data].concat();
    let head = [0x18, u8::try_from(properties.len()).unwrap_or(0)];
    packet(0xf0, &[&head[..], &properties].concat())
}

fn send(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

/// Asks twice, then lets the client in.
fn asks_twice() -> Answer {
    Answer::Script(vec![
        Step::Packet,
        send(&auth(b"ask-1")),
        Step::Packet,
        send(&auth(b"ask-2")),
        Step::Packet,
        send(&wire::CONNACK_V5),
    ])
}

/// The client's side of two questions, up to the CONNACK; with its last answer it sends `after`.
fn answer_twice(device: &mut impl Peer, after: &[u8]) -> Result<()> {
    for (question, answer) in [(b"ask-1", b"answer-1"), (b"ask-2", b"answer-2")] {
        assert_eq!(wire::read_packet(device, wait::SOON)?.bytes, auth(question));
        let after = if question == b"ask-2" { after } else { &[] };
        device.write_all(&[&auth(answer), after].concat())?;
        device.flush()?;
    }
    assert_eq!(wire::read_packet(device, wait::SOON)?.bytes, wire::CONNACK_V5);
    Ok(())
}

#[test]
fn a_client_is_asked_twice_and_then_let_in() -> Result<()> {
    for way in Way::ALL {
        let broker = FakeBroker::start(asks_twice())?;
        let mut site = Site::start(&spec([first("broker", broker.address())], ""))?;
        let mut device = device(&site, way, &connect())?;
        let after = wire::subscribe(Version::V5, 1, "a/#", 1);
        answer_twice(&mut device, &after)?;
        let all = [connect(), auth(b"answer-1"), auth(b"answer-2"), after].concat();
        assert_eq!(broker.wait_for_bytes(0, all.len(), wait::SOON)?, all, "{way:?}");
        broker.send(0, &[0xd0, 0])?;
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, [0xd0, 0], "{way:?}");
        let source = device.local_address()?;
        drop(device);
        let line = site.access_line(way, source)?;
        let sent = auth(b"ask-1").len() + auth(b"ask-2").len() + wire::CONNACK_V5.len() + 2;
        assert_eq!((&line["received_bytes"], &line["sent_bytes"]), (&all.len().into(), &sent.into()), "{line}");
    }
    Ok(())
}

#[test]
fn a_broker_that_hangs_is_replaced_by_one_that_asks() -> Result<()> {
    for way in Way::BOTH {
        let (hanging, asking) = (FakeBroker::start(Answer::Silence)?, FakeBroker::start(asks_twice())?);
        let nodes = [first("hanging", hanging.address()), last("asking", asking.address())];
        let site = Site::start(&spec(nodes, "connackTimeout: 1s"))?;
        let mut device = device(&site, way, &connect())?;
        answer_twice(&mut device, &[])?;
        assert_eq!(hanging.received(0), connect(), "{way:?}");
    }
    Ok(())
}

#[test]
fn a_refusal_at_the_end_of_it_is_passed_on() -> Result<()> {
    let refusal = [0x20, 3, 0, 0x87, 0];
    let script = vec![Step::Packet, send(&auth(b"ask")), Step::Packet, send(&refusal), Step::Close];
    let broker = FakeBroker::start(Answer::Script(script))?;
    let site = Site::start(&spec([first("broker", broker.address())], ""))?;
    for way in Way::BOTH {
        let mut device = device(&site, way, &connect())?;
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, auth(b"ask"));
        device.write_all(&auth(b"wrong"))?;
        device.flush()?;
        assert_eq!(wire::read_to_end(&mut device, wait::SOON), (refusal.to_vec(), StreamEnd::Closed), "{way:?}");
    }
    Ok(())
}

#[test]
fn a_client_that_leaves_meanwhile_leaves_the_broker_too() -> Result<()> {
    for way in Way::ALL {
        let broker = FakeBroker::start(asks_twice())?;
        let mut site = Site::start(&spec([first("broker", broker.address())], ""))?;
        let mut device = device(&site, way, &connect())?;
        let source = device.local_address()?;
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, auth(b"ask-1"));
        device.end_sending()?;
        drop(device);
        broker.wait_for_end(0, wait::SOON)?;
        assert_eq!(site.access_line(way, source)?["end"], "ClientClosed", "{way:?}");
        assert_eq!(broker.received(0), connect(), "{way:?}");
    }
    Ok(())
}

#[test]
fn a_client_that_does_not_answer_meets_the_connect_timeout() -> Result<()> {
    for way in Way::BOTH {
        let broker = FakeBroker::start(asks_twice())?;
        let spec = spec([first("broker", broker.address())], "").replace("mqtt: {", "mqtt: {connectTimeout: 1s, ");
        let mut site = Site::start(&spec)?;
        let mut device = device(&site, way, &connect())?;
        let source = device.local_address()?;
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, auth(b"ask-1"));
        assert_eq!(wire::read_to_end(&mut device, wait::SOON), (Vec::new(), StreamEnd::Closed), "{way:?}");
        drop(device);
        assert_eq!(site.access_line(way, source)?["end"], "ConnectTimeout", "{way:?}");
        broker.wait_for_end(0, wait::SOON)?;
    }
    Ok(())
}

#[test]
fn an_answer_that_is_larger_than_a_connect_may_be_ends_it() -> Result<()> {
    for way in Way::BOTH {
        let broker = FakeBroker::start(asks_twice())?;
        let spec = spec([first("broker", broker.address())], "").replace("mqtt: {", "mqtt: {maxConnectSize: 1Ki, ");
        let mut site = Site::start(&spec)?;
        let mut device = device(&site, way, &connect())?;
        let source = device.local_address()?;
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, auth(b"ask-1"));
        // The beginning of a packet of 4,096 bytes.
        device.write_all(&[&[0xf0, 0x80, 0x20][..], &[0; 2_000]].concat())?;
        device.flush()?;
        assert_eq!(wire::read_to_end(&mut device, wait::SOON), (Vec::new(), StreamEnd::Closed), "{way:?}");
        drop(device);
        assert_eq!(site.access_line(way, source)?["end"], "ProtocolError", "{way:?}");
        assert_eq!(broker.received(0), connect(), "{way:?}");
    }
    Ok(())
}

/// The client has shown its secret to that one: another one is not asked.
fn is_not_retried(script: Vec<Step>, least: Duration) -> Result<()> {
    let broker = FakeBroker::start(Answer::Script(script))?;
    let other = recorder(Version::V5)?;
    let nodes = [first("broker", broker.address()), last("other", other.address())];
    let mut site = Site::start(&spec(nodes, "connackTimeout: 1s"))?;
    for way in Way::BOTH {
        let mut device = device(&site, way, &connect())?;
        let source = device.local_address()?;
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, auth(b"ask"));
        let start = Instant::now();
        device.write_all(&auth(b"answer"))?;
        device.flush()?;
        assert_eq!(wire::read_to_end(&mut device, wait::SOON), (Vec::new(), StreamEnd::Closed), "{way:?}");
        assert!(start.elapsed() >= least, "{way:?}: after {:?}", start.elapsed());
        drop(device);
        assert_eq!(site.access_line(way, source)?["end"], "BrokerError", "{way:?}");
    }
    assert_eq!(other.count(), 0);
    Ok(())
}

#[test]
fn a_broker_that_closes_after_its_question_ends_the_client() -> Result<()> {
    is_not_retried(vec![Step::Packet, send(&auth(b"ask")), Step::Packet, Step::Close], Duration::ZERO)
}

#[test]
fn a_broker_that_hangs_after_its_question_ends_the_client_in_time() -> Result<()> {
    is_not_retried(vec![Step::Packet, send(&auth(b"ask")), Step::Packet], Duration::from_secs(1))
}

#[test]
fn a_broker_that_says_something_else_after_its_question_ends_the_client() -> Result<()> {
    is_not_retried(vec![Step::Packet, send(&auth(b"ask")), Step::Packet, send(&[0xd0, 0])], Duration::ZERO)
}
