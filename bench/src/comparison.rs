//! streamgate beside its peers, under the same load.

mod plot;
mod report;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::report::Report;
use crate::figure::{Figure, Measured};
use crate::machine::{self, Machine};
use crate::part::{connects, idle, messages, reload, saturation, storm, throughput};
use crate::peer::Peer;
use crate::pure;
use crate::stage::Stage;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Connects,
    Messages,
    Saturation,
    Throughput,
    Idle,
    Storm,
    Reload,
    Pure,
}

impl Part {
    pub(crate) const ALL: [Self; 8] = [
        Self::Connects,
        Self::Messages,
        Self::Saturation,
        Self::Throughput,
        Self::Idle,
        Self::Storm,
        Self::Reload,
        Self::Pure,
    ];
}

/// How it is compared.
pub(crate) struct Plan {
    pub(crate) parts: Vec<Part>,
    pub(crate) peers: Vec<Peer>,
    /// A tenth of the load, one round.
    pub(crate) is_quick: bool,
    /// Whether others may be at work here.
    pub(crate) is_busy: bool,
}

impl Plan {
    /// Whether the figures are those to be shown.
    fn is_full(&self) -> bool {
        self.parts == Part::ALL && self.peers == Peer::ALL && !self.is_quick && !self.is_busy
    }
}

/// All measurements of all rounds.
pub(crate) type Figures = BTreeMap<Figure, BTreeMap<Peer, Vec<Measured>>>;

pub(crate) async fn run(plan: &Plan) -> Result<()> {
    let _machine = Machine::prepare()?;
    if !plan.is_busy {
        machine::check_quiet()?;
    }
    let stage = Stage::new()?;
    let (scale, rounds) = if plan.is_quick { (10, 1) } else { (1, 3) };
    let mut report = Report::new(plan)?;
    for round in 1..=rounds {
        if round > 1 && !plan.is_busy {
            // The rounds before it would be lost.
            if let Err(busy) = machine::check_quiet() {
                report.doubt(format!("Before round {round} {busy}."));
            }
        }
        for part in &plan.parts {
            // What all of a part need, measured beside them.
            let direct = if *part == Part::Messages { messages::measure_direct(&stage, scale).await? } else { NONE };
            for peer in &plan.peers {
                let start = Instant::now();
                match measure(*part, &stage, *peer, direct, scale).await {
                    Ok(measured) => report.add(*peer, measured),
                    Err(error) => report.doubt(format!("{part:?} of {} failed: {error:#}", peer.name())),
                }
                // A run that is ended early leaves what it had.
                report.save()?;
                let seconds = start.elapsed().as_secs_f64();
                eprintln!("round {round} of {rounds}: {part:?}, {}: {seconds:.1} s", peer.name());
            }
        }
    }
    report.finish()?;
    if report.has_doubts() {
        bail!("not all was measured as it should be: see below the table");
    }
    Ok(())
}

async fn measure(part: Part, stage: &Stage, peer: Peer, direct: [Duration; 2], scale: u32) -> Result<Vec<Measured>> {
    match part {
        Part::Connects => connects::measure(stage, peer, scale).await,
        Part::Messages => messages::measure(stage, peer, direct, scale).await,
        Part::Saturation => saturation::measure(stage, peer, scale).await,
        Part::Throughput => throughput::measure(stage, peer, scale).await,
        Part::Idle => idle::measure(stage, peer, scale).await,
        Part::Storm => storm::measure(stage, peer, scale).await,
        Part::Reload => reload::measure(stage, peer, scale).await,
        Part::Pure if peer == Peer::Streamgate => pure::measure_few(),
        // They can't be called but by their sockets.
        Part::Pure => Ok(Vec::new()),
    }
}

const NONE: [Duration; 2] = [Duration::ZERO; 2];
