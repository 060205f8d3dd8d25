use std::sync::Arc;

use proptest::prelude::*;

use super::*;

#[test]
fn equal_groups_take_turns() {
    let groups = groups(&[("a", 1, "a"), ("b", 1, "b"), ("c", 1, "c")]);
    assert_eq!(rotation(&groups, 7), "a b c a b c a");
}

#[test]
fn endpoints_of_a_group_take_turns() {
    assert_eq!(rotation(&groups(&[("broker", 3, "a b c")]), 7), "a b c a b c a");
}

#[test]
fn weights_five_one_one_give_the_sequence_of_nginx() {
    let groups = groups(&[("a", 5, "a"), ("b", 1, "b"), ("c", 1, "c")]);
    assert_eq!(rotation(&groups, 14), "a a b a c a a a a b a c a a");
}

#[test]
fn the_group_has_its_turn_by_weight_and_its_endpoints_have_theirs_within() {
    let groups = groups(&[("blue", 2, "a b c"), ("green", 1, "d e")]);
    assert_eq!(rotation(&groups, 9), "a d b c e a b d c");
}

#[test]
fn weight_zero_and_groups_without_endpoints_have_no_turn() {
    let groups = groups(&[("drained", 0, "a"), ("empty", 9, ""), ("on", 1, "b c")]);
    assert_eq!(rotation(&groups, 4), "b c b c");
    let mut turns = start(&groups[..2]);
    assert_eq!(turns.pick(|_| false), None);
}

#[test]
fn nobody_is_left_when_all_are_skipped() {
    let groups = groups(&[("a", 1, "a"), ("b", 1, "b c")]);
    assert_eq!(start(&groups).pick(|_| true), None);
}

#[test]
fn of_equal_endpoints_the_others_take_turns_evenly_while_one_fails() {
    for upstream in [groups(&[("broker", 1, "a b c d")]), nodes(4, 1)] {
        let mut turns = start(&upstream);
        let mut counts = [0; 4];
        for _ in 0..300 {
            let served = serve(&mut turns, &upstream, 1);
            counts[served.group + served.endpoint] += 1;
        }
        assert_eq!(counts, [100, 0, 100, 100]);
    }
}

#[test]
fn who_comes_back_has_one_turn_and_not_all_that_it_missed() {
    let upstream = groups(&[("a", 1, "a"), ("b", 1, "b"), ("broker", 1, "c d")]);
    let mut turns = start(&upstream);
    for _ in 0..100 {
        turns.pick(|index| index.group == 0 || index.endpoint == 1);
    }
    let after: Vec<usize> = (0..6).filter_map(|_| turns.pick(|_| false)).map(|index| index.group).collect();
    assert_eq!(after.iter().filter(|&&group| group == 0).count(), 2, "{after:?}");
}

#[test]
fn the_next_choice_is_of_the_same_group_which_had_its_turn() {
    let upstream = groups(&[("blue", 1, "a b"), ("green", 1, "c d")]);
    let mut turns = start(&upstream);
    let failed = turns.pick(|_| false).unwrap();
    assert_eq!(names(&upstream, failed), ("blue", "a"));

    let next = turns.pick_after(failed, |index| index == failed).unwrap();
    assert_eq!(names(&upstream, next), ("blue", "b"));

    let other = turns.pick_after(next, |index| index == failed || index == next).unwrap();
    assert_eq!(names(&upstream, other), ("green", "c"));
}

#[test]
fn a_list_that_changes_keeps_the_place_of_those_that_stay() {
    let old_list = groups(&[("broker", 1, "a b c d")]);
    let mut old = start(&old_list);
    old.advance(2);
    let new_list = groups(&[("broker", 1, "x a b d")]);
    let mut new = start(&new_list);
    new.carry_over(&old);
    assert_eq!(names_of(&mut new, &new_list, 5), "d a b x d");
}

#[test]
fn groups_that_stay_keep_their_turn() {
    let old_list = groups(&[("a", 1, "a"), ("b", 1, "b"), ("c", 1, "c")]);
    let mut old = start(&old_list);
    old.advance(1);
    let new_list = groups(&[("c", 1, "c"), ("a", 1, "a"), ("b", 1, "b")]);
    let mut new = start(&new_list);
    new.carry_over(&old);
    assert_eq!(names_of(&mut new, &new_list, 5), "c b c a b");
}

#[test]
fn debts_of_heavy_weights_are_worth_no_more_under_light_ones() {
    let heavy = groups(&[("a", 65535, "a"), ("b", 65535, "b")]);
    let mut old = start(&heavy);
    old.advance(1);
    let light = groups(&[("a", 1, "a"), ("b", 1, "b")]);
    let mut new = start(&light);
    new.carry_over(&old);
    assert_eq!(names_of(&mut new, &light, 4), "b a b a");
}

