//! Sessions that go on: for the same name on any worker, and never past a change of what let the device in.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use streamgate_tests::openssl::Session;
use streamgate_tests::pki::{CertificateAuthority, CredentialFiles, Credentials, Leaf};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::{TlsClient, is_resumed};
use streamgate_tests::{wait, wire};

use crate::tls::fixture::{LISTENER, Site, TLS, Tls, access_lines, connect, is_served, s_client};

mod reload;
mod replicas;
mod revocation;
mod shared_keys;

const NAME: &str = "one.devices.example";
const OTHER_NAME: &str = "two.devices.example";
const CLIENT_AUTH: &str = "clientAuth: {ca: {configMapName: device-ca}}";

/// A device for each version that has shown this certificate, if any, and keeps its session.
fn known_devices(site: &Site, proxy: &Proxy, credentials: Option<&Credentials>) -> Result<Vec<Device>> {
    let mut known = Vec::new();
    for tls in TLS {
        let device = Device::new(site, tls, credentials)?;
        device.connect(proxy, NAME)?;
        // Else what comes of it later would say nothing.
        assert!(device.come_back(proxy, NAME)?.reused, "{tls:?}");
        known.push(device);
    }
    Ok(known)
}

/// A site with an authority of devices and one `TlsSni` of this spec.
fn site_with(rest: &str) -> Result<(Site, CertificateAuthority)> {
    let site = Site::new()?;
    let devices = CertificateAuthority::new("Device CA")?;
    site.trust("acme", "device-ca", &[&devices])?;
    site.serve("acme", "devices", &[NAME], rest)?;
    Ok((site, devices))
}

/// A device by OpenSSL, with a session in a file.
struct Device {
    files: Option<CredentialFiles>,
    session: PathBuf,
    tls: Tls,
}

impl Device {
    fn new(site: &Site, tls: Tls, credentials: Option<&Credentials>) -> Result<Self> {
        let scratch = site.config.scratch();
        let files = credentials.map(|credentials| credentials.write(scratch, tls.name)).transpose()?;
        Ok(Self { files, session: scratch.join(format!("{}.session", tls.name)), tls })
    }

    /// Connects, and keeps the session.
    fn connect(&self, proxy: &Proxy, name: &str) -> Result<Session> {
        let session = self.run(proxy, name, "-sess_out")?;
        assert!(is_served(&session) && !session.reused, "{:?}: {session:?}", self.tls);
        Ok(session)
    }

    /// Connects with the session that was kept.
    fn come_back(&self, proxy: &Proxy, name: &str) -> Result<Session> {
        self.run(proxy, name, "-sess_in")
    }

    fn run(&self, proxy: &Proxy, name: &str, session_argument: &str) -> Result<Session> {
        let mut client = s_client(proxy.address(LISTENER), self.tls).server_name(name);
        client = client.arguments(&[session_argument, &self.session.to_string_lossy()]);
        if let Some(files) = &self.files {
            let (certificate, key) = (files.certificate.to_string_lossy(), files.key.to_string_lossy());
            client = client.arguments(&["-cert", &certificate, "-key", &key]);
        }
        client.run()
    }
}

#[test]
fn a_session_goes_on_for_the_same_name() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let credentials = devices.device("sensor-1")?;
    for (index, tls) in TLS.into_iter().enumerate() {
        let device = Device::new(&site, tls, Some(&credentials))?;
        device.connect(&proxy, NAME)?;
        access_lines(&proxy, 2 * index + 1)?;
        let session = device.come_back(&proxy, NAME)?;
        assert!(is_served(&session) && session.reused, "{tls:?}: {session:?}");
        let lines = access_lines(&proxy, 2 * index + 2)?;
        let told = |line: usize| (lines[line]["resumed"].clone(), lines[line]["subject"].clone());
        assert_eq!(told(2 * index), (false.into(), "CN=sensor-1".into()));
        // The certificate is not shown again, and known all the same.
        assert_eq!(told(2 * index + 1), (true.into(), "CN=sensor-1".into()));
    }
    Ok(())
}

#[test]
fn a_session_goes_on_without_a_certificate_where_none_is_asked_for() -> Result<()> {
    let (site, _) = site_with("")?;
    let proxy = site.start()?;
    for tls in TLS {
        let device = Device::new(&site, tls, None)?;
        device.connect(&proxy, NAME)?;
        let session = device.come_back(&proxy, NAME)?;
        assert!(is_served(&session) && session.reused, "{tls:?}: {session:?}");
    }
    Ok(())
}

#[test]
fn a_session_goes_on_for_a_client_without_a_name() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "fallback", &["*"], "")?;
    let proxy = site.start()?;
    for tls in TLS {
        let client = TlsClient::with_versions(&site.authority, "fallback.example", None, tls.versions)?.without_sni();
        for expected in [false, true] {
            let mut stream = client.connect(proxy.address(LISTENER))?;
            wire::connack(&mut stream, &connect())?;
            assert_eq!(is_resumed(&stream), expected, "{tls:?}");
        }
    }
    Ok(())
}

