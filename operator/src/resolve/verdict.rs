//! What is said of an object, proxies aside.

use std::borrow::Cow;

use jiff::Timestamp;
use streamgate_crds::admit::NOTHING_LEFT;
use streamgate_crds::problem::Kind;
use streamgate_crds::{ConditionType, ObjectRef, Reason, Refusal};

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    /// It does.
    True,
    /// It doesn't.
    False,
    /// That can't be said.
    Unknown,
}

impl Truth {
    /// The word, as a condition's `status` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What is said of an object in one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether it is so.
    pub truth: Truth,
    /// Why, in a word.
    pub reason: Reason,
    /// Why, in a sentence.
    pub message: Cow<'static, str>,
}

/// What is said of an object, proxies aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds and is allowed.
    pub accepted: Said,
    /// Whether all that it refers to can be used.
    pub resolved_refs: Said,
    /// Of a TlsSni: when the first of its certificates ends.
    pub not_after: Option<Timestamp>,
    /// Of a TlsSni: what its certificates are for.
    pub subject_alt_names: Vec<String>,
    /// How many refusals a proxy is bound to report of it, because what it refers to isn't there.
    pub expected_refusals: usize,
    /// Whether a proxy is bound to refuse it whole.
    pub is_refused: bool,
}

/// What is wrong with something that an object refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Said {
    fn new(truth: Truth, reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { truth, reason, message: message.into() }
    }

    /// No, for the first of these, with all of them told.
    fn no(faults: &[Fault]) -> Option<Self> {
        let first = faults.first()?;
        Some(Self::new(Truth::False, first.reason, sentences(faults.iter().map(|fault| fault.message.as_str()))))
    }
}

impl Verdict {
    /// The verdict on an object, of which these were refused and these references are wrong. `does_hold`: it takes effect.
    pub(super) fn new(kind: Kind, does_hold: bool, refusals: &[Refusal], faults: &[Fault]) -> Self {
        let of_names = |condition: ConditionType| -> Vec<Fault> {
            let refusals = refusals.iter().filter(|refusal| refusal.reason.condition() == condition);
            let fault = |refusal: &Refusal| Fault { reason: refusal.reason, message: refusal.message.clone() };
            refusals.map(fault).collect()
        };
        let lost = of_names(ConditionType::Accepted);
        let mut unresolved = of_names(ConditionType::ResolvedRefs);
        let (accepted, resolved_refs) = match Said::no(&lost) {
            Some(no) if !does_hold => {
                // What became known on the way is told all the same.
                let resolved = Said::no(&unresolved).unwrap_or_else(|| {
                    Said::new(Truth::Unknown, Reason::NotAccepted, "it was not accepted, so that none were looked up")
                });
                (no, resolved)
            }
            lost => {
                let accepted = match lost {
                    Some(lost) => format!("it takes effect without some of what it asks for: {}", lost.message).into(),
                    None => Cow::from(match kind {
                        Kind::StreamRoute => "the StreamRoute holds and is allowed",
                        Kind::TlsSni => "the TlsSni holds and is allowed",
                    }),
                };
                unresolved.extend_from_slice(faults);
                let resolved = Said::no(&unresolved).unwrap_or_else(|| {
                    Said::new(Truth::True, Reason::ResolvedRefs, "all that it refers to can be used")
                });
                (Said::new(Truth::True, Reason::Accepted, accepted), resolved)
            }
        };
        Self {
            accepted,
            resolved_refs,
            not_after: None,
            subject_alt_names: Vec::new(),
            expected_refusals: 0,
            is_refused: false,
        }
    }

    /// The verdict on an object that can't be passed on as it is.
    pub(super) fn not_accepted(fault: Fault) -> Self {
        let refusal = Refusal {
            object: ObjectRef { kind: Kind::StreamRoute, namespace: String::new(), name: String::new() },
            reason: fault.reason,
            message: fault.message,
        };
        Self::new(Kind::StreamRoute, false, &[refusal], &[])
    }
}

/// Sentences as one, each once, the first of them if they are many.
fn sentences<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut told: Vec<&str> = Vec::new();
    let mut end = "";
    let mut more = 0_usize;
    for sentence in all {
        let (sentence, its_end) = match sentence.rfind(NOTHING_LEFT) {
            Some(place) => sentence.split_at(place),
            None => (sentence, ""),
        };
        end = if its_end.is_empty() { end } else { its_end };
        if told.contains(&sentence) {
            continue;
        }
        if told.len() < MOST_SENTENCES { told.push(sentence) } else { more += 1 }
    }
    let mut told = told.join("; ");
    if let Some((place, _)) = told.char_indices().nth(MOST_CHARACTERS) {
        told.truncate(place);
        told.push('…');
    }
    let more = if more == 0 { "" } else { "; and more" };
    format!("{told}{more}{end}")
}

/// How many sentences a message has.
const MOST_SENTENCES: usize = 8;

/// How long they are at most together. A condition takes 32768.
const MOST_CHARACTERS: usize = 8192;
