//! Connect flags (3.1.2.3 and what follows).

use super::*;

#[test]
fn the_reserved_bit_is_malformed_from_3_1_1_on() {
    for (packet, form) in every_version().into_iter().skip(1) {
        let reason = malformed(&packet.flip_flags(0x01).bytes(), form);
        assert_eq!(reason, "the connect flags 0x03 announce the reserved bit 0");
    }
}

#[test]
fn will_qos_3_is_malformed() {
    for (packet, form) in every_version() {
        // The builder's will has QoS 1.
        let reason = malformed(&packet.will("topic", "").flip_flags(0x10).bytes(), form);
        assert!(reason.contains("will QoS 3"), "{reason}");
    }
}

#[test]
fn will_qos_without_a_will_is_malformed_from_3_1_1_on() {
    for qos in [0x08, 0x10, 0x18] {
        for (packet, form) in every_version().into_iter().skip(1) {
            let reason = malformed(&packet.flip_flags(qos).bytes(), form);
            assert!(reason.contains("a will QoS but no will"), "{reason}");
        }
    }
}

#[test]
fn will_retain_without_a_will_is_malformed_from_3_1_1_on() {
    for (packet, form) in every_version().into_iter().skip(1) {
        let reason = malformed(&packet.flip_flags(0x20).bytes(), form);
        assert!(reason.contains("will retain but no will"), "{reason}");
    }
}

#[test]
fn a_password_without_a_user_name_is_malformed_before_mqtt_5() {
    for packet in [ConnectPacket::v3_1(), ConnectPacket::v3_1_1()] {
        let reason = malformed(&packet.password("secret").bytes(), Some(Form::V3));
        assert!(reason.contains("a password but no user name"), "{reason}");
    }
}

#[test]
fn they_are_judged_as_soon_as_they_arrive() {
    let bytes = ConnectPacket::v3_1_1().flip_flags(0x01).bytes();
    assert_eq!(decode_one_by_one(NO_LIMIT, &bytes).0, 10);
}

#[test]
fn the_maximum_packet_size_counts_although_it_comes_after_them() {
    let packet = ConnectPacket::v5().property([0x27, 0, 0, 0, 9]).flip_flags(0x01);
    malformed(&packet.bytes(), Some(known(9)));
}
