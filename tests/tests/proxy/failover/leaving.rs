//! Clients that leave while their broker has not answered.

use std::time::Duration;

use anyhow::Result;
use streamgate_tests::fake_broker::{Answer, FakeBroker};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use super::{device, first, last, spec};
use crate::site::{Site, Way, recorder};

/// Its client comes back, perhaps by another proxy: what the next broker took for it now would end the session that it has
/// there by then.
#[test]
fn a_client_that_leaves_is_taken_to_no_further_broker() -> Result<()> {
    let hanging = FakeBroker::start(Answer::Silence)?;
    let other = recorder(Version::V311)?;
    let nodes = [first("hanging", hanging.address()), last("other", other.address())];
    let mut site = Site::start(&spec(nodes, "connackTimeout: 3s"))?;
    for (index, way) in Way::ALL.into_iter().enumerate() {
        let device = device(&site, way, &Connect::new(Version::V311, "device").bytes())?;
        let source = device.local_address()?;
        hanging.wait_for_bytes(index, 1, wait::SOON)?;
        drop(device);
        let line = site.access_line(way, source)?;
        // Under TLS it leaves with tickets unread, which is a reset.
        assert!(line["end"] == "ClientClosed" || line["end"] == "ClientError", "{line}");
        assert_eq!(line["attempts"], 1, "{line}");
        hanging.wait_for_end(index, wait::SOON)?;
        assert_eq!(other.count(), 0, "{way:?}");
    }
    Ok(())
}

/// One that has sent all that it has to say, and then ended its side, is waiting still.
#[test]
fn a_client_that_ends_its_side_behind_a_message_is_served() -> Result<()> {
    let hanging = FakeBroker::start(Answer::Silence)?;
    let other = recorder(Version::V311)?;
    let nodes = [first("hanging", hanging.address()), last("other", other.address())];
    let site = Site::start(&spec(nodes, "connackTimeout: 1s"))?;
    for (index, way) in Way::BOTH.into_iter().enumerate() {
        let message = wire::publish(Version::V311, "a", b"the last", 0, 0, false);
        let all = [Connect::new(Version::V311, "device").bytes(), message, wire::DISCONNECT.to_vec()].concat();
        let mut device = device(&site, way, &all)?;
        device.end_sending()?;
        assert_eq!(other.wait_for_bytes(index, all.len(), Duration::from_secs(20))?, all, "{way:?}");
        assert_eq!(wire::read_packet(&mut device, wait::SOON)?.bytes, wire::CONNACK_V311, "{way:?}");
    }
    Ok(())
}
