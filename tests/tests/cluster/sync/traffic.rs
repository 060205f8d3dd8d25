//! From objects to devices that connect.

use anyhow::Result;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::pki::CertificateAuthority;
use streamgate_tests::wire::{self, StreamEnd, Version};
use streamgate_tests::{fake_broker, wait};

use super::gateway::{Gateway, NAME, object};

/// A broker that lets every client in.
pub(crate) fn broker() -> Result<fake_broker::FakeBroker> {
    fake_broker::FakeBroker::start(fake_broker::Answer::Bytes(wire::accepting(Version::V311).to_vec()))
}

#[test]
fn what_kubectl_applies_is_served_and_what_it_deletes_is_not() -> Result<()> {
    let broker = broker()?;
    let gateway = Gateway::before(ControlPlane::shared()?, broker.address())?;
    let _sync = gateway.start_ready_sync()?;
    let mut proxy = gateway.start_proxy()?;
    let (_, code) = gateway.connect(&proxy)?;
    assert_eq!(code, 0);

    let second = gateway.route("second", "match: {sourceRanges: [127.0.0.0/8]}");
    let mut second = object("streamroutes", "acme.second", &[("acme.second.yaml", &second)]);
    second["metadata"]["namespace"] = gateway.namespace.as_str().into();
    gateway.cluster.apply(&second.to_string())?;
    proxy.wait_for_status("two routes", |status| status["applied"]["streamroutes"] == 2)?;
    let (device, code) = gateway.connect(&proxy)?;
    assert_eq!(code, 0);
    drop(device);
    proxy.wait_for_connection("a client of the second route", |line| line["route"] == "acme/second")?;

    let names = ["streamroutes.acme.second", "streamroutes.acme.devices"];
    let delete = [&["delete", "configmap", "-n", &gateway.namespace], &names[..]].concat();
    gateway.cluster.kubectl(&delete, None)?.succeeded("kubectl delete")?;
    proxy.wait_for_status("no route", |status| status["applied"]["streamroutes"] == 0)?;
    let (_, code) = gateway.connect(&proxy)?;
    assert_eq!(code, 5);
    Ok(())
}

#[test]
fn a_rotated_secret_is_the_next_handshakes_certificate_and_cuts_nobody() -> Result<()> {
    let broker = broker()?;
    let gateway = Gateway::before(ControlPlane::shared()?, broker.address())?;
    let _sync = gateway.start_ready_sync()?;
    let proxy = gateway.start_proxy()?;
    let (mut live, code) = gateway.connect(&proxy)?;
    assert_eq!(code, 0);
    for round in 0..5 {
        let authority = CertificateAuthority::new(&format!("CA {round}"))?;
        gateway.write_certificate(&authority.server(&[NAME])?)?;
        wait::until("the new certificate", wait::SOON, || gateway.connect_as(&proxy, &authority).ok())?;
        assert!(gateway.connect(&proxy).is_err(), "the one before is served still");
    }
    let events = proxy.events();
    assert!(!events.iter().any(|event| event["message"] == "refused"), "{}", proxy.log());
    let (bytes, end) = wire::read_to_end(&mut live, std::time::Duration::from_millis(50));
    assert_eq!((bytes, end), (Vec::new(), StreamEnd::StillOpen));
    Ok(())
}

#[test]
fn a_namespace_that_is_deleted_takes_all_with_it() -> Result<()> {
    let broker = broker()?;
    let gateway = Gateway::before(ControlPlane::shared()?, broker.address())?;
    let _sync = gateway.start_ready_sync()?;
    let proxy = gateway.start_proxy()?;
    let delete = ["delete", "namespace", &gateway.namespace, "--wait=false"];
    gateway.cluster.kubectl(&delete, None)?.succeeded("kubectl delete")?;
    proxy.wait_for_status("nothing", |status| {
        status["applied"]["streamroutes"] == 0 && status["applied"]["tlssnis"] == 0
    })?;
    gateway.wait_for_all()
}
