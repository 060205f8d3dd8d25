//! The byte of Connect Flags (3.1.2.3 to 3.1.2.9).

use crate::mqtt::level::Level;
use crate::mqtt::wire::Stop;

/// Which fields the payload has, and how the will is to be published.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectFlags(u8);

impl ConnectFlags {
    /// Reads the byte by the rules of the level.
    ///
    /// MQTT 3.1 has fewer: it doesn't use bit 0, and disregards the other bits of a will that isn't there.
    pub(super) fn read(byte: u8, level: Level) -> Result<Self, Stop> {
        let flags = Self(byte);
        if level != Level::V3_1 {
            flags.check_unused_bits()?;
        }
        // [MQTT-3.1.2-12] (3.1.1: [MQTT-3.1.2-14])
        if flags.will() && flags.will_qos() == 3 {
            return Err(flags.malformed("will QoS 3, which there is not"));
        }
        // [MQTT-3.1.2-22] of 3.1.1, and MQTT 3.1 has the same rule. MQTT 5.0 allows it (3.1.2.9).
        if level != Level::V5 && flags.password() && !flags.username() {
            return Err(flags.malformed("a password but no user name"));
        }
        Ok(flags)
    }

    pub(super) fn clean_start(self) -> bool {
        self.has(0x02)
    }

    pub(super) fn will(self) -> bool {
        self.has(0x04)
    }

    pub(super) fn password(self) -> bool {
        self.has(0x40)
    }

    pub(super) fn username(self) -> bool {
        self.has(0x80)
    }

    fn check_unused_bits(self) -> Result<(), Stop> {
        // [MQTT-3.1.2-3]
        if self.has(0x01) {
            return Err(self.malformed("the reserved bit 0"));
        }
        // [MQTT-3.1.2-11] (3.1.1: [MQTT-3.1.2-13])
        if !self.will() && self.will_qos() != 0 {
            return Err(self.malformed("a will QoS but no will"));
        }
        // [MQTT-3.1.2-13] (3.1.1: [MQTT-3.1.2-15])
        if !self.will() && self.has(0x20) {
            return Err(self.malformed("will retain but no will"));
        }
        Ok(())
    }

    fn will_qos(self) -> u8 {
        self.0 >> 3 & 0b11
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    fn malformed(self, what: &str) -> Stop {
        Stop::malformed(format!("the connect flags 0x{:02X} announce {what}", self.0))
    }
}
