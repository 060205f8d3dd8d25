//! What holds of all objects, by chance.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::Sni;
use crate::tls_sni::FromNamespaces;

const SNIS: [&str; 8] = ["a.x", "b.x", "*.x", "x", "a.y", "*.y", "c.a.x", "*.a.x"];

fn metadata() -> impl Strategy<Value = (String, Option<i64>)> {
    let object = (prop::sample::select(vec!["a", "b", "c"]), 0..4u8)
        .prop_map(|(namespace, name)| format!("{namespace}/n{name}"));
    (object, prop::option::of(0..3i64))
}

fn gateway() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("default"), 1 => Just("other"), 1 => Just("Not a gateway")]
}

fn tls_snis() -> impl Strategy<Value = Vec<TlsSni>> {
    let names: Vec<_> = SNIS.into_iter().chain(["*"]).collect();
    let one = (metadata(), subsequence(names, 1..4), any::<bool>(), gateway()).prop_map(
        |((object, created), snis, all, gateway)| {
            let mut tls_sni = tls_sni(&object, &snis).on(gateway);
            tls_sni = if all { tls_sni.open_to_all() } else { tls_sni };
            created.into_iter().fold(tls_sni, Change::created)
        },
    );
    prop::collection::vec(one, 0..6)
}

fn routes() -> impl Strategy<Value = Vec<StreamRoute>> {
    let ranges = subsequence(vec!["10.0.0.0/8", "10.1.0.0/16", "::/0"], 0..3);
    let listeners = subsequence(vec!["l", "m", "n"], 0..3);
    let one = (metadata(), subsequence(SNIS.to_vec(), 0..4), ranges, listeners, gateway(), 1..5u16).prop_map(
        |((object, created), snis, ranges, listeners, gateway, port)| {
            let mut route = route(&object, &snis).of_ranges(&ranges).at_listeners(&listeners).on(gateway);
            route.spec.upstream.nodes[0].port = port;
            created.into_iter().fold(route, Change::created)
        },
    );
    prop::collection::vec(one, 0..10)
}

fn objects() -> impl Strategy<Value = Objects> {
    (tls_snis(), routes()).prop_map(|(tls_snis, stream_routes)| Objects { tls_snis, stream_routes })
}

fn policy() -> impl Strategy<Value = Policy> {
    let listeners = subsequence(vec![("l", Protocol::Mqtt), ("m", Protocol::Mqtts), ("n", Protocol::Mqtt)], 1..4);
    let namespaces =
        || subsequence(vec!["a", "b", "c"], 1..4).prop_map(|names| names.into_iter().map(String::from).collect());
    let domain = (namespaces(), subsequence(SNIS.into_iter().chain(["*"]).collect::<Vec<_>>(), 1..6)).prop_map(
        |(namespaces, names)| Domain { namespaces, names: names.iter().map(|name| name.parse().unwrap()).collect() },
    );
    let one = (
        prop::option::of(Just("default".to_owned())),
        prop::option::of(listeners),
        prop::option::weighted(0.2, namespaces()),
        prop::option::weighted(0.2, prop::collection::vec(domain, 1..3)),
        prop::option::weighted(0.2, namespaces()),
        prop::bool::weighted(0.9),
    );
    let policy = one.prop_map(|(gateway, listeners, allowed, domains, plaintext, allow_external_upstreams)| Policy {
        gateway,
        listeners: listeners.map(|listeners| {
            listeners.into_iter().map(|(name, protocol)| Listener { name: name.to_owned(), protocol }).collect()
        }),
        allowed_namespaces: allowed,
        domains,
        plaintext_namespaces: plaintext,
        allow_external_upstreams,
    });
    prop_oneof![Just(Policy::default()), policy]
}

