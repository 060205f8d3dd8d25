//! The API server as the administrator writes to it, request by request, through `kubectl proxy`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use streamgate_tests::control_plane::ControlPlane;
use streamgate_tests::process::Process;
use streamgate_tests::wait;

/// A way to the API server that takes a millisecond, where kubectl itself takes a hundred.
pub(crate) struct Api {
    _process: Process,
    address: SocketAddr,
}

impl Api {
    pub(crate) fn of(cluster: &ControlPlane) -> Result<Self> {
        let mut command = Command::new(cluster.path().join("bin/kubectl"));
        command.arg("--kubeconfig").arg(cluster.kubeconfig()).args(["proxy", "--port=0"]);
        let mut process = Process::start(command)?;
        let address = process.wait_for_line("the address of `kubectl proxy`", wait::SOON, |line| {
            line.strip_prefix("Starting to serve on ")?.parse().ok()
        })?;
        Ok(Self { _process: process, address })
    }

    /// Creates the object or replaces it, and gives its resourceVersion. `path` is its list's.
    pub(crate) fn write(&self, path: &str, object: &Value) -> Result<String> {
        let name = object["metadata"]["name"].as_str().context("an object has a name")?;
        let (status, mut written) = self.request("POST", path, Some(object))?;
        if status == 409 {
            written = self.succeed("PUT", &format!("{path}/{name}"), Some(object))?;
        } else if status != 201 {
            bail!("POST {path}: {status} {written}");
        }
        Ok(written["metadata"]["resourceVersion"].as_str().context("a resourceVersion")?.to_owned())
    }

    /// Deletes an object, if it is there.
    pub(crate) fn delete(&self, path: &str, name: &str) -> Result<()> {
        match self.request("DELETE", &format!("{path}/{name}"), None)? {
            (200 | 404, _) => Ok(()),
            (status, answer) => bail!("DELETE {path}/{name}: {status} {answer}"),
        }
    }

    /// The object or the list there.
    pub(crate) fn read(&self, path: &str) -> Result<Value> {
        self.succeed("GET", path, None)
    }

    fn succeed(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        match self.request(method, path, body)? {
            (200 | 201, answer) => Ok(answer),
            (status, answer) => bail!("{method} {path}: {status} {answer}"),
        }
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let body = body.map_or(String::new(), Value::to_string);
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(wait::SOON))?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).with_context(|| format!("{method} {path}"))?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no HTTP response: {answer}"))?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status code")?;
        Ok((status, serde_json::from_str(body).with_context(|| format!("no JSON: {head} {body}"))?))
    }
}
