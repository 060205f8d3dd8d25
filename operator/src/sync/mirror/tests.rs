use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use notify::event::{ModifyKind, RenameMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;

mod histories;
mod waiting;

/// A mirror in a folder of its own.
struct Mirrored {
    folder: TempDir,
    mirror: Mirror,
}

impl Mirrored {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mirror = open(folder.path());
        Self { folder, mirror }
    }

    /// The same, with these objects listed and written.
    fn with(config_maps: Vec<Object>, secrets: Vec<Object>) -> Self {
        let mut mirrored = Self::new();
        mirrored.list(config_maps, secrets);
        mirrored
    }

    fn list(&mut self, config_maps: Vec<Object>, secrets: Vec<Object>) {
        self.list_one(Kind::Secrets, secrets);
        self.list_one(Kind::ConfigMaps, config_maps);
        self.commit();
    }

    fn list_one(&mut self, kind: Kind, objects: Vec<Object>) {
        self.take(kind, Event::Init);
        for object in objects {
            self.take(kind, Event::InitApply(object));
        }
        self.take(kind, Event::InitDone);
    }

    fn take(&mut self, kind: Kind, event: Event<Object>) {
        self.mirror.take(kind, event).unwrap();
    }

    fn commit(&mut self) {
        if self.mirror.is_due() {
            self.mirror.commit().unwrap();
        }
    }

    /// Ends without a word, and starts again.
    fn restart(&mut self) {
        self.mirror = open(self.folder.path());
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// All files that a proxy can see, with what they say.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned();
                if name.starts_with('.') {
                } else if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(name, fs::read_to_string(path).unwrap());
                }
            }
        }
        files
    }
}

fn open(root: &Path) -> Mirror {
    Mirror::open(root, Rc::new(Metrics::default())).unwrap()
}

fn object(name: &str, version: u64, data: &[(&str, &str)]) -> Object {
    Object {
        name: name.to_owned(),
        label: name.split('.').next().unwrap_or_default().to_owned(),
        version: version.to_string().parse().ok(),
        data: data.iter().map(|(key, text)| ((*key).to_owned(), Zeroizing::new(text.as_bytes().to_vec()))).collect(),
    }
}

fn tls_sni(version: u64, text: &str) -> Object {
    object("tlssnis.a.b", version, &[("a.b.yaml", text)])
}

fn secret(version: u64, text: &str) -> Object {
    object("secrets.a.tls", version, &[("tls.crt", text), ("tls.key", text)])
}

#[test]
fn objects_become_files_and_the_revision_says_up_to_where() {
    let keys = object("ticket-keys", 3, &[("current", "key")]);
    let mirrored = Mirrored::with(vec![tls_sni(12, "one")], vec![secret(9, "two"), keys]);
    let expected = [
        ("tlssnis/a.b.yaml", "one"),
        ("secrets/a.tls/tls.crt", "two"),
        ("secrets/a.tls/tls.key", "two"),
        ("ticket-keys/current", "key"),
        ("revision", "configmaps=12 secrets=9\n"),
    ];
    assert_eq!(mirrored.files(), expected.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
}

#[test]
fn an_empty_namespace_is_a_whole_state() {
    let mirrored = Mirrored::with(Vec::new(), Vec::new());
    assert_eq!(mirrored.read("revision").as_deref(), Some("configmaps=0 secrets=0\n"));
    assert!(mirrored.mirror.has_been_whole());
}

#[test]
fn files_are_for_the_owner_alone() {
    let mirrored = Mirrored::with(vec![tls_sni(1, "one")], vec![secret(1, "two")]);
    let mode = |path: &str| mirrored.path(path).metadata().unwrap().permissions().mode() & 0o777;
    for path in ["tlssnis/a.b.yaml", "secrets/a.tls/tls.key", "revision"] {
        assert_eq!(mode(path), 0o600, "{path}");
    }
    for path in ["tlssnis", "secrets", "secrets/a.tls", ".versions", ".staging"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
}

#[test]
fn nothing_changes_until_both_kinds_are_listed() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "one")], vec![secret(1, "two")]);
    let before = mirrored.files();
    mirrored.restart();
    assert!(mirrored.mirror.has_been_whole());
    mirrored.list_one(Kind::ConfigMaps, Vec::new());
    mirrored.take(Kind::Secrets, Event::Init);
    mirrored.take(Kind::Secrets, Event::InitApply(secret(2, "three")));
    assert!(!mirrored.mirror.is_due());
    assert_eq!(mirrored.files(), before);
    mirrored.take(Kind::Secrets, Event::InitDone);
    mirrored.commit();
    assert_eq!(mirrored.read("tlssnis/a.b.yaml"), None);
    assert_eq!(mirrored.read("secrets/a.tls/tls.key").as_deref(), Some("three"));
}