/// The `TlsSni` of the gateway that serves a name, told naively.
fn server<'a>(objects: &'a Objects, gateway: &str, name: &str) -> Option<&'a TlsSni> {
    let rank = |sni: &Sni| match sni {
        Sni::Exact(_) => 0,
        Sni::Wildcard(_) => 1,
        Sni::Any => 2,
    };
    let of_gateway = objects.tls_snis.iter().filter(|tls_sni| tls_sni.spec.gateway == gateway);
    let claims = of_gateway.flat_map(|tls_sni| tls_sni.spec.snis.iter().map(move |sni| (sni, tls_sni)));
    claims.filter(|(sni, _)| sni.matches(name)).min_by_key(|(sni, _)| rank(sni)).map(|(_, tls_sni)| tls_sni)
}

fn lets_in(tls_sni: &TlsSni, route: &StreamRoute) -> bool {
    tls_sni.spec.allowed_routes.namespaces == FromNamespaces::All
        || tls_sni.metadata.namespace == route.metadata.namespace
}

fn share<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    one.iter().any(|each| other.contains(each))
}

/// Whether two routes mean equal ranges on a listener in common.
fn meet(one: &StreamRoute, other: &StreamRoute) -> bool {
    let ranges = |route: &StreamRoute| route.spec.r#match.source_ranges.clone();
    let listeners = |route: &StreamRoute| route.spec.listeners.clone();
    let equal_ranges = ranges(one).is_empty() && ranges(other).is_empty() || share(&ranges(one), &ranges(other));
    let common_listener =
        listeners(one).is_empty() || listeners(other).is_empty() || share(&listeners(one), &listeners(other));
    one.spec.gateway == other.spec.gateway && equal_ranges && common_listener
}

