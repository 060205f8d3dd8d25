//! A directory that changes, and what of it takes effect.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A configuration directory with a loader over it, which serves the gateway `default` on the listener `mqtts`.
struct Fixture {
    folder: TempDir,
    loader: Loader,
}

impl Fixture {
    fn new() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let loader = Loader::new(folder.path(), Some("default".to_owned()), Some(vec!["mqtts".to_owned()]));
        Ok(Self { folder, loader })
    }

    /// One TlsSni `acme/devices` for `x.example` with a certificate, and one StreamRoute `acme/devices` to a node.
    fn with_acme() -> io::Result<Self> {
        let fixture = Self::new()?;
        fixture.secret("acme.tls", "x.example")?;
        fixture.write("tlssnis/acme.devices.yaml", &tls_sni("[x.example]", "tls"))?;
        fixture.write("streamroutes/acme.devices.yaml", &route("snis: [x.example]", NODE))?;
        Ok(fixture)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, text)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.folder.path().join(path))
    }

    fn secret(&self, folder: &str, name: &str) -> io::Result<()> {
        let (certificate, key) = credentials(name);
        self.write(&format!("secrets/{folder}/tls.crt"), &certificate)?;
        self.write(&format!("secrets/{folder}/tls.key"), &key)
    }

    fn load(&mut self) -> io::Result<Arc<Snapshot>> {
        self.loader.load()?;
        Ok(Arc::clone(&self.loader.current))
    }
}

fn credentials(name: &str) -> (String, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    (cert.pem(), signing_key.serialize_pem())
}

const NODE: &str = "nodes: [{host: 192.0.2.1, port: 1883}]";

fn route(matching: &str, upstream: &str) -> String {
    format!(
        "apiVersion: streamgate.dev/v1alpha1\nkind: StreamRoute\nspec:\n  match: {{{matching}}}\n  upstream:\n    {upstream}\n"
    )
}

fn tls_sni(snis: &str, secret: &str) -> String {
    format!(
        "apiVersion: streamgate.dev/v1alpha1\nkind: TlsSni\nspec:\n  snis: {snis}\n  certificates: [{{secretName: {secret}}}]\n"
    )
}

fn slices(address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nports: [{{name: mqtt, port: 1883}}]\n\
         endpoints: [{{addresses: [{address}], targetRef: {{kind: Pod, name: broker-0}}}}]\n"
    )
}

fn reasons(snapshot: &Snapshot) -> Vec<(String, &'static str)> {
    snapshot.refused.iter().map(|refusal| (refusal.object.to_string(), refusal.reason.as_str())).collect()
}

#[test]
fn what_is_good_takes_effect() -> io::Result<()> {
    let snapshot = Fixture::with_acme()?.load()?;
    assert_eq!((snapshot.generation, reasons(&snapshot)), (1, vec![]));
    assert!(snapshot.names.find(Some("x.example")).is_some_and(|service| service.server.is_some()));
    assert!(snapshot.routes.has("acme/devices"));
    Ok(())
}

#[test]
fn what_did_not_change_is_no_new_generation() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    fixture.load()?;
    assert!(fixture.loader.load()?.is_none());
    // The same bytes in a new file.
    fixture.write("streamroutes/acme.devices.yaml", &route("snis: [x.example]", NODE))?;
    assert!(fixture.loader.load()?.is_none());
    Ok(())
}

#[test]
fn an_invalid_manifest_is_refused_and_its_last_good_version_stays() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    let before = fixture.load()?;
    fixture.write("streamroutes/acme.devices.yaml", "kind: [")?;
    let snapshot = fixture.load()?;
    assert_eq!(reasons(&snapshot), [("StreamRoute acme/devices".to_owned(), "Invalid")]);
    assert!(
        snapshot.refused[0].message.starts_with("streamroutes/acme.devices.yaml:1:"),
        "{}",
        snapshot.refused[0].message
    );
    assert!(Arc::ptr_eq(&snapshot.routes.routes()[0], &before.routes.routes()[0]));
    Ok(())
}

