//! Protocol levels: which version of MQTT a client speaks.

use std::fmt;

/// A version of MQTT that can be read, named by the Protocol Level byte of CONNECT (3.1.2.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V3_1,
    /// MQTT 3.1.1: protocol name `MQTT`, level 4.
    V3_1_1,
    /// MQTT 5.0: protocol name `MQTT`, level 5.
    V5,
}

impl Level {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::V3_1, Self::V3_1_1, Self::V5];

    /// The Protocol Level byte: 3, 4 or 5.
    pub fn number(self) -> u8 {
        match self {
            Self::V3_1 => 3,
            Self::V3_1_1 => 4,
            Self::V5 => 5,
        }
    }

    /// The protocol name that goes with the level, `MQIsdp` or `MQTT`.
    pub fn protocol_name(self) -> &'static str {
        match self {
            Self::V3_1 => "MQIsdp",
            Self::V3_1_1 | Self::V5 => "MQTT",
        }
    }
}

impl fmt::Display for Level {
    /// As people know it: `MQTT 3.1.1`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V3_1 => "MQTT 3.1",
            Self::V3_1_1 => "MQTT 3.1.1",
            Self::V5 => "MQTT 5.0",
        })
    }
}

/// The levels that a route serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LevelSet {
    /// Bit n stands for level n.
    bits: u8,
}

impl LevelSet {
    /// Every level that can be read.
    pub const ALL: Self = Self { bits: 0b11_1000 };

    /// The set of these Protocol Level bytes. Numbers other than 3, 4 and 5 name no level that can be
    /// read, so they add nothing.
    pub fn new(numbers: &[u8]) -> Self {
        let bits = Level::ALL
            .into_iter()
            .filter(|level| numbers.contains(&level.number()))
            .fold(0, |bits, level| bits | 1 << level.number());
        Self { bits }
    }

    /// Whether the level is one of the set.
    pub fn contains(self, level: Level) -> bool {
        self.bits & 1 << level.number() != 0
    }
}

impl fmt::Display for LevelSet {
    /// `4 (MQTT 3.1.1), 5 (MQTT 5.0)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let served = Level::ALL.into_iter().filter(|level| self.contains(*level));
        let mut empty = true;
        for level in served {
            let comma = if empty { "" } else { ", " };
            write!(formatter, "{comma}{} ({level})", level.number())?;
            empty = false;
        }
        if empty {
            formatter.write_str("none")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = LevelSet::new(&[5, 3]);
        assert!(set.contains(Level::V3_1));
        assert!(!set.contains(Level::V3_1_1));
        assert!(set.contains(Level::V5));
        assert_eq!(LevelSet::new(&[3, 4, 5]), LevelSet::ALL);
    }

    #[test]
    fn numbers_that_name_no_level_add_nothing() {
        assert_eq!(LevelSet::new(&[0, 2, 4, 6, 0x84, 255]), LevelSet::new(&[4]));
    }

    #[test]
    fn a_set_is_written_for_people() {
        assert_eq!(LevelSet::ALL.to_string(), "3 (MQTT 3.1), 4 (MQTT 3.1.1), 5 (MQTT 5.0)");
        assert_eq!(LevelSet::new(&[5]).to_string(), "5 (MQTT 5.0)");
        assert_eq!(LevelSet::new(&[]).to_string(), "none");
    }
}
