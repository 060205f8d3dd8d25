//! However the bytes arrive, and whatever they are.

use proptest::prelude::*;

use super::*;

/// Valid packets of all versions, small and large, plain and with everything.
fn valid_packets() -> Vec<ConnectPacket> {
    let mut packets = vec![everything(), ConnectPacket::v5().client_id("")];
    for (packet, _) in every_version() {
        packets.push(packet.clone());
        packets.push(packet.clone().will("topic", "payload").username("u").password("p"));
        // Remaining lengths of two and three bytes.
        packets.push(packet.clone().client_id("x".repeat(200)));
        packets.push(packet.client_id("x".repeat(17_000)));
    }
    packets
}

/// Checks all that holds for any bytes in any pieces; `cuts` are where the pieces end.
fn check_pieces(limits: ConnectLimits, bytes: &[u8], cuts: impl IntoIterator<Item = usize>) {
    let whole = decode(limits, bytes);
    let mut decoder = ConnectDecoder::new(limits);
    let mut verdict = None;
    for cut in cuts {
        let here = &bytes[..cut.min(bytes.len())];
        let progress = decoder.decode(here);
        if let Ok(Progress::NeedMore { at_least }) = progress {
            assert_eq!(verdict, None, "a verdict was taken back");
            assert!(at_least >= 1);
            if let Some(end) = packet_end(bytes) {
                assert!(here.len() + at_least <= end, "asks past the packet's end");
            }
            assert_eq!(decoder.connect(here), None);
        } else if let Some(verdict) = &verdict {
            assert_eq!(verdict, &progress, "a verdict changed");
        } else {
            verdict = Some(progress);
        }
    }
    let pieces = decoder.decode(bytes);
    assert!(same_verdict(&whole, &pieces), "{whole:?}\n{pieces:?}");
    if let Ok(Progress::Complete { packet_len }) = pieces {
        assert_eq!(Some(packet_len), packet_end(bytes));
        assert!(packet_len <= bytes.len());
        assert_eq!(decoder.connect(bytes).map(|c| c.packet), Some(&bytes[..packet_len]));
    }
}

/// Where the packet ends by its remaining length, worked out anew.
fn packet_end(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..)?;
    let size = 1 + length.iter().take(4).position(|byte| *byte < 0x80)?;
    let value = (0..size).rev().fold(0, |value, i| value << 7 | usize::from(length[i] & 0x7F));
    Some(1 + size + value)
}

#[test]
fn a_valid_packet_may_be_cut_anywhere() {
    for packet in valid_packets() {
        let bytes = packet.bytes();
        let whole = accepted(&bytes);
        for cut in 0..bytes.len() {
            let mut decoder = ConnectDecoder::new(NO_LIMIT);
            let first = decoder.decode(&bytes[..cut]);
            assert!(matches!(first, Ok(Progress::NeedMore { .. })), "{cut}: {first:?}");
            let packet_len = bytes.len();
            assert_eq!(decoder.decode(&bytes), Ok(Progress::Complete { packet_len }));
            assert_eq!(decoder.connect(&bytes), whole.connect(&bytes));
        }
    }
}

#[test]
fn a_valid_packet_may_come_byte_by_byte() {
    for packet in valid_packets() {
        let bytes = packet.bytes();
        check_pieces(NO_LIMIT, &bytes, 0..=bytes.len());
        let (taken, _) = decode_one_by_one(NO_LIMIT, &bytes);
        assert_eq!(taken, bytes.len());
    }
}

#[test]
fn a_megabyte_may_come_byte_by_byte() {
    let value = "x".repeat(65535);
    let user = property(0x26, &[value.as_bytes(), value.as_bytes()]);
    let packet = (0..8).fold(ConnectPacket::v5(), |packet, _| packet.property(&user));
    let bytes = packet.bytes();
    assert!(bytes.len() > 1 << 20);
    let (taken, verdict) = decode_one_by_one(NO_LIMIT, &bytes);
    assert_eq!(taken, bytes.len());
    assert!(verdict.is_ok());
}

#[test]
fn asking_for_what_is_missing_reads_a_packet_in_four_steps() {
    let bytes = everything().bytes();
    let mut decoder = ConnectDecoder::new(NO_LIMIT);
    let mut asked = Vec::new();
    let mut here = 0;
    while let Ok(Progress::NeedMore { at_least }) = decoder.decode(&bytes[..here]) {
        asked.push(at_least);
        here += at_least;
    }
    // The fixed header's length has two bytes; the level stands 7 after it.
    assert_eq!(asked, [2, 1, 7, bytes.len() - 10]);
}

#[test]
fn what_follows_the_connect_is_left_alone() {
    let subscribe = packet(0x82, b"\0\x01\0\x01#\0");
    let publish = packet(0x30, b"\0\x01tpayload");
    for connect in valid_packets() {
        let connect = connect.bytes();
        let all = [&connect[..], &subscribe, &publish].concat();
        let mut decoder = ConnectDecoder::new(NO_LIMIT);
        let packet_len = connect.len();
        assert_eq!(decoder.decode(&all), Ok(Progress::Complete { packet_len }));
        assert_eq!(decoder.connect(&all), accepted(&connect).connect(&connect));
        assert_eq!(decoder.connect(&all).unwrap().packet, connect);
    }
}

#[test]
fn a_packet_that_ends_too_early_does_not_read_on_into_the_next() {
    let short = packet(0x10, b"\0\x04MQTT\x04\x02\0\x3C\0\x06dev");
    let all = [&short[..], b"ice"].concat();
    malformed(&all, Some(Form::V3));
}

