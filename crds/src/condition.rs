//! The words of a status: what is said of an object, and why.

use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What a condition of a StreamRoute or a TlsSni says, as in Gateway API. Each is of the generation in its
/// `observedGeneration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionType {
    /// The object holds, and the gateway's owner allows it. A name that it lost alone leaves it True.
    Accepted,
    /// Everything that it refers to is there and can be used.
    ResolvedRefs,
    /// Every proxy that gets traffic has applied it. Unknown while one of them is silent.
    Programmed,
}

impl ConditionType {
    /// All of them, in the order in which a status has them.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::ResolvedRefs, Self::Programmed];

    /// The word, as a condition's `type` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Declares [`Reason`]: per condition its words, the one for True first.
macro_rules! reasons {
    ($($condition:ident { $($(#[doc = $doc:literal])+ $word:ident,)+ })+) => {
        /// Why a condition is as it is, or why an object or one of its names takes no effect. A closed list, for status and
        /// log.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($($(#[doc = $doc])+ $word,)+)+
        }

        impl Reason {
            /// All of them, by condition, the one for True first.
            pub const ALL: &[Self] = &[$($(Self::$word,)+)+];

            /// The word, as status and log have it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$word => stringify!($word),)+)+
                }
            }

            /// Which condition has it as its reason.
            pub fn condition(self) -> ConditionType {
                match self {
                    $($(Self::$word)|+ => ConditionType::$condition,)+
                }
            }
        }
    };
}

reasons! {
    Accepted {
        /// True: the object holds.
        Accepted,
        /// The object does not hold by itself.
        Invalid,
        /// An older object has the claim.
        Conflicted,
        /// The gateway has none of the listeners that the route names.
        NoMatchingListener,
        /// The gateway's owner does not let this namespace use it.
        NamespaceNotAllowed,
        /// The gateway's owner does not let this namespace have the name.
        NameNotAllowed,
        /// The gateway's owner does not let this namespace use a listener without TLS.
        PlaintextNotAllowed,
        /// The gateway's owner allows no upstreams outside of the cluster: no `nodes`, no Service of type `ExternalName`.
        ExternalUpstreamNotAllowed,
        /// What would be generated of the object has a name that is longer than a name may be.
        NameTooLong,
        /// What would be generated of the object, or of what it refers to, is larger than an object may be.
        TooLarge,
    }
    ResolvedRefs {
        /// True: everything that the object refers to can be used.
        ResolvedRefs,
        /// Something that the object refers to isn't there.
        RefNotFound,
        /// The Service has no such port.
        InvalidPort,
        /// No `TlsSni` of the gateway serves the name.
        NoMatchingTlsSni,
        /// The `TlsSni` that serves the name does not allow the route's namespace.
        NotAllowedByTlsSni,
        /// A certificate or its key can't be used.
        InvalidCertificate,
        /// A certificate is past its end.
        CertificateExpired,
        /// A revocation list is past its end; the object takes effect, and lets nobody of that issuer in.
        CrlExpired,
        /// An endpoint has an address that is no upstream: loopback, link-local or the gateway's own.
        UpstreamDenied,
    }
    Programmed {
        /// True: every proxy that gets traffic has applied this generation.
        Programmed,
        /// The object was not accepted, so there is nothing to apply.
        NotAccepted,
        /// Not every proxy has applied this generation yet.
        Pending,
        /// A proxy refuses it; the message has the proxy's words.
        Refused,
        /// The gateway has no proxy that is ready.
        NoProxies,
        /// Unknown: a proxy that gets traffic has not reported for longer than its lease holds.
        ProxySilent,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The schema of a status's conditions: Kubernetes' own, each type once.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One thing that is said of the object.",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "description": "What is said: `Accepted`, `ResolvedRefs` or `Programmed`.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
                },
                "status": {
                    "description": "Whether it is so: `True`, `False` or `Unknown`.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"]
                },
                "observedGeneration": {
                    "description": "The `metadata.generation` of which it is said. Absent: not known.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0
                },
                "lastTransitionTime": {
                    "description": "When `status` changed last.",
                    "type": "string",
                    "format": "date-time"
                },
                "reason": {
                    "description": "Why it is so, in a word.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
                },
                "message": {
                    "description": "Why it is so, in a sentence that says what to do about it.",
                    "type": "string",
                    "maxLength": 32768
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_word_as_kubernetes_has_it_and_each_is_there_once() {
        let mut words: Vec<_> = Reason::ALL.iter().map(ToString::to_string).collect();
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }

    #[test]
    fn every_condition_has_its_own_word_for_true() {
        for condition in ConditionType::ALL {
            let first = Reason::ALL.iter().find(|reason| reason.condition() == condition).unwrap();
            assert_eq!(first.as_str(), condition.as_str());
        }
    }
}
