//! The power of two choices (Mitzenmacher, 2001): of two endpoints that are drawn, the one with fewer connections.

use super::{EndpointIndex, Group};

/// The one of two endpoints with fewer connections, both drawn among those for which `skip` is false; `None` if none is
/// left, the only one if one is.
///
/// A draw is a group by its weight, then an endpoint within it. `draw` gives a number below the one it is given, any as
/// likely as another; `connections` tells how many an endpoint has now.
pub fn random2(
    groups: &[Group],
    connections: impl Fn(EndpointIndex) -> u64,
    skip: impl Fn(EndpointIndex) -> bool,
    mut draw: impl FnMut(u64) -> u64,
) -> Option<EndpointIndex> {
    let first = draw_one(groups, &skip, &mut draw)?;
    let second = draw_one(groups, &|index| index == first || skip(index), &mut draw);
    match second {
        Some(second) if connections(second) < connections(first) => Some(second),
        _ => Some(first),
    }
}

fn draw_one(
    groups: &[Group],
    skip: &impl Fn(EndpointIndex) -> bool,
    draw: &mut impl FnMut(u64) -> u64,
) -> Option<EndpointIndex> {
    let left = |group: usize| {
        let endpoints = (0..groups[group].endpoints.len()).map(move |endpoint| EndpointIndex { group, endpoint });
        endpoints.filter(|&index| !skip(index))
    };
    let takes = |&group: &usize| groups[group].weight > 0 && left(group).next().is_some();
    let total: u64 = (0..groups.len()).filter(takes).map(|group| u64::from(groups[group].weight)).sum();
    if total == 0 {
        return None;
    }
    let mut place = draw(total);
    let group = (0..groups.len()).filter(takes).find(|&group| {
        let weight = u64::from(groups[group].weight);
        let is_here = place < weight;
        place = place.saturating_sub(weight);
        is_here
    })?;
    let count = left(group).count();
    left(group).nth(usize::try_from(draw(count as u64)).unwrap_or(0))
}
