//! The binaries in the image, with nothing but the image around them. `chroot` needs root.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result};
use auditable_info::audit_info_from_file;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::process::{self, Process};
use streamgate_tests::wait;

use crate::BINARIES;
use crate::unpacked::Unpacked;

#[test]
fn each_starts_without_a_file_beside_it() -> Result<()> {
    let image = Unpacked::made()?;
    for binary in BINARIES {
        let mut command = image.command(binary)?;
        command.arg("--version");
        let said = process::run(command, Duration::from_secs(10))?.succeeded(binary)?.text();
        assert_eq!(said, format!("{binary} {}\n", env!("CARGO_PKG_VERSION")));
    }
    Ok(())
}

#[test]
fn each_tells_scanners_the_crates_that_it_is_made_of() -> Result<()> {
    let image = Unpacked::made()?;
    let crates = |binary: &str| -> Result<Vec<String>> {
        let found = audit_info_from_file(&image.root().join(binary), auditable_info::Limits::default())
            .with_context(|| format!("{binary} has no list of crates"))?;
        Ok(found.packages.into_iter().map(|package| package.name).collect())
    };
    for (binary, named) in
        [("streamgate-operator", "kube"), ("streamgate-sync", "kube"), ("streamgate-proxy", "hickory-resolver")]
    {
        let crates = crates(binary)?;
        for name in ["rustls", named] {
            assert!(crates.iter().any(|found| found == name), "{binary} names no {name}: {crates:?}");
        }
    }
    Ok(())
}

/// The proxy faces the internet. The list of crates can't tell, for it has the features that all parts want together.
#[test]
fn the_proxy_alone_has_no_kubernetes_client_inside() -> Result<()> {
    let image = Unpacked::made()?;
    for binary in BINARIES {
        let bytes = fs::read(image.root().join(binary))?;
        assert_eq!(holds(&bytes, "/crates/kube-client-"), binary != "streamgate-proxy", "{binary}");
    }
    Ok(())
}

#[test]
fn no_path_of_the_machine_that_built_it_is_inside() -> Result<()> {
    let image = Unpacked::made()?;
    let home = std::env::var("HOME").context("no HOME")?;
    let workspace = streamgate_tests::workspace().to_string_lossy().into_owned();
    for binary in BINARIES {
        let bytes = fs::read(image.root().join(binary))?;
        for path in [format!("{home}/"), format!("{workspace}/")] {
            assert!(!holds(&bytes, &path), "{binary} has {path} inside");
        }
    }
    Ok(())
}

/// A static C library may need files of the machine that it was built on to resolve a name.
#[test]
fn an_api_server_is_found_by_its_name() -> Result<()> {
    let image = Unpacked::made()?;
    for folder in ["etc", "config", "status"] {
        fs::create_dir(image.root().join(folder))?;
        fs::set_permissions(image.root().join(folder), Permissions::from_mode(0o777))?;
    }
    let api_server = TcpListener::bind("127.0.0.1:0")?;
    api_server.set_nonblocking(true)?;
    let port = api_server.local_addr()?.port().to_string();
    fs::write(image.root().join("etc/hosts"), "127.0.0.1 kubernetes.default.svc\n")?;
    // Without one the system's would be looked for, and there are none.
    fs::write(image.root().join("ca.crt"), CertificateAuthority::new("API server")?.certificate_pem())?;
    fs::write(image.root().join("kubeconfig.yaml"), KUBECONFIG.replace("PORT", &port))?;
    fs::write(image.root().join("operator.yaml"), OPERATOR)?;
    for command_line in COMMAND_LINES {
        let (binary, arguments) = command_line.split_once(' ').context("a command without arguments")?;
        let mut command = image.command(binary)?;
        command.args(arguments.split(' ')).env("KUBECONFIG", "/kubeconfig.yaml");
        let running = Process::start(command)?;
        wait::until("a connection to the API server", wait::SOON, || api_server.accept().ok())
            .with_context(|| format!("{binary} wrote:\n{}", running.lines().join("\n")))?;
    }
    Ok(())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(text)
}

const COMMAND_LINES: [&str; 2] = [
    "streamgate-operator --config /operator.yaml",
    "streamgate-sync --config-dir /config --status-dir /status --pod-name proxy-0 --admin 127.0.0.1:0",
];

const OPERATOR: &str = "
namespace: streamgate
admin: 127.0.0.1:0
gateways:
- name: default
  service: {namespace: streamgate, name: streamgate}
  listeners: [{name: mqtts, protocol: MQTTS}]
";

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: cluster
contexts: [{name: cluster, context: {cluster: cluster, user: user}}]
clusters: [{name: cluster, cluster: {server: 'https://kubernetes.default.svc:PORT', certificate-authority: /ca.crt}}]
users: [{name: user, user: {}}]
";
