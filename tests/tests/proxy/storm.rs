//! Established devices while thousands come back: handshakes take their time, and leave the others theirs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustls::ClientConnection;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::echo::Echo;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::schedule::{Thread, Times};
use streamgate_tests::tls_client::{TlsClient, TlsStream};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, CONNACK_V311, Connect, PINGREQ, Version};

use crate::reload::metric;
use crate::site::SERVER_NAME;

/// Devices that are there before the storm, and say something all the time.
const ESTABLISHED: usize = 200;
/// So many of them at once.
const AT_ONCE: usize = 10;
/// So many storms
const WAVES: usize = 5;
/// of so many clients each, whose handshakes all begin at the same moment.
const WAVE: usize = 2_000;
/// No device may be silent for longer because of the proxy.
const LONGEST_SILENCE: Duration = Duration::from_millis(100);

/// A proxy of one worker before an echo, and a client that shows a certificate and never resumes.
fn start(broker: &Echo) -> Result<(Proxy, ConfigDir, TlsClient)> {
    let (config, authority) = (ConfigDir::new()?, CertificateAuthority::new("Acme CA")?);
    config.secret("acme", "server", &authority.server(&[SERVER_NAME])?.tls_secret())?;
    config.config_map("acme", "ca", &[("ca.crt", authority.certificate_pem().as_bytes())])?;
    let client_auth = "clientAuth: {mode: Require, ca: {configMapName: ca}}";
    let spec = format!("snis: [{SERVER_NAME}]\ncertificates: [{{secretName: server}}]\n{client_auth}");
    config.tls_sni("acme", "devices", &spec)?;
    config.stream_route("acme", "devices", &crate::site::upstream(&[broker.address()]))?;
    let flags = ["--workers", "1", "--client-hello-timeout", "60s"];
    let proxy = Proxy::start_with(&config, &[Listener::mqtts("mqtts")], &flags)?;
    let device = authority.device("device-1")?;
    let client = TlsClient::with_certificate(&authority, SERVER_NAME, &device)?.without_resumption();
    Ok((proxy, config, client))
}

fn establish(proxy: &Proxy, client: &TlsClient) -> Result<Vec<TlsStream>> {
    let established = |index| {
        let mut device = client.connect(proxy.address("mqtts"))?;
        let connect = Connect::new(Version::V311, &format!("device-{index}"));
        let answer = wire::connack(&mut device, &connect)?;
        assert_eq!(answer.code(), Some(0));
        device.sock.set_read_timeout(Some(wait::SOON))?;
        Ok(device)
    };
    (0..ESTABLISHED).map(established).collect()
}

/// Those who take part in a round: the proxy's worker, the broker, and the devices, which are one thread.
struct Threads {
    worker: Thread,
    others: [Thread; 2],
}

impl Threads {
    fn find(proxy: &Proxy, broker: &Echo) -> Result<Self> {
        let worker = Thread::named(proxy.id(), "worker-0")?;
        Ok(Self { worker, others: [broker.thread().clone(), Thread::current()?] })
    }

    /// The times of the worker, and how long all have waited for a processor.
    fn times(&self) -> Result<(Times, Duration)> {
        let worker = self.worker.times()?;
        let others = [self.others[0].times()?, self.others[1].times()?];
        Ok((worker, worker.waited + others[0].waited + others[1].waited))
    }
}

/// Some devices say something and wait for the answers. Gives for how long the proxy has kept them waiting: the clients of
/// the storm share the processors with it, so the time for which it ran counts, or all that nobody waited for a processor.
fn round(devices: &mut [TlsStream], threads: &Threads) -> Result<Duration> {
    let (begin, (worker, waited)) = (Instant::now(), threads.times()?);
    for device in &mut *devices {
        device.write_all(&PINGREQ)?;
    }
    for device in devices {
        device.read_exact(&mut [0; PINGREQ.len()])?;
    }
    let (took, (worker_after, waited_after)) = (begin.elapsed(), threads.times()?);
    let ran = (worker_after - worker).ran.min(took);
    Ok(ran.max(took.saturating_sub(waited_after.saturating_sub(waited))))
}

/// The clients of a wave.
type Wave = Vec<(ClientConnection, TcpStream)>;

/// Lets clients come back all at once, and waits until all of them are served.
fn send_wave(proxy: &Proxy, client: &TlsClient, has_begun: &AtomicBool) -> Result<Wave> {
    let (mut wave, mut hellos) = (Wave::new(), Vec::new());
    for _ in 0..WAVE {
        let (connection, hello) = client.client_hello()?;
        wave.push((connection, wire::connect_tcp(proxy.address("mqtts"))?));
        hellos.push(hello);
    }
    has_begun.store(true, Ordering::SeqCst);
    for ((_, stream), hello) in wave.iter_mut().zip(hellos) {
        stream.write_all(&hello)?;
    }
    let connect = Connect::new(Version::V311, "storm").bytes();
    for (connection, stream) in &mut wave {
        stream.set_read_timeout(Some(4 * wait::SOON))?;
        connection.writer().write_all(&connect)?;
        while connection.is_handshaking() || connection.wants_write() {
            connection.complete_io(stream)?;
        }
    }
    for (connection, stream) in &mut wave {
        let mut connack = [0; CONNACK_V311.len()];
        rustls::Stream::new(connection, stream).read_exact(&mut connack).context("a CONNACK")?;
    }
    Ok(wave)
}

/// The longest round while a wave comes.
fn longest_round_in_wave(
    proxy: &Proxy,
    client: &TlsClient,
    devices: &mut [TlsStream],
    threads: &Threads,
) -> Result<Duration> {
    let (has_begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let wave = scope.spawn(|| {
            let sent = send_wave(proxy, client, &has_begun);
            is_over.store(true, Ordering::SeqCst);
            sent
        });
        let mut longest = Duration::ZERO;
        'wave: loop {
            for some in devices.chunks_mut(AT_ONCE) {
                let took = round(some, threads)?;
                if has_begun.load(Ordering::SeqCst) {
                    longest = longest.max(took);
                }
                if is_over.load(Ordering::SeqCst) {
                    break 'wave;
                }
            }
        }
        let wave = wave.join().map_err(|_| anyhow!("a wave failed"))??;
        // That they all leave at once is another storm.
        drop(wave);
        let active = "streamgate_connections_active{listener=\"mqtts\"}";
        wait::until("the end of the wave", wait::SOON, || {
            let active = metric(proxy, active).ok()??;
            (active == ESTABLISHED as u64).then_some(())
        })?;
        Ok(longest)
    })
}

/// The machine may stop all of it for a while at any time, so that one wave alone tells nothing: it is the median of the
/// waves that counts. What makes devices silent in a wave does so in each.
#[test]
fn established_devices_are_heard_while_thousands_come_back() -> Result<()> {
    let broker = Echo::start()?;
    let (proxy, _config, client) = start(&broker)?;
    let mut devices = establish(&proxy, &client)?;
    let threads = Threads::find(&proxy, &broker)?;
    let mut calm = Vec::new();
    for some in devices.chunks_mut(AT_ONCE) {
        calm.push(round(some, &threads)?);
    }
    let longest_in_calm = calm.into_iter().max().context("a round")?;
    let mut waves = Vec::new();
    for _ in 0..WAVES {
        waves.push(longest_round_in_wave(&proxy, &client, &mut devices, &threads)?);
    }
    waves.sort_unstable();
    let median = waves[WAVES / 2];
    assert!(
        median <= longest_in_calm + LONGEST_SILENCE,
        "{median:?} in a storm, {longest_in_calm:?} without: {waves:?}"
    );
    Ok(())
}
