//! Brokers by DNS name, as a DNS server says it: the test's own, of which the proxy knows by an `/etc/resolv.conf` that it alone
//! sees (a mount namespace). A resolver asks at port 53, so these tests run as root.

use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::proxy::{Listener, Proxy, binary};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use super::fleet::{NamedBroker, fate, reached, upstream};
use super::{attempts, directory};
use crate::routing::place::PLAIN;

/// What the server says.
#[derive(Clone, Debug)]
enum Says {
    /// These addresses, for so many seconds.
    Addresses(Vec<Ipv4Addr>, u32),
    /// That it can't tell.
    ServerFailure,
    /// That there is no such name.
    NoSuchName,
    Nothing,
}

/// A DNS server for one name.
struct NameServer {
    address: Ipv4Addr,
    says: Arc<Mutex<Says>>,
    questions: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl NameServer {
    fn start(says: Says) -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let address = Ipv4Addr::new(127, 53, NEXT.fetch_add(1, Ordering::Relaxed), 1);
        let socket = UdpSocket::bind((address, 53))
            .with_context(|| format!("the test's name server can't listen at {address}:53: run the tests as root"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (says, questions, is_over) = (Arc::new(Mutex::new(says)), Arc::default(), Arc::default());
        let server = Self { address, says, questions, is_over };
        let (says, questions, is_over) =
            (Arc::clone(&server.says), Arc::clone(&server.questions), Arc::clone(&server.is_over));
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while !is_over.load(Ordering::Relaxed) {
                let Ok((count, asker)) = socket.recv_from(&mut buffer) else { continue };
                questions.fetch_add(1, Ordering::Relaxed);
                let says = says.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = answer(&buffer[..count], &says) {
                    // An asker that is gone doesn't want it.
                    let _ = socket.send_to(&answer, asker);
                }
            }
        });
        Ok(server)
    }