fn pairs<T>(all: &[T]) -> impl Iterator<Item = (&T, &T)> {
    all.iter().enumerate().flat_map(|(index, one)| all[index + 1..].iter().map(move |other| (one, other)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_was_let_pass_passes_again_whole(policy in policy(), objects in objects()) {
        let once = admit(&policy, objects);
        let twice = admit(&policy, once.objects.clone());
        prop_assert_eq!(&twice.objects, &once.objects);
        prop_assert_eq!(refused(&twice), Vec::<String>::new());
    }

    #[test]
    fn the_order_of_what_goes_in_changes_nothing(
        policy in policy(),
        (objects, tls_snis, stream_routes) in objects().prop_flat_map(|objects| {
            let (tls_snis, stream_routes) = (objects.tls_snis.clone(), objects.stream_routes.clone());
            (Just(objects), Just(tls_snis).prop_shuffle(), Just(stream_routes).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(admit(&policy, Objects { tls_snis, stream_routes }), admit(&policy, objects));
    }

    #[test]
    fn what_was_let_pass_an_open_judge_lets_pass_whole(policy in policy(), objects in objects()) {
        let effective = admit(&policy, objects).objects;
        let again = admit(&Policy::default(), effective.clone());
        prop_assert_eq!(&again.objects, &effective);
        prop_assert_eq!(refused(&again), Vec::<String>::new());
    }

    #[test]
    fn who_asks_for_no_name_has_one_route_for_each_listener_and_range(policy in policy(), objects in objects()) {
        let effective = admit(&policy, objects).objects;
        let nameless: Vec<_> =
            effective.stream_routes.iter().filter(|route| route.spec.r#match.snis.is_empty()).cloned().collect();
        for listener in policy.listeners.iter().flatten().filter(|listener| listener.protocol == Protocol::Mqtt) {
            let holds = |route: &&StreamRoute| {
                route.spec.listeners.is_empty() || route.spec.listeners.contains(&listener.name)
            };
            let there: Vec<StreamRoute> = nameless.iter().filter(holds).cloned().collect();
            for (one, other) in pairs(&there) {
                prop_assert!(!meet(one, other), "{}: {} and {}", listener.name, one.reference(), other.reference());
            }
            if let Some(allowed) = &policy.plaintext_namespaces {
                prop_assert!(there.iter().all(|route| allowed.contains(&route.reference().namespace)));
            }
        }
    }

    #[test]
    fn a_name_is_served_by_one_alone(objects in objects()) {
        let effective = admit(&Policy::default(), objects).objects;
        for (one, other) in pairs(&effective.tls_snis) {
            prop_assert!(one.spec.gateway != other.spec.gateway || !share(&one.spec.snis, &other.spec.snis));
        }
    }

    #[test]
    fn effective_routes_never_claim_the_same_clients(objects in objects()) {
        let effective = admit(&Policy::default(), objects).objects;
        for (one, other) in pairs(&effective.stream_routes).filter(|(one, other)| meet(one, other)) {
            let own = one.metadata.namespace == other.metadata.namespace;
            let (snis, other_snis) = (&one.spec.r#match.snis, &other.spec.r#match.snis);
            prop_assert!(!own || !snis.is_empty() || !other_snis.is_empty());
            for sni in snis.iter().filter(|sni| other_snis.contains(sni)) {
                // Only a wildcard is two routes', of two namespaces, of which one attaches to single names under it.
                let Sni::Wildcard(parent) = sni else { return Err(TestCaseError::fail(format!("{sni} twice"))) };
                let server = server(&effective, &one.spec.gateway, &format!("nothing-else.{parent}"));
                prop_assert!(!own && !server.is_some_and(|server| lets_in(server, one) && lets_in(server, other)), "{}", sni);
            }
        }
    }

    #[test]
    fn every_effective_name_has_clients_that_its_tls_sni_lets_go_there(objects in objects()) {
        let effective = admit(&Policy::default(), objects).objects;
        for route in &effective.stream_routes {
            for sni in &route.spec.r#match.snis {
                let names: Vec<_> = match sni {
                    Sni::Exact(name) => vec![name.clone()],
                    Sni::Wildcard(parent) => ["a", "b", "c", "none"].map(|label| format!("{label}.{parent}")).into(),
                    Sni::Any => vec![],
                };
                let served = |name: &String| server(&effective, &route.spec.gateway, name).is_some_and(|server| lets_in(server, route));
                prop_assert!(names.iter().any(served), "{}: {}", route.reference(), sni);
            }
        }
    }

    #[test]
    fn whatever_is_dropped_has_a_refusal(objects in objects()) {
        let admitted = admit(&Policy::default(), objects.clone());
        let count = |object: &ObjectRef| admitted.refusals.iter().filter(|refusal| refusal.object == *object).count();
        let names = |route: &StreamRoute| route.spec.r#match.snis.len();
        for object in objects.stream_routes.iter().map(Manifest::reference) {
            let before = objects.stream_routes.iter().filter(|route| route.reference() == object);
            let after = admitted.objects.stream_routes.iter().find(|route| route.reference() == object);
            let dropped = before.clone().count() - usize::from(after.is_some());
            prop_assert!(count(&object) >= dropped, "{}", object);
            if let (1, Some(after)) = (before.clone().count(), after) {
                prop_assert_eq!(count(&object), before.map(names).sum::<usize>() - names(after));
            }
        }
        for object in objects.tls_snis.iter().map(Manifest::reference) {
            let before = objects.tls_snis.iter().filter(|tls_sni| tls_sni.reference() == object).count();
            let after = admitted.objects.tls_snis.iter().filter(|tls_sni| tls_sni.reference() == object).count();
            prop_assert!(count(&object) >= before - after, "{}", object);
        }
    }

    #[test]
    fn what_takes_effect_was_there_and_has_only_names_of_its_own(objects in objects()) {
        let effective = admit(&Policy::default(), objects.clone()).objects;
        for mut route in effective.stream_routes {
            let was = |before: &&StreamRoute| {
                let mut before = (*before).clone();
                let all = std::mem::replace(&mut before.spec.r#match.snis, route.spec.r#match.snis.clone());
                before == route && route.spec.r#match.snis.iter().all(|sni| all.contains(sni))
            };
            let before = objects.stream_routes.iter().find(was);
            prop_assert!(before.is_some(), "{}", route.reference());
            // None becomes a route for all by losing its names.
            let was_bare = before.is_some_and(|before| before.spec.r#match.snis.is_empty());
            prop_assert_eq!(std::mem::take(&mut route.spec.r#match.snis).is_empty(), was_bare);
        }
    }
}
