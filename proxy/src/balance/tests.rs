use super::*;

mod by_connections;
mod rendezvous;
mod round_robin;
mod vectors;

/// Groups of `(identity, weight, endpoints)`, the endpoints separated by spaces.
fn groups(list: &[(&str, u32, &str)]) -> Vec<Group> {
    let group = |&(identity, weight, endpoints): &(&str, u32, &str)| Group {
        identity: identity.to_owned(),
        weight,
        endpoints: endpoints.split_whitespace().map(str::to_owned).collect(),
    };
    list.iter().map(group).collect()
}

/// `count` nodes of one weight.
fn nodes(count: usize, weight: u32) -> Vec<Group> {
    (0..count).map(|number| Group::of_one(format!("node-{number}"), weight)).collect()
}

/// The identities of the group and the endpoint that were picked.
fn names(groups: &[Group], index: EndpointIndex) -> (&str, &str) {
    let group = &groups[index.group];
    (&group.identity, &group.endpoints[index.endpoint])
}

/// Asserts that `counts` are as `weights` say, as far as chance allows: the chi-square statistic is below its mean by no
/// more than six standard deviations. The keys are fixed, so it holds always or never.
fn assert_weights(counts: &[u32], weights: &[u32]) {
    let (count, weight): (u32, u32) = (counts.iter().sum(), weights.iter().sum());
    let expected = |share: u32| f64::from(count) * f64::from(share) / f64::from(weight);
    let chi_square: f64 = counts
        .iter()
        .zip(weights)
        .map(|(&count, &share)| (f64::from(count) - expected(share)).powi(2) / expected(share))
        .sum();
    let freedom = f64::from(u32::try_from(counts.len()).unwrap() - 1);
    let most = freedom + 6.0 * (2.0 * freedom).sqrt();
    assert!(chi_square < most, "chi-square {chi_square:.1} of at most {most:.1}: {counts:?} for weights {weights:?}");
}