#[test]
fn a_restart_touches_nothing_that_is_right() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "one")], vec![secret(1, "two")]);
    let stamps = |mirrored: &Mirrored| {
        ["tlssnis/a.b.yaml", "secrets/a.tls", "secrets/a.tls/tls.key", "revision"].map(|path| {
            let found = fs::symlink_metadata(mirrored.path(path)).unwrap();
            (found.ino(), found.ctime(), found.ctime_nsec())
        })
    };
    let before = stamps(&mirrored);
    mirrored.restart();
    mirrored.list_one(Kind::ConfigMaps, vec![tls_sni(1, "one")]);
    assert!(!mirrored.mirror.is_due());
    mirrored.list_one(Kind::Secrets, vec![secret(1, "two")]);
    assert!(mirrored.mirror.is_due(), "it is known now that all is right");
    mirrored.commit();
    assert!(!mirrored.mirror.is_due());
    assert_eq!(stamps(&mirrored), before);
}

#[test]
fn a_change_without_a_difference_moves_the_revision_alone() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "one")], Vec::new());
    let inode = mirrored.path("tlssnis/a.b.yaml").metadata().unwrap().ino();
    mirrored.take(Kind::ConfigMaps, Event::Apply(tls_sni(5, "one")));
    mirrored.commit();
    assert_eq!(mirrored.path("tlssnis/a.b.yaml").metadata().unwrap().ino(), inode);
    assert_eq!(mirrored.read("revision").as_deref(), Some("configmaps=5 secrets=0\n"));
}

#[test]
fn who_has_opened_a_folder_reads_on_in_it_after_a_change() {
    let mut mirrored = Mirrored::with(Vec::new(), vec![secret(1, "one")]);
    let opened = mirrored.path("secrets/a.tls").canonicalize().unwrap();
    mirrored.take(Kind::Secrets, Event::Apply(secret(2, "two")));
    mirrored.commit();
    mirrored.mirror.sweep().unwrap();
    assert_eq!(fs::read_to_string(opened.join("tls.key")).unwrap(), "one");
    assert_eq!(mirrored.read("secrets/a.tls/tls.key").as_deref(), Some("two"));
    mirrored.mirror.directory.sweep(Instant::now() + std::time::Duration::from_mins(1)).unwrap();
    assert!(!opened.exists());
    assert_eq!(mirrored.read("secrets/a.tls/tls.key").as_deref(), Some("two"));
}

#[test]
fn a_folder_has_no_key_that_its_object_has_lost() {
    let mut mirrored = Mirrored::with(Vec::new(), vec![secret(1, "one")]);
    mirrored.take(Kind::Secrets, Event::Apply(object("secrets.a.tls", 2, &[("ca.crt", "two")])));
    mirrored.commit();
    assert_eq!(mirrored.read("secrets/a.tls/tls.key"), None);
    assert_eq!(mirrored.read("secrets/a.tls/ca.crt").as_deref(), Some("two"));
}

#[test]
fn what_is_deleted_goes_and_the_revision_moves() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "one")], vec![secret(1, "two")]);
    mirrored.take(Kind::ConfigMaps, Event::Delete(tls_sni(7, "one")));
    mirrored.take(Kind::Secrets, Event::Delete(secret(8, "two")));
    mirrored.commit();
    assert_eq!(mirrored.files(), [("revision".to_owned(), "configmaps=7 secrets=8\n".to_owned())].into());
}

/// The paths at which something comes or goes, in this order, while `change` runs; `revision` is the last.
fn observed(mirrored: &mut Mirrored, change: impl FnOnce(&mut Mirrored)) -> Vec<String> {
    let (sender, events) = std::sync::mpsc::channel();
    let mut watcher = notify::recommended_watcher(sender).unwrap();
    watcher.watch(mirrored.folder.path(), RecursiveMode::Recursive).unwrap();
    change(mirrored);
    let mut paths: Vec<String> = Vec::new();
    while paths.last().is_none_or(|path| path != "revision") {
        let event = events.recv_timeout(std::time::Duration::from_secs(15)).unwrap().unwrap();
        if matches!(event.kind, EventKind::Modify(ModifyKind::Name(RenameMode::To)) | EventKind::Remove(_)) {
            let path = event.paths[0].strip_prefix(mirrored.folder.path()).unwrap().display().to_string();
            paths.extend(Some(path).filter(|path| !path.starts_with('.')));
        }
    }
    paths
}

#[test]
fn what_is_referred_to_comes_first_and_goes_last() {
    let mut mirrored = Mirrored::with(Vec::new(), Vec::new());
    let objects = [
        object("streamroutes.a.b", 1, &[("a.b.yaml", "")]),
        tls_sni(2, ""),
        object("endpoints.a.b", 3, &[("a.b.yaml", "")]),
        object("configmaps.a.b", 4, &[("ca.crt", "")]),
        secret(5, ""),
    ];
    let kinds = objects.each_ref().map(|object| kind(&object.name));
    let copies = objects.each_ref().map(|object| Object {
        name: object.name.clone(),
        version: "9".parse().ok(),
        ..Object::default()
    });
    let came = observed(&mut mirrored, |mirrored| {
        for (kind, object) in kinds.into_iter().zip(objects) {
            mirrored.take(kind, Event::Apply(object));
        }
        mirrored.commit();
    });
    let order = ["secrets/a.tls", "configmaps/a.b", "endpoints/a.b.yaml", "tlssnis/a.b.yaml", "streamroutes/a.b.yaml"];
    assert_eq!(came, [&order[..], &["revision"]].concat());
    let went = observed(&mut mirrored, |mirrored| {
        for (kind, object) in kinds.into_iter().zip(copies) {
            mirrored.take(kind, Event::Delete(object));
        }
        mirrored.commit();
    });
    let order: Vec<&str> = order.into_iter().rev().collect();
    assert_eq!(went, [&order[..], &["revision"]].concat());
}