#[test]
fn workers_that_are_advanced_begin_with_different_endpoints() {
    let upstream = nodes(3, 1);
    let mut second = start(&upstream);
    second.advance(1);
    assert_eq!(names_of(&mut second, &upstream, 3), "node-1 node-2 node-0");
}

proptest! {
    #[test]
    fn in_one_round_each_group_has_as_many_turns_as_its_weight(weights in proptest::collection::vec(0..50_u32, 1..8)) {
        let upstream: Vec<Group> =
            weights.iter().enumerate().map(|(at, &weight)| Group::of_one(at.to_string(), weight)).collect();
        let mut turns = start(&upstream);
        for _ in 0..3 {
            let mut counts = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                counts[turns.pick(|_| false).unwrap().group] += 1;
            }
            prop_assert_eq!(&counts, &weights);
        }
    }

    #[test]
    fn while_one_group_fails_the_others_share_its_clients_by_weight(
        weights in proptest::collection::vec(1..50_u32, 3..8), dead in 0..3_usize,
    ) {
        let upstream: Vec<Group> =
            weights.iter().enumerate().map(|(at, &weight)| Group::of_one(at.to_string(), weight)).collect();
        let mut turns = start(&upstream);
        let rounds = 100;
        let total: u32 = weights.iter().sum();
        let mut counts = vec![0; weights.len()];
        for _ in 0..rounds * total {
            counts[serve(&mut turns, &upstream, dead).group] += 1;
        }
        prop_assert_eq!(counts[dead], 0);
        let left = f64::from(total - weights[dead]);
        for (count, weight) in counts.iter().zip(&weights).enumerate().filter(|(at, _)| *at != dead).map(|(_, both)| both) {
            let expected = f64::from(rounds * total) * f64::from(*weight) / left;
            prop_assert!((f64::from(*count) - expected).abs() < 2.0, "{:?} for {:?}", counts, weights);
        }
    }

    #[test]
    fn the_choices_for_one_client_never_repeat_and_cover_all(sizes in proptest::collection::vec((0..4_u32, 0..5_usize), 0..6)) {
        let upstream: Vec<Group> = sizes
            .iter()
            .enumerate()
            .map(|(at, &(weight, size))| Group {
                identity: at.to_string(),
                weight,
                endpoints: (0..size).map(|endpoint| endpoint.to_string()).collect(),
            })
            .collect();
        let mut turns = start(&upstream);
        let mut tried: Vec<EndpointIndex> = turns.pick(|_| false).into_iter().collect();
        while let Some(last) = tried.last().copied() {
            let Some(next) = turns.pick_after(last, |index| tried.contains(&index)) else { break };
            prop_assert!(!tried.contains(&next));
            tried.push(next);
        }
        let all: usize = sizes.iter().filter(|(weight, _)| *weight > 0).map(|(_, size)| size).sum();
        prop_assert_eq!(tried.len(), all);
    }
}

fn start(groups: &[Group]) -> RoundRobin {
    RoundRobin::new(Arc::from(groups))
}

#[test]
fn where_one_of_two_fails_it_is_not_every_clients_first_choice() {
    let groups = groups(&[("service", 1, "dead alive")]);
    let mut turns = start(&groups);
    let mut firsts = Vec::new();
    for _ in 0..4 {
        let first = turns.pick(|_| false).unwrap();
        firsts.push(names(&groups, first).1);
        if names(&groups, first).1 == "dead" {
            turns.pick_after(first, |index| index == first).unwrap();
        }
    }
    assert_eq!(firsts, ["dead", "alive", "dead", "alive"]);
}

/// Who serves the next clients.
fn rotation(groups: &[Group], clients: usize) -> String {
    names_of(&mut start(groups), groups, clients)
}

fn names_of(turns: &mut RoundRobin, groups: &[Group], clients: usize) -> String {
    let picks = (0..clients).filter_map(|_| turns.pick(|_| false));
    picks.map(|index| names(groups, index).1).collect::<Vec<_>>().join(" ")
}

/// Who serves the next client while the endpoint (or group of one) at `dead` fails.
fn serve(turns: &mut RoundRobin, groups: &[Group], dead: usize) -> EndpointIndex {
    let is_dead = |index: EndpointIndex| {
        let place = if groups.len() == 1 { index.endpoint } else { index.group };
        place == dead
    };
    let first = turns.pick(|_| false).unwrap();
    if is_dead(first) { turns.pick_after(first, |index| index == first).unwrap() } else { first }
}
