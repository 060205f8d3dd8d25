//! Brokers that can't be reached: the next choice, the same CONNECT, and what the client is told when none is left.

use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::fleet::{Fleet, NamedBroker, Stopped, reached, shares, upstream};
use super::{attempts, started};
use crate::routing::place::PLAIN;

/// An address that never answers: its queue of connections is full, and nobody takes any out.
struct Unanswering {
    address: SocketAddr,
    _listener: tokio::net::TcpListener,
    _queued: Vec<TcpStream>,
    _runtime: Runtime,
}

impl Unanswering {
    fn start() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (address, listener, queued) = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(([127, 0, 0, 1], 0).into())?;
            let listener = socket.listen(1)?;
            let address = listener.local_addr()?;
            let mut queued = Vec::new();
            // Until the kernel doesn't answer any more: twice, for the first may be lost by chance.
            let mut unanswered = 0;
            while unanswered < 2 {
                anyhow::ensure!(queued.len() < 100, "the queue doesn't fill");
                match tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
                    Ok(stream) => queued.push(stream?),
                    Err(_) => unanswered += 1,
                }
            }
            Ok((address, listener, queued))
        })?;
        Ok(Self { address, _listener: listener, _queued: queued, _runtime: runtime })
    }

    fn node(&self, name: &str) -> String {
        format!("{{name: {name}, host: 127.0.0.1, port: {}}}", self.address.port())
    }
}

/// What a client is told, to the end.
fn told(address: SocketAddr, version: Version) -> Result<(Vec<u8>, StreamEnd)> {
    let mut stream = wire::connect_tcp(address)?;
    std::io::Write::write_all(&mut stream, &Connect::new(version, "device").bytes())?;
    Ok(wire::read_to_end(&mut stream, wait::SOON))
}

#[test]
fn a_broker_that_refuses_is_replaced() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let gone = [Stopped::start()?, Stopped::start()?];
    let nodes = [gone[0].node("bad-0", ""), gone[1].node("bad-1", ""), broker.node("")];
    let (_config, proxy) = started(&upstream(nodes, ""))?;
    let found = shares(proxy.address(PLAIN), 12)?;
    assert_eq!(found.get("good"), Some(&12), "{found:?}");
    Ok(())
}

#[test]
fn the_next_broker_gets_the_same_connect() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    // With a hash and a weight of almost nothing, the good one is the second choice.
    let gone = Stopped::start()?;
    let nodes = [gone.node("bad", ", weight: 65535"), broker.node("")];
    let (_config, mut proxy) = started(&upstream(nodes, "loadBalancer: {type: ConsistentHash}"))?;
    let connect = Connect::new(Version::V5, "device")
        .properties(&[0x26, 0, 1, b'a', 0, 1, b'b'])
        .will("will", b"\0\xff gone", 1, true)
        .username("user")
        .password(b"\0secret")
        .bytes();
    let after = wire::publish(Version::V5, "topic", b"at once", 0, 0, false);
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    std::io::Write::write_all(&mut stream, &[connect.clone(), after.clone()].concat())?;
    let all = [connect, after].concat();
    assert_eq!(broker.recorder.wait_for_bytes(0, all.len(), wait::SOON)?, all);
    drop(stream);
    let line = proxy.wait_for_connection("the access line", |_| true)?;
    assert_eq!((&line["attempts"], &line["endpoint"]), (&2.into(), &"good".into()));
    Ok(())
}

#[test]
fn a_broker_that_was_stopped_gets_clients_again_when_it_is_back() -> Result<()> {
    let mut fleet = Fleet::start(2)?;
    let (_config, proxy) = started(&fleet.upstream("loadBalancer: {type: ConsistentHash}"))?;
    let home = reached(proxy.address(PLAIN), "device")?;
    let stopped = fleet.stop(&home)?;
    let address = stopped.address;
    let other = reached(proxy.address(PLAIN), "device")?;
    assert!(other != home && other.starts_with("broker-"), "{other}");
    drop(stopped);
    let listener = wait::until("the port again", wait::SOON, || TcpListener::bind(address).ok())?;
    let mut stream = wire::connect_tcp(proxy.address(PLAIN))?;
    std::io::Write::write_all(&mut stream, &Connect::new(Version::V311, "device").bytes())?;
    listener.set_nonblocking(true)?;
    wait::until("the client at its old broker", wait::SOON, || listener.accept().ok())?;
    Ok(())
}

#[test]
fn without_retries_the_client_is_refused_at_once() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let gone = Stopped::start()?;
    let nodes = [gone.node("bad", ""), broker.node("")];
    let (_config, proxy) = started(&upstream(nodes, "retries: 0"))?;
    let found = shares(proxy.address(PLAIN), 40)?;
    assert!(found.get("CONNACK 3").is_some_and(|count| count.abs_diff(20) <= 4), "{found:?}");
    Ok(())
}

#[test]
fn so_many_further_brokers_are_tried() -> Result<()> {
    let gone = Stopped::start()?;
    for retries in [0, 1, 3, 9] {
        let nodes = (0..6).map(|index| gone.node(&format!("bad-{index}"), ""));
        let (_config, mut proxy) = started(&upstream(nodes, &format!("retries: {retries}")))?;
        told(proxy.address(PLAIN), Version::V311)?;
        let line = proxy.wait_for_connection("the access line", |_| true)?;
        // There are six, and none is tried twice.
        assert_eq!(line["attempts"], 6.min(retries + 1), "{line}");
    }
    Ok(())
}

