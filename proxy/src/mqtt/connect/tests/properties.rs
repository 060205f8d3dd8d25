//! Properties (MQTT 5.0, 2.2.2).

use super::*;

#[test]
fn a_property_twice_is_a_protocol_error() {
    let packet = ConnectPacket::v5().property([0x21, 0, 9]).property([0x21, 0, 9]);
    assert_eq!(
        refused(&packet.bytes()),
        (Refusal::ProtocolError, ABSENT, "property Receive Maximum (0x21) appears twice".to_owned())
    );
}

#[test]
fn receive_maximum_0_is_a_protocol_error() {
    let packet = ConnectPacket::v5().property([0x21, 0, 0]);
    assert_eq!(refused(&packet.bytes()).0, Refusal::ProtocolError);
}

#[test]
fn an_unknown_property_is_malformed() {
    let packet = ConnectPacket::v5().property([0x7F, 0]);
    let reason = malformed(&packet.bytes(), ABSENT);
    assert_eq!(reason, "there is no property 0x7F in a CONNECT or a will");
}

#[test]
fn the_will_has_properties_of_its_own() {
    let packet = ConnectPacket::v5().property([0x18, 0, 0, 0, 1]);
    let reason = malformed(&packet.bytes(), ABSENT);
    assert!(reason.contains("Will Delay Interval (0x18)"), "{reason}");
    let packet = ConnectPacket::v5().will("t", "").will_property([0x21, 0, 1]);
    let reason = malformed(&packet.bytes(), ABSENT);
    assert!(reason.contains("Receive Maximum (0x21)"), "{reason}");
}

#[test]
fn a_property_may_stand_in_both_sets() {
    let user = property(0x26, &[b"a", b"b"]);
    let packet = ConnectPacket::v5().property(&user).will("t", "").will_property(&user);
    accepted(&packet.bytes());
}

#[test]
fn the_maximum_packet_size_counts_wherever_it_stands() {
    let packet = ConnectPacket::v5().property([0x21, 0, 0]).property([0x27, 0, 0, 0, 77]);
    assert_eq!(refused(&packet.bytes()).1, Some(known(77)));
    let packet = ConnectPacket::v5().property([0x27, 0, 0, 0, 77]).client_id(b"\xFF");
    assert_eq!(refused(&packet.bytes()).1, Some(known(77)));
}

#[test]
fn a_will_has_no_maximum_packet_size_to_give() {
    let packet = ConnectPacket::v5().property([0x27, 0, 0, 0, 77]).will("t", "").will_property([0x27, 0, 0, 0, 1]);
    malformed(&packet.bytes(), Some(known(77)));
}

#[test]
fn before_mqtt_5_there_are_none() {
    // The property length 0 would be the first byte of the client id's length.
    let bytes = b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\0\0";
    malformed(bytes, Some(Form::V3));
}