#[test]
fn what_a_later_list_lacks_goes() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "one")], vec![secret(1, "two")]);
    mirrored.take(Kind::ConfigMaps, Event::Apply(object("streamroutes.a.b", 2, &[("a.b.yaml", "never written")])));
    mirrored.list_one(Kind::ConfigMaps, Vec::new());
    mirrored.commit();
    let left: Vec<String> = mirrored.files().into_keys().collect();
    assert_eq!(left, ["revision", "secrets/a.tls/tls.crt", "secrets/a.tls/tls.key"]);
}

#[test]
fn a_list_that_breaks_off_removes_nothing() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "one")], vec![secret(1, "two")]);
    let before = mirrored.files();
    mirrored.take(Kind::ConfigMaps, Event::Init);
    mirrored.take(Kind::ConfigMaps, Event::InitApply(object("streamroutes.a.b", 2, &[("a.b.yaml", "new")])));
    mirrored.take(Kind::ConfigMaps, Event::Init);
    mirrored.commit();
    assert_eq!(mirrored.files(), before);
}

#[test]
fn an_odd_object_disturbs_no_other_and_not_what_it_was_before() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "one")], vec![secret(1, "two")]);
    let mut odd = vec![
        object("pods.a.b", 2, &[("a.b.yaml", "x")]),
        object("tlssnis.a.b", 3, &[("../../etc/passwd", "x")]),
        object("endpoints.a...", 3, &[("a....yaml", "x")]),
        object("secrets.a.tls", 4, &[("tls.key", "x")]),
        Object { label: "streamroutes".to_owned(), ..tls_sni(5, "x") },
    ];
    odd.push(object("streamroutes.a.b", 6, &[("a.b.yaml", "good")]));
    mirrored.list_one(Kind::ConfigMaps, odd);
    mirrored.take(Kind::Secrets, Event::Apply(object("secrets.a.tls", 7, &[("..data", "x"), ("tls.key", "x")])));
    mirrored.commit();
    assert_eq!(mirrored.read("tlssnis/a.b.yaml").as_deref(), Some("one"));
    assert_eq!(mirrored.read("secrets/a.tls/tls.key").as_deref(), Some("two"));
    assert_eq!(mirrored.read("streamroutes/a.b.yaml").as_deref(), Some("good"));
    assert!(!mirrored.files().values().any(|text| text == "x"), "{:?}", mirrored.files());
}

#[test]
fn what_others_have_put_there_is_replaced() {
    let mirrored = Mirrored::new();
    for folder in ["secrets/a.tls", "tlssnis/a.b.yaml/sub", "configmaps/old"] {
        fs::create_dir_all(mirrored.path(folder)).unwrap();
        fs::write(mirrored.path(folder).join("tls.key"), "by hand").unwrap();
    }
    fs::write(mirrored.path("streamroutes/.hidden"), "by hand").unwrap();
    let Mirrored { folder, mirror } = mirrored;
    drop(mirror);
    let mut mirrored = Mirrored { mirror: open(folder.path()), folder };
    mirrored.list(vec![tls_sni(1, "one")], vec![secret(1, "two")]);
    assert!(!mirrored.files().values().any(|text| text == "by hand"), "{:?}", mirrored.files());
    assert_eq!(mirrored.read("tlssnis/a.b.yaml").as_deref(), Some("one"));
    assert_eq!(mirrored.read("secrets/a.tls/tls.key").as_deref(), Some("two"));
}

#[test]
fn a_directory_that_loses_a_folder_is_an_error_until_it_is_opened_anew() {
    let mut mirrored = Mirrored::with(vec![tls_sni(1, "one")], Vec::new());
    fs::remove_dir_all(mirrored.path("tlssnis")).unwrap();
    mirrored.take(Kind::ConfigMaps, Event::Apply(tls_sni(2, "two")));
    assert!(mirrored.mirror.commit().is_err());
    assert_eq!(mirrored.read("revision").as_deref(), Some("configmaps=1 secrets=0\n"));
    mirrored.restart();
    mirrored.list(vec![tls_sni(2, "two")], Vec::new());
    assert_eq!(mirrored.read("tlssnis/a.b.yaml").as_deref(), Some("two"));
}

fn kind(name: &str) -> Kind {
    if name.starts_with("secrets") || name == "ticket-keys" { Kind::Secrets } else { Kind::ConfigMaps }
}
