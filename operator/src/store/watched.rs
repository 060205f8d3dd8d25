//! StreamRoutes and TlsSnis as they were last seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::ObjectMeta;
use serde_json::{Value, json};
use streamgate_crds::manifest::Manifest;
use streamgate_crds::problem::Kind;

use super::{Name, Touched};
use crate::report::ResourceVersion;

/// An object as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched<T> {
    /// The object: of its metadata the namespace, the name and the creation time, and its spec.
    pub object: Arc<T>,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// Its `metadata.uid`, for what refers to it.
    pub uid: Box<str>,
    /// Its `metadata.resourceVersion`; nothing follows from it but which write of its status comes too late.
    pub version: ResourceVersion,
    /// Its status.
    pub status: Status,
    /// Why it can't be read, if so. The object then has no more than what it claims, as far as that can be read.
    pub unreadable: Option<Box<str>>,
}

/// What is said of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// `Accepted`, `ResolvedRefs` and `Programmed`.
    pub conditions: Vec<Condition>,
    /// Of a StreamRoute: where its clients go, in short.
    pub upstream: Option<String>,
    /// Of a TlsSni: when the first of its certificates ends.
    pub not_after: Option<Timestamp>,
    /// Of a TlsSni: what its certificates are for.
    pub subject_alt_names: Vec<String>,
}

impl<T: Manifest> Watched<T> {
    /// An object as the API server has it, and its status.
    pub fn new(mut object: T, status: Status) -> Self {
        let metadata = std::mem::take(object.meta_mut());
        *object.meta_mut() = ObjectMeta {
            namespace: metadata.namespace,
            name: metadata.name,
            creation_timestamp: metadata.creation_timestamp,
            ..ObjectMeta::default()
        };
        Self {
            object: Arc::new(object),
            generation: metadata.generation.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default().into(),
            version: metadata.resource_version.and_then(|version| version.parse().ok()).unwrap_or_default(),
            status,
            unreadable: None,
        }
    }

    /// An object of which no more can be read than what it claims: its gateway, its names, and where they hold. `spec` is as the
    /// API server has it; `None` where not even the metadata will do.
    pub fn unreadable(metadata: ObjectMeta, spec: &Value, why: &str, status: Status) -> Option<Self> {
        let mut claims = match T::KIND {
            Kind::StreamRoute => json!({"upstream": {"services": [{"name": "unreadable", "port": 1}]}}),
            Kind::TlsSni => json!({"certificates": [{"secretName": "unreadable"}]}),
        };
        for place in
            ["/gateway", "/listeners", "/match/snis", "/match/sourceRanges", "/snis", "/allowedRoutes/namespaces"]
        {
            let values = match spec.pointer(place) {
                Some(Value::Array(values)) => values.iter().map(|value| json!([value])).collect(),
                Some(value) => vec![value.clone()],
                None => continue,
            };
            for value in values {
                let more = with(&claims, place, value);
                if serde_json::from_value::<T::Spec>(more.clone()).is_ok() {
                    claims = more;
                }
            }
        }
        let object = T::from_parts(metadata, serde_json::from_value(claims).ok()?);
        Some(Self { unreadable: Some(why.into()), ..Self::new(object, status) })
    }
}

/// The fields with one more, or one more value in a list.
fn with(fields: &Value, place: &str, value: Value) -> Value {
    let mut fields = fields.clone();
    let mut field = &mut fields;
    for part in place.split('/').skip(1) {
        field = &mut field[part];
    }
    match (field, value) {
        (Value::Array(known), Value::Array(more)) => known.extend(more),
        (field, value) => *field = value,
    }
    fields
}

/// Puts an object in its place, and says what that concerns.
pub(super) fn put<T: Manifest + PartialEq>(
    objects: &mut BTreeMap<Name, Watched<T>>,
    name: Name,
    object: Option<Watched<T>>,
    touched: &mut Touched,
) {
    let Some(object) = object else {
        touched.judgement = objects.remove(&name).is_some();
        return;
    };
    let before = objects.get(&name);
    touched.judgement =
        before.is_none_or(|before| before.object != object.object || before.unreadable != object.unreadable);
    let is_same = |before: &Watched<T>| {
        before.status == object.status && before.generation == object.generation && before.uid == object.uid
    };
    if !before.is_some_and(is_same) {
        touched.statuses.insert(object.object.reference());
    }
    objects.insert(name, object);
}