#[test]
fn an_invalid_manifest_disturbs_no_other() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    fixture.write("streamroutes/acme.broken.yaml", "kind: [")?;
    let snapshot = fixture.load()?;
    assert_eq!(reasons(&snapshot), [("StreamRoute acme/broken".to_owned(), "Invalid")]);
    assert!(snapshot.routes.has("acme/devices") && !snapshot.routes.has("acme/broken"));
    Ok(())
}

#[test]
fn a_removed_manifest_takes_effect_no_more() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    fixture.load()?;
    fixture.remove("streamroutes/acme.devices.yaml")?;
    assert!(!fixture.load()?.routes.has("acme/devices"));
    Ok(())
}

#[test]
fn a_key_of_another_certificate_keeps_the_pair_before() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    let before = fixture.load()?;
    let (certificate, key) = credentials("x.example");
    fixture.write("secrets/acme.tls/tls.crt", &certificate)?;
    let between = fixture.load()?;
    assert_eq!(reasons(&between), [("TlsSni acme/devices".to_owned(), "InvalidCertificate")]);
    assert_eq!(between.tls_services, before.tls_services);
    fixture.write("secrets/acme.tls/tls.key", &key)?;
    let after = fixture.load()?;
    assert_eq!(reasons(&after), []);
    assert_ne!(after.tls_services, before.tls_services);
    Ok(())
}

#[test]
fn a_secret_that_is_swapped_by_its_symlink_is_read_as_a_whole() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    let folder = fixture.folder.path().join("secrets/acme.tls");
    fs::remove_dir_all(&folder)?;
    for version in ["..1", "..2"] {
        let (certificate, key) = credentials("x.example");
        fixture.write(&format!("secrets/acme.tls/{version}/tls.crt"), &certificate)?;
        fixture.write(&format!("secrets/acme.tls/{version}/tls.key"), &key)?;
    }
    symlink("..1", folder.join("..data"))?;
    symlink("..data/tls.crt", folder.join("tls.crt"))?;
    symlink("..data/tls.key", folder.join("tls.key"))?;
    let before = fixture.load()?;
    symlink("..2", folder.join("..tmp"))?;
    fs::rename(folder.join("..tmp"), folder.join("..data"))?;
    let after = fixture.load()?;
    assert_eq!((reasons(&before), reasons(&after)), (vec![], vec![]));
    assert_ne!(after.tls_services, before.tls_services);
    Ok(())
}

#[test]
fn the_same_certificate_again_keeps_the_server_and_its_tickets() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    let before = fixture.load()?;
    let key = fs::read_to_string(fixture.folder.path().join("secrets/acme.tls/tls.key"))?;
    fixture.write("secrets/acme.tls/tls.key", &key)?;
    fixture.write("tlssnis/acme.devices.yaml", &tls_sni("[x.example, y.example]", "tls"))?;
    let after = fixture.load()?;
    assert_eq!(after.generation, 2);
    let server = |snapshot: &Snapshot| snapshot.tls_services[0].server.as_ref().map(Arc::as_ptr);
    assert_eq!(server(&after), server(&before));
    Ok(())
}

#[test]
fn a_name_whose_certificate_was_never_there_is_served_by_no_other() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    fixture.secret("other.tls", "other.example")?;
    fixture.write("tlssnis/other.any.yaml", &tls_sni("['*']", "tls"))?;
    fixture.write("tlssnis/acme.devices.yaml", &tls_sni("[x.example]", "missing"))?;
    let snapshot = fixture.load()?;
    assert_eq!(reasons(&snapshot), [("TlsSni acme/devices".to_owned(), "RefNotFound")]);
    assert!(snapshot.names.find(Some("x.example")).is_some_and(|service| service.server.is_none()));
    assert!(snapshot.names.find(Some("y.example")).is_some_and(|service| service.server.is_some()));
    Ok(())
}

