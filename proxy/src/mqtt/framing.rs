//! Where one packet ends and the next begins, in five bytes of state.

/// Follows the packets of one direction: it sees all bytes of it, in pieces of any size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Framing {
    /// What is left of the packet's body; while its length is being read, what is known of that.
    left: u32,
    step: Step,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    /// The first byte of a packet.
    #[default]
    First,
    /// A byte of its remaining length (2.1.4), from the first to the fourth.
    Length1,
    Length2,
    Length3,
    Length4,
    /// Its body.
    Body,
    /// Nothing that could be understood: a length of five bytes. Nothing will be between packets any more.
    Lost,
}

impl Framing {
    /// Whether all that was seen ends with a whole packet, so that another may be put in here.
    pub fn is_between_packets(self) -> bool {
        self.step == Step::First
    }

    /// Follows `bytes`.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while let Some(rest) = self.follow_packet(bytes) {
            bytes = rest;
        }
    }

    /// Follows `bytes` up to the end of the packet that is under way (of the next one, if none is). Gives what is after
    /// that; `None` if `bytes` end within the packet.
    pub fn follow_packet<'a>(&mut self, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
        loop {
            let shift = match self.step {
                Step::Lost => return None,
                Step::Body => {
                    let here = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(self.left);
                    self.left -= here;
                    bytes = bytes.get(here as usize..)?;
                    if self.left > 0 {
                        return None;
                    }
                    self.step = Step::First;
                    return Some(bytes);
                }
                Step::First => {
                    bytes = bytes.split_first()?.1;
                    *self = Self { left: 0, step: Step::Length1 };
                    continue;
                }
                Step::Length1 => 0,
                Step::Length2 => 7,
                Step::Length3 => 14,
                Step::Length4 => 21,
            };
            let (&byte, rest) = bytes.split_first()?;
            bytes = rest;
            self.left |= u32::from(byte & 0x7F) << shift;
            self.step = match (byte & 0x80 == 0, self.step) {
                (true, _) => Step::Body,
                (false, Step::Length1) => Step::Length2,
                (false, Step::Length2) => Step::Length3,
                (false, Step::Length3) => Step::Length4,
                (false, _) => Step::Lost,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt::packets::packet;

    #[test]
    fn its_state_is_small() {
        assert!(size_of::<Framing>() <= 8);
    }

    #[test]
    fn a_packet_without_a_body_ends_with_its_length() {
        let mut framing = Framing::default();
        assert_eq!(framing.follow_packet(&[0xC0, 0x00, 0xD0]), Some(&[0xD0][..]));
        assert!(framing.is_between_packets());
        framing.follow(&[0xC0]);
        assert!(!framing.is_between_packets());
        framing.follow(&[0x00]);
        assert!(framing.is_between_packets());
    }

    #[test]
    fn a_length_of_five_bytes_is_between_packets_never_again() {
        let mut framing = Framing::default();
        framing.follow(&[0x30, 0x80, 0x80, 0x80, 0x80, 0x00]);
        framing.follow(&[0xC0, 0x00]);
        assert!(!framing.is_between_packets());
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_it_finds_the_ends(
            bodies in prop::collection::vec(prop_oneof![0_usize..3, 120_usize..135, 16380_usize..16390], 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for body in bodies {
                bytes.extend(packet(0x30, vec![0xFF; body]));
                ends.push(bytes.len());
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut framing = Framing::default();
            let mut from = 0;
            for cut in cuts {
                framing.follow(&bytes[from..cut]);
                prop_assert_eq!(framing.is_between_packets(), ends.contains(&cut), "at {}", cut);
                from = cut;
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framing = Framing::default();
            framing.follow(&bytes);
            let mut rest = &bytes[..];
            while let Some(after) = framing.follow_packet(rest) {
                prop_assert!(after.len() < rest.len());
                rest = after;
            }
        }
    }
}
