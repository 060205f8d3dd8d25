//! Which `TlsSni` serves a client: by the name that it asks for.

use anyhow::Result;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::pki::{CertificateAuthority, Credentials};
use streamgate_tests::proxy::{Listener, Proxy};
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::wire;

use super::fixture::{self, LISTENER, Outcome, Site, TLS, access_field, is_served, outcome, s_client};
use super::lenient_broker::LenientBroker;

#[test]
fn an_exact_name_goes_before_a_wildcard_and_a_wildcard_before_the_fallback() -> Result<()> {
    let site = Site::new()?;
    // Neither the order of the files nor that in a file decides.
    site.serve("acme", "a-fallback", &["*"], "")?;
    site.serve("acme", "b-wildcard", &["*.devices.example"], "")?;
    site.serve("acme", "c-exact", &["one.devices.example"], "")?;
    let proxy = site.start()?;
    let address = proxy.address(LISTENER);
    for tls in TLS {
        for (name, subject) in [
            (Some("one.devices.example"), "CN = one.devices.example"),
            (Some("two.devices.example"), "CN = *.devices.example"),
            (Some("a.two.devices.example"), "CN = fallback.example"),
            (Some("devices.example"), "CN = fallback.example"),
            (Some("elsewhere.example"), "CN = fallback.example"),
            // Many a client asks for the address that it connects to, which is no name (RFC 6066, section 3).
            (Some("127.0.0.1"), "CN = fallback.example"),
            (None, "CN = fallback.example"),
        ] {
            let client = s_client(address, tls);
            let session = name.map_or(client.clone(), |name| client.server_name(name)).run()?;
            assert_eq!(session.subject.as_deref(), Some(subject), "{name:?} over {tls:?}: {session:?}");
        }
    }
    Ok(())
}

#[test]
fn the_access_line_says_which_tls_sni_served_the_name() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "fallback", &["*"], "")?;
    site.serve("acme", "wildcard", &["*.devices.example"], "")?;
    let proxy = site.start()?;
    let address = proxy.address(LISTENER);
    assert!(is_served(&s_client(address, TLS[1]).server_name("two.devices.example").run()?));
    fixture::access_lines(&proxy, 1)?;
    assert!(is_served(&s_client(address, TLS[1]).run()?));
    assert_eq!(access_field(&proxy, 2, "tls_sni")?, ["acme/wildcard", "acme/fallback"]);
    assert_eq!(access_field(&proxy, 2, "sni")?, ["two.devices.example", "-"]);
    Ok(())
}

#[test]
fn a_name_is_read_without_regard_to_case_and_to_a_trailing_dot() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "exact", &["one.devices.example"], "")?;
    site.serve("acme", "wildcard", &["*.devices.example"], "")?;
    let proxy = site.start()?;
    let names = ["ONE.Devices.Example", "one.devices.example.", "ONE.DEVICES.EXAMPLE.", "Two.Devices.Example."];
    let wanted = ["acme/exact", "acme/exact", "acme/exact", "acme/wildcard"];
    for (index, name) in names.iter().enumerate() {
        let session = s_client(proxy.address(LISTENER), TLS[index % 2]).server_name(name).run()?;
        assert!(is_served(&session), "{name}: {session:?}");
        fixture::access_lines(&proxy, index + 1)?;
    }
    assert_eq!(access_field(&proxy, names.len(), "tls_sni")?, wanted);
    assert_eq!(access_field(&proxy, 1, "sni")?, ["one.devices.example"]);
    Ok(())
}

#[test]
fn an_unknown_name_is_refused_with_unrecognized_name() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &["one.devices.example", "*.meters.example"], "")?;
    let proxy = site.start()?;
    let address = proxy.address(LISTENER);
    let names = ["two.devices.example", "meters.example", "a.b.meters.example", "127.0.0.1"];
    for tls in TLS {
        for name in names {
            let session = s_client(address, tls).server_name(name).run()?;
            assert_eq!(session.alert, Some(112), "{name} over {tls:?}: {session:?}");
        }
    }
    let ends = access_field(&proxy, 2 * names.len(), "end")?;
    assert!(ends.iter().all(|end| end == "UnrecognizedName"), "{ends:?}");
    Ok(())
}

