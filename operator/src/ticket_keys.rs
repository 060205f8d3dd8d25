//! The shared keys of session tickets: one Secret a gateway, whose keys move on from `next` to `current` to `previous`.
//!
//! A proxy seals with `current` and opens with all three. So `next` may become `current` once every proxy has it.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use streamgate_proxy::tls::tickets::keys::TICKET_KEY_BYTES;
use zeroize::{Zeroize, Zeroizing};

/// The annotation of the Secret that says when its keys last moved on.
pub const ROTATED_ANNOTATION: &str = "streamgate.dev/rotated-at";

/// The keys of a gateway.
pub struct TicketKeys {
    current: Key,
    next: Key,
    previous: Option<Key>,
}

type Key = Zeroizing<Vec<u8>>;

/// There are no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomNumbers;

impl TicketKeys {
    /// The first keys of a gateway.
    pub fn first() -> Result<Self, NoRandomNumbers> {
        Ok(Self { current: random()?, next: random()?, previous: None })
    }

    /// The keys that a Secret carries, whatever else it does; `None` where they are not keys that can have been written.
    pub fn read(mut data: BTreeMap<String, ByteString>) -> Option<Self> {
        let mut take = |name: &str| data.remove(name).map(|bytes| Zeroizing::new(bytes.0));
        let (current, next, previous) = (take("current"), take("next"), take("previous"));
        for mut other in data.into_values() {
            other.0.zeroize();
        }
        let keys = Self { current: current?, next: next?, previous };
        let is_whole = |key: &Key| key.len() == TICKET_KEY_BYTES;
        (is_whole(&keys.current) && is_whole(&keys.next) && keys.previous.as_ref().is_none_or(is_whole)).then_some(keys)
    }

    /// Whether a Secret carries anything under this name.
    pub fn has(name: &str) -> bool {
        matches!(name, "current" | "next" | "previous")
    }

    /// The keys moved on by one.
    pub fn rotate(self) -> Result<Self, NoRandomNumbers> {
        Ok(Self { current: self.next, next: random()?, previous: Some(self.current) })
    }

    /// What a Secret is to carry.
    pub fn into_data(self) -> BTreeMap<String, ByteString> {
        let previous = self.previous.map(|key| ("previous", key));
        let keys = [("current", self.current), ("next", self.next)].into_iter().chain(previous);
        keys.map(|(name, mut key)| (name.to_owned(), ByteString(std::mem::take(&mut *key)))).collect()
    }
}

/// When the annotation says that keys moved on; `None` where that is no time, or one that has not come yet, of a clock that
/// was ahead.
pub fn rotated(annotation: Option<&str>, now: Timestamp) -> Option<Timestamp> {
    annotation?.parse().ok().filter(|rotated| *rotated <= now)
}

fn random() -> Result<Key, NoRandomNumbers> {
    let mut key = Zeroizing::new(vec![0; TICKET_KEY_BYTES]);
    rand::fill(&mut key).map_err(|_| NoRandomNumbers)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_to_come_is_current_after_a_rotation_and_what_was_current_still_opens() {
        let first = TicketKeys::first().unwrap().into_data();
        let second = TicketKeys::read(first.clone()).unwrap().rotate().unwrap().into_data();
        assert_eq!(second["current"], first["next"]);
        assert_eq!(second["previous"], first["current"]);
        assert!(second["next"] != first["next"] && second["next"] != first["current"]);
        assert!(second.values().all(|key| key.0.len() == TICKET_KEY_BYTES));
    }

    #[test]
    fn keys_that_are_not_what_was_written_are_none() {
        let whole = TicketKeys::first().unwrap().into_data();
        let changed = |change: fn(&mut BTreeMap<String, ByteString>)| {
            let mut data = whole.clone();
            change(&mut data);
            TicketKeys::read(data).is_none()
        };
        assert!(!changed(|_| {}));
        assert!(changed(|data| drop(data.remove("next"))));
        assert!(changed(|data| drop(data.insert("current".to_owned(), ByteString(vec![0; 16])))));
        assert!(!changed(|data| drop(data.insert("mine".to_owned(), ByteString(vec![0; 64])))));
    }

    #[test]
    fn a_time_that_has_not_come_is_none_at_which_keys_moved_on() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        assert!(rotated(Some("2026-01-02T00:00:00Z"), now).is_some());
        assert_eq!(rotated(Some("2026-01-02T00:00:01Z"), now), None);
        assert_eq!(rotated(Some("yesterday"), now), None);
        assert_eq!(rotated(None, now), None);
    }
}