#[test]
fn a_service_is_what_its_file_says_and_may_come_later() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    fixture.write(
        "streamroutes/acme.devices.yaml",
        &route("snis: [x.example]", "services: [{name: broker, port: mqtt}]"),
    )?;
    let without = fixture.load()?;
    assert_eq!(reasons(&without), [("StreamRoute acme/devices".to_owned(), "RefNotFound")]);
    assert_eq!(without.routes.routes()[0].upstream.available(), 0);
    fixture.write("endpoints/acme.broker.yaml", &slices("192.0.2.7"))?;
    let with = fixture.load()?;
    assert_eq!(reasons(&with), []);
    assert_eq!(with.routes.routes()[0].upstream.endpoints()[0][0].target.to_string(), "192.0.2.7:1883");
    fixture.write("endpoints/acme.broker.yaml", "kind: Nothing")?;
    let broken = fixture.load()?;
    assert_eq!(reasons(&broken), [("StreamRoute acme/devices".to_owned(), "Invalid")]);
    assert_eq!(broken.routes.routes()[0].upstream.available(), 1);
    Ok(())
}

#[test]
fn a_route_of_listeners_that_are_not_there_is_refused() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    let text = route("snis: [x.example]", NODE).replace("spec:\n", "spec:\n  listeners: [other]\n");
    fixture.write("streamroutes/acme.devices.yaml", &text)?;
    let snapshot = fixture.load()?;
    assert_eq!(reasons(&snapshot), [("StreamRoute acme/devices".to_owned(), "NoMatchingListener")]);
    Ok(())
}

#[test]
fn objects_of_another_gateway_are_left_out_without_a_word() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    let text = route("snis: [x.example]", NODE).replace("spec:\n", "spec:\n  gateway: other\n");
    fixture.write("streamroutes/acme.devices.yaml", &text)?;
    let snapshot = fixture.load()?;
    assert_eq!((reasons(&snapshot), snapshot.routes.routes().len()), (vec![], 0));
    Ok(())
}

#[test]
fn files_that_say_of_no_object_are_named_and_an_editors_are_passed_over() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    for file in ["acme.x.yml", "readme.txt", ".acme.x.yaml.swp", "acme.x.yaml~", "nodot.yaml"] {
        fixture.write(&format!("streamroutes/{file}"), "x")?;
    }
    let snapshot = fixture.load()?;
    let mut named: Vec<&str> = snapshot.refused.iter().map(|refusal| refusal.object.name.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["streamroutes/acme.x.yml", "streamroutes/nodot.yaml", "streamroutes/readme.txt"]);
    Ok(())
}

#[test]
fn a_directory_that_cannot_be_read_changes_nothing() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    fixture.load()?;
    let away = fixture.folder.path().with_extension("away");
    fs::rename(fixture.folder.path(), &away)?;
    assert!(fixture.loader.load().is_err());
    fs::rename(&away, fixture.folder.path())?;
    assert!(fixture.loader.load()?.is_none());
    Ok(())
}

#[test]
fn the_revision_is_echoed() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    assert_eq!(fixture.load()?.revision, None);
    fixture.write("revision", "42/7\n")?;
    assert_eq!(fixture.load()?.revision.as_deref(), Some("42/7"));
    Ok(())
}

#[test]
fn a_symlink_that_leads_nowhere_keeps_what_was_there_and_is_named() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    fixture.load()?;
    fixture.remove("streamroutes/acme.devices.yaml")?;
    symlink("nowhere", fixture.folder.path().join("streamroutes/acme.devices.yaml"))?;
    let snapshot = fixture.load()?;
    assert_eq!(reasons(&snapshot), [("StreamRoute acme/devices".to_owned(), "Invalid")]);
    assert!(snapshot.routes.has("acme/devices"));
    Ok(())
}

#[test]
fn a_mistake_in_an_endpoints_file_is_one_problem() -> io::Result<()> {
    let mut fixture = Fixture::with_acme()?;
    let upstream = "services: [{name: broker, port: mqtt}]";
    fixture.write("streamroutes/acme.devices.yaml", &route("snis: [x.example]", upstream))?;
    fixture.write("endpoints/acme.broker.yaml", "kind: Nothing")?;
    fixture.load()?;
    assert_eq!(fixture.loader.problems().len(), 1, "{:?}", fixture.loader.problems());
    Ok(())
}
