//! What holds of all clusters, by chance.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use streamgate_proxy::config::load::Loader;

use super::*;

/// A change to a cluster, so far unnumbered.
#[derive(Clone, Debug)]
enum Step {
    Route(&'static str, Option<(Vec<&'static str>, &'static str, &'static str)>),
    TlsSni(&'static str, Option<(Vec<&'static str>, &'static str, bool)>),
    Service(&'static str, Option<&'static str>),
    Slice(&'static str, Option<(&'static str, Vec<u8>)>),
    Secret(&'static str, Option<u8>),
    Tamper(u8),
}

const NAMESPACES: [&str; 2] = ["acme", "globex"];

fn object() -> impl Strategy<Value = &'static str> {
    select(vec!["acme/a", "acme/b", "globex/a", "globex/b"])
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let snis = || subsequence(vec!["a.x", "b.x", "*.x"], 0..3);
    let some = |weight| proptest::option::weighted(weight, Just(()));
    let route = (object(), some(0.8), snis(), select(vec!["a", "b", "none"]), select(vec!["mqtt", "other", "1883"]))
        .prop_map(|(object, there, snis, service, port)| Step::Route(object, there.map(|()| (snis, service, port))));
    let tls_sni =
        (object(), some(0.8), subsequence(vec!["a.x", "b.x", "*.x", "*"], 1..3), select(vec!["a", "b"]), any::<bool>())
            .prop_map(|(object, there, snis, secret, all)| Step::TlsSni(object, there.map(|()| (snis, secret, all))));
    let service = (object(), proptest::option::weighted(0.8, select(vec!["mqtt", "other", "external", "headless"])))
        .prop_map(|(object, kind)| Step::Service(object, kind));
    let pods = proptest::collection::vec(0..6u8, 0..4);
    let slice = (object(), some(0.8), select(vec!["a", "b"]), pods)
        .prop_map(|(object, there, service, pods)| Step::Slice(object, there.map(|()| (service, pods))));
    let secret =
        (object(), proptest::option::weighted(0.8, 0..4u8)).prop_map(|(object, which)| Step::Secret(object, which));
    let step = prop_oneof![4 => route, 3 => tls_sni, 2 => service, 3 => slice, 3 => secret, 1 => any::<u8>().prop_map(Step::Tamper)];
    proptest::collection::vec(step, 1..most)
}

/// Pairs of a certificate and a key: two good ones, one that doesn't belong together, and one that has ended.
fn pairs() -> &'static [[(&'static str, &'static str); 2]; 4] {
    static PAIRS: std::sync::OnceLock<[[(&str, &str); 2]; 4]> = std::sync::OnceLock::new();
    PAIRS.get_or_init(|| {
        let [one, other] = [credentials(&["a.x"], 2020, 2040), credentials(&["b.x"], 2020, 2040)];
        [one, other, [one[0], other[1]], credentials(&["a.x"], 2020, 2021)]
    })
}

fn take(cluster: &mut Cluster, step: Step) {
    match step {
        Step::Route(object, None) => cluster.apply(Change::StreamRoute(name(object), None)),
        Step::Route(object, Some((snis, service, port))) => {
            let port = port.parse::<u16>().map_or_else(|_| json!(port), |number| json!(number));
            let mut spec = json!({"upstream": {"services": [{"name": service, "port": port}]}});
            if !snis.is_empty() {
                spec["match"] = json!({"snis": snis});
            }
            cluster.route(object, spec);
        }
        Step::TlsSni(object, None) => cluster.apply(Change::TlsSni(name(object), None)),
        Step::TlsSni(object, Some((snis, secret, all))) => {
            let namespaces = if all { "All" } else { "Same" };
            cluster.tls_sni(
                object,
                json!({
                    "snis": snis, "certificates": [{"secretName": secret}], "allowedRoutes": {"namespaces": namespaces},
                }),
            );
        }
        Step::Service(object, None) => cluster.apply(Change::Service(name(object), None)),
        Step::Service(object, Some(kind)) => cluster.service(
            object,
            match kind {
                "external" => json!({"type": "ExternalName", "externalName": "broker.example.com"}),
                "headless" => json!({"clusterIP": "None"}),
                name => json!({"ports": [{"name": name, "port": 1883}]}),
            },
        ),
        Step::Slice(object, None) => cluster.apply(Change::Slice(name(object), None)),
        Step::Slice(object, Some((service, pods))) => {
            let pods: Vec<Value> =
                pods.iter().map(|each| pod(&format!("broker-{each}"), &format!("10.0.0.{}", each + 1))).collect();
            cluster.slice(object, service, json!([{"name": "mqtt", "port": 1883}]), pods.into());
        }
        Step::Secret(object, None) => cluster.material(MaterialKind::Secret, object, None),
        Step::Secret(object, Some(which)) => cluster.secret(object, &pairs()[usize::from(which)]),
        Step::Tamper(which) => {
            let keys: Vec<GeneratedKey> = cluster.store.generated.keys().cloned().collect();
            if let Some(key) =
                keys.get(usize::from(which) % keys.len().max(1)).filter(|key| key.kind == MaterialKind::ConfigMap)
            {
                let version = cluster.version();
                cluster.files.remove(&("default".to_owned(), key.name.to_string()));
                cluster.apply(Change::Generated(key.clone(), version, None));
            }
        }
    }
}

