use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

#[test]
fn without_a_group_that_takes_clients_there_is_no_pick() {
    assert_eq!(Rendezvous::new(&[]).pick(b"device", |_| false), None);
    let drained = groups(&[("drained", 0, "a b"), ("empty", 3, "")]);
    assert_eq!(Rendezvous::new(&drained).pick(b"device", |_| false), None);
}

#[test]
fn endpoints_of_a_group_share_its_clients_evenly() {
    let groups = groups(&[("broker", 7, "a b c d e f g")]);
    assert_weights(&count_endpoints(&groups, 70_000)[0], &[1; 7]);
}

#[test]
fn groups_share_the_clients_by_weight_whatever_their_endpoints() {
    let groups = groups(&[("blue", 1, "a b c d e f"), ("green", 2, "g"), ("red", 3, "h i"), ("white", 10, "j")]);
    let counts: Vec<u32> = count_endpoints(&groups, 160_000).iter().map(|counts| counts.iter().sum()).collect();
    assert_weights(&counts, &[1, 2, 3, 10]);
}

#[test]
fn weights_hold_from_one_end_of_their_range_to_the_other() {
    let groups = groups(&[("least", 1, "a"), ("most", 65535, "b"), ("middle", 300, "c")]);
    let counts: Vec<u32> = count_endpoints(&groups, 1_000_000).concat();
    assert_weights(&counts, &[1, 65535, 300]);
}

#[test]
fn a_thousand_nodes_share_the_clients_by_weight() {
    let mut groups = nodes(1000, 0);
    let weights: Vec<u32> = (0..1000).map(|number| 1 + number % 10).collect();
    for (group, weight) in groups.iter_mut().zip(&weights) {
        group.weight = *weight;
    }
    assert_weights(&count_endpoints(&groups, 200_000).concat(), &weights);
}

#[test]
fn a_group_of_which_all_endpoints_go_hands_its_clients_to_the_others_by_weight() {
    let before = groups(&[("blue", 4, "a b"), ("green", 1, "c"), ("red", 3, "d e")]);
    let after = groups(&[("blue", 4, ""), ("green", 1, "c"), ("red", 3, "d e")]);
    let (old, new) = (Rendezvous::new(&before), Rendezvous::new(&after));
    let mut counts = [0; 3];
    for key in keys(80_000) {
        let (from, to) = (pick(&old, &key), pick(&new, &key));
        if from.group == 0 {
            counts[to.group] += 1;
        } else {
            assert_eq!(from, to);
        }
    }
    assert_eq!(counts[0], 0);
    assert_weights(&counts[1..], &[1, 3]);
}

#[test]
fn when_one_of_n_endpoints_goes_its_clients_spread_over_the_others_of_its_group_and_no_other_moves() {
    let before = groups(&[("blue", 1, "a b c d e"), ("green", 1, "a f")]);
    let after = groups(&[("blue", 1, "a b d e"), ("green", 1, "a f")]);
    let (old, new) = (Rendezvous::new(&before), Rendezvous::new(&after));
    let mut counts = [0; 4];
    for key in keys(100_000) {
        let (from, to) = (pick(&old, &key), pick(&new, &key));
        if names(&before, from) == ("blue", "c") {
            assert_eq!(to.group, 0);
            counts[to.endpoint] += 1;
        } else {
            assert_eq!(names(&before, from), names(&after, to));
        }
    }
    let moved: u32 = counts.iter().sum();
    assert_weights(&[moved, 100_000 - moved], &[1, 9]);
    assert_weights(&counts, &[1; 4]);
}

#[test]
fn the_next_choices_are_the_others_of_the_group_and_then_the_next_group() {
    let groups = groups(&[("blue", 2, "a b c"), ("green", 1, "a d")]);
    let rendezvous = Rendezvous::new(&groups);
    for key in keys(1000) {
        let order: Vec<usize> = order(&rendezvous, &key).iter().map(|index| index.group).collect();
        assert!(order == [0, 0, 0, 1, 1] || order == [1, 1, 0, 0, 0], "{order:?}");
    }
}

