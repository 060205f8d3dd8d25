//! What is accepted.

use super::*;

#[test]
fn a_connect_of_mqtt_3_1() {
    let bytes = b"\x10\x14\0\x06MQIsdp\x03\x02\0\x3C\0\x06device";
    assert_eq!(ConnectPacket::v3_1().bytes(), bytes);
    let expected = Connect {
        packet: bytes,
        level: Level::V3_1,
        clean_start: true,
        keep_alive_seconds: 60,
        client_id: "device",
        username: None,
        password: None,
        has_will: false,
        maximum_packet_size: None,
    };
    assert_eq!(accepted(bytes).connect(bytes), Some(expected));
}

#[test]
fn a_connect_of_mqtt_3_1_1_with_everything() {
    let bytes = b"\x10\x2D\0\x04MQTT\x04\xEC\x01\x02\0\x06device\
        \0\x04will\0\x05\xFFgone\0\x04user\0\x06\0\xFFpass";
    let built = ConnectPacket::v3_1_1()
        .clean_start(false)
        .keep_alive_seconds(258)
        .will("will", b"\xFFgone")
        .username("user")
        .password(b"\0\xFFpass");
    assert_eq!(built.bytes(), bytes);
    let expected = Connect {
        packet: bytes,
        level: Level::V3_1_1,
        clean_start: false,
        keep_alive_seconds: 258,
        client_id: "device",
        username: Some("user"),
        password: Some(b"\0\xFFpass"),
        has_will: true,
        maximum_packet_size: None,
    };
    assert_eq!(accepted(bytes).connect(bytes), Some(expected));
}

#[test]
fn a_connect_of_mqtt_5_with_everything() {
    let bytes = everything().bytes();
    let expected = Connect {
        packet: &bytes,
        level: Level::V5,
        clean_start: true,
        keep_alive_seconds: 60,
        client_id: "device",
        username: Some("user"),
        password: Some(b"\0\xFFpass"),
        has_will: true,
        maximum_packet_size: Some(1000),
    };
    assert_eq!(accepted(&bytes).connect(&bytes), Some(expected));
}

#[test]
fn the_client_id_may_be_empty_and_the_protocol_says_when() {
    for (packet, allowed) in [
        (ConnectPacket::v3_1(), false),
        (ConnectPacket::v3_1_1(), true),
        (ConnectPacket::v3_1_1().clean_start(false), false),
        (ConnectPacket::v5(), true),
        (ConnectPacket::v5().clean_start(false), true),
    ] {
        let bytes = packet.client_id("").bytes();
        let decoder = accepted(&bytes);
        let connect = decoder.connect(&bytes).unwrap();
        assert_eq!(connect.client_id, "");
        assert_eq!(connect.empty_client_id_allowed(), allowed, "{connect:?}");
    }
}

#[test]
fn a_long_client_id_is_for_the_broker_to_judge() {
    for (packet, _) in every_version() {
        accepted(&packet.client_id("x".repeat(65535)).bytes());
    }
}

#[test]
fn control_characters_and_non_characters_are_for_the_broker_to_judge() {
    for (packet, _) in every_version() {
        accepted(&packet.client_id("\u{1}\u{7F}\u{FFFF}\u{FEFF}\u{10FFFF}").bytes());
    }
}

#[test]
fn user_name_and_password_may_be_empty() {
    for (packet, _) in every_version() {
        let bytes = packet.username("").password("").bytes();
        let decoder = accepted(&bytes);
        let connect = decoder.connect(&bytes).unwrap();
        assert_eq!((connect.username, connect.password), (Some(""), Some(&[][..])));
    }
}

#[test]
fn the_will_may_have_an_empty_payload_and_a_topic_that_only_the_broker_refuses() {
    for (packet, _) in every_version() {
        accepted(&packet.will("a/#", "").bytes());
    }
}

#[test]
fn mqtt_5_allows_a_password_without_a_user_name() {
    let bytes = ConnectPacket::v5().password("secret").bytes();
    let decoder = accepted(&bytes);
    let connect = decoder.connect(&bytes).unwrap();
    assert_eq!(connect.username, None);
    assert_eq!(connect.password, Some(&b"secret"[..]));
}

#[test]
fn mqtt_3_1_disregards_bits_that_it_does_not_use() {
    for bits in [0x01, 0x08, 0x10, 0x18, 0x20, 0x39] {
        accepted(&ConnectPacket::v3_1().flip_flags(bits).bytes());
    }
}

#[test]
fn mqtt_3_1_disregards_the_flags_of_the_fixed_header() {
    for flags in 1..=15 {
        accepted(&packet(0x10 | flags, ConnectPacket::v3_1().body()));
    }
}

#[test]
fn mqtt_3_1_lets_user_name_and_password_be_missing_against_their_flags() {
    for flags in [0x80, 0xC0] {
        let bytes = ConnectPacket::v3_1().flip_flags(flags).bytes();
        let decoder = accepted(&bytes);
        let connect = decoder.connect(&bytes).unwrap();
        assert_eq!((connect.username, connect.password), (None, None));
    }
    let bytes = ConnectPacket::v3_1().username("user").flip_flags(0x40).bytes();
    let decoder = accepted(&bytes);
    let connect = decoder.connect(&bytes).unwrap();
    assert_eq!((connect.username, connect.password), (Some("user"), None));
}

#[test]
fn the_password_does_not_show_in_debug_output() {
    let bytes = ConnectPacket::v5().username("user").password("s3cret").bytes();
    let decoder = accepted(&bytes);
    let connect = format!("{:?}", decoder.connect(&bytes).unwrap());
    let secret = format!("{:?}", b"s3cret");
    assert!(!connect.contains("s3cret") && !connect.contains(&secret), "{connect}");
}

#[test]
fn the_client_is_told_in_the_form_of_its_level() {
    for (packet, form) in every_version() {
        let bytes = packet.bytes();
        assert_eq!(accepted(&bytes).connect(&bytes).map(|c| c.form()), form);
    }
    let bytes = everything().bytes();
    let form = accepted(&bytes).connect(&bytes).map(|connect| connect.form());
    assert_eq!(form, Some(known(1000)));
}
