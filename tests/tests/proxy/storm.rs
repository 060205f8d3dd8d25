//! Established devices while thousands come back: handshakes take their time, and leave the others theirs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::{TlsClient, TlsStream};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, CONNACK_V311, Connect, PINGREQ, Version};

use crate::site::SERVER_NAME;

/// Devices that are there before the storm, and say something all the time.
const ESTABLISHED: usize = 200;
/// So many of them at once.
const AT_ONCE: usize = 10;
/// A storm is so many waves
const WAVES: usize = 5;
/// of so many clients each, whose handshakes all begin at the same moment.
const WAVE: usize = 400;
/// No device may be silent for longer because of the proxy.
const LONGEST_SILENCE: Duration = Duration::from_millis(100);

/// Starts a broker that lets everybody in, and sends back what comes after that.
fn start_echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || -> Result<()> {
                stream.set_nodelay(true)?;
                wire::read_packet(&mut stream, wait::SOON)?;
                stream.set_read_timeout(None)?;
                stream.write_all(&CONNACK_V311)?;
                let mut buffer = [0; 64];
                loop {
                    match stream.read(&mut buffer)? {
                        0 => return Ok(()),
                        count => stream.write_all(&buffer[..count])?,
                    }
                }
            });
        }
    });
    Ok(address)
}

/// A proxy of one worker before an echo, and a client that shows a certificate and never resumes.
fn start() -> Result<(Proxy, ConfigDir, TlsClient)> {
    let (config, authority, broker) = (ConfigDir::new()?, CertificateAuthority::new("Acme CA")?, start_echo()?);
    config.secret("acme", "server", &authority.server(&[SERVER_NAME])?.tls_secret())?;
    config.config_map("acme", "ca", &[("ca.crt", authority.certificate_pem().as_bytes())])?;
    let client_auth = "clientAuth: {mode: Require, ca: {configMapName: ca}}";
    let spec = format!("snis: [{SERVER_NAME}]\ncertificates: [{{secretName: server}}]\n{client_auth}");
    config.tls_sni("acme", "devices", &spec)?;
    config.stream_route("acme", "devices", &crate::site::upstream(&[broker]))?;
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

/// Some devices say something and wait for the answers; how long it took until all had theirs.
fn round(devices: &mut [TlsStream]) -> Result<Duration> {
    let begin = Instant::now();
    for device in &mut *devices {
        device.write_all(&PINGREQ)?;
    }
    for device in devices {
        device.read_exact(&mut [0; PINGREQ.len()])?;
    }
    Ok(begin.elapsed())
}

/// Lets clients come back all at once, and waits until all of them are served.
fn send_wave(proxy: &Proxy, client: &TlsClient, has_begun: &AtomicBool) -> Result<()> {
    let mut wave = Vec::new();
    for _ in 0..WAVE {
        let (connection, hello) = client.client_hello()?;
        wave.push((connection, hello, wire::connect_tcp(proxy.address("mqtts"))?));
    }
    has_begun.store(true, Ordering::SeqCst);
    for (_, hello, stream) in &mut wave {
        stream.write_all(hello)?;
    }
    let connect = Connect::new(Version::V311, "storm").bytes();
    for (connection, _, stream) in &mut wave {
        stream.set_read_timeout(Some(4 * wait::SOON))?;
        connection.writer().write_all(&connect)?;
        while connection.is_handshaking() || connection.wants_write() {
            connection.complete_io(stream)?;
        }
    }
    for (connection, _, stream) in &mut wave {
        let mut connack = [0; CONNACK_V311.len()];
        rustls::Stream::new(connection, stream).read_exact(&mut connack).context("a CONNACK")?;
    }
    Ok(())
}

/// The longest round while a wave comes.
fn longest_round_in_wave(proxy: &Proxy, client: &TlsClient, devices: &mut [TlsStream]) -> Result<Duration> {
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
                let took = round(some)?;
                if has_begun.load(Ordering::SeqCst) {
                    longest = longest.max(took);
                }
                if is_over.load(Ordering::SeqCst) {
                    break 'wave;
                }
            }
        }
        wave.join().map_err(|_| anyhow!("a wave failed"))??;
        Ok(longest)
    })
}

/// The machine may stop a process for a while at any time, so that one wave alone tells nothing: it is the median of the
/// waves that counts. What makes devices silent in a wave does so in each.
#[test]
fn established_devices_are_heard_while_thousands_come_back() -> Result<()> {
    let (proxy, _config, client) = start()?;
    let mut devices = establish(&proxy, &client)?;
    let mut calm = Vec::new();
    for some in devices.chunks_mut(AT_ONCE) {
        calm.push(round(some)?);
    }
    let longest_in_calm = calm.into_iter().max().context("a round")?;
    let mut waves = Vec::new();
    for _ in 0..WAVES {
        waves.push(longest_round_in_wave(&proxy, &client, &mut devices)?);
    }
    waves.sort_unstable();
    let median = waves[WAVES / 2];
    assert!(
        median <= longest_in_calm + LONGEST_SILENCE,
        "{median:?} in a storm, {longest_in_calm:?} without: {waves:?}"
    );
    Ok(())
}
