//! The shared keys of session tickets.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::stage::Stage;

/// So long nothing may happen that would happen at once.
const A_WHILE: Duration = Duration::from_secs(2);

#[test]
fn ticket_keys_are_made_and_move_on_once_every_proxy_has_the_next() -> Result<()> {
    let stage = Stage::new()?;
    let _operator = stage.operator()?;
    let whole =
        |object: &serde_json::Value| object["data"]["current"].is_string() && object["data"]["next"].is_string();
    let first = stage.generated("secret", "ticket-keys", whole)?;
    assert_eq!(first["metadata"]["labels"]["streamgate.dev/folder"], "ticket-keys");
    stage.apply_proxies(&["proxy-0", "proxy-1"])?;

    // As if it were long ago.
    let past = r#"{"metadata": {"annotations": {"streamgate.dev/rotated-at": "2026-01-01T00:00:00Z"}}}"#;
    let patch = ["patch", "secret", "ticket-keys", "-n", &stage.generated, "-p", past];
    stage.cluster.kubectl(&patch, None)?.succeeded("kubectl patch")?;
    let aged = stage.generated("secret", "ticket-keys", |_| true)?;
    assert_eq!(aged["data"], first["data"]);
    stage.report("proxy-0")?;
    let start = Instant::now();
    while start.elapsed() < A_WHILE {
        let now = stage.generated("secret", "ticket-keys", |_| true)?;
        assert_eq!(now["data"], first["data"], "one of two proxies has the next key");
    }
    stage.report("proxy-1")?;
    let second =
        stage.generated("secret", "ticket-keys", |object| object["data"]["current"] == first["data"]["next"])?;
    assert_eq!(second["data"]["previous"], first["data"]["current"]);
    assert_ne!(second["data"]["next"], first["data"]["next"]);
    Ok(())
}

#[test]
fn ticket_keys_that_a_person_broke_are_made_anew() -> Result<()> {
    let stage = Stage::new()?;
    let _operator = stage.operator()?;
    let whole = |object: &serde_json::Value| {
        object["data"]["next"].as_str().is_some_and(|key| key.len() == 88)
            && object["metadata"]["labels"]["streamgate.dev/folder"] == "ticket-keys"
    };
    stage.generated("secret", "ticket-keys", whole)?;
    for change in [
        &["patch", "secret", "ticket-keys", "-p", r#"{"stringData": {"next": "short"}}"#][..],
        &["label", "secret", "ticket-keys", "streamgate.dev/folder-"],
        &["delete", "secret", "ticket-keys"],
    ] {
        let version = stage.generated("secret", "ticket-keys", whole)?["metadata"]["resourceVersion"].clone();
        stage.cluster.kubectl(&[change, &["-n", &stage.generated]].concat(), None)?.succeeded("kubectl")?;
        stage.generated("secret", "ticket-keys", |object| {
            whole(object) && object["metadata"]["resourceVersion"] != version
        })?;
    }
    Ok(())
}