#[test]
fn a_name_whose_certificate_is_missing_is_served_by_no_other() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "fallback", &["*", "*.devices.example"], "")?;
    site.tls_sni("acme", "broken", &["one.devices.example"], "")?;
    let proxy = site.start()?;
    let session = s_client(proxy.address(LISTENER), TLS[1]).server_name("one.devices.example").run()?;
    assert_eq!(session.alert, Some(112), "{session:?}");
    Ok(())
}

#[test]
fn a_client_without_a_name_is_refused_with_unrecognized_name_where_there_is_no_fallback() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &["one.devices.example"], "")?;
    let proxy = site.start()?;
    for tls in TLS {
        let session = s_client(proxy.address(LISTENER), tls).run()?;
        assert_eq!(session.alert, Some(112), "{tls:?}: {session:?}");
    }
    assert_eq!(access_field(&proxy, 2, "end")?, ["UnrecognizedName"; 2]);
    Ok(())
}

#[test]
fn an_unknown_name_is_read_to_the_end_though_much_was_pipelined() -> Result<()> {
    let site = Site::new()?;
    site.serve("acme", "devices", &["one.devices.example"], "")?;
    let proxy = site.start()?;
    for round in 0..50 {
        let tls = TLS[round % 2];
        let mut bytes = site.client("unknown.example", tls, None)?.client_hello()?.1;
        bytes.resize(bytes.len() + 64 * 1024, 0x17);
        let mut stream = wire::connect_tcp(proxy.address(LISTENER))?;
        std::io::Write::write_all(&mut stream, &bytes)?;
        assert_eq!(fixture::read_plaintext_alert(&mut stream), Outcome::Alert(112), "round {round}");
    }
    Ok(())
}

/// A tenant with authorities, a device and a broker of its own.
struct Tenant {
    name: &'static str,
    servers: CertificateAuthority,
    devices: CertificateAuthority,
    device: Credentials,
    broker: LenientBroker,
}

impl Tenant {
    fn new(name: &'static str) -> Result<Self> {
        let devices = CertificateAuthority::new("Device CA")?;
        Ok(Self {
            name,
            servers: CertificateAuthority::new("Server CA")?,
            device: devices.device("device")?,
            devices,
            broker: LenientBroker::start()?,
        })
    }

    fn sni(&self) -> String {
        format!("devices.{}.example", self.name)
    }

    fn write(&self, config: &ConfigDir) -> Result<()> {
        let (sni, port) = (self.sni(), self.broker.address().port());
        config.secret(self.name, "tls", &self.servers.server(&[&sni])?.tls_secret())?;
        config.config_map(self.name, "ca", &[("ca.crt", self.devices.certificate_pem().as_bytes())])?;
        let client_auth = "clientAuth: {ca: {configMapName: ca}}";
        let spec = format!("snis: [{sni}]\ncertificates: [{{secretName: tls}}]\n{client_auth}");
        config.tls_sni(self.name, "devices", &spec)?;
        let spec = format!("upstream: {{nodes: [{{host: 127.0.0.1, port: {port}}}]}}");
        config.stream_route(self.name, "devices", &spec)?;
        Ok(())
    }

    fn client(&self, device: &Credentials) -> Result<TlsClient> {
        TlsClient::with_certificate(&self.servers, &self.sni(), device)
    }
}

#[test]
fn two_tenants_on_one_port_have_their_own_certificates_authorities_and_brokers() -> Result<()> {
    let (acme, globex) = (Tenant::new("acme")?, Tenant::new("globex")?);
    let config = ConfigDir::new()?;
    acme.write(&config)?;
    globex.write(&config)?;
    let proxy = Proxy::start(&config, &[Listener::mqtts(LISTENER)])?;
    let address = proxy.address(LISTENER);
    for (tenant, other) in [(&acme, &globex), (&globex, &acme)] {
        // Each client trusts its own tenant's server authority alone.
        assert_eq!(outcome(&tenant.client(&tenant.device)?, address), Outcome::Served);
        assert_eq!(tenant.broker.count(), 1, "{} has its own broker", tenant.name);
        let refused = outcome(&tenant.client(&other.device)?, address);
        // The authorities have the same name and different keys.
        assert!(matches!(refused, Outcome::Alert(48 | 51)), "{refused:?}");
        assert_eq!(tenant.broker.count(), 1, "{}'s device is not {}'s", other.name, tenant.name);
    }
    Ok(())
}
