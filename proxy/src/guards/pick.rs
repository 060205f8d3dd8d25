//! The endpoint of a client among 1,000, by the hash of its client id.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;

use super::{count, route};
use crate::config::snapshot::Snapshot;
use crate::connection::pick::{Seeker, pick};
use crate::upstream::turns::Turns;
use crate::upstream::{Endpoint, Members, Target};

/// A group of one endpoint.
fn node(number: usize, weight: u32) -> Members {
    let identity = format!("broker-{number}");
    let target = Target::Addresses(vec![SocketAddr::from(([192, 0, 2, 1], 1883))]);
    let endpoint = Endpoint { identity: identity.as_str().into(), target, load: Arc::default() };
    Members { identity, weight, endpoints: vec![endpoint] }
}

fn count_picks(weight: impl Fn(usize) -> usize) {
    let members = (0..1_000).map(|number| node(number, u32::try_from(weight(number)).expect("a weight"))).collect();
    let text = json!({"upstream": {
        "nodes": [{"host": "192.0.2.1", "port": 1883}],
        "loadBalancer": {"type": "ConsistentHash", "key": "ClientId"},
    }});
    let (route, snapshot) = (route("devices".to_owned(), text, members), Snapshot::empty());
    let client_ids: Vec<String> = (0..100).map(|number| format!("sensor-{number:04}")).collect();
    let picked = |client_id: &String| {
        let source = [192, 0, 2, 7].into();
        let seeker = Seeker { client_id, username: None, subject: None, sni: None, source };
        pick(&mut Turns::default(), &snapshot, &route, &seeker, &[]).expect("an endpoint")
    };
    let picks: Vec<_> = client_ids.iter().map(picked).collect();
    assert!(picks.iter().any(|pick| *pick != picks[0]), "all go to one endpoint");
    count(&client_ids, picked);
}

#[test]
fn pick_by_hash() {
    count_picks(|_| 1);
}

#[test]
fn pick_by_hash_and_weight() {
    count_picks(|number| number % 9 + 1);
}
