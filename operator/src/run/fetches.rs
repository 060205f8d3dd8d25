//! What objects refer to is fetched. The watch alone says which version there is: an answer may be older than that.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Operator;
use super::done::Done;
use crate::report::ResourceVersion;
use crate::store::material::Fetched;
use crate::store::{Change, MaterialKey, MaterialKind, Name, Reference};
use crate::write::{Failure, in_time};

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It is what there is, or newer than what the watch has told.
    Taken,
    /// It is older than what there is by now.
    Old,
    /// It says that there is none, of which the watch has not told yet; or it was given before the object was made.
    Early,
    /// There is no such object any more.
    Idle,
}

impl Answer {
    /// By the version that the watch has told and the one that was fetched; `None`: there is none.
    fn of(known: Option<&ResourceVersion>, fetched: Option<&ResourceVersion>) -> Self {
        match (known, fetched) {
            (Some(known), Some(fetched)) if known <= fetched => Self::Taken,
            (Some(_), Some(_)) => Self::Old,
            (Some(_), None) => Self::Early,
            (None, _) => Self::Idle,
        }
    }
}

impl Operator {
    /// Starts what is to be fetched, as many as may be.
    pub(super) fn fetch(&mut self, now: Instant) {
        while let Some(key) = self.fetches.next(now) {
            let Some(reference) = self.references.get(&key).cloned() else {
                self.fetches.done(&key);
                continue;
            };
            let (client, done) = (self.client.clone(), self.done.clone());
            spawn_local(async move {
                let _ = done.send(Done::Fetch(key, fetch(client, &reference).await));
            });
        }
        if self.fetches.is_idle() && self.touched.is_empty() {
            self.metrics.set_ready();
        }
    }

    pub(super) fn finish_fetch(&mut self, key: MaterialKey, fetched: Result<Option<Fetched>, Failure>) {
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                tracing::warn!(
                    kind = key.kind.as_str(), name = %key.name, %error,
                    "what is referred to can't be fetched; it is tried again"
                );
                self.fetches.failed(&key, Instant::now());
                return;
            }
        };
        let version = fetched.as_ref().map(|fetched| &fetched.version);
        match (Answer::of(self.store.materials.get(&key), version), fetched) {
            (Answer::Taken, Some(fetched)) => {
                self.apply(Change::Fetched(key.clone(), fetched));
                self.fetches.done(&key);
                self.held.insert(key);
            }
            (Answer::Old, _) => {
                self.fetches.done(&key);
                self.fetches.push(key, 0);
            }
            (Answer::Early, _) => self.fetches.failed(&key, Instant::now()),
            (Answer::Taken | Answer::Idle, _) => self.fetches.done(&key),
        }
    }
}

async fn fetch(client: Client, reference: &Reference) -> Result<Option<Fetched>, Failure> {
    let Name { namespace, name } = &reference.key.name;
    match reference.key.kind {
        MaterialKind::Secret => {
            let secret = in_time(Api::<Secret>::namespaced(client, namespace).get_opt(name)).await?;
            Ok(secret.map(|secret| Fetched::of_secret(reference, secret)))
        }
        MaterialKind::ConfigMap => {
            let config_map = in_time(Api::<ConfigMap>::namespaced(client, namespace).get_opt(name)).await?;
            Ok(config_map.map(|config_map| Fetched::of_config_map(reference, config_map)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_never_takes_the_place_of_what_the_watch_has_told_since() {
        let version = |text: &str| text.parse::<ResourceVersion>().unwrap();
        let (old, new) = (version("9"), version("10"));
        assert_eq!(Answer::of(Some(&new), Some(&new)), Answer::Taken);
        assert_eq!(Answer::of(Some(&old), Some(&new)), Answer::Taken, "ahead of the watch");
        assert_eq!(Answer::of(Some(&new), Some(&old)), Answer::Old, "changed meanwhile, or made anew");
        assert_eq!(Answer::of(Some(&new), None), Answer::Early, "made meanwhile");
        assert_eq!(Answer::of(None, Some(&old)), Answer::Idle, "deleted meanwhile");
        assert_eq!(Answer::of(None, None), Answer::Idle);
    }
}