/// Makes all Secrets good, after which nothing that was depends on what was before.
fn heal(cluster: &mut Cluster) {
    for namespace in NAMESPACES {
        for name in ["a", "b"] {
            cluster.secret(&format!("{namespace}/{name}"), &pairs()[0]);
        }
    }
    cluster.rest();
}

/// What a proxy says of the files: `object: reason`; and how many of each it serves.
fn proxy_reads(cluster: &Cluster) -> (BTreeMap<String, usize>, usize) {
    let folder = tempfile::tempdir().unwrap();
    for ((_, object), files) in &cluster.files {
        let source = crate::generated::Source::parse(object).unwrap();
        let mut place = folder.path().join(source.folder.as_str());
        if !source.folder.is_of_files() {
            place = place.join(source.folder_name());
        }
        std::fs::create_dir_all(&place).unwrap();
        for (file, bytes) in files {
            std::fs::write(place.join(&**file), bytes).unwrap();
        }
    }
    let listeners = Some(vec!["mqtts".to_owned(), "mqtt".to_owned()]);
    let mut loader = Loader::new(folder.path(), Some("default".to_owned()), listeners);
    let Some(snapshot) = loader.load().unwrap() else { return (BTreeMap::new(), 0) };
    let mut refused = BTreeMap::new();
    for refusal in &snapshot.refused {
        *refused.entry(refusal.object.to_string()).or_insert(0) += 1;
    }
    (refused, snapshot.routes.routes().len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn increments_give_what_the_whole_gives(steps in steps(40)) {
        let mut cluster = Cluster::new();
        for step in steps {
            take(&mut cluster, step);
            if !cluster.version.is_multiple_of(3) {
                cluster.rest();
            }
        }
        cluster.rest();
        let whole = resolve(&cluster.store, cluster.now);
        prop_assert_eq!(&whole.objects, &cluster.outcome.objects);
        prop_assert_eq!(&whole.verdicts, &cluster.outcome.verdicts);
        prop_assert_eq!(&whole.warnings, &cluster.outcome.warnings);
        prop_assert_eq!(whole.next_look(), cluster.outcome.next_look());
        prop_assert_eq!(whole.all_writes(&cluster.store), []);
        prop_assert_eq!(whole.all_statuses(&cluster.store, cluster.now), BTreeMap::new());
        cluster.outcome.forget();
        cluster.touched = Touched::everything();
        cluster.rest();
        prop_assert_eq!((&cluster.written, &cluster.told), (&vec![], &vec![]));
        prop_assert_eq!(&whole.verdicts, &cluster.outcome.verdicts);
        cluster.restart();
        prop_assert_eq!((&cluster.written, &cluster.told), (&vec![], &vec![]));
    }

    #[test]
    fn the_order_and_the_rests_between_change_nothing_in_the_end(
        (steps, shuffled) in steps(25).prop_flat_map(|steps| (Just(steps.clone()), Just(steps).prop_shuffle())),
    ) {
        // The last word on each object stays the last.
        let last = |steps: &[Step]| -> BTreeMap<String, Step> {
            steps.iter().map(|step| {
                let place = match step {
                    Step::Route(object, _) => format!("r{object}"),
                    Step::TlsSni(object, _) => format!("t{object}"),
                    Step::Service(object, _) => format!("s{object}"),
                    Step::Slice(object, _) => format!("e{object}"),
                    Step::Secret(object, _) => format!("c{object}"),
                    Step::Tamper(_) => String::new(),
                };
                (place, step.clone())
            }).collect()
        };
        let run = |steps: &[Step], rests: bool| {
            let mut cluster = Cluster::new();
            for step in steps.iter().chain(last(&shuffled).values()) {
                take(&mut cluster, step.clone());
                if rests {
                    cluster.rest();
                }
            }
            heal(&mut cluster);
            // Of what is new it does not matter which was there first.
            let text = |files: &Files| -> Vec<String> {
                files.values().map(|bytes| {
                    let text = String::from_utf8_lossy(bytes);
                    text.lines().filter(|line| !line.contains("creationTimestamp")).collect()
                }).collect()
            };
            cluster.files.iter().map(|(place, files)| (place.clone(), text(files))).collect::<BTreeMap<_, _>>()
        };
        prop_assert_eq!(run(&steps, true), run(&steps, false));
    }

    #[test]
    fn a_proxy_takes_all_that_is_passed_on_but_for_what_is_told_to_be_missing(steps in steps(40)) {
        let mut cluster = Cluster::new();
        for step in steps {
            take(&mut cluster, step);
        }
        cluster.rest();
        let (refused, routes) = proxy_reads(&cluster);
        let expected = cluster.outcome.verdicts.iter().filter(|(_, verdict)| verdict.expected_refusals > 0);
        let expected: BTreeMap<String, usize> = expected.map(|(object, verdict)| (object.to_string(), verdict.expected_refusals)).collect();
        prop_assert_eq!(refused, expected);
        prop_assert_eq!(routes, cluster.generated().iter().filter(|name| name.starts_with("streamroutes.")).count());
    }
}
