//! What goes out: generated objects, statuses and events. Only a leader writes.

pub mod events;
pub mod objects;
pub mod queue;
pub mod status;

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

pub use self::objects::wipe;
use crate::election::Leadership;
use crate::reason::reason;

/// Why a request came to nothing. It is tried again, after another look.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is another state of it than was thought.
    #[error("it has changed meanwhile")]
    Conflict,
    /// The lease does not hold any more.
    #[error("the lease has run out")]
    NotLeading,
    /// It was not written whole, for the library for cryptography has no random numbers.
    #[error(transparent)]
    NoRandomNumbers(#[from] crate::ticket_keys::NoRandomNumbers),
    /// There was no answer in time.
    #[error("the API did not answer in time")]
    Late,
    /// The API refused it, or can't be reached.
    #[error("{}", reason(.0))]
    Refused(Box<kube::Error>),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            // A 404 to a replace is one too; to a create it says that there is no such namespace.
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            error => Self::Refused(Box::new(error)),
        }
    }
}

impl Failure {
    /// The word for it, for the metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Conflict => "Conflict",
            Self::NotLeading => "NotLeading",
            Self::NoRandomNumbers(_) | Self::Refused(_) => "Error",
            Self::Late => "Late",
        }
    }

    /// Whether there is no such object, or no such namespace.
    pub fn is_not_found(&self) -> bool {
        self.has_code(404)
    }

    /// Whether the API does not accept such an object, or such a change of it.
    pub fn is_invalid(&self) -> bool {
        self.has_code(422)
    }

    /// Whether the same request may be answered otherwise a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Refused(error) => match &**error {
                kube::Error::Api(status) => status.code == 429 || status.code >= 500,
                _ => true,
            },
            Self::Conflict | Self::NotLeading | Self::NoRandomNumbers(_) => false,
        }
    }

    fn has_code(&self, code: u16) -> bool {
        matches!(self, Self::Refused(error) if matches!(&**error, kube::Error::Api(status) if status.code == code))
    }
}

/// Waits for an answer, but not for ever.
///
/// # Errors
///
/// There was none in time, or it was no.
pub async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(LONGEST_WAIT, request).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::Late),
    }
}

/// The same of a write, which is sent only while the lease holds, and waited for no longer.
///
/// # Errors
///
/// The lease does not hold; or as [`in_time`].
pub async fn in_term<T>(leadership: &Leadership, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    let now = Instant::now();
    let until = leadership.standing().leads_until.filter(|until| now < *until).ok_or(Failure::NotLeading)?;
    timeout_at(until, in_time(request)).await.unwrap_or(Err(Failure::Late))
}

const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::election::Standing;

    #[tokio::test]
    async fn a_write_is_sent_only_while_the_lease_holds_and_waited_for_no_longer() {
        let now = Instant::now();
        let standing = Standing { leads_until: Some(now + Duration::from_secs(1)), in_contact_since: now };
        let (_sender, leadership) = Leadership::with(standing);
        assert_eq!(in_term(&leadership, async { Ok(7) }).await.ok(), Some(7));
        let late = in_term(&leadership, std::future::pending::<kube::Result<()>>()).await;
        assert!(matches!(late, Err(Failure::Late)) && now.elapsed() < LONGEST_WAIT, "{late:?}");
        let is_sent = Cell::new(false);
        let refused = in_term(&leadership, async { Ok(is_sent.replace(true)) }).await;
        assert!(matches!(refused, Err(Failure::NotLeading)) && !is_sent.get(), "{refused:?}");
    }
}
