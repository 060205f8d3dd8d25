//! Reading a CONNECT: that of a device, whole when it comes.

use super::count;
use crate::mqtt::packets::{ConnectPacket, property};
use crate::mqtt::{ConnectDecoder, ConnectLimits, LevelSet, Progress};

/// Reads it as a connection does.
fn read(bytes: &[u8]) -> usize {
    let mut decoder = ConnectDecoder::new(ConnectLimits { max_packet_bytes: 64 << 10, levels: LevelSet::ALL });
    assert_eq!(decoder.decode(bytes), Ok(Progress::Complete { packet_len: bytes.len() }));
    let connect = decoder.connect(bytes).expect("a CONNECT");
    connect.client_id.len()
}

fn count_reading(packet: &ConnectPacket) {
    let bytes = packet.clone().client_id("sensor-0042").username("acme").password("not a secret").bytes();
    count(&vec![bytes; 100], |bytes| read(bytes));
}

#[test]
fn connect_of_mqtt_3_1_1() {
    count_reading(&ConnectPacket::v3_1_1().will("devices/sensor-0042/state", "gone"));
}

#[test]
fn connect_of_mqtt_5() {
    count_reading(
        &ConnectPacket::v5()
            // Session Expiry Interval, Receive Maximum, Maximum Packet Size.
            .property([0x11, 0, 0, 0x0e, 0x10])
            .property([0x21, 0, 20])
            .property([0x27, 0, 1, 0, 0])
            .property(property(0x26, &[b"firmware", b"4.2.1"]))
            .will("devices/sensor-0042/state", "gone")
            // Will Delay Interval.
            .will_property([0x18, 0, 0, 0, 30]),
    );
}
