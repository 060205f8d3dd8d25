//! Peers that break the rules, or take their time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::cut::{Cut, Sizes};
use super::fixture::{VERSIONS, connect, connect_whole, noise};
use crate::tls::session::stream::Session;

/// What a session holds in memory of its own at this moment.
fn held_bytes(session: &Session<Cut>) -> usize {
    session.incoming.capacity() + session.opened.capacity() + session.sealed.capacity()
}

/// Reads once, as far as something is there.
fn poll_read(session: &mut Session<Cut>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut context = Context::from_waker(Waker::noop());
    let mut buffer = ReadBuf::new(buffer);
    Pin::new(session).poll_read(&mut context, &mut buffer).map_ok(|()| buffer.filled().len())
}

#[tokio::test]
async fn a_session_at_rest_holds_no_bytes() {
    for version in VERSIONS {
        let (mut session, mut client) = connect_whole(version).await;
        client.write_all(&noise(1, 50_000)).await.expect("sent");
        session.read_exact(&mut vec![0; 50_000]).await.expect("received");
        session.write_all(&noise(2, 50_000)).await.expect("sent");
        assert_eq!(held_bytes(&session), 0, "{version:?}");
    }
}

#[tokio::test]
async fn garbage_after_the_handshake_ends_it_with_an_alert() {
    for version in VERSIONS {
        let (mut session, client) = connect_whole(version).await;
        let (mut raw, mut connection) = client.into_inner();
        raw.write_all(&[23, 3, 3, 0, 40]).await.expect("sent");
        raw.write_all(&noise(1, 40)).await.expect("sent");
        let error = session.read(&mut [0; 100]).await.expect_err("no record");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        session.shutdown().await.expect("ended");
        let mut last_words = Vec::new();
        raw.read_to_end(&mut last_words).await.expect("the end");
        let mut last_words = &last_words[..];
        let alert = loop {
            connection.read_tls(&mut last_words).expect("records");
            match connection.process_new_packets() {
                Ok(_) if last_words.is_empty() => break None,
                Ok(_) => {}
                Err(error) => break Some(error),
            }
        };
        let expected = rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac);
        assert_eq!(alert, Some(expected), "{version:?}");
    }
}

#[tokio::test]
async fn what_came_before_garbage_is_read_first() {
    let (mut session, mut client) = connect_whole(VERSIONS[1]).await;
    client.write_all(b"good").await.expect("sent");
    client.flush().await.expect("sent");
    let (mut raw, _) = client.into_inner();
    raw.write_all(b"this is no record at all").await.expect("sent");
    let mut buffer = [0; 100];
    let count = session.read(&mut buffer).await.expect("what is good");
    assert_eq!(&buffer[..count], b"good");
    assert!(session.read(&mut buffer).await.is_err());
}

#[tokio::test]
async fn after_an_error_nothing_is_written() {
    let (mut session, client) = connect_whole(VERSIONS[1]).await;
    let (mut raw, _) = client.into_inner();
    raw.write_all(b"this is no record at all").await.expect("sent");
    assert!(session.read(&mut [0; 100]).await.is_err());
    assert!(session.write(b"more").await.is_err());
}

#[tokio::test]
async fn a_record_that_is_never_whole_holds_no_more_than_a_record() {
    let (mut session, client) = connect_whole(VERSIONS[1]).await;
    let (mut raw, _) = client.into_inner();
    raw.write_all(&[23, 3, 3, 0x41, 0]).await.expect("sent");
    let mut most = 0;
    for byte in noise(1, 16_639) {
        raw.write_all(&[byte]).await.expect("sent");
        assert!(poll_read(&mut session, &mut [0; 64]).is_pending());
        most = most.max(held_bytes(&session));
    }
    assert!(most <= 2 * (17 << 10), "{most}");
}

#[tokio::test]
async fn a_reader_with_little_room_leaves_the_rest_in_the_socket() {
    for version in VERSIONS {
        let (mut session, mut client) = connect_whole(version).await;
        client.write_all(&noise(1, 500_000)).await.expect("sent");
        let mut most = 0;
        for _ in 0..400_000 / 100 {
            session.read_exact(&mut [0; 100]).await.expect("received");
            most = most.max(held_bytes(&session));
        }
        assert!(most <= 64 << 10, "{version:?}: {most}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_written_for_without_end() {
    for version in VERSIONS {
        let whole = Sizes::new(vec![usize::MAX]);
        let (mut session, _, _client) = connect(version, 1000, whole.clone(), whole).await;
        let mut context = Context::from_waker(Waker::noop());
        let block = noise(1, 100_000);
        let mut taken = 0;
        while let Poll::Ready(count) = Pin::new(&mut session).poll_write(&mut context, &block) {
            taken += count.expect("written");
        }
        assert!(
            taken <= 64 << 10 && held_bytes(&session) <= 80 << 10,
            "{version:?}: {taken}, {}",
            held_bytes(&session)
        );
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever follows the handshake, there is no panic, and reading comes to an end.
    #[test]
    fn any_bytes_after_the_handshake_come_to_an_end(
        version in prop::sample::select(&VERSIONS[..]),
        head in prop::collection::vec(20..=23_u8, 0..=1),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        at_once: bool,
    ) {
        runtime().block_on(async {
            let (mut session, client) = connect_whole(version).await;
            let (mut raw, _) = client.into_inner();
            let head: Vec<u8> = head.into_iter().flat_map(|kind| [kind, 3, 3]).collect();
            raw.write_all(&head).await.expect("sent");
            if !at_once {
                let _ = poll_read(&mut session, &mut [0; 64]);
            }
            raw.write_all(&bytes).await.expect("sent");
            raw.shutdown().await.expect("ended");
            let mut all = Vec::new();
            let _ = session.read_to_end(&mut all).await;
            let _ = session.write(b"after that").await;
            session.shutdown().await.expect("ended");
            prop_assert!(all.is_empty());
            Ok(())
        })?;
    }
}