#[test]
fn when_all_fail_an_older_client_gets_3() -> Result<()> {
    let gone = Stopped::start()?;
    let (_config, proxy) = started(&upstream([gone.node("bad-0", ""), gone.node("bad-1", "")], ""))?;
    assert_eq!(told(proxy.address(PLAIN), Version::V311)?, (vec![0x20, 2, 0, 3], StreamEnd::Closed));
    Ok(())
}

#[test]
fn when_all_fail_a_client_of_mqtt_5_gets_136_and_a_sentence() -> Result<()> {
    let gone = Stopped::start()?;
    let (_config, proxy) = started(&upstream([gone.node("bad-0", ""), gone.node("bad-1", "")], ""))?;
    let (bytes, end) = told(proxy.address(PLAIN), Version::V5)?;
    let sentence = "2 endpoints were tried, and none answers";
    let length = u8::try_from(sentence.len())?;
    let expected = [&[0x20, length + 6, 0, 0x88, length + 3, 0x1f, 0, length], sentence.as_bytes()].concat();
    assert_eq!((bytes, end), (expected, StreamEnd::Closed));
    Ok(())
}

#[test]
fn when_all_fail_the_access_line_says_so() -> Result<()> {
    let gone = Stopped::start()?;
    let (_config, mut proxy) = started(&upstream([gone.node("bad", "")], ""))?;
    told(proxy.address(PLAIN), Version::V311)?;
    let line = proxy.wait_for_connection("the access line", |_| true)?;
    assert_eq!((&line["end"], &line["attempts"], &line["endpoint"]), (&"NoEndpoint".into(), &1.into(), &().into()));
    Ok(())
}

#[test]
fn an_address_that_never_answers_meets_the_connect_timeout() -> Result<()> {
    const EXPECTED: Range<Duration> = Duration::from_millis(500)..Duration::from_secs(4);
    let silent = Unanswering::start()?;
    let (_config, proxy) = started(&upstream([silent.node("silent")], "connectTimeout: 500ms"))?;
    let start = Instant::now();
    assert_eq!(told(proxy.address(PLAIN), Version::V311)?.0, [0x20, 2, 0, 3]);
    let lasted = start.elapsed();
    assert!(EXPECTED.contains(&lasted), "it lasted {lasted:?}");
    assert_eq!(attempts(&proxy, "TimedOut")?, 1);
    Ok(())
}

#[test]
fn after_one_that_never_answers_the_next_one_is_tried() -> Result<()> {
    let silent = Unanswering::start()?;
    let broker = NamedBroker::start("good")?;
    let (_config, proxy) = started(&upstream([silent.node("silent"), broker.node("")], "connectTimeout: 200ms"))?;
    let found = shares(proxy.address(PLAIN), 6)?;
    assert_eq!(found.get("good"), Some(&6), "{found:?}");
    Ok(())
}

#[test]
fn one_that_waits_for_an_answer_holds_up_no_other_client() -> Result<()> {
    let silent = Unanswering::start()?;
    let broker = NamedBroker::start("good")?;
    let (config, proxy) = started(&upstream([broker.node("")], ""))?;
    config.stream_route(
        "acme",
        "slow",
        &format!(
            "match: {{sourceRanges: [127.0.9.0/24]}}\n{}",
            upstream([silent.node("silent")], "connectTimeout: 60s")
        ),
    )?;
    proxy.wait_for_status("two routes", |status| status["applied"]["streamroutes"] == 2)?;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut stream = super::fleet::connect_from("127.0.9.1", proxy.address(PLAIN))?;
        std::io::Write::write_all(&mut stream, &Connect::new(Version::V311, "slow").bytes())?;
        waiting.push(stream);
    }
    let start = Instant::now();
    let found = shares(proxy.address(PLAIN), 20)?;
    assert_eq!(found.get("good"), Some(&20), "{found:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    Ok(())
}

#[test]
fn each_attempt_counts_by_how_it_went() -> Result<()> {
    let broker = NamedBroker::start("good")?;
    let gone = Stopped::start()?;
    let nodes = [gone.node("bad", ""), broker.node("")];
    let (_config, proxy) = started(&upstream(nodes, ""))?;
    shares(proxy.address(PLAIN), 20)?;
    assert_eq!(attempts(&proxy, "Answered")?, 20);
    let refused = attempts(&proxy, "Refused")?;
    assert!(refused.abs_diff(10) <= 2, "{refused}");
    Ok(())
}

#[test]
fn an_address_to_which_no_way_leads_counts_as_unreachable() -> Result<()> {
    // TCP has no broadcast.
    let node = "{name: nowhere, host: 255.255.255.255, port: 1883}".to_owned();
    let (_config, proxy) = started(&upstream([node], ""))?;
    let answer = told(proxy.address(PLAIN), Version::V311)?;
    assert_eq!(attempts(&proxy, "Unreachable").context("metrics")?, 1, "{answer:?}");
    Ok(())
}
