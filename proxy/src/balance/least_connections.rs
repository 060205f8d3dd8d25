//! Least connections: the group with the fewest for its weight, then the endpoint with the fewest in it.

use super::{EndpointIndex, Group};

/// The endpoint with the fewest connections, among those for which `skip` is false; `None` if none is left.
///
/// `connections` tells how many an endpoint has now. The group is the one that would have the fewest for its weight with one
/// more; within it all weigh the same. Of several equals, `tie` decides (any number, another one each time): without it all
/// clients of a moment would go to the same.
pub fn least_connections(
    groups: &[Group],
    connections: impl Fn(EndpointIndex) -> u64,
    skip: impl Fn(EndpointIndex) -> bool,
    tie: usize,
) -> Option<EndpointIndex> {
    let takes = |&group: &usize| groups[group].weight > 0 && indices(groups, group).any(|index| !skip(index));
    let load = |group: usize| u128::from(indices(groups, group).map(&connections).sum::<u64>() + 1);
    let group = from(tie, groups.len()).filter(takes).map(|group| (group, load(group))).reduce(|best, other| {
        let weight = |group: usize| u128::from(groups[group].weight);
        // load / weight, compared without a division.
        if other.1 * weight(best.0) < best.1 * weight(other.0) { other } else { best }
    });
    let (group, _) = group?;
    let endpoints = from(tie, groups[group].endpoints.len()).map(|endpoint| EndpointIndex { group, endpoint });
    endpoints.filter(|&index| !skip(index)).min_by_key(|&index| connections(index))
}

/// The numbers below `count`, from a place that `tie` decides.
fn from(tie: usize, count: usize) -> impl Iterator<Item = usize> {
    let start = if count == 0 { 0 } else { tie % count };
    (start..count).chain(0..start)
}

fn indices(groups: &[Group], group: usize) -> impl Iterator<Item = EndpointIndex> {
    (0..groups[group].endpoints.len()).map(move |endpoint| EndpointIndex { group, endpoint })
}
