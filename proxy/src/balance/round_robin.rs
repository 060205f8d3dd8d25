//! Smooth weighted round robin over groups (nginx' algorithm), then round robin over the group's endpoints.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::{EndpointIndex, Group};

/// Whose turn it is: the moving part beside the groups, which it shares and never changes. Each worker has its own.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    groups: Arc<[Group]>,
    /// One for each group of `groups`, in its order.
    turns: Vec<Turn>,
    /// The [`Turn::relief`] at which a failed group's client was taken last.
    last_relief: u128,
}

impl RoundRobin {
    /// Starts with the first group and the first endpoint.
    pub fn new(groups: Arc<[Group]>) -> Self {
        let turns = groups
            .iter()
            .map(|group| Turn {
                weight: if group.endpoints.is_empty() { 0 } else { i64::from(group.weight) },
                current: 0,
                relief: relief_step(group.weight) / 2,
                queue: (0..group.endpoints.len()).collect(),
                next_relief: 0,
            })
            .collect();
        Self { groups, turns, last_relief: 0 }
    }

    /// Takes over from `old`, the state of the list before this one: groups and endpoints that stayed (by identity) keep
    /// their place in the rotation, and what is new queues behind them. A place is a part of a round, whatever the weights
    /// are now.
    pub fn carry_over(&mut self, old: &Self) {
        let (total, old_total) = (self.total(), old.total());
        let mut old_turns: HashMap<&str, (&Group, &Turn)> = HashMap::new();
        for (group, turn) in old.groups.iter().zip(&old.turns) {
            old_turns.entry(&group.identity).or_insert((group, turn));
        }
        for (group, turn) in self.groups.iter().zip(&mut self.turns) {
            if let Some((old_group, old_turn)) = old_turns.get(group.identity.as_str()) {
                turn.current = rescale(old_turn.current, old_total, total);
                turn.queue = requeue(&group.endpoints, &old_group.endpoints, &old_turn.queue);
            }
        }
    }

    /// Lets `picks` clients pass, so that the workers of a process don't all begin with the same endpoint.
    pub fn advance(&mut self, picks: usize) {
        for _ in 0..picks {
            self.pick(|_| false);
        }
    }

    /// The endpoint for the next client, among those for which `skip` is false; `None` if none is left.
    ///
    /// What is skipped loses no turn and gives none away: the others go on among themselves by their weights. `skip`
    /// must answer the same each time that it is asked within one call. For a client's further choices there is
    /// [`RoundRobin::pick_after`].
    pub fn pick(&mut self, skip: impl Fn(EndpointIndex) -> bool) -> Option<EndpointIndex> {
        let group = self.pick_group(&skip)?;
        self.turns[group].pick_endpoint(group, &skip)
    }

    /// The next choice for the client that `failed` could not take: another endpoint of the same group, for that group
    /// had its turn; where none is left, one of another group. `skip` is true at least for all that the client has tried.
    ///
    /// Endpoints relieve a failed one in turn, groups by their weights, and their own turns stay as they are: else the client
    /// after this one would be for the failed one again, where there are two.
    pub fn pick_after(&mut self, failed: EndpointIndex, skip: impl Fn(EndpointIndex) -> bool) -> Option<EndpointIndex> {
        let same = self.turns.get_mut(failed.group).filter(|turn| turn.weight > 0);
        if let Some(endpoint) = same.and_then(|turn| turn.pick_relief(failed.group, &skip)) {
            return Some(endpoint);
        }
        let group = self.pick_relief(&skip)?;
        self.turns[group].pick_relief(group, &skip)
    }

    /// Each group that can serve gains its weight, the one that has most is chosen and pays what all have gained.
    fn pick_group(&mut self, skip: &impl Fn(EndpointIndex) -> bool) -> Option<usize> {
        let mut gained = 0;
        let mut best: Option<(usize, i64)> = None;
        for (group, turn) in self.turns.iter_mut().enumerate() {
            if turn.weight == 0 || !turn.is_available(group, skip) {
                continue;
            }
            gained += turn.weight;
            turn.current += turn.weight;
            if best.is_none_or(|(_, most)| turn.current > most) {
                best = Some((group, turn.current));
            }
        }
        let (group, _) = best?;
        self.turns[group].current -= gained;
        Some(group)
    }

