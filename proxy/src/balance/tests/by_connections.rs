//! Least connections and the power of two choices.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::balance::{EndpointIndex, Group, least_connections, random2};

fn group(identity: &str, weight: u32, endpoints: usize) -> Group {
    let endpoints = (0..endpoints).map(|endpoint| format!("{identity}-{endpoint}")).collect();
    Group { identity: identity.to_owned(), weight, endpoints }
}

fn at(group: usize, endpoint: usize) -> EndpointIndex {
    EndpointIndex { group, endpoint }
}

/// How many clients each endpoint has after `clients` have come and stayed.
fn fill(
    clients: usize,
    mut pick: impl FnMut(&HashMap<EndpointIndex, u64>) -> EndpointIndex,
) -> HashMap<EndpointIndex, u64> {
    let mut counts = HashMap::new();
    for _ in 0..clients {
        let index = pick(&counts);
        *counts.entry(index).or_default() += 1;
    }
    counts
}

fn count(counts: &HashMap<EndpointIndex, u64>, index: EndpointIndex) -> u64 {
    counts.get(&index).copied().unwrap_or(0)
}

#[test]
fn clients_that_stay_are_spread_by_weight() {
    let groups = [group("a", 3, 2), group("b", 1, 1), group("c", 0, 1), group("d", 5, 0)];
    let mut tie = 0;
    let counts = fill(800, |counts| {
        tie += 1;
        least_connections(&groups, |index| count(counts, index), |_| false, tie).expect("some take clients")
    });
    assert_eq!(counts, HashMap::from([(at(0, 0), 300), (at(0, 1), 300), (at(1, 0), 200)]));
}

#[test]
fn the_one_that_lost_its_clients_gets_the_next() {
    let groups = [group("a", 1, 1), group("b", 1, 1), group("c", 1, 1)];
    let connections = |index: EndpointIndex| if index.group == 1 { 4 } else { 5 };
    for tie in 0..10 {
        assert_eq!(least_connections(&groups, connections, |_| false, tie), Some(at(1, 0)));
    }
}

#[test]
fn a_tie_is_not_always_the_same_ones() {
    let groups = [group("a", 1, 4)];
    let picked: Vec<_> = (0..4).filter_map(|tie| least_connections(&groups, |_| 7, |_| false, tie)).collect();
    assert_eq!(picked, [at(0, 0), at(0, 1), at(0, 2), at(0, 3)]);
}

#[test]
fn of_two_that_are_drawn_the_one_with_fewer_is_taken() {
    let groups = [group("a", 1, 2)];
    for first in 0..2 {
        let mut draws = [0, first, 0, 0].into_iter();
        let picked = random2(&groups, |index| 9 - index.endpoint as u64, |_| false, |_| draws.next().unwrap_or(0));
        assert_eq!(picked, Some(at(0, 1)));
    }
}

#[test]
fn the_draws_go_by_weight() {
    let groups = [group("a", 3, 1), group("b", 1, 1), group("c", 0, 1)];
    let mut random = fastrand::Rng::with_seed(7);
    let mut drawn = [0_u32; 3];
    for _ in 0..10_000 {
        // Alone with one other, the first draw would win each tie.
        let picked = random2(&groups, |_| 0, |_| false, |below| random.u64(..below)).expect("some take clients");
        drawn[picked.group] += 1;
    }
    assert!((7300..7700).contains(&drawn[0]) && drawn[2] == 0, "{drawn:?}");
}

proptest! {
    #[test]
    fn what_is_skipped_is_not_picked_and_whatever_is_left_is(
        weights in prop::collection::vec((0_u32..4, 0_usize..4), 0..5),
        skipped in prop::collection::hash_set((0_usize..5, 0_usize..4), 0..12),
        seed: u64,
    ) {
        let groups: Vec<Group> = weights.iter().enumerate().map(|(at, &(weight, size))| group(&at.to_string(), weight, size)).collect();
        let skip = |index: EndpointIndex| skipped.contains(&(index.group, index.endpoint));
        let any_left = groups.iter().enumerate().any(|(at, group)| {
            group.weight > 0 && (0..group.endpoints.len()).any(|endpoint| !skipped.contains(&(at, endpoint)))
        });
        let mut random = fastrand::Rng::with_seed(seed);
        let tie = random.usize(..);
        let picks = [
            least_connections(&groups, |_| 1, skip, tie),
            random2(&groups, |_| 1, skip, |below| random.u64(..below)),
        ];
        for pick in picks {
            prop_assert_eq!(pick.is_some(), any_left);
            if let Some(index) = pick {
                prop_assert!(!skip(index) && groups[index.group].weight > 0);
            }
        }
    }
}
