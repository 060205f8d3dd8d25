//! What is measured: names, units and aims.

use serde::Serialize;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Figure {
    ConnectPlain,
    ConnectFull,
    ConnectResumed,
    MessagePlain,
    MessageTls,
    AddedP50Plain,
    AddedP99Plain,
    AddedP50Tls,
    AddedP99Tls,
    SaturatedPlain,
    SaturatedTls,
    ThroughputPlain,
    ThroughputTls,
    IdlePlain,
    IdleTls,
    LeftPlain,
    LeftTls,
    Storm,
    StormImpatient,
    StormFailed,
    ReloadLost,
    ReloadBefore,
    ReloadMeanwhile,
    ReloadMemory,
    Choice,
    Match,
}

/// What streamgate's figure is to be.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    /// At most this part of what the best peer costs.
    Ratio(f64),
    /// Zero.
    None,
    /// At most twice its own figure here.
    TwiceOf(Figure),
    /// At most this.
    Most(f64),
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) figure: Figure,
    pub(crate) value: f64,
    /// How much of its core the proxy used, where it should be all.
    pub(crate) core: Option<f64>,
    /// It may be any larger value.
    pub(crate) at_least: bool,
}

impl Measured {
    pub(crate) fn new(figure: Figure, value: f64) -> Self {
        Self { figure, value, core: None, at_least: false }
    }

    pub(crate) fn with_core(self, core: f64) -> Self {
        Self { core: Some(core), ..self }
    }

    pub(crate) fn at_least(self) -> Self {
        Self { at_least: true, ..self }
    }

    /// Whether the proxy had less to do than it could have done.
    pub(crate) fn load_was_slower(&self) -> bool {
        self.core.is_some_and(|core| core < 0.9)
    }
}

impl Figure {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::ConnectPlain => "connect, plain: µs of CPU",
            Self::ConnectFull => "connect, mutual TLS, full handshake: µs of CPU",
            Self::ConnectResumed => "connect, mutual TLS, resumed: µs of CPU",
            Self::MessagePlain => "a million messages there and back, plain: s of CPU",
            Self::MessageTls => "a million messages there and back, mutual TLS: s of CPU",
            Self::AddedP50Plain => "latency added there and back, plain, p50: µs",
            Self::AddedP99Plain => "latency added there and back, plain, p99: µs",
            Self::AddedP50Tls => "latency added there and back, mutual TLS, p50: µs",
            Self::AddedP99Tls => "latency added there and back, mutual TLS, p99: µs",
            Self::SaturatedPlain => "messages at saturation, plain: a second of CPU",
            Self::SaturatedTls => "messages at saturation, mutual TLS: a second of CPU",
            Self::ThroughputPlain => "a GB in large messages, plain: s of CPU",
            Self::ThroughputTls => "a GB in large messages, mutual TLS: s of CPU",
            Self::IdlePlain => "an idle connection, plain: KiB",
            Self::IdleTls => "an idle connection, mutual TLS: KiB",
            Self::LeftPlain => "left when 8,000 have gone, plain: MiB",
            Self::LeftTls => "left when 8,000 have gone, mutual TLS: MiB",
            Self::Storm => "storm of 2,000 by mutual TLS, until all are in: s",
            Self::StormImpatient => "storm of 8,000 that wait 5 s and try again, until all are in: s",
            Self::StormFailed => "attempts that failed in it",
            Self::ReloadLost => "100 changes under 2,000 connections: connections lost",
            Self::ReloadBefore => "a message before the changes, p99: ms",
            Self::ReloadMeanwhile => "a message during the changes, p99: ms",
            Self::ReloadMemory => "memory of all its processes after them: MiB",
            Self::Choice => "a choice by hash among 1,000 endpoints: ns",
            Self::Match => "a match among 10,000 routes: ns",
        }
    }

    pub(crate) fn aim(self) -> Option<Aim> {
        match self {
            Self::ConnectPlain | Self::MessagePlain | Self::MessageTls | Self::SaturatedPlain | Self::SaturatedTls => {
                Some(Aim::Ratio(0.9))
            }
            Self::ConnectFull => Some(Aim::Ratio(0.6)),
            Self::ConnectResumed | Self::IdlePlain => Some(Aim::Ratio(0.5)),
            Self::ThroughputPlain => Some(Aim::Ratio(1.0)),
            Self::ThroughputTls => Some(Aim::Ratio(0.85)),
            Self::IdleTls => Some(Aim::Ratio(0.25)),
            Self::Storm => Some(Aim::Ratio(0.65)),
            Self::ReloadLost => Some(Aim::None),
            Self::ReloadMeanwhile => Some(Aim::TwiceOf(Self::ReloadBefore)),
            Self::Choice => Some(Aim::Most(2000.0)),
            Self::Match => Some(Aim::Most(1000.0)),
            _ => None,
        }
    }

    /// What a core does in a second, or a GiB holds: its name, and what the figure divides for it.
    pub(crate) fn capacity(self) -> Option<(&'static str, f64)> {
        match self {
            Self::ConnectPlain => Some(("devices that connect in a second to a core, plain", 1e6)),
            Self::ConnectFull => Some(("the same, mutual TLS, full handshake", 1e6)),
            Self::ConnectResumed => Some(("the same, mutual TLS, resumed", 1e6)),
            Self::IdlePlain => Some(("idle devices in a GiB, plain", KIB_IN_GIB)),
            Self::IdleTls => Some(("the same, mutual TLS", KIB_IN_GIB)),
            _ => None,
        }
    }

    /// What one peer costs as a multiple of what another does: under 1 where it is better.
    pub(crate) fn ratio(self, one: f64, other: f64) -> f64 {
        match self {
            Self::SaturatedPlain | Self::SaturatedTls => other / one,
            _ => one / other,
        }
    }

    /// With as many digits as count.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::ThroughputPlain
            | Self::ThroughputTls
            | Self::IdlePlain
            | Self::IdleTls
            | Self::Storm
            | Self::StormImpatient => format!("{value:.2}"),
            Self::MessagePlain | Self::MessageTls | Self::ReloadBefore | Self::ReloadMeanwhile => format!("{value:.1}"),
            _ => thousands(value),
        }
    }
}

const KIB_IN_GIB: f64 = (1 << 20) as f64;

/// A whole number, in groups of three digits.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
