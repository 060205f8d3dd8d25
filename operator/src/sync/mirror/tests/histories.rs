//! Whatever comes, in whichever order.

use proptest::prelude::*;

use super::*;

/// A step of a history.
#[derive(Clone, Debug)]
enum Step {
    Apply(usize, u8),
    Delete(usize),
    Commit,
    List(bool),
    Restart,
    Sweep,
}

const NAMES: [&str; 7] =
    ["tlssnis.a.b", "streamroutes.a.b", "endpoints.a.c", "configmaps.a.b", "secrets.a.b", "secrets.a.c", "ticket-keys"];

fn numbered(name: &str, version: u64, number: u8) -> Object {
    let key = name.split_once('.').map_or(String::new(), |(_, source)| format!("{source}.yaml"));
    let folder = ["secrets", "configmaps", "ticket"].iter().any(|folder| name.starts_with(folder));
    let text = number.to_string();
    let extra = format!("k{}", number % 3);
    if folder {
        object(name, version, &[("key", &text), (&extra, "")])
    } else {
        object(name, version, &[(&key, &text)])
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..NAMES.len(), 0_u8..4).prop_map(|(name, number)| Step::Apply(name, number)),
        3 => (0..NAMES.len()).prop_map(Step::Delete),
        4 => Just(Step::Commit),
        1 => any::<bool>().prop_map(Step::List),
        1 => Just(Step::Restart),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_the_files_are_the_objects(steps in proptest::collection::vec(step(), 0..60)) {
        let mut mirrored = Mirrored::new();
        let mut objects: BTreeMap<&str, (u64, u8)> = BTreeMap::new();
        let all = |objects: &BTreeMap<&str, (u64, u8)>, of: Kind| -> Vec<Object> {
            let of_kind = objects.iter().filter(|(name, _)| kind(name) == of);
            of_kind.map(|(name, (version, number))| numbered(name, *version, *number)).collect()
        };
        mirrored.list(Vec::new(), Vec::new());
        let steps = steps.into_iter().chain([Step::Commit]);
        for (version, step) in (1..).zip(steps) {
            match step {
                Step::Apply(name, number) => {
                    objects.insert(NAMES[name], (version, number));
                    mirrored.take(kind(NAMES[name]), Event::Apply(numbered(NAMES[name], version, number)));
                }
                Step::Delete(name) => {
                    if let Some((_, number)) = objects.remove(NAMES[name]) {
                        mirrored.take(kind(NAMES[name]), Event::Delete(numbered(NAMES[name], version, number)));
                    }
                }
                Step::Commit => mirrored.commit(),
                Step::List(secrets) => {
                    let of = if secrets { Kind::Secrets } else { Kind::ConfigMaps };
                    mirrored.list_one(of, all(&objects, of));
                }
                Step::Restart => {
                    mirrored.restart();
                    mirrored.list(all(&objects, Kind::ConfigMaps), all(&objects, Kind::Secrets));
                }
                Step::Sweep => mirrored.mirror.directory.sweep(Instant::now() + std::time::Duration::from_mins(1)).unwrap(),
            }
        }
        let wanted = Mirrored::with(all(&objects, Kind::ConfigMaps), all(&objects, Kind::Secrets));
        let without_revision = |mirrored: &Mirrored| {
            let mut files = mirrored.files();
            files.remove("revision");
            files
        };
        prop_assert_eq!(without_revision(&mirrored), without_revision(&wanted));
        let highest = objects.values().map(|(version, _)| *version).max().unwrap_or(0);
        let revision: Revision = mirrored.read("revision").unwrap().trim_end().parse().unwrap();
        let needed = |of| all(&objects, of).into_iter().filter_map(|object| object.version).max().unwrap_or_default();
        let needed = Revision { config_maps: needed(Kind::ConfigMaps), secrets: needed(Kind::Secrets) };
        prop_assert!(revision.is_at_least(&needed), "{} of {}", revision, highest);
        prop_assert!(fs::read_dir(mirrored.path(".staging")).unwrap().next().is_none());
    }
}
