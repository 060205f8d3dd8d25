//! What a person reads in `kubectl describe`: what has become of an object, once.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use streamgate_crds::condition::Reason;
use streamgate_crds::{ConditionType, ObjectRef};

use super::{Failure, in_term};
use crate::election::Leadership;
use crate::resolve::Warning;

/// What is told of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notice {
    is_warning: bool,
    /// In a word.
    pub reason: String,
    message: String,
    /// Since when it is so, where it may be so once more.
    since: Option<Timestamp>,
}

/// What is to be told of a status that has taken the place of another: each condition that has turned False, or has another
/// reason to be; and that the object is programmed. That it is on its way is no news, and what is the matter with the
/// gateway is none of each of its thousands of objects.
pub fn of_status(before: &[Condition], now: &[Condition]) -> Vec<Notice> {
    let news = |condition: &Condition| {
        let was = before.iter().find(|was| was.type_ == condition.type_);
        let is_same = was.is_some_and(|was| was.status == condition.status && was.reason == condition.reason);
        (!is_same).then(|| of_condition(was, condition))?
    };
    now.iter().filter_map(news).collect()
}

fn of_condition(was: Option<&Condition>, condition: &Condition) -> Option<Notice> {
    let is_one_of =
        |condition: &Condition, reasons: &[Reason]| reasons.iter().any(|reason| reason.as_str() == condition.reason);
    let is_warning = match condition.status.as_str() {
        "True" if condition.type_ != ConditionType::Programmed.as_str() => return None,
        "True" if was.is_some_and(|was| is_one_of(was, &OF_THE_GATEWAY)) => return None,
        "True" => false,
        _ if is_one_of(condition, &ON_ITS_WAY) || is_one_of(condition, &OF_THE_GATEWAY) => return None,
        _ => true,
    };
    Some(Notice {
        is_warning,
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: Some(condition.last_transition_time.0),
    })
}

const ON_ITS_WAY: [Reason; 2] = [Reason::Pending, Reason::NotAccepted];
const OF_THE_GATEWAY: [Reason; 2] = [Reason::NoProxies, Reason::ProxySilent];

/// What is to be told of a warning.
pub fn of_warning(warning: &Warning) -> Notice {
    Notice { is_warning: true, reason: warning.reason.to_owned(), message: warning.message.clone(), since: None }
}

/// Tells it of the object that has this uid. What another replica has told stays as it is. `instance` is who tells.
///
/// # Errors
///
/// The API did not do it, or did not say so in time.
pub async fn publish(
    client: Client,
    leadership: &Leadership,
    instance: &str,
    object: &ObjectRef,
    uid: &str,
    notice: &Notice,
) -> Result<(), Failure> {
    let event = event(instance, object, uid, notice);
    let api = Api::namespaced(client, &object.namespace);
    match in_term(leadership, api.create(&PostParams::default(), &event)).await {
        Err(Failure::Conflict) => Ok(()),
        created => created.map(drop),
    }
}

fn event(instance: &str, object: &ObjectRef, uid: &str, notice: &Notice) -> Event {
    let mut hasher = DefaultHasher::new();
    (uid, notice).hash(&mut hasher);
    Event {
        metadata: ObjectMeta {
            // The same for every replica that tells it.
            name: Some(format!("{}.{:016x}", object.name, hasher.finish())),
            namespace: Some(object.namespace.clone()),
            ..ObjectMeta::default()
        },
        action: Some("Resolve".to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        note: Some(notice.message.chars().take(MOST_CHARACTERS).collect()),
        reason: Some(notice.reason.clone()),
        regarding: Some(about(object, uid)),
        reporting_controller: Some("streamgate.dev/operator".to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(if notice.is_warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

fn about(object: &ObjectRef, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("streamgate.dev/v1alpha1".to_owned()),
        kind: Some(object.kind.as_str().to_owned()),
        namespace: Some(object.namespace.clone()),
        name: Some(object.name.clone()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// A note may have 1 kB.
const MOST_CHARACTERS: usize = 250;

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use streamgate_crds::Kind;

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "a sentence".to_owned(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: Some(1),
        }
    }

    fn reasons(before: &[Condition], now: &[Condition]) -> Vec<String> {
        of_status(before, now).into_iter().map(|notice| notice.reason).collect()
    }

    #[test]
    fn what_is_wrong_is_told_once() {
        let wrong = [condition("ResolvedRefs", "False", "RefNotFound")];
        assert_eq!(reasons(&[], &wrong), ["RefNotFound"]);
        assert!(reasons(&wrong, &wrong).is_empty());
        assert_eq!(reasons(&wrong, &[condition("ResolvedRefs", "False", "InvalidPort")]), ["InvalidPort"]);
    }

    #[test]
    fn that_an_object_is_programmed_is_told_and_that_it_will_be_is_not() {
        let pending = [condition("Programmed", "False", "Pending")];
        assert!(reasons(&[], &pending).is_empty());
        assert_eq!(reasons(&pending, &[condition("Programmed", "True", "Programmed")]), ["Programmed"]);
    }

    #[test]
    fn that_a_proxy_is_silent_and_is_heard_again_is_told_of_no_object() {
        let programmed = [condition("Programmed", "True", "Programmed")];
        let silent = [condition("Programmed", "Unknown", "ProxySilent")];
        assert!(reasons(&programmed, &silent).is_empty() && reasons(&silent, &programmed).is_empty());
    }

    #[test]
    fn what_two_replicas_tell_is_one_event_and_what_comes_back_is_another() {
        let object = ObjectRef { kind: Kind::TlsSni, namespace: "acme".to_owned(), name: "devices".to_owned() };
        let name = |uid, notice: &Notice| event("one", &object, uid, notice).metadata.name;
        let wrong = |since: &str| {
            let last_transition_time = Time(since.parse().unwrap());
            let condition = Condition { last_transition_time, ..condition("ResolvedRefs", "False", "RefNotFound") };
            of_status(&[], &[condition]).remove(0)
        };
        let first = wrong("2026-01-01T00:00:00Z");
        assert_eq!(name("a", &first), event("other", &object, "a", &first).metadata.name);
        assert_ne!(name("a", &first), name("b", &first));
        assert_ne!(name("a", &first), name("a", &wrong("2026-01-02T00:00:00Z")));
    }
}