#[test]
fn a_buffer_that_shrinks_is_no_panic() {
    let bytes = everything().bytes();
    for seen in 0..=bytes.len() {
        for left in 0..seen {
            let mut decoder = ConnectDecoder::new(NO_LIMIT);
            let _ = decoder.decode(&bytes[..seen]);
            let _ = decoder.decode(&bytes[..left]);
            let _ = decoder.connect(&bytes[..left]);
            let _ = decoder.client_id(&bytes[..left]);
        }
    }
}

fn limits() -> impl Strategy<Value = ConnectLimits> {
    let max_packet_bytes = prop_oneof![Just(usize::MAX), 0..400_usize];
    let levels = prop::collection::vec(3..6_u8, 0..4);
    (max_packet_bytes, levels)
        .prop_map(|(max_packet_bytes, levels)| ConnectLimits { max_packet_bytes, levels: LevelSet::new(&levels) })
}

/// Bytes that begin as a CONNECT does, so that chance gets past the protocol name.
fn nearly_connect() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just(&b"\0\x04MQTT\x04"[..]),
        Just(&b"\0\x04MQTT\x05"[..]),
        Just(&b"\0\x06MQIsdp\x03"[..]),
        Just(&b"\0\x04MQTT"[..]),
        Just(&b""[..]),
    ];
    // Small numbers, as lengths, flags and property identifiers are.
    let body = prop::collection::vec(prop_oneof![3 => 0..0x28_u8, 1 => any::<u8>()], 0..80);
    (name, body, 0..3_usize).prop_map(|(name, body, less)| {
        let body = [name, &body].concat();
        let mut bytes = vec![0x10];
        bytes.extend(variable_byte_integer(body.len().saturating_sub(less)));
        bytes.extend(body);
        bytes
    })
}

/// A valid packet in which a few bytes are replaced, taken out, put in, or cut off at the end.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let small = prop::sample::select(vec![
        everything().bytes(),
        ConnectPacket::v3_1().will("t", "p").username("u").password("p").bytes(),
        ConnectPacket::v3_1_1().will("t", "p").username("u").password("p").bytes(),
        ConnectPacket::v5().will("t", "p").username("u").password("p").bytes(),
        ConnectPacket::v5().property([0x27, 0, 0, 0, 30]).property([0x17, 1]).bytes(),
    ]);
    let mutation = (0..4_u8, any::<prop::sample::Index>(), any::<u8>());
    (small, prop::collection::vec(mutation, 1..4)).prop_map(|(mut bytes, mutations)| {
        for (kind, at, byte) in mutations {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_get_one_verdict_however_they_arrive(
        limits in limits(),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        check_pieces(limits, &bytes, 0..=bytes.len());
    }

    #[test]
    fn what_is_nearly_a_connect_gets_one_verdict_however_it_arrives(
        limits in limits(),
        bytes in nearly_connect(),
    ) {
        check_pieces(limits, &bytes, 0..=bytes.len());
    }

    #[test]
    fn mutated_packets_get_one_verdict_however_they_arrive(
        limits in limits(),
        bytes in mutated(),
        cuts in prop::collection::btree_set(0..300_usize, 0..6),
    ) {
        check_pieces(limits, &bytes, 0..=bytes.len());
        check_pieces(limits, &bytes, cuts);
    }

    #[test]
    fn what_a_client_says_is_what_is_read(
        client_id in "[^\0]{0,40}",
        username in prop::option::of("[^\0]{0,40}"),
        password in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        clean_start in any::<bool>(),
        keep_alive_seconds in any::<u16>(),
        size in 1..=u32::MAX,
        rest in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut packet = ConnectPacket::v5()
            .client_id(&client_id)
            .clean_start(clean_start)
            .keep_alive_seconds(keep_alive_seconds)
            .property([&[0x27][..], &size.to_be_bytes()].concat());
        if let Some(username) = &username {
            packet = packet.username(username);
        }
        if let Some(password) = &password {
            packet = packet.password(password);
        }
        let packet = packet.bytes();
        let bytes = [&packet[..], &rest].concat();
        let mut decoder = ConnectDecoder::new(NO_LIMIT);
        let packet_len = packet.len();
        prop_assert_eq!(decoder.decode(&bytes), Ok(Progress::Complete { packet_len }));
        prop_assert_eq!(decoder.connect(&bytes), Some(Connect {
            packet: &packet,
            level: Level::V5,
            clean_start,
            keep_alive_seconds,
            client_id: &client_id,
            username: username.as_deref(),
            password: password.as_deref(),
            has_will: false,
            maximum_packet_size: Some(size),
        }));
    }

    #[test]
    fn what_is_said_of_a_client_does_not_grow_with_what_it_sends(
        bytes in prop_oneof![nearly_connect(), mutated(), prop::collection::vec(any::<u8>(), 0..100)],
        limits in limits(),
    ) {
        if let Err(error) = decode(limits, &bytes) {
            prop_assert!((1..=200).contains(&error.reason.len()), "{}", error.reason);
            prop_assert!(error.reason.is_ascii(), "{}", error.reason);
        }
    }

    #[test]
    fn no_answer_is_larger_than_the_client_allows(bytes in mutated(), limits in limits()) {
        if let Err(error) = decode(limits, &bytes)
            && let Some(connack) = error.connack()
            && let Some(Form::V5(MaximumPacketSize::Known(size))) = error.form
        {
            prop_assert!(connack.len() <= size as usize);
        }
    }
}
