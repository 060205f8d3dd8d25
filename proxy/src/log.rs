//! The log, on standard output.

use std::io::{self, BufWriter, Write};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::NonBlockingBuilder;
pub use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::bootstrap::LogFormat;

/// Starts the log of this process; `RUST_LOG` says what is logged, else `info`. Lines are written by a thread of their own,
/// so that no worker waits for whoever reads them. What is logged last is written when the guard is dropped.
pub fn start(format: LogFormat) -> WorkerGuard {
    start_without(format, &[])
}

/// The same as [`start`], without the events of these modules, whatever `RUST_LOG` says: such as would tell secrets.
pub fn start_without(format: LogFormat, modules: &[&str]) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(MOST_LINES).finish(Paced::new(io::stdout()));
    let directives = std::env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
    let filter = EnvFilter::try_new(directives.as_deref().unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"));
    let silenced = modules.iter().filter_map(|module| format!("{module}=off").parse().ok());
    let filter = silenced.fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
    guard
}

/// Lines that wait to be written; those beyond are dropped.
const MOST_LINES: usize = 16 << 10;

/// Lines are gathered for so long before they are written. The first after a silence is written at once.
const PAUSE: Duration = Duration::from_millis(10);
/// So much is written without waiting.
const MOST_GATHERED_BYTES: usize = 64 << 10;

/// Writes what is there, then pauses: where many lines come, a write has many of them, and who logs needs to wake nobody.
struct Paced<W: Write>(BufWriter<W>);

impl<W: Write> Paced<W> {
    fn new(writer: W) -> Self {
        Self(BufWriter::with_capacity(MOST_GATHERED_BYTES, writer))
    }
}

impl<W: Write> Write for Paced<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// The appender flushes when no line is left that waits.
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        thread::sleep(PAUSE);
        flushed
    }
}
