//! The harness against tools of others, without the proxy.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::broker::{self, Broker};
use crate::fake_broker::{Answer, FakeBroker};
use crate::openssl::SClient;
use crate::pki::{CertificateAuthority, Leaf};
use crate::process::Process;
use crate::tls_client::{TlsClient, alert_of};
use crate::wire::{self, Connect, Version};
use crate::{mosquitto, wait};

#[test]
fn a_broker_tells_its_name_in_every_version() -> Result<()> {
    let mut broker = Broker::start("amber")?;
    for version in Version::ALL {
        let mut device = wire::connect_tcp(broker.address())?;
        let answer = wire::connack(&mut device, &Connect::new(version, "device"))?;
        assert_eq!(answer.code(), Some(0), "{version:?}");
        std::io::Write::write_all(&mut device, &wire::subscribe(version, 1, broker::NAME_TOPIC, 0))?;
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.kind(), 9);
        let message = wire::read_packet(&mut device, wait::SOON)?.message(version);
        assert_eq!(message, Some((broker::NAME_TOPIC.to_owned(), b"amber".to_vec())));
    }
    broker.wait_for_log("as device", wait::SOON)?;
    Ok(())
}

#[test]
fn a_broker_gets_what_the_clients_of_mosquitto_send() -> Result<()> {
    let broker = Broker::start("amber")?;
    let port = broker.address().port().to_string();
    let to = ["-h", "127.0.0.1", "-p", &port, "-t", "a/b"];
    let mut subscriber = mosquitto::Subscriber::start(&to)?;
    assert!(mosquitto::publish(&[&to[..], &["-m", "hello"]].concat(), wait::SOON)?.success());
    subscriber.wait_for_line("hello", wait::SOON)?;
    let nothing = mosquitto::subscribe(&[&to[..], &["-C", "1"]].concat(), Duration::from_millis(300))?;
    assert!(nothing.timed_out);
    Ok(())
}

#[test]
fn a_fake_broker_keeps_what_it_received_and_answers_once() -> Result<()> {
    let broker = FakeBroker::start(Answer::Bytes(wire::CONNACK_V311.to_vec()))?;
    let connect = Connect::new(Version::V311, "device").username("u").password(b"p").will("t", b"gone", 1, true);
    let mut device = wire::connect_tcp(broker.address())?;
    assert_eq!(wire::connack(&mut device, &connect)?.code(), Some(0));
    assert_eq!(broker.wait_for_bytes(0, connect.bytes().len(), wait::SOON)?, connect.bytes());
    broker.end_sending(0)?;
    assert_eq!(wire::read_to_end(&mut device, wait::SOON), (Vec::new(), wire::StreamEnd::Closed));
    drop(device);
    broker.wait_for_end(0, wait::SOON)
}

#[test]
fn alerts_and_resumption_are_told_by_openssl_and_by_rustls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = CertificateAuthority::new("Test CA")?;
    let below = authority.intermediate("Test CA 2")?;
    let ca = authority.write(folder.path(), "ca")?;
    for leaf in [Leaf::server(&["a.example"]), Leaf::server(&["a.example"]).rsa()] {
        let server = authority.issue(&leaf)?.write(folder.path(), "server")?;
        let address = broker::free_address([127, 0, 0, 1].into())?;
        let mut command = Command::new("openssl");
        command.args([
            "s_server",
            "-accept",
            &address.to_string(),
            "-Verify",
            "2",
            "-verify_return_error",
            "-www",
            "-CAfile",
        ]);
        command.arg(&ca).arg("-cert").arg(server.certificate).arg("-key").arg(server.key);
        let mut process = Process::start(command)?;
        process.wait_for_line("ACCEPT", wait::SOON, |line| line.contains("ACCEPT").then_some(()))?;

        let missing = SClient::new(address).server_name("a.example").run()?;
        assert_eq!(missing.alert, Some(116), "{missing:?}");
        let missing = SClient::new(address).arguments(&["-tls1_2"]).run()?;
        assert_eq!((missing.alert, missing.handshake), (Some(40), false), "{missing:?}");

        let client = TlsClient::new(&authority, "a.example")?;
        let mut refused = client.connect(address)?;
        let error = wire::read_packet(&mut refused, wait::SOON).expect_err("no certificate");
        assert_eq!(alert_of(&error), Some(116));

        let device = below.issue(&Leaf::device("d1").organization("Acme").uri_san("urn:d1"))?;
        TlsClient::with_certificate(&authority, "a.example", &device)?.connect(address)?;
        let files = device.write(folder.path(), "device")?;
        let session = folder.path().join("session");
        let (certificate, key) = (files.certificate.to_string_lossy(), files.key.to_string_lossy());
        let chain = [&*certificate, &key, &certificate, &session.to_string_lossy()];
        let arguments = ["-cert", chain[0], "-key", chain[1], "-cert_chain", chain[2]];
        let first = SClient::new(address).arguments(&arguments).arguments(&["-sess_out", chain[3]]);
        let first = first.until("SSL-Session:").run()?;
        assert!(first.handshake && !first.reused, "{first:?}");
        let second = SClient::new(address).arguments(&arguments).arguments(&["-sess_in", chain[3]]);
        assert!(second.until("Verify return code").run()?.reused);

        let expired = authority.issue(&Leaf::device("old").expired())?;
        let mut refused = TlsClient::with_certificate(&authority, "a.example", &expired)?.connect(address)?;
        let (_, end) = wire::read_to_end(&mut refused, wait::SOON);
        assert_eq!(end, wire::StreamEnd::Alert(45));
    }
    Ok(())
}
