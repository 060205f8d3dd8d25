//! The log of both programs: the proxy's, without what would tell secrets.

use streamgate_proxy::bootstrap::LogFormat;
use streamgate_proxy::log::{WorkerGuard, start_without};

/// Starts the log of this process, as the proxy does. What is logged last is written when the guard is dropped.
pub fn start(format: LogFormat) -> WorkerGuard {
    start_without(format, &SILENCED)
}

/// The client repeats answers that it can't read, and they may be secrets. Who asked tells of each request that failed.
const SILENCED: [&str; 1] = ["kube_client"];
