//! Levels that are served, and those that are not.

use super::*;

fn unsupported(limits: ConnectLimits, bytes: &[u8]) -> (Option<Form>, String) {
    let error = refused_by(limits, bytes);
    assert_eq!(error.refusal, Refusal::UnsupportedLevel);
    (error.form, error.reason)
}

#[test]
fn a_level_that_is_served_is_accepted() {
    for (number, packet) in [(3, ConnectPacket::v3_1()), (4, ConnectPacket::v3_1_1()), (5, ConnectPacket::v5())] {
        let progress = decode(serving(&[number]), &packet.bytes());
        assert!(matches!(progress, Ok(Progress::Complete { .. })));
    }
}

#[test]
fn a_level_that_is_not_served_is_told_in_its_own_form() {
    for (others, packet, form, reason) in [
        (
            &[4, 5],
            ConnectPacket::v3_1(),
            Some(Form::V3),
            "protocol level 3 (MQTT 3.1) is not served here; served: 4 (MQTT 3.1.1), 5 (MQTT 5.0)",
        ),
        (
            &[3, 5],
            ConnectPacket::v3_1_1(),
            Some(Form::V3),
            "protocol level 4 (MQTT 3.1.1) is not served here; served: 3 (MQTT 3.1), 5 (MQTT 5.0)",
        ),
        (
            &[3, 4],
            ConnectPacket::v5(),
            ABSENT,
            "protocol level 5 (MQTT 5.0) is not served here; served: 3 (MQTT 3.1), 4 (MQTT 3.1.1)",
        ),
    ] {
        let expected = (form, reason.to_owned());
        assert_eq!(unsupported(serving(others), &packet.bytes()), expected);
    }
}

#[test]
fn an_old_level_that_is_not_served_is_refused_at_its_level_byte() {
    let bytes = ConnectPacket::v3_1_1().bytes();
    let (taken, verdict) = decode_one_by_one(serving(&[5]), &bytes);
    assert_eq!(taken, 9);
    assert!(verdict.is_err());
}

#[test]
fn level_5_that_is_not_served_is_read_whole_so_that_its_maximum_packet_size_is_known() {
    let bytes = everything().bytes();
    assert_eq!(unsupported(serving(&[4]), &bytes).0, Some(known(1000)));
    let (taken, verdict) = decode_one_by_one(serving(&[4]), &bytes);
    assert_eq!(taken, bytes.len());
    assert_eq!(verdict.map_err(|error| error.form), Err(Some(known(1000))));
}

#[test]
fn level_5_that_is_not_served_stays_so_whatever_else_is_wrong() {
    for bytes in [
        ConnectPacket::v5().flip_flags(1).bytes(),
        ConnectPacket::v5().property([0x21, 0, 0]).bytes(),
        ConnectPacket::v5().client_id(b"\xFF").bytes(),
        ConnectPacket::v5().rest("x").bytes(),
        packet(0x13, ConnectPacket::v5().body()),
    ] {
        let (form, reason) = unsupported(serving(&[3, 4]), &bytes);
        assert_eq!(form, ABSENT);
        assert!(reason.contains("level 5"), "{reason}");
    }
}

#[test]
fn levels_above_5_are_told_in_the_form_of_5_at_once() {
    for level in (6..=255).filter(|level| ![0x83, 0x84].contains(level)) {
        let bytes = ConnectPacket::new("MQTT", level).bytes();
        let (form, reason) = unsupported(NO_LIMIT, &bytes);
        assert_eq!(form, UNKNOWN);
        assert!(reason.contains(&format!("level {level} ")), "{reason}");
        assert_eq!(decode_one_by_one(NO_LIMIT, &bytes).0, 9);
    }
}

#[test]
fn levels_below_4_are_told_in_the_old_form() {
    for level in 0..4 {
        let bytes = ConnectPacket::new("MQTT", level).bytes();
        assert_eq!(unsupported(NO_LIMIT, &bytes).0, Some(Form::V3));
    }
}

#[test]
fn mosquitto_bridges_are_told_in_the_old_form_so_that_they_fall_back() {
    for (name, level) in [("MQIsdp", 0x83), ("MQTT", 0x84), ("MQTT", 0x83)] {
        let bytes = ConnectPacket::new(name, level).bytes();
        let (form, reason) = unsupported(NO_LIMIT, &bytes);
        assert_eq!(form, Some(Form::V3));
        assert!(reason.contains("bridge"), "{reason}");
    }
}

#[test]
fn the_old_name_goes_with_level_3_alone_and_is_told_in_the_old_form() {
    for level in (0..=255).filter(|level| *level != 3) {
        let bytes = ConnectPacket::new("MQIsdp", level).bytes();
        assert_eq!(unsupported(NO_LIMIT, &bytes).0, Some(Form::V3));
    }
}

#[test]
fn the_level_comes_before_the_size() {
    let limits = ConnectLimits { max_packet_bytes: 10, levels: LevelSet::new(&[3]) };
    for (packet, form) in [(ConnectPacket::v3_1_1(), Some(Form::V3)), (ConnectPacket::v5(), ABSENT)] {
        assert_eq!(unsupported(limits, &packet.bytes()).0, form);
    }
}

#[test]
fn level_5_that_is_neither_served_nor_small_enough_is_refused_at_once() {
    let limits = ConnectLimits { max_packet_bytes: 10, levels: LevelSet::new(&[3]) };
    let (taken, _) = decode_one_by_one(limits, &ConnectPacket::v5().bytes());
    assert_eq!(taken, 9);
}
