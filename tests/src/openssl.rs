//! OpenSSL's `s_client`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::{self, Output};

/// An `s_client` to be run.
#[derive(Clone, Debug)]
pub struct SClient {
    address: SocketAddr,
    arguments: Vec<String>,
    input: Vec<u8>,
    until: Option<String>,
    within: Duration,
}

/// What `s_client` said.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its output and exit code.
    pub output: Output,
    /// The number of the alert it received (`SSL alert number N`).
    pub alert: Option<u8>,
    /// Whether the session was resumed (`Reused, …`).
    pub reused: bool,
    /// Whether a cipher suite was agreed on and no alert came.
    pub handshake: bool,
    /// The subject of the server's certificate, as OpenSSL writes it: `CN = a.example`.
    pub subject: Option<String>,
    /// The application protocol (ALPN) that was agreed on.
    pub alpn: Option<String>,
}

impl SClient {
    /// To this address, without a server name (`-noservername`) until one is given.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, arguments: Vec::new(), input: Vec::new(), until: None, within: Duration::from_secs(3) }
    }

    /// Asks for this server name.
    #[must_use]
    pub fn server_name(self, name: &str) -> Self {
        self.arguments(&["-servername", name])
    }

    /// With further arguments: `-tls1_2`, `-cert`, `-key`, `-CAfile`, `-sess_out`, `-alpn`.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Sends these bytes once the session is there. They must not begin with `Q` or `R`, which are commands to `s_client`.
    #[must_use]
    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.to_vec();
        self
    }

    /// Leaves as soon as the output holds this text: `Verify return code` comes with the handshake, `SSL-Session:` once there
    /// is a session to keep (in TLS 1.3 with the first ticket). Without this it stays until the server closes or the time
    /// is over.
    #[must_use]
    pub fn until(mut self, text: &str) -> Self {
        self.until = Some(text.to_owned());
        self
    }

    /// How long it may take: 3 seconds where nothing is said.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// When `openssl` can't be started.
    pub fn run(&self) -> Result<Session> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &self.address.to_string()]).args(&self.arguments);
        if !self.arguments.iter().any(|argument| argument == "-servername") {
            command.arg("-noservername");
        }
        let output = process::run_with_input(command, &self.input, self.until.as_deref(), self.within)?;
        let text = output.text();
        let alert = output.stderr.split_once("SSL alert number ").and_then(|(_, rest)| {
            rest.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|number| number.parse().ok())
        });
        let reused = text.lines().any(|line| line.starts_with("Reused, "));
        let agreed = text.lines().any(|line| line.starts_with("New, ") && !line.contains("(NONE)"));
        let handshake = alert.is_none() && (reused || agreed);
        let value = |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
        let (subject, alpn) = (value("subject="), value("ALPN protocol:"));
        Ok(Session { output, alert, reused, handshake, subject, alpn })
    }
}
