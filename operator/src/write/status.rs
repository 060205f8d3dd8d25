//! The status of a StreamRoute or TlsSni, by server-side apply: what others write there stays theirs.

use std::fmt::Debug;

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use streamgate_crds::{Kind, ObjectRef, StreamRoute, TlsSni};

use super::{Failure, in_term};
use crate::election::Leadership;
use crate::report::ResourceVersion;
use crate::store::Status;

/// Which version of an object a status is of: its uid and its resourceVersion.
pub type Of = (Box<str>, ResourceVersion);

/// Writes the status of this version of an object while the lease holds, and gives the version that it has then. That of
/// another version may be newer: a leader that was paused is not to put an old one in its place.
///
/// # Errors
///
/// The API did not do it, or did not say so in time; there is another version of it, or another object of that name, or none.
pub async fn write(
    client: Client,
    leadership: &Leadership,
    object: &ObjectRef,
    of: &Of,
    status: &Status,
) -> Result<ResourceVersion, Failure> {
    match object.kind {
        Kind::StreamRoute => apply::<StreamRoute>(client, leadership, object, of, status).await,
        Kind::TlsSni => apply::<TlsSni>(client, leadership, object, of, status).await,
    }
}

async fn apply<K>(
    client: Client,
    leadership: &Leadership,
    object: &ObjectRef,
    (uid, version): &Of,
    status: &Status,
) -> Result<ResourceVersion, Failure>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    // What can't be read has a status too.
    let api: Api<DynamicObject> = Api::namespaced_with(client, &object.namespace, &ApiResource::erase::<K>(&()));
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {
            "name": object.name, "namespace": object.namespace, "uid": uid, "resourceVersion": version.to_string(),
        },
        "status": written(status),
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let written = in_term(leadership, api.patch_status(&object.name, &parameters, &Patch::Apply(&patch))).await?;
    Ok(written.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default())
}

fn written(status: &Status) -> Value {
    let mut fields = json!({"conditions": status.conditions});
    if let Some(upstream) = &status.upstream {
        fields["upstream"] = json!(upstream);
    }
    if let Some(not_after) = status.not_after {
        fields["notAfter"] = json!(not_after);
    }
    if !status.subject_alt_names.is_empty() {
        fields["subjectAltNames"] = json!(status.subject_alt_names);
    }
    fields
}

const FIELD_MANAGER: &str = "streamgate-operator";
