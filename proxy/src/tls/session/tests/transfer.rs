//! Bytes both ways are the same bytes, however they are cut.

use std::io;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, split};

use super::cut::Sizes;
use super::fixture::{VERSIONS, Version, connect, connect_whole, noise};

/// Reads to the end, with buffers of these sizes.
async fn read_all(mut stream: impl AsyncRead + Unpin, mut buffers: Sizes) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut buffer = vec![0; buffers.next().max(1)];
        match stream.read(&mut buffer).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// How a connection is cut.
#[derive(Clone, Debug)]
struct Cuts {
    version: Version,
    pipe_bytes: usize,
    reads: Sizes,
    writes: Sizes,
    buffers: Sizes,
}

fn sizes(range: std::ops::Range<usize>) -> impl Strategy<Value = Sizes> {
    let sizes = prop::collection::vec(range, 1..8);
    sizes.prop_filter("some progress", |sizes| sizes.iter().any(|&size| size > 0)).prop_map(Sizes::new)
}

fn cuts() -> impl Strategy<Value = Cuts> {
    let small_or_large = || prop_oneof![sizes(0..8), sizes(0..300), sizes(1..40_000)];
    (prop::sample::select(&VERSIONS[..]), 1..70_000_usize, small_or_large(), small_or_large(), small_or_large())
        .prop_map(|(version, pipe_bytes, reads, writes, buffers)| Cuts { version, pipe_bytes, reads, writes, buffers })
}

/// Sends `up` and `down` at the same time, a `KeyUpdate` of the client in the middle where there is one, and the end after them.
async fn exchange(cuts: Cuts, up: &[u8], down: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let Cuts { version, pipe_bytes, reads, writes, buffers } = cuts;
    let (session, _, client) = connect(version, pipe_bytes, reads, writes).await;
    let (session_reads, mut session_writes) = split(session);
    let (client_reads, mut client_writes) = split(client);
    let (received_up, received_down, sent_up, sent_down) = tokio::join!(
        read_all(session_reads, buffers),
        read_all(client_reads, Sizes::new(vec![8192])),
        async {
            client_writes.write_all(up).await?;
            client_writes.shutdown().await
        },
        async {
            session_writes.write_all(down).await?;
            session_writes.shutdown().await
        },
    );
    sent_up.expect("all went up");
    sent_down.expect("all went down");
    (received_up.expect("what came up"), received_down.expect("what came down"))
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_comes_however_it_is_cut(cuts in cuts(), seed: u64, up in 0..40_000_usize, down in 0..40_000_usize) {
        let (up, down) = (noise(seed, up), noise(!seed, down));
        let (received_up, received_down) = run(exchange(cuts, &up, &down));
        let is_same = (received_up == up, received_down == down);
        prop_assert_eq!(is_same, (true, true));
        Ok::<(), TestCaseError>(())?;
    }
}

#[tokio::test]
async fn a_megabyte_comes_both_ways() {
    for version in VERSIONS {
        let whole = Sizes::new(vec![usize::MAX]);
        let (up, down) = (noise(1, 1 << 20), noise(2, 1 << 20));
        let cuts = Cuts {
            version,
            pipe_bytes: 10_000,
            reads: whole.clone(),
            writes: whole,
            buffers: Sizes::new(vec![64 << 10]),
        };
        let received = exchange(cuts, &up, &down).await;
        assert!(received == (up, down), "{version:?}");
    }
}

#[tokio::test]
async fn the_handshake_tells_version_and_certificate() {
    for (version, name) in VERSIONS.into_iter().zip(["TLSv1.2", "TLSv1.3"]) {
        let whole = Sizes::new(vec![usize::MAX]);
        let (_, peer, _) = connect(version, 1 << 16, whole.clone(), whole).await;
        assert_eq!((peer.version, peer.is_resumed, peer.certificate.is_some()), (name, false, true));
    }
}

#[tokio::test]
async fn keys_are_updated_and_bytes_still_come_both_ways() {
    let (mut session, mut client) = connect_whole(VERSIONS[1]).await;
    for round in 0..5 {
        client.get_mut().1.refresh_traffic_keys().expect("an update");
        let (up, down) = (noise(round, 20_000), noise(!round, 20_000));
        let mut received = (vec![0; up.len()], vec![0; down.len()]);
        client.write_all(&up).await.expect("sent");
        client.flush().await.expect("sent");
        session.read_exact(&mut received.0).await.expect("received");
        session.write_all(&down).await.expect("sent");
        session.flush().await.expect("sent");
        client.read_exact(&mut received.1).await.expect("received");
        assert!(received == (up, down), "round {round}");
    }
}

#[tokio::test]
async fn a_client_that_has_ended_still_receives() {
    for version in VERSIONS {
        let (mut session, mut client) = connect_whole(version).await;
        client.write_all(b"last").await.expect("sent");
        client.shutdown().await.expect("ended");
        let mut all = Vec::new();
        session.read_to_end(&mut all).await.expect("the end in order");
        session.write_all(b"answer").await.expect("sent");
        session.shutdown().await.expect("ended");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("the end in order");
        assert_eq!((&all[..], &answer[..]), (&b"last"[..], &b"answer"[..]), "{version:?}");
    }
}

#[tokio::test]
async fn a_server_that_has_ended_still_receives() {
    for version in VERSIONS {
        let (mut session, mut client) = connect_whole(version).await;
        session.shutdown().await.expect("ended");
        let mut nothing = Vec::new();
        client.read_to_end(&mut nothing).await.expect("close_notify");
        client.write_all(b"late").await.expect("sent");
        client.shutdown().await.expect("ended");
        let mut late = Vec::new();
        session.read_to_end(&mut late).await.expect("the end in order");
        assert_eq!((&nothing[..], &late[..]), (&b""[..], &b"late"[..]), "{version:?}");
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_end_in_order() {
    for version in VERSIONS {
        let (mut session, client) = connect_whole(version).await;
        drop(client);
        let mut nothing = Vec::new();
        assert_eq!(session.read_to_end(&mut nothing).await.expect("the end in order"), 0, "{version:?}");
    }
}
