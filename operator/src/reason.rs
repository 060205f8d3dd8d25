//! Why the API server could not be asked, in one line and without what it answered: that may be a secret.

use std::error::Error;

use kube::runtime::watcher;

/// Of a request.
pub fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::SerdeError(_) => "an answer that can't be read".to_owned(),
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        error => {
            let mut line = error.to_string();
            for cause in std::iter::successors(error.source(), |cause| (**cause).source()) {
                let cause = cause.to_string();
                if !line.contains(&cause) {
                    line.push_str(": ");
                    line.push_str(&cause);
                }
            }
            line
        }
    }
}

/// Of a watch.
pub fn watch_reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => reason(error),
        watcher::Error::WatchError(status) => format!("{} ({})", status.message, status.code),
        error @ watcher::Error::NoResourceVersion => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::Failure;

    fn unreadable() -> kube::Error {
        let answer = r#"{"metadata": {}, "data": "aHVudGVyMg=="}"#;
        let error = serde_json::from_str::<k8s_openapi::api::core::v1::Secret>(answer).expect_err("read");
        assert!(error.to_string().contains("aHVudGVyMg=="), "{error}");
        kube::Error::SerdeError(error)
    }

    #[test]
    fn what_an_answer_holds_is_in_no_reason() {
        assert_eq!(reason(&unreadable()), "an answer that can't be read");
        assert_eq!(Failure::from(unreadable()).to_string(), "an answer that can't be read");
        assert_eq!(watch_reason(&watcher::Error::InitialListFailed(unreadable())), "an answer that can't be read");
    }
}
