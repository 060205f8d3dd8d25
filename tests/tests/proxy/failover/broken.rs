//! Every way to fail: the client ends on another broker, or is told.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::broker::Broker;
use streamgate_tests::fake_broker::{Answer, FakeBroker, Step};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, StreamEnd, Version};

use super::{device, first, last, spec};
use crate::balancing::fleet::{NamedBroker, Stopped, fate};
use crate::site::{ROUTE, Site, Way};

/// A broker that does not answer, in some way.
enum Bad {
    Refuses(Stopped),
    Hangs(Broker),
    Answers(FakeBroker),
}

impl Bad {
    fn refuses() -> Result<Self> {
        Ok(Self::Refuses(Stopped::start()?))
    }

    /// A real broker whose process is stopped: the kernel still accepts for it.
    fn hangs() -> Result<Self> {
        let broker = Broker::start("bad")?;
        broker.signal("STOP")?;
        Ok(Self::Hangs(broker))
    }

    fn answers(answer: Answer) -> Result<Self> {
        Ok(Self::Answers(FakeBroker::start(answer)?))
    }

    fn sends_and_closes(bytes: &[u8]) -> Result<Self> {
        Self::answers(Answer::Script(vec![Step::Packet, Step::Send(bytes.to_vec()), Step::Close]))
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Refuses(stopped) => stopped.address,
            Self::Hangs(broker) => broker.address(),
            Self::Answers(broker) => broker.address(),
        }
    }
}

/// So short that it is met by those who hang alone.
const TIMEOUTS: &str = "connectTimeout: 2s, connackTimeout: 2s";
/// For two attempts, the second of which succeeds, on a machine that is busy.
const IN_TIME: Duration = Duration::from_secs(2 + 2 + 8);

/// A client that would go to the bad broker ends on the good one, and the attempt counts by `reason`.
fn is_replaced(bad: &Bad, reason: &str) -> Result<()> {
    for way in Way::BOTH {
        let good = NamedBroker::start("good")?;
        let mut site = Site::start(&spec([first("bad", bad.address()), last("good", good.address())], TIMEOUTS))?;
        let mut device = site.dial(way)?;
        let source = device.local_address()?;
        let start = Instant::now();
        assert_eq!(fate(&mut device, &Connect::new(Version::V311, "device")), "good", "{way:?}");
        let lasted = start.elapsed();
        assert!(lasted < IN_TIME, "{way:?}: it lasted {lasted:?}");
        drop(device);
        let line = site.access_line(way, source)?;
        assert_eq!((&line["attempts"], &line["endpoint"]), (&2.into(), &"good".into()), "{line}");
        site.wait_for_counter("streamgate_upstream_attempts_total", &[("route", ROUTE), ("reason", reason)], 1)?;
        site.wait_for_counter("streamgate_upstream_attempts_total", &[("route", ROUTE), ("reason", "Answered")], 1)?;
    }
    Ok(())
}

/// Where there is no other, the client is told.
fn is_told(bad: &Bad) -> Result<()> {
    let site = Site::start(&spec([first("bad", bad.address())], "connackTimeout: 1s"))?;
    for way in Way::BOTH {
        let mut older = device(&site, way, &Connect::new(Version::V311, "device").bytes())?;
        assert_eq!(wire::read_to_end(&mut older, wait::SOON), (vec![0x20, 2, 0, 3], StreamEnd::Closed), "{way:?}");
        let mut newer = device(&site, way, &Connect::new(Version::V5, "device").bytes())?;
        let sentence = "the endpoint that was tried does not answer";
        let length = u8::try_from(sentence.len())?;
        let expected = [&[0x20, length + 6, 0, 0x88, length + 3, 0x1f, 0, length], sentence.as_bytes()].concat();
        assert_eq!(wire::read_to_end(&mut newer, wait::SOON), (expected, StreamEnd::Closed), "{way:?}");
        drop((older, newer));
        let lines = site.access_lines(way, "NoEndpoint", 2)?;
        assert!(lines.iter().all(|line| line["attempts"] == 1 && line["endpoint"].is_null()), "{lines:?}");
    }
    Ok(())
}

#[test]
fn one_that_refuses_is_replaced() -> Result<()> {
    is_replaced(&Bad::refuses()?, "Refused")
}

#[test]
fn one_that_refuses_and_is_the_only_one_is_told() -> Result<()> {
    is_told(&Bad::refuses()?)
}

#[test]
fn one_that_accepts_and_hangs_is_replaced() -> Result<()> {
    is_replaced(&Bad::hangs()?, "ConnackTimedOut")
}

#[test]
fn one_that_accepts_and_hangs_and_is_the_only_one_is_told() -> Result<()> {
    is_told(&Bad::hangs()?)
}

#[test]
fn one_that_reads_and_says_nothing_is_replaced() -> Result<()> {
    is_replaced(&Bad::answers(Answer::Silence)?, "ConnackTimedOut")
}

#[test]
fn one_that_resets_is_replaced() -> Result<()> {
    is_replaced(&Bad::answers(Answer::Reset)?, "ClosedWithoutConnack")
}

#[test]
fn one_that_resets_and_is_the_only_one_is_told() -> Result<()> {
    is_told(&Bad::answers(Answer::Reset)?)
}

#[test]
fn one_that_closes_at_once_is_replaced() -> Result<()> {
    is_replaced(&Bad::answers(Answer::CloseAtOnce)?, "ClosedWithoutConnack")
}

#[test]
fn one_that_closes_at_once_and_is_the_only_one_is_told() -> Result<()> {
    is_told(&Bad::answers(Answer::CloseAtOnce)?)
}

#[test]
fn one_that_closes_on_the_connect_is_replaced() -> Result<()> {
    is_replaced(&Bad::answers(Answer::Close)?, "ClosedWithoutConnack")
}

