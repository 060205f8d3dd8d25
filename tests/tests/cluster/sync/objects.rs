//! Objects that are not the operator's.

use anyhow::Result;
use streamgate_tests::control_plane::ControlPlane;

use super::gateway::{Gateway, object, read};

#[test]
fn odd_objects_are_named_in_the_log_and_disturb_no_other() -> Result<()> {
    let gateway = Gateway::new(ControlPlane::shared()?)?;
    let mut sync = gateway.start_ready_sync()?;
    let secrets = gateway.path("secrets");
    let config_maps = gateway.path("configmaps");
    gateway.write_file("streamroutes", "acme.devices", "good")?;
    // Two keys, another kind than the name says, a name of no source, a label of another folder.
    gateway.write("tlssnis", "acme.two", &[("acme.two.yaml", "odd"), ("more", "odd")])?;
    let mut other_kind = object("secrets", "acme.kind", &[]);
    other_kind["kind"] = "ConfigMap".into();
    other_kind.as_object_mut().map(|fields| fields.remove("stringData"));
    gateway.api.write(&config_maps, &other_kind)?;
    gateway.api.write(
        &secrets,
        &object("pods", "acme.other", &[]).as_object().map_or_else(Default::default, |fields| {
            let mut fields = fields.clone();
            fields.insert("kind".to_owned(), "Secret".into());
            fields.remove("data");
            fields.into()
        }),
    )?;
    let mut other_label = object("secrets", "acme.label", &[("tls.key", "odd")]);
    other_label["metadata"]["labels"]["streamgate.dev/folder"] = "ticket-keys".into();
    gateway.api.write(&secrets, &other_label)?;
    for name in ["tlssnis.acme.two", "secrets.acme.kind", "pods.acme.other", "secrets.acme.label"] {
        sync.wait_for_log(name, |event| {
            event["message"].as_str().is_some_and(|message| message.contains("passed over")) && event["name"] == name
        })?;
    }
    gateway.write_file("streamroutes", "acme.after", "good")?;
    streamgate_tests::wait::until("what came after", streamgate_tests::wait::SOON, || {
        (read(&gateway.config, "streamroutes/acme.after.yaml")? == "good").then_some(())
    })?;
    assert_eq!(read(&gateway.config, "streamroutes/acme.devices.yaml").as_deref(), Some("good"));
    let (files, _) = gateway.files_and_objects()?;
    assert!(!files.values().any(|bytes| bytes == b"odd"), "{files:?}");
    assert!(!sync.log().contains("odd\""), "what a Secret holds is in the log");
    Ok(())
}

#[test]
fn an_object_without_the_label_is_none() -> Result<()> {
    let gateway = Gateway::new(ControlPlane::shared()?)?;
    gateway.write_file("streamroutes", "acme.devices", "good")?;
    let _sync = gateway.start_ready_sync()?;
    assert!(read(&gateway.config, "streamroutes/acme.devices.yaml").is_some());
    let mut object = object("streamroutes", "acme.devices", &[("acme.devices.yaml", "good")]);
    object["metadata"]["labels"] = serde_json::Value::Null;
    gateway.api.write(&gateway.path("streamroutes"), &object)?;
    streamgate_tests::wait::until("the end of the file", streamgate_tests::wait::SOON, || {
        read(&gateway.config, "streamroutes/acme.devices.yaml").is_none().then_some(())
    })
}
