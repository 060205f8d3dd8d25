//! HTTP of the admin port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use streamgate_tests::proxy::Proxy;
use streamgate_tests::wait;

use crate::routing::place::{PLAIN, Place, by_source};

fn started() -> Result<(Place, Proxy)> {
    let place = Place::new()?;
    place.route("acme/all", "")?;
    let proxy = place.start()?;
    Ok((place, proxy))
}

/// Sends bytes, and reads to the end.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(wait::SOON))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn request(address: SocketAddr, method: &str, path: &str) -> Result<String> {
    exchange(address, format!("{method} {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn it_is_alive_and_ready() -> Result<()> {
    let (_place, proxy) = started()?;
    for path in ["/livez", "/readyz", "/livez?verbose"] {
        let response = proxy.admin_get(path)?;
        assert_eq!((response.status, response.body.trim_end()), (200, "ok"), "{path}");
    }
    Ok(())
}

#[test]
fn each_page_has_its_content_type() -> Result<()> {
    let (_place, proxy) = started()?;
    for (path, content_type) in [
        ("/livez", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
        ("/config", "application/json"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ] {
        let headers = proxy.admin_get(path)?.headers.to_ascii_lowercase();
        assert!(headers.contains(&format!("content-type: {content_type}")), "{path}: {headers}");
    }
    Ok(())
}

#[test]
fn other_paths_are_not_found() -> Result<()> {
    let (_place, proxy) = started()?;
    for path in ["/", "/livez/", "/metrics/../config", "/%6divez", "/LIVEZ", "//livez"] {
        assert_eq!(proxy.admin_get(path)?.status, 404, "{path}");
    }
    Ok(())
}

#[test]
fn other_methods_are_not_allowed() -> Result<()> {
    let (_place, proxy) = started()?;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let answer = request(proxy.admin(), method, "/livez")?;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("allow: get, head"), "{method}: {answer}");
    }
    Ok(())
}

#[test]
fn head_is_get_without_its_body() -> Result<()> {
    let (_place, proxy) = started()?;
    for path in ["/livez", "/readyz", "/config"] {
        let answer = request(proxy.admin(), "HEAD", path)?;
        let length = proxy.admin_get(path)?.body.len();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{path}: {answer}");
        let header = format!("content-length: {length}\r\n");
        assert!(answer.to_ascii_lowercase().contains(&header), "{path}: no {header} in {answer}");
    }
    Ok(())
}

#[test]
fn what_is_no_http_harms_nothing() -> Result<()> {
    let (_place, proxy) = started()?;
    let long_header = format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 << 20));
    for bytes in
        [&b"\x16\x03\x01\0\0"[..], b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02ab", b"GET\r\n\r\n", long_header.as_bytes()]
    {
        let mut stream = TcpStream::connect(proxy.admin())?;
        // It may be turned away before it has said everything.
        let _ = stream.write_all(bytes);
        drop(stream);
        assert_eq!(proxy.admin_get("/livez")?.status, 200);
    }
    Ok(())
}

#[test]
fn several_requests_on_one_connection() -> Result<()> {
    let (_place, proxy) = started()?;
    let one = "GET /livez HTTP/1.1\r\nHost: proxy\r\n\r\n";
    let last = "GET /readyz HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n";
    let answer = exchange(proxy.admin(), format!("{one}{one}{last}").as_bytes())?;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    Ok(())
}

#[test]
fn many_slow_clients_disturb_nobody() -> Result<()> {
    let (_place, proxy) = started()?;
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(proxy.admin())?;
        // Some say nothing, some half a request, some ask and never read.
        let bytes: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nHost: ",
            _ => b"GET /metrics HTTP/1.1\r\nHost: proxy\r\n\r\n",
        };
        stream.write_all(bytes)?;
        slow.push(stream);
    }
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(proxy.admin_get("/livez")?.status, 200);
        assert_eq!(by_source(proxy.address(PLAIN), "127.0.0.1")?, "acme/all");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    Ok(())
}
