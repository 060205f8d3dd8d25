//! Devices come in by a load balancer.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use streamgate_tests::wait;
use streamgate_tests::wire::{self, Connect, Version};

use crate::afterwards::Afterwards;
use crate::kube::name;
use crate::measured::Measured;
use crate::outside::Outside;
use crate::site::{FLEET, SYSTEM, Site};

/// `service.type: LoadBalancer` and nothing else: `externalTrafficPolicy` is `Local` then, so the proxy sees the device's own
/// address, as its access line says. Where nobody gives the Service an address, the node's own becomes that of the load balancer.
pub(crate) fn devices_keep_their_addresses_through_a_load_balancer(site: &Site, measured: &mut Measured) -> Result<()> {
    let as_before = Afterwards::new(|| site.install(""));
    site.install("gateways: {default: {service: {type: LoadBalancer}}}")?;
    let address = load_balancer(site)?;
    let outside = if site.machine.is_own() { Some(Outside::new()?) } else { None };
    let connect = || match &outside {
        Some(outside) => outside.connect(address),
        None => wire::connect_tcp(address),
    };
    let stream: TcpStream = wait::until("the load balancer", Duration::from_mins(3), || connect().ok())?;
    let device = stream.local_addr()?;
    let mut stream = site.fleet_device("balanced")?.handshake(stream)?;
    let packet = wire::connack(&mut stream, &Connect::new(Version::V5, "balanced"))?;
    ensure!(packet.body.get(1) == Some(&0), "no CONNACK that lets it in: {packet:?}");
    stream.write_all(&wire::DISCONNECT)?;
    drop(stream);

    let source = wait::until("the device's access line", wait::SOON, || source_of(site, "balanced").ok()?)?;
    ensure!(source.ip() == device.ip(), "the proxy saw the device at {source}, which is at {device}");
    measured.value(format!("a device at {}, by a load balancer: the proxy sees it at", device.ip()), source.ip());
    as_before.now()?;
    site.wait_until_all_is_true(&[FLEET])
}

/// Where the load balancer takes the listener's connections.
fn load_balancer(site: &Site) -> Result<SocketAddr> {
    let mut given = None;
    if !site.machine.is_own() {
        given = wait::until("a load balancer", Duration::from_mins(1), || address(site).ok().flatten()).ok();
    }
    if given.is_none() {
        let proxies = site.proxies()?;
        let node = proxies.first().map(|proxy| &proxy["status"]["hostIP"]).context("no proxy")?;
        // In a cloud's place. It goes with the Service's type.
        let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": node}]}}}).to_string();
        let words =
            ["patch", "-n", SYSTEM, "service/streamgate-default", "--subresource=status", "--type=merge", "-p", &patch];
        site.kube.kubectl_words(&words)?.succeeded("kubectl patch")?;
        given = address(site)?;
    }
    given.context("the Service has no load balancer's address")
}

fn address(site: &Site) -> Result<Option<SocketAddr>> {
    let service = site.kube.get(&format!("service -n {SYSTEM} streamgate-default"))?;
    let ingress = &service["status"]["loadBalancer"]["ingress"][0];
    let Some(host) = ingress["ip"].as_str().or(ingress["hostname"].as_str()) else { return Ok(None) };
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let port = ports.filter(|port| port["name"] == "mqtts").find_map(|port| port["port"].as_u64());
    let port = u16::try_from(port.context("a Service without a port `mqtts`")?)?;
    Ok((host, port).to_socket_addrs()?.next())
}

/// From where a client came whose connection has ended.
fn source_of(site: &Site, client_id: &str) -> Result<Option<SocketAddr>> {
    for proxy in site.proxies()? {
        let log = site.kube.kubectl(&format!("logs -n {SYSTEM} {} -c proxy --tail=-1", name(&proxy)))?;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut its = lines.filter(|line| line["client_id"] == client_id);
        if let Some(source) = its.find_map(|line| line["source"].as_str().map(str::to_owned)) {
            return Ok(Some(source.parse()?));
        }
    }
    Ok(None)
}
