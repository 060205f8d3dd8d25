//! Two operators, of which one leads.

use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::operator::{EVENTUALLY, Operator};
use streamgate_tests::wait;

use super::stage::{Stage, TLS_SNI, credentials};

/// Two operators: the one that leads, and the other.
fn two(stage: &Stage<'_>) -> Result<(Operator, Operator)> {
    let leader = stage.operator()?;
    leader.wait_until_leading(EVENTUALLY)?;
    let follower = stage.operator()?;
    assert!(!follower.leads());
    Ok((leader, follower))
}

#[test]
fn when_the_leader_is_killed_the_other_takes_over_within_five_seconds() -> Result<()> {
    let stage = Stage::new()?;
    let (leader, follower) = two(&stage)?;
    let killed = Instant::now();
    drop(leader);
    follower.wait_until_leading(EVENTUALLY)?;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}\n{}", follower.log());

    stage.apply(TLS_SNI)?;
    stage.condition("tlssni/devices", "ResolvedRefs", "False", "RefNotFound")?;
    Ok(())
}

#[test]
fn a_leader_that_is_told_to_stop_hands_over_at_once() -> Result<()> {
    let stage = Stage::new()?;
    let (leader, follower) = two(&stage)?;
    assert!(leader.stop()?.success());
    let stopped = Instant::now();
    follower.wait_until_leading(EVENTUALLY)?;
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}\n{}", follower.log());
    Ok(())
}

#[test]
fn a_leader_that_was_paused_past_its_lease_ends_and_writes_nothing_old() -> Result<()> {
    let stage = Stage::new()?;
    let (mut leader, follower) = two(&stage)?;
    stage.apply(TLS_SNI)?;
    stage.generated("configmap", "tlssnis.TENANT.devices", |_| true)?;
    leader.signal("STOP")?;
    follower.wait_until_leading(EVENTUALLY)?;
    stage.apply(&TLS_SNI.replace("mqtt.acme", "other.acme"))?;
    let file = format!("{}.devices.yaml", stage.tenant);
    let is_new = |object: &serde_json::Value| {
        object["data"][&file].as_str().is_some_and(|text| text.contains("other.acme.example.com"))
    };
    let after = stage.generated("configmap", "tlssnis.TENANT.devices", is_new)?;

    leader.signal("CONT")?;
    let ended = leader.wait_for_end()?;
    assert_eq!(ended.code(), Some(1), "{}", leader.log());
    assert!(leader.log().contains("is lost to"), "{}", leader.log());
    let now = stage.generated("configmap", "tlssnis.TENANT.devices", |_| true)?;
    assert_eq!(now["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
    Ok(())
}

#[test]
fn a_follower_writes_nothing_and_fetches_a_secret_once() -> Result<()> {
    let stage = Stage::new()?;
    let (leader, follower) = two(&stage)?;
    stage.apply_all(&credentials()?)?;
    stage.condition("tlssni/devices", "ResolvedRefs", "True", "ResolvedRefs")?;
    stage.generated("secret", "secrets.TENANT.tls", |_| true)?;
    wait::until("what the leader wrote", EVENTUALLY, || leader.writes().ok().filter(|writes| *writes > 0))?;
    assert_eq!(follower.writes()?, 0);
    let get = format!("get secrets {}/tls", stage.tenant);
    let gets = stage.requests()?.into_iter().filter(|(request, _)| *request == get).count();
    assert!(gets <= 2, "{gets} times");
    Ok(())
}
