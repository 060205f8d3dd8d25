//! Where a peer runs: certificates, brokers, and a folder of its own with its configuration and two ports.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use streamgate_tests::config_dir::ConfigDir;
use streamgate_tests::pki::{CertificateAuthority, Credentials};

use crate::broker::Broker;
use crate::device::{self, Device, Kind};

/// Whose devices come: each asks for `<tenant>.example`.
pub(crate) const TENANTS: [&str; 2] = ["one", "two"];

/// What all peers share. Its brokers run within the runtime that it is made in.
pub(crate) struct Stage {
    pub(crate) authority: CertificateAuthority,
    pub(crate) device: Credentials,
    /// Four, and one that takes the last one's place by each second change.
    pub(crate) brokers: Vec<Broker>,
    /// By change, then by tenant.
    servers: Vec<Vec<Credentials>>,
}

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        let authority = CertificateAuthority::new("Bench CA")?;
        let issue = |tenant: &&str| authority.server(&[&format!("{tenant}.example")]);
        // Not two of them: after an even number of changes a certificate has to be another than at first.
        let servers = (0..3).map(|_| TENANTS.iter().map(issue).collect::<Result<_>>()).collect::<Result<_>>()?;
        let device = authority.device("device")?;
        let mut brokers = Vec::new();
        for _ in 0..5 {
            brokers.push(Broker::start()?);
        }
        Ok(Self { authority, device, brokers, servers })
    }

    /// The certificates of the tenants after so many changes.
    fn servers(&self, change: usize) -> &[Credentials] {
        &self.servers[change % self.servers.len()]
    }

    /// What a tenant's devices see after so many changes.
    pub(crate) fn certificate(&self, change: usize, tenant: usize) -> Vec<CertificateDer<'static>> {
        self.servers(change)[tenant].chain_der()
    }

    /// Where a broker is after so many changes.
    fn broker(&self, number: usize, change: usize) -> SocketAddr {
        let place = if number == 3 { 3 + change % 2 } else { number };
        self.brokers[place].address
    }
}

/// A folder and two ports.
pub(crate) struct Site<'a> {
    pub(crate) stage: &'a Stage,
    /// streamgate's configuration. The other peers' files are beside it.
    pub(crate) config: ConfigDir,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
}

impl<'a> Site<'a> {
    pub(crate) fn new(stage: &'a Stage) -> Result<Self> {
        let config = ConfigDir::new()?;
        fs::create_dir(config.scratch().join("certificates"))?;
        // Both at once, so that they differ.
        let (plain, tls) = (free_port()?, free_port()?);
        Ok(Self { stage, config, plain: plain.local_addr()?, tls: tls.local_addr()? })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.config.scratch()
    }

    /// Writes a template's text with this peer's folder, ports and brokers, by rename.
    pub(crate) fn write(&self, name: &str, template: &str, change: usize) -> Result<PathBuf> {
        let target = self.folder().join(name);
        let staged = self.folder().join("staged");
        fs::write(&staged, self.filled(template, change)?)?;
        fs::rename(staged, &target)?;
        Ok(target)
    }

    /// The template's text.
    pub(crate) fn filled(&self, template: &str, change: usize) -> Result<String> {
        let folder = self.folder().display().to_string();
        let mut text = template
            .replace("@CERTIFICATES@", &format!("{folder}/certificates/..data"))
            .replace("@FOLDER@", &folder)
            .replace("@PLAIN@", &self.plain.port().to_string())
            .replace("@TLS@", &self.tls.port().to_string());
        for number in 0..4 {
            let port = self.stage.broker(number, change).port();
            text = text.replace(&format!("@BROKER_{number}@"), &port.to_string());
        }
        match text.split('@').nth(1) {
            Some(name) if name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_') => {
                bail!("nobody fills in @{name}@")
            }
            _ => Ok(text),
        }
    }

    /// Writes the certificates of both tenants and the CA's, all at once, by a symlink swap as kubelet does it.
    pub(crate) fn write_certificates(&self, change: usize) -> Result<()> {
        let folder = self.folder().join("certificates");
        let version = format!("..{change}");
        fs::create_dir(folder.join(&version))?;
        for (tenant, server) in TENANTS.iter().zip(self.stage.servers(change)) {
            let (chain, key) = (&server.chain_pem, &server.key_pem);
            for (end, text) in [("crt", chain), ("key", key), ("pem", &format!("{chain}{key}"))] {
                fs::write(folder.join(&version).join(format!("{tenant}.{end}")), text)?;
            }
        }
        fs::write(folder.join(&version).join("ca.crt"), self.stage.authority.certificate_pem())?;
        std::os::unix::fs::symlink(&version, folder.join("..data_staged"))?;
        fs::rename(folder.join("..data_staged"), folder.join("..data"))?;
        Ok(())
    }

    /// The Secrets of both tenants, as streamgate reads them.
    pub(crate) fn write_secrets(&self, change: usize) -> Result<()> {
        for (tenant, server) in TENANTS.iter().zip(self.stage.servers(change)) {
            self.config.secret("bench", tenant, &server.tls_secret())?;
        }
        Ok(())
    }

    /// Devices of the load, of both tenants, that share their settings. Those that resume should be cloned by none.
    pub(crate) fn devices(&self, kind: Kind) -> Result<[Device; 2]> {
        let config = device::load_config(&self.stage.device, kind)?;
        Ok([self.device(kind, &config, 0)?, self.device(kind, &config, 1)?])
    }

    /// A tenant's device with these settings.
    pub(crate) fn device(&self, kind: Kind, config: &Arc<ClientConfig>, tenant: usize) -> Result<Device> {
        match kind {
            Kind::Plain => Ok(Device::plain(self.plain)),
            Kind::Full | Kind::Resumed => {
                Device::tls(self.tls, Arc::clone(config), &format!("{}.example", TENANTS[tenant]))
            }
        }
    }
}

fn free_port() -> Result<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
}