#[test]
fn one_that_closes_on_the_connect_and_is_the_only_one_is_told() -> Result<()> {
    is_told(&Bad::answers(Answer::Close)?)
}

#[test]
fn one_that_closes_within_its_connack_is_replaced() -> Result<()> {
    for cut in 1..wire::CONNACK_V311.len() {
        is_replaced(&Bad::sends_and_closes(&wire::CONNACK_V311[..cut])?, "ClosedWithoutConnack")?;
    }
    Ok(())
}

#[test]
fn one_that_closes_within_its_connack_and_is_the_only_one_is_told() -> Result<()> {
    is_told(&Bad::sends_and_closes(&wire::CONNACK_V311[..2])?)
}

#[test]
fn one_that_hangs_within_its_connack_is_replaced() -> Result<()> {
    let script = vec![Step::Packet, Step::Send(wire::CONNACK_V311[..3].to_vec())];
    is_replaced(&Bad::answers(Answer::Script(script))?, "ConnackTimedOut")
}

#[test]
fn one_that_hangs_within_its_connack_and_is_the_only_one_is_told() -> Result<()> {
    is_told(&Bad::answers(Answer::Bytes(wire::CONNACK_V311[..3].to_vec()))?)
}

#[test]
fn one_that_answers_with_something_else_is_replaced() -> Result<()> {
    let others: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0x30, 2, 0, 0], &[0xf0, 0], &[0x20, 0]];
    for other in others {
        is_replaced(&Bad::answers(Answer::Bytes(other.to_vec()))?, "NotConnack")?;
    }
    Ok(())
}

#[test]
fn one_that_answers_with_something_else_and_is_the_only_one_is_told() -> Result<()> {
    is_told(&Bad::answers(Answer::Bytes(b"220 mail.example ESMTP\r\n".to_vec()))?)
}

/// The time is for the whole answer, not for each byte of it.
#[test]
fn one_that_dribbles_its_connack_is_replaced() -> Result<()> {
    let mut script = vec![Step::Packet, Step::Send(vec![0x20, 100, 0, 0, 97, 0x1f, 0, 94])];
    for _ in 0..94 {
        script.extend([Step::Pause(Duration::from_millis(300)), Step::Send(b"x".to_vec())]);
    }
    is_replaced(&Bad::answers(Answer::Script(script))?, "ConnackTimedOut")
}

#[test]
fn one_that_is_slow_and_within_its_time_is_waited_for() -> Result<()> {
    let pause = Step::Pause(Duration::from_millis(700));
    let script = |pieces: [&[u8]; 2]| {
        let [one, other] = pieces.map(|piece| Step::Send(piece.to_vec()));
        Answer::Script(vec![Step::Packet, pause.clone(), one, pause.clone(), other])
    };
    let slow = FakeBroker::start(script([&wire::CONNACK_V311[..1], &wire::CONNACK_V311[1..]]))?;
    let other = NamedBroker::start("other")?;
    let mut site = Site::start(&spec([first("slow", slow.address()), last("other", other.address())], ""))?;
    for way in Way::BOTH {
        let mut device = site.dial(way)?;
        let answer = wire::connack(&mut device, &Connect::new(Version::V311, "device"))?;
        assert_eq!(answer.bytes, wire::CONNACK_V311, "{way:?}");
        let source = device.local_address()?;
        drop(device);
        let line = site.access_line(way, source)?;
        assert_eq!((&line["attempts"], &line["endpoint"]), (&1.into(), &"slow".into()), "{line}");
    }
    Ok(())
}

#[test]
fn so_many_that_hang_are_tried_as_the_route_says_each_for_its_time() -> Result<()> {
    for retries in [0_usize, 1, 3] {
        let bad = (0..5).map(|_| FakeBroker::start(Answer::Silence)).collect::<Result<Vec<_>>>()?;
        let nodes = bad.iter().enumerate().map(|(index, bad)| first(&format!("bad-{index}"), bad.address()));
        let mut site = Site::start(&spec(nodes, &format!("retries: {retries}, connackTimeout: 500ms")))?;
        let mut device = device(&site, Way::Plain, &Connect::new(Version::V311, "device").bytes())?;
        let source = device.local_address()?;
        let start = Instant::now();
        assert_eq!(wire::read_to_end(&mut device, wait::SOON).0, [0x20, 2, 0, 3]);
        let (lasted, least) = (start.elapsed(), Duration::from_millis(500) * u32::try_from(retries + 1)?);
        assert!(lasted >= least && lasted < least + Duration::from_secs(8), "{retries} retries: {lasted:?}");
        assert_eq!(bad.iter().map(FakeBroker::count).sum::<usize>(), retries + 1);
        drop(device);
        assert_eq!(site.access_line(Way::Plain, source)?["attempts"], retries + 1);
    }
    Ok(())
}

/// When its process goes on, a broker takes clients again.
#[test]
fn one_that_goes_on_takes_clients_again() -> Result<()> {
    let broker = Broker::start("hanging")?;
    let good = NamedBroker::start("good")?;
    let nodes = [first("hanging", broker.address()), last("good", good.address())];
    let mut site = Site::start(&spec(nodes, "connackTimeout: 1s"))?;
    for signal in ["STOP", "CONT"] {
        broker.signal(signal)?;
        let mut device = site.dial(Way::Plain)?;
        assert_eq!(wire::connack(&mut device, &Connect::new(Version::V311, "device"))?.code(), Some(0));
        let source = device.local_address()?;
        drop(device);
        let endpoint = site.access_line(Way::Plain, source)?["endpoint"].clone();
        assert_eq!(endpoint, if signal == "STOP" { "good" } else { "hanging" });
    }
    Ok(())
}
