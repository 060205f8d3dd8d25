//! What is told of objects, a few at once: a certificate of thousands of objects may be near its end.

use streamgate_crds::ObjectRef;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Operator;
use super::done::Done;
use crate::write::Failure;
use crate::write::events::{self, Notice};

/// Of which object what is told.
pub(super) type Telling = (ObjectRef, Notice);

impl Operator {
    /// Warns of what was not warned of before.
    pub(super) fn warn(&mut self, object: ObjectRef) {
        let warnings = self.outcome.warnings.get(&object).cloned().unwrap_or_default();
        let before = self.warned.get(&object).map_or(&[][..], Vec::as_slice);
        for warning in warnings.iter().filter(|warning| !before.contains(warning)) {
            self.notices.push((object.clone(), events::of_warning(warning)), 0);
        }
        if warnings.is_empty() {
            self.warned.remove(&object);
        } else {
            self.warned.insert(object, warnings);
        }
    }

    /// Starts what is to be told, as much as may be.
    pub(super) fn tell(&mut self, now: Instant) {
        if !self.leadership.standing().may_write(now) {
            return;
        }
        while let Some(telling) = self.notices.next(now) {
            let Some(uid) = self.uid(&telling.0) else {
                self.notices.done(&telling);
                continue;
            };
            let (client, leadership, done) = (self.client.clone(), self.leadership.clone(), self.done.clone());
            let instance = self.instance.clone();
            spawn_local(async move {
                let told = events::publish(client, &leadership, &instance, &telling.0, &uid, &telling.1).await;
                let _ = done.send(Done::Notice(telling, told));
            });
        }
    }

    pub(super) fn finish_notice(&mut self, telling: &Telling, told: Result<(), Failure>) {
        if told.as_ref().is_err_and(Failure::is_passing) {
            self.notices.failed(telling, Instant::now());
        } else {
            self.notices.done(telling);
        }
        if let Err(error) = told {
            let (ObjectRef { kind, namespace, name }, Notice { reason, .. }) = telling;
            tracing::warn!(%kind, namespace, name, reason, %error, "an event can't be written");
        }
    }
}