    fn say(&self, says: Says) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = says;
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }

    /// Waits until it was asked again.
    fn wait_for_question(&self) -> Result<()> {
        let before = self.questions();
        wait::until("another question", wait::SOON, || (self.questions() > before).then_some(()))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// The answer to a question (RFC 1035, section 4): its own bytes, with other flags and counts, and the records.
fn answer(question: &[u8], says: &Says) -> Option<Vec<u8>> {
    let name_length = question.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let end = 12 + name_length + 4;
    let is_for_ipv4 = question.get(end - 4..end - 2)? == [0, 1];
    let mut answer = question[..end].to_vec();
    let (code, addresses, seconds) = match says {
        Says::Addresses(addresses, seconds) if is_for_ipv4 => (0, &addresses[..], *seconds),
        Says::Addresses(..) => (0, &[][..], 0),
        Says::ServerFailure => (2, &[][..], 0),
        Says::NoSuchName => (3, &[][..], 0),
        Says::Nothing => return None,
    };
    answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
    for address in addresses {
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(seconds.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// A broker at 127.0.0.1, and a proxy that has it by name.
struct Named {
    server: NameServer,
    broker: NamedBroker,
    proxy: Proxy,
    _config: ConfigDir,
}

impl Named {
    fn start(says: Says) -> Result<Self> {
        let server = NameServer::start(says)?;
        let unshare =
            Command::new("unshare").args(["-rm", "true"]).output().context("can't run unshare (util-linux)")?;
        if !unshare.status.success() {
            let error = String::from_utf8_lossy(&unshare.stderr);
            bail!("there can be no namespace of mounts here: run the tests as root, where that is allowed: {error}");
        }
        let broker = NamedBroker::start("good")?;
        let node = format!("{{name: by-name, host: broker.streamgate.test, port: {}}}", broker.address().port());
        let config = directory(&upstream([node], "connectTimeout: 2s"))?;
        let resolv_conf = config.scratch().join("resolv.conf");
        std::fs::write(&resolv_conf, format!("nameserver {}\noptions timeout:1 attempts:1\n", server.address))?;
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
        command.args(["-rm", "sh", "-c", script, "sh"]).arg(&resolv_conf).arg(binary()?);
        let proxy = Proxy::start_by(command, &config, &[Listener::mqtt(PLAIN)], &[])?;
        Ok(Self { server, broker, proxy, _config: config })
    }

    fn reached(&self) -> Result<String> {
        reached(self.proxy.address(PLAIN), "device")
    }

    fn wait_until_reached(&self, expected: &str) -> Result<()> {
        wait::until(&format!("a client that meets {expected}"), wait::SOON, || {
            self.reached().ok().filter(|found| found == expected).map(drop)
        })
    }
}

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Nobody listens there, at the broker's port.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 7);

#[test]
fn of_several_addresses_one_that_refuses_leaves_the_others() -> Result<()> {
    for addresses in [[ELSEWHERE, HERE], [HERE, ELSEWHERE]] {
        let named = Named::start(Says::Addresses(addresses.to_vec(), 60))?;
        for _ in 0..4 {
            assert_eq!(named.reached()?, "good");
        }
        // All of it is one attempt.
        assert_eq!((attempts(&named.proxy, "Answered")?, attempts(&named.proxy, "Refused")?), (4, 0));
        assert_eq!(named.broker.recorder.count(), 4);
    }
    Ok(())
}

#[test]
fn a_name_is_resolved_again_when_its_time_to_live_is_over() -> Result<()> {
    let named = Named::start(Says::Addresses(vec![HERE], 1))?;
    let mut staying = wire::connect_tcp(named.proxy.address(PLAIN))?;
    assert_eq!(fate(&mut staying, &Connect::new(Version::V311, "staying")), "good");
    named.server.say(Says::Addresses(vec![ELSEWHERE], 1));
    named.wait_until_reached("CONNACK 3")?;
    named.server.say(Says::Addresses(vec![HERE], 1));
    named.wait_until_reached("good")?;
    // Who is there already stays, whatever the name means.
    staying.write_all(&wire::PINGREQ)?;
    let length = Connect::new(Version::V311, "staying").bytes().len() + wire::PINGREQ.len();
    named.broker.recorder.wait_for_bytes(0, length, wait::SOON)?;
    Ok(())
}

#[test]
fn the_last_answer_stays_while_dns_is_away() -> Result<()> {
    for away in [Says::Nothing, Says::ServerFailure] {
        let mut named = Named::start(Says::Addresses(vec![HERE], 1))?;
        assert_eq!(named.reached()?, "good");
        named.server.say(away.clone());
        named.proxy.wait_for_log("that the name is not resolved", Duration::from_secs(40), |event| {
            event["host"] == "broker.streamgate.test" && event["level"] == "WARN"
        })?;
        let start = Instant::now();
        for _ in 0..5 {
            assert_eq!(named.reached()?, "good", "{away:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(5), "clients waited {:?} for DNS", start.elapsed());
        // When it is back, what it says counts again.
        named.server.say(Says::Addresses(vec![ELSEWHERE], 1));
        wait::until("the new address", Duration::from_mins(1), || {
            named.reached().ok().filter(|found| found == "CONNACK 3")
        })?;
    }
    Ok(())
}

#[test]
fn a_name_that_is_resolved_late_is_an_endpoint_then() -> Result<()> {
    let named = Named::start(Says::NoSuchName)?;
    assert_eq!(named.reached()?, "CONNACK 3");
    assert_eq!(attempts(&named.proxy, "NameNotResolved")?, 1);
    named.server.say(Says::Addresses(vec![HERE], 60));
    named.wait_until_reached("good")
}

/// A client waits for the first answer, and not for the next ones.
#[test]
fn a_name_is_not_asked_for_by_each_client() -> Result<()> {
    let named = Named::start(Says::Addresses(vec![HERE], 3600))?;
    assert_eq!(named.reached()?, "good");
    // For IPv4 and IPv6.
    let before = named.server.questions();
    if before > 4 {
        bail!("it was asked for {before} times at the start");
    }
    // Longer than the shortest time after which a name is asked for again.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!(named.reached()?, "good");
    }
    assert_eq!(named.server.questions(), before);
    Ok(())
}

/// However short it may be kept, the name server is not flooded.
#[test]
fn a_name_without_a_time_to_live_is_asked_for_once_a_second() -> Result<()> {
    let named = Named::start(Says::Addresses(vec![HERE], 0))?;
    named.server.wait_for_question()?;
    let before = named.server.questions();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        assert_eq!(named.reached()?, "good");
    }
    let (asked, seconds) = (named.server.questions() - before, usize::try_from(start.elapsed().as_secs())?);
    // For IPv4 and IPv6 each time.
    assert!(asked >= 2 && asked <= 2 * (seconds + 3), "{asked} questions in {seconds} s");
    Ok(())
}