proptest! {
    #[test]
    fn a_pick_does_not_depend_on_the_order_of_the_input(upstream in upstream(), key: Vec<u8>, seed: Vec<Index>) {
        let mut shuffled = upstream.clone();
        shuffle(&mut shuffled, &seed);
        for group in &mut shuffled {
            shuffle(&mut group.endpoints, &seed);
        }
        let orders = [&upstream, &shuffled].map(|groups| {
            let order = order(&Rendezvous::new(groups), &key);
            order.into_iter().map(|index| names(groups, index)).collect::<Vec<_>>()
        });
        prop_assert_eq!(&orders[0], &orders[1]);
    }

    #[test]
    fn the_choices_never_repeat_and_cover_all_that_take_clients(upstream in upstream(), key: Vec<u8>) {
        let order = order(&Rendezvous::new(&upstream), &key);
        let distinct: HashSet<EndpointIndex> = order.iter().copied().collect();
        prop_assert_eq!(distinct.len(), order.len());
        prop_assert_eq!(distinct, takers(&upstream));
    }

    #[test]
    fn what_is_skipped_might_as_well_not_be_there(upstream in upstream(), key: Vec<u8>, seed: Vec<bool>) {
        let is_gone = |identity: &str| seed.get(identity.len()).copied().unwrap_or_default();
        let mut rest = upstream.clone();
        for group in &mut rest {
            group.endpoints.retain(|endpoint| !is_gone(endpoint));
        }
        let skipping = Rendezvous::new(&upstream).pick(&key, |index| is_gone(names(&upstream, index).1));
        let without = Rendezvous::new(&rest).pick(&key, |_| false);
        prop_assert_eq!(skipping.map(|index| names(&upstream, index)), without.map(|index| names(&rest, index)));
    }

    #[test]
    fn a_group_that_goes_moves_its_own_clients_alone(upstream in upstream(), key: Vec<u8>, gone: Index) {
        prop_assume!(!upstream.is_empty());
        let mut rest = upstream.clone();
        let gone = rest.remove(gone.index(upstream.len()));
        let before = Rendezvous::new(&upstream).pick(&key, |_| false).map(|index| names(&upstream, index));
        let after = Rendezvous::new(&rest).pick(&key, |_| false).map(|index| names(&rest, index));
        prop_assert!(before == after || before.is_some_and(|(group, _)| group == gone.identity));
    }

    #[test]
    fn a_weight_that_changes_moves_clients_to_or_from_its_group_alone(
        upstream in upstream(), key: Vec<u8>, changed: Index, weight in weight(),
    ) {
        prop_assume!(!upstream.is_empty());
        let changed = changed.index(upstream.len());
        let mut other = upstream.clone();
        other[changed].weight = weight;
        let before = Rendezvous::new(&upstream).pick(&key, |_| false);
        let after = Rendezvous::new(&other).pick(&key, |_| false);
        let mover = if weight > upstream[changed].weight { after } else { before };
        prop_assert!(before == after || mover.is_some_and(|index| index.group == changed));
    }
}

/// Up to eight groups of up to six endpoints; some weights are the same, some are 0, and groups share endpoints.
fn upstream() -> impl Strategy<Value = Vec<Group>> {
    let endpoints = proptest::collection::hash_set("[a-c]{1,4}", 0..6);
    let groups = proptest::collection::hash_map("[a-d]{1,3}", (weight(), endpoints), 0..8);
    groups.prop_map(|groups| {
        let group = |(identity, (weight, endpoints)): (String, (u32, HashSet<String>))| Group {
            identity,
            weight,
            endpoints: endpoints.into_iter().collect(),
        };
        groups.into_iter().map(group).collect()
    })
}

fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![0..4_u32, 0..=65535_u32]
}

fn shuffle<T>(list: &mut [T], seed: &[Index]) {
    for at in 1..list.len() {
        let other = seed.get(at % seed.len().max(1)).map_or(0, |index| index.index(at + 1));
        list.swap(at, other);
    }
}

fn takers(groups: &[Group]) -> HashSet<EndpointIndex> {
    let endpoints = |(group, taker): (usize, &Group)| {
        let count = if taker.weight == 0 { 0 } else { taker.endpoints.len() };
        (0..count).map(move |endpoint| EndpointIndex { group, endpoint })
    };
    groups.iter().enumerate().flat_map(endpoints).collect()
}

/// All endpoints, from the first choice to the last.
fn order(rendezvous: &Rendezvous, key: &[u8]) -> Vec<EndpointIndex> {
    let mut order = Vec::new();
    while let Some(next) = rendezvous.pick(key, |index| order.contains(&index)) {
        order.push(next);
    }
    order
}

fn keys(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| format!("device-{number}").into_bytes())
}

fn pick(rendezvous: &Rendezvous, key: &[u8]) -> EndpointIndex {
    rendezvous.pick(key, |_| false).unwrap()
}

/// How many of so many clients each endpoint of each group gets.
fn count_endpoints(groups: &[Group], clients: usize) -> Vec<Vec<u32>> {
    let rendezvous = Rendezvous::new(groups);
    let mut counts: Vec<Vec<u32>> = groups.iter().map(|group| vec![0; group.endpoints.len()]).collect();
    for key in keys(clients) {
        let index = pick(&rendezvous, &key);
        counts[index.group][index.endpoint] += 1;
    }
    counts
}
