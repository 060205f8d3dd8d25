//! Weighted rendezvous hashing (highest random weight; Thaler and Ravishankar, 1998), as integers.
//!
//! Each identity has a hash, and so has the key; both mixed are a number `h` that is even over `0..2^64`. A group's cost
//! is `-log2(1 - h / 2^64) / weight`, and the group of the least cost takes the key: that is an exponential race, in
//! which each wins as often as its weight says, and in which a group that comes or goes touches no pair of others. Within
//! the group every endpoint weighs the same, so the least `h` wins. What ties goes to the identity that sorts first.
//!
//! Nothing but the key's bytes, the identities and the weights counts: not the order of the input, not the platform.

use super::hash::{mix, xxh64};
use super::logarithm::{largest_hash_within, negative_log2};
use super::{EndpointIndex, Group};

/// An upstream's groups, hashed once so that a pick is a pass over integers.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    /// Those that take clients: the heaviest first, then by identity.
    groups: Vec<Candidate>,
    /// The hashes of `groups`' identities, side by side for the pass over them.
    hashes: Vec<u64>,
    /// How many neighbours in `groups` share a weight, class by class.
    class_sizes: Vec<usize>,
}

impl Rendezvous {
    /// Prepares `groups`. What [`Rendezvous::pick`] answers are indices into it.
    pub fn new(groups: &[Group]) -> Self {
        let mut order: Vec<usize> = (0..groups.len())
            .filter(|&index| groups[index].weight > 0 && !groups[index].endpoints.is_empty())
            .collect();
        order.sort_by_key(|&index| {
            let group = &groups[index];
            (&group.identity, group.weight, &group.endpoints)
        });
        let mut candidates: Vec<Candidate> =
            order.iter().enumerate().map(|(rank, &index)| Candidate::new(&groups[index], index, rank)).collect();
        candidates.sort_by_key(|candidate| (std::cmp::Reverse(candidate.weight), candidate.rank));

        Self {
            hashes: candidates
                .iter()
                .map(|candidate| xxh64(GROUP_SEED, groups[candidate.index].identity.as_bytes()))
                .collect(),
            class_sizes: candidates
                .chunk_by(|left, right| left.weight == right.weight)
                .map(<[Candidate]>::len)
                .collect(),
            groups: candidates,
        }
    }

    /// The endpoint that takes `key`, among those for which `skip` is false; `None` if none is left.
    ///
    /// The next choice for a client is the same call with the endpoints it has tried left out: first the others of the
    /// same group in the order of their rank, then the next group. `skip` must answer the same each time that it is
    /// asked within one call.
    pub fn pick(&self, key: &[u8], skip: impl Fn(EndpointIndex) -> bool) -> Option<EndpointIndex> {
        let key = xxh64(KEY_SEED, key);
        let group = self.pick_group(key, &skip)?;
        group.pick_endpoint(key, &skip)
    }

    fn pick_group(&self, key: u64, skip: &impl Fn(EndpointIndex) -> bool) -> Option<&Candidate> {
        let mut leader: Option<Leader<'_>> = None;
        let mut start = 0;
        for size in &self.class_sizes {
            let end = start + size;
            let (groups, hashes) = (&self.groups[start..end], &self.hashes[start..end]);
            start = end;
            // Of equal weights, the least hash has the least cost, so the logarithm is for the least alone.
            let limit = leader.as_mut().map_or(u64::MAX, |leader| leader.limit(groups[0].weight));
            let Some((position, hash)) = least(key, hashes, limit, |at| groups[at].is_available(skip)) else {
                continue;
            };
            let challenger = Leader::new(&groups[position], hash);
            leader = Some(match leader {
                None => challenger,
                Some(leader) => leader.against(challenger),
            });
        }
        leader.map(|leader| leader.group)
    }
}

/// A group that takes clients.
#[derive(Clone, Debug)]
struct Candidate {
    weight: u32,
    /// Its place in the input.
    index: usize,
    /// Its place among all by identity, which decides a tie.
    rank: usize,
    /// Places in the input's endpoints, by identity.
    endpoints: Vec<usize>,
    /// The hashes of `endpoints`' identities.
    hashes: Vec<u64>,
}

impl Candidate {
    fn new(group: &Group, index: usize, rank: usize) -> Self {
        let mut endpoints: Vec<usize> = (0..group.endpoints.len()).collect();
        endpoints.sort_by_key(|&at| &group.endpoints[at]);
        Self {
            weight: group.weight,
            index,
            rank,
            hashes: endpoints.iter().map(|&at| xxh64(ENDPOINT_SEED, group.endpoints[at].as_bytes())).collect(),
            endpoints,
        }
    }

    fn is_available(&self, skip: &impl Fn(EndpointIndex) -> bool) -> bool {
        (0..self.endpoints.len()).any(|position| !skip(self.endpoint(position)))
    }

    fn pick_endpoint(&self, key: u64, skip: &impl Fn(EndpointIndex) -> bool) -> Option<EndpointIndex> {
        let (position, _) = least(key, &self.hashes, u64::MAX, |at| !skip(self.endpoint(at)))?;
        Some(self.endpoint(position))
    }

    fn endpoint(&self, position: usize) -> EndpointIndex {
        EndpointIndex { group: self.index, endpoint: self.endpoints[position] }
    }
}

/// The group that is ahead so far.
struct Leader<'a> {
    group: &'a Candidate,
    hash: u64,
    /// Its cost and what follows from it, once another class of weights had to know.
    score: Option<Score>,
}

/// What a group's hash costs.
#[derive(Clone, Copy)]
struct Score {
    /// [`negative_log2`] of the hash.
    logarithm: u128,
    /// The same divided by the weight, rounded up.
    cost: u128,
}

impl<'a> Leader<'a> {
    fn new(group: &'a Candidate, hash: u64) -> Self {
        Self { group, hash, score: None }
    }

    fn score(&mut self) -> Score {
        *self.score.get_or_insert_with(|| {
            let logarithm = negative_log2(self.hash);
            Score { logarithm, cost: logarithm.div_ceil(u128::from(self.group.weight)) }
        })
    }

    /// The largest hash with which a group of `weight` could be ahead of this one.
    fn limit(&mut self, weight: u32) -> u64 {
        largest_hash_within(self.score().cost * u128::from(weight))
    }

    /// Who of the two costs less: `logarithm / weight`, compared without a division.
    fn against(mut self, mut challenger: Self) -> Self {
        let cost = |leader: &mut Self, other: &Self| leader.score().logarithm * u128::from(other.group.weight);
        let own = cost(&mut self, &challenger);
        let its = cost(&mut challenger, &self);
        if (its, challenger.group.rank) < (own, self.group.rank) { challenger } else { self }
    }
}

/// Where the least of `hashes`, mixed with `key`, is, and how much it is: among those that may be taken and up to `limit`.
/// The first of several.
#[inline]
fn least(key: u64, hashes: &[u64], limit: u64, may_take: impl Fn(usize) -> bool) -> Option<(usize, u64)> {
    let mut least = limit;
    let mut at = None;
    for (position, &hash) in hashes.iter().enumerate().rev() {
        let mixed = mix(key, hash);
        // `may_take` is asked last: only of the few that would be the least so far.
        if mixed <= least && may_take(position) {
            least = mixed;
            at = Some(position);
        }
    }
    Some((at?, least))
}

/// Seeds that keep a key, a group and an endpoint of the same name apart.
const KEY_SEED: u64 = 0;
const GROUP_SEED: u64 = 1;
const ENDPOINT_SEED: u64 = 2;