#[test]
fn a_session_goes_on_at_every_worker() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = Proxy::start_with(&site.config, &[Listener::mqtts(LISTENER)], &["--workers", "4"])?;
    let credentials = devices.device("sensor-1")?;
    for tls in TLS {
        let device = Device::new(&site, tls, Some(&credentials))?;
        device.connect(&proxy, NAME)?;
        // The kernel chooses the worker by the client's port: that all twenty meet the first one's is next to impossible.
        for round in 0..20 {
            let session = device.come_back(&proxy, NAME)?;
            assert!(is_served(&session) && session.reused, "{round} over {tls:?}: {session:?}");
        }
    }
    Ok(())
}

#[test]
fn a_session_of_one_tls_sni_is_a_full_handshake_at_another() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    // Of the same authority, and with the same certificate and key.
    let certificate = site.authority.server(&[NAME, OTHER_NAME])?;
    for name in ["devices", "others"] {
        site.config.secret("acme", &format!("{name}-tls"), &certificate.tls_secret())?;
    }
    site.tls_sni("acme", "others", &[OTHER_NAME], CLIENT_AUTH)?;
    let proxy = site.start()?;
    let credentials = devices.device("sensor-1")?;
    for tls in TLS {
        let device = Device::new(&site, tls, Some(&credentials))?;
        device.connect(&proxy, NAME)?;
        let session = device.come_back(&proxy, OTHER_NAME)?;
        assert!(is_served(&session) && !session.reused, "{tls:?}: {session:?}");
        // It was good where it came from.
        assert!(device.come_back(&proxy, NAME)?.reused, "{tls:?}");
    }
    Ok(())
}

#[test]
fn a_session_lets_nobody_in_at_a_tls_sni_with_another_authority() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    site.trust("acme", "other-ca", &[&CertificateAuthority::new("Other CA")?])?;
    site.serve("acme", "others", &[OTHER_NAME], "clientAuth: {ca: {configMapName: other-ca}}")?;
    let proxy = site.start()?;
    let credentials = devices.device("sensor-1")?;
    for tls in TLS {
        let device = Device::new(&site, tls, Some(&credentials))?;
        device.connect(&proxy, NAME)?;
        let session = device.come_back(&proxy, OTHER_NAME)?;
        assert_eq!(session.alert, Some(48), "{tls:?}: {session:?}");
    }
    Ok(())
}

#[test]
fn a_session_without_certificate_lets_nobody_in_where_one_is_required() -> Result<()> {
    let (site, _) = site_with("")?;
    site.serve("acme", "others", &[OTHER_NAME], CLIENT_AUTH)?;
    let proxy = site.start()?;
    for (tls, alert) in TLS.into_iter().zip([40, 116]) {
        let device = Device::new(&site, tls, None)?;
        device.connect(&proxy, NAME)?;
        let session = device.come_back(&proxy, OTHER_NAME)?;
        assert_eq!(session.alert, Some(alert), "{tls:?}: {session:?}");
    }
    Ok(())
}

#[test]
fn a_session_ends_with_the_certificate_that_began_it() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let end = SystemTime::now() + Duration::from_secs(4);
    let credentials = devices.issue(&Leaf::device("sensor-1").until(end))?;
    let known = TLS.map(|tls| Device::new(&site, tls, Some(&credentials)));
    let known = known.into_iter().collect::<Result<Vec<_>>>()?;
    for device in &known {
        device.connect(&proxy, NAME)?;
    }
    // Certificates count in whole seconds.
    let over = end + Duration::from_secs(1);
    wait::until("the end of the certificate", wait::SOON, || (SystemTime::now() > over).then_some(()))?;
    for device in &known {
        let session = device.come_back(&proxy, NAME)?;
        assert_eq!(session.alert, Some(45), "{:?}: {session:?}", device.tls);
    }
    Ok(())
}

#[test]
fn more_devices_than_rustls_would_keep_in_memory_keep_their_sessions() -> Result<()> {
    let (site, devices) = site_with(CLIENT_AUTH)?;
    let proxy = site.start()?;
    let credentials = devices.device("sensor-1")?;
    for tls in TLS {
        let clients = (0..260).map(|_| site.client(NAME, tls, Some(&credentials))).collect::<Result<Vec<_>>>()?;
        for expected in [false, true] {
            for (index, client) in clients.iter().enumerate() {
                let mut stream = client.connect(proxy.address(LISTENER))?;
                // In TLS 1.3 the ticket comes before the CONNACK.
                assert_eq!(wire::connack(&mut stream, &connect())?.code(), Some(0));
                assert_eq!(is_resumed(&stream), expected, "device {index} over {tls:?}");
            }
        }
    }
    Ok(())
}
