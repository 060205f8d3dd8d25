//! What the client is told.

use super::*;

fn connack(limits: ConnectLimits, bytes: &[u8]) -> Option<Vec<u8>> {
    refused_by(limits, bytes).connack()
}

#[test]
fn clients_whose_version_is_not_known_get_none() {
    assert_eq!(connack(NO_LIMIT, b"\x30"), None);
    assert_eq!(connack(NO_LIMIT, b"\x10\x0C\0\x04HTTP"), None);
    assert_eq!(connack(NO_LIMIT, b"\x10\xFF\xFF\xFF\xFF"), None);
}

#[test]
fn a_malformed_old_connect_gets_none() {
    assert_eq!(connack(NO_LIMIT, &ConnectPacket::v3_1_1().rest("x").bytes()), None);
    assert_eq!(connack(at_most(10), &ConnectPacket::v3_1_1().bytes()), None);
}

#[test]
fn an_old_level_gets_0x01() {
    let bytes = ConnectPacket::v3_1_1().bytes();
    assert_eq!(connack(serving(&[5]), &bytes), Some(vec![0x20, 2, 0, 0x01]));
    let bytes = ConnectPacket::new("MQTT", 0x84).bytes();
    assert_eq!(connack(NO_LIMIT, &bytes), Some(vec![0x20, 2, 0, 0x01]));
}

#[test]
fn a_client_of_mqtt_5_gets_code_and_sentence() {
    let packet = ConnectPacket::v5().property([0x21, 0, 0]);
    let text = b"property Receive Maximum (0x21) is 0";
    let expected = [&b"\x20\x2A\0\x82\x27\x1F\0\x24"[..], text].concat();
    assert_eq!(connack(NO_LIMIT, &packet.bytes()), Some(expected));
}

#[test]
fn a_client_of_mqtt_5_that_asks_for_small_packets_gets_the_code_alone() {
    let packet = ConnectPacket::v5().property([0x27, 0, 0, 0, 20]).property([0x21, 0, 0]);
    assert_eq!(connack(NO_LIMIT, &packet.bytes()), Some(vec![0x20, 3, 0, 0x82, 0]));
    let packet = packet.client_id("x").property([0x17, 1]);
    assert_eq!(connack(at_most(10), &packet.bytes()), Some(vec![0x20, 3, 0, 0x95, 0]));
}

#[test]
fn a_level_above_5_gets_the_code_alone() {
    let bytes = ConnectPacket::new("MQTT", 6).bytes();
    assert_eq!(connack(NO_LIMIT, &bytes), Some(vec![0x20, 3, 0, 0x84, 0]));
}