    /// The one whose next relief is due first. This isn't [`RoundRobin::pick_group`] again: there all who are asked share
    /// one account, in which a group that is left out for some picks and not for others tilts the shares of the rest.
    fn pick_relief(&mut self, skip: &impl Fn(EndpointIndex) -> bool) -> Option<usize> {
        let mut first: Option<(usize, u128)> = None;
        for (group, turn) in self.turns.iter().enumerate() {
            // Who failed itself for a while has no more to catch up than one.
            let due = turn.relief.max(self.last_relief);
            let is_first = turn.weight > 0 && first.is_none_or(|(_, least)| due < least);
            if is_first && turn.is_available(group, skip) {
                first = Some((group, due));
            }
        }
        let (group, due) = first?;
        self.last_relief = due;
        self.turns[group].relief = due + relief_step(self.groups[group].weight);
        Some(group)
    }

    fn total(&self) -> i64 {
        self.turns.iter().map(|turn| turn.weight).sum()
    }
}

/// A group's place in the rotation, and its endpoints'.
#[derive(Clone, Debug)]
struct Turn {
    /// The group's weight; 0 if it has no endpoint.
    weight: i64,
    /// What the group has gained and not yet spent.
    current: i64,
    /// When it next takes a failed group's client, on a clock of its own that only such clients advance.
    relief: u128,
    /// Indices of the group's endpoints, the next one in front. Who was chosen goes to the end, so that one who is
    /// passed over keeps its place and its successor doesn't serve twice as often.
    queue: VecDeque<usize>,
    /// Index of the endpoint that takes a failed one's client next, if it can.
    next_relief: usize,
}

impl Turn {
    fn is_available(&self, group: usize, skip: &impl Fn(EndpointIndex) -> bool) -> bool {
        self.queue.iter().any(|&endpoint| !skip(EndpointIndex { group, endpoint }))
    }

    fn pick_endpoint(&mut self, group: usize, skip: &impl Fn(EndpointIndex) -> bool) -> Option<EndpointIndex> {
        let position = self.queue.iter().position(|&endpoint| !skip(EndpointIndex { group, endpoint }))?;
        let endpoint = self.queue.remove(position)?;
        self.queue.push_back(endpoint);
        Some(EndpointIndex { group, endpoint })
    }

    fn pick_relief(&mut self, group: usize, skip: &impl Fn(EndpointIndex) -> bool) -> Option<EndpointIndex> {
        let start = self.next_relief % self.queue.len().max(1);
        let mut order = (start..self.queue.len()).chain(0..start).map(|endpoint| EndpointIndex { group, endpoint });
        let index = order.find(|&index| !skip(index))?;
        self.next_relief = index.endpoint + 1;
        Some(index)
    }
}

/// How far apart the clients are that a group of this weight takes over: the heavier, the nearer.
fn relief_step(weight: u32) -> u128 {
    (1 << 64) / u128::from(weight.max(1))
}

/// What a group has gained, as the same part of a turn under other weights.
fn rescale(current: i64, old_total: i64, total: i64) -> i64 {
    if old_total == 0 {
        return 0;
    }
    let scaled = i128::from(current) * i128::from(total) / i128::from(old_total);
    i64::try_from(scaled).unwrap_or(0)
}

/// The endpoints that stayed in the order of the old queue, then the new ones.
fn requeue(endpoints: &[String], old_endpoints: &[String], old_queue: &VecDeque<usize>) -> VecDeque<usize> {
    let places: HashMap<&str, usize> =
        endpoints.iter().enumerate().map(|(index, identity)| (identity.as_str(), index)).collect();
    let stayed: Vec<usize> =
        old_queue.iter().filter_map(|&old| places.get(old_endpoints[old].as_str()).copied()).collect();
    let known: HashSet<usize> = stayed.iter().copied().collect();
    let new = (0..endpoints.len()).filter(|index| !known.contains(index));
    stayed.iter().copied().chain(new).collect()
}
