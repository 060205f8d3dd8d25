//! mosquitto's own clients, brokers and bridges, through the proxy.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use streamgate_tests::broker::Broker;
use streamgate_tests::mosquitto::{self, Subscriber};
use streamgate_tests::pki::CredentialFiles;
use streamgate_tests::process::Output;
use streamgate_tests::wait;

use super::site::{ALL_LEVELS, ROUTE, SERVER_NAME, Site, Way, upstream};

/// The versions of MQTT, as mosquitto's clients have them.
const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

/// The clients' arguments for the way to the proxy.
struct Clients {
    site: Site,
    authority: String,
    certificate: CredentialFiles,
}

impl Clients {
    fn before(brokers: &[&Broker]) -> Result<Self> {
        Self::start(&format!("{ALL_LEVELS}\n{}", upstream(&addresses(brokers))))
    }

    fn start(spec: &str) -> Result<Self> {
        let site = Site::start(spec)?;
        let folder = site.config.scratch();
        let certificate = site.device()?.write(folder, "device")?;
        let authority = site.authority().write(folder, "authority")?.display().to_string();
        Ok(Self { site, authority, certificate })
    }

    fn arguments(&self, way: Way, more: &[&str]) -> Vec<String> {
        let port = self.site.proxy.address(way.listener()).port().to_string();
        let (certificate, key) = (self.certificate.certificate.display(), self.certificate.key.display());
        let version = match way {
            Way::Plain => None,
            Way::Tls12 => Some("tlsv1.2"),
            Way::Tls13 => Some("tlsv1.3"),
        };
        let mut all = match version {
            None => vec!["-h".to_owned(), "127.0.0.1".to_owned()],
            Some(version) => {
                let fields = ["-h", SERVER_NAME, "--cafile", &self.authority, "--tls-version", version];
                let files = ["--cert".to_owned(), certificate.to_string(), "--key".to_owned(), key.to_string()];
                fields.map(str::to_owned).into_iter().chain(files).collect()
            }
        };
        all.extend(["-p".to_owned(), port]);
        all.extend(more.iter().map(|&argument| argument.to_owned()));
        all
    }

    /// A `mosquitto_pub` that must succeed.
    fn publish(&self, way: Way, more: &[&str]) -> Result<()> {
        let arguments = self.arguments(way, more);
        let output = mosquitto::publish(&borrowed(&arguments), wait::SOON)?;
        ensure!(output.success(), "mosquitto_pub {arguments:?}: {output:?}\n{}", self.site.proxy.log());
        Ok(())
    }

    /// A `mosquitto_sub` that must end by itself, successfully.
    fn subscribe(&self, way: Way, more: &[&str]) -> Result<Output> {
        let arguments = self.arguments(way, more);
        let output = mosquitto::subscribe(&borrowed(&arguments), wait::SOON)?;
        ensure!(output.success(), "mosquitto_sub {arguments:?}: {output:?}\n{}", self.site.proxy.log());
        Ok(output)
    }

    fn subscriber(&self, way: Way, more: &[&str]) -> Result<Subscriber> {
        Subscriber::start(&borrowed(&self.arguments(way, more)))
    }
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn addresses(brokers: &[&Broker]) -> Vec<std::net::SocketAddr> {
    brokers.iter().map(|broker| broker.address()).collect()
}

/// Runs `body` for each version in each way, on one proxy with one broker.
fn in_every_version_and_way(body: impl Fn(&Clients, Way, &str) -> Result<()>) -> Result<()> {
    let broker = Broker::start("amber")?;
    let clients = Clients::before(&[&broker])?;
    for version in VERSIONS {
        for way in Way::ALL {
            body(&clients, way, version)
                .with_context(|| format!("{version}, {way:?}\n{}", clients.site.proxy.log()))?;
        }
    }
    Ok(())
}

#[test]
fn messages_of_every_quality_of_service_arrive() -> Result<()> {
    in_every_version_and_way(|clients, way, version| {
        let topic = format!("qos/{version}/{way:?}");
        let to = ["-V", version, "-t", &topic];
        let mut subscriber =
            clients.subscriber(way, &[&to[..], &["-q", "2", "-C", "3", "-F", "QoS %q: %p"]].concat())?;
        for (qos, text) in [("0", "zero"), ("1", "one"), ("2", "two")] {
            clients.publish(way, &[&to[..], &["-q", qos, "-m", text]].concat())?;
            subscriber.wait_for_line(&format!("QoS {qos}: {text}"), wait::SOON)?;
        }
        ensure!(subscriber.wait_for_end(wait::SOON)?.success());
        Ok(())
    })
}

#[test]
fn retained_messages_arrive_at_who_comes_later() -> Result<()> {
    in_every_version_and_way(|clients, way, version| {
        let topic = format!("retained/{version}/{way:?}");
        let to = ["-V", version, "-t", &topic];
        clients.publish(way, &[&to[..], &["-q", "1", "-r", "-m", "kept"]].concat())?;
        let output = clients.subscribe(way, &[&to[..], &["-C", "1", "-F", "retained %r: %p"]].concat())?;
        assert_eq!(output.text().trim(), "retained 1: kept");
        Ok(())
    })
}

#[test]
fn a_payload_of_a_megabyte_arrives_to_the_byte() -> Result<()> {
    let payload: Vec<u8> = (0..=255).cycle().take(1_000_003).collect();
    in_every_version_and_way(|clients, way, version| {
        let file = clients.site.config.scratch().join("payload");
        fs::write(&file, &payload)?;
        let topic = format!("large/{version}/{way:?}");
        let to = ["-V", version, "-t", &topic, "-q", "1"];
        clients.publish(way, &[&to[..], &["-r", "-f", &file.display().to_string()]].concat())?;
        let output = clients.subscribe(way, &[&to[..], &["-C", "1", "-N"]].concat())?;
        assert!(output.stdout == payload, "{} bytes came, or others than were sent", output.stdout.len());
        Ok(())
    })
}

#[test]
fn the_will_of_a_device_that_dies_is_published_and_of_one_that_leaves_it_is_not() -> Result<()> {
    in_every_version_and_way(|clients, way, version| {
        let topic = format!("will/{version}/{way:?}");
        let mut witness = clients.subscriber(way, &["-V", version, "-t", &topic])?;
        let device = |will: &str| {
            let id = format!("{will}-{way:?}");
            let until = ["-V", version, "-i", &id, "-t", "leave", "-C", "1"];
            let will = ["--will-topic", &topic, "--will-payload", will, "--will-qos", "1"];
            clients.subscriber(way, &[&until[..], &will].concat())
        };
        let mut leaving = device("left")?;
        clients.publish(way, &["-t", "leave", "-m", "now"])?;
        ensure!(leaving.wait_for_end(wait::SOON)?.success());
        let dying = device("died")?;
        dying.signal("KILL")?;
        witness.wait_for_line("died", wait::SOON)?;
        assert!(!witness.lines().iter().any(|line| line.contains("left")), "{:?}", witness.lines());
        Ok(())
    })
}

#[test]
fn properties_of_mqtt_5_arrive() -> Result<()> {
    let broker = Broker::start("amber")?;
    let clients = Clients::before(&[&broker])?;
    for way in Way::ALL {
        let topic = format!("properties/{way:?}");
        let to = ["-V", "mqttv5", "-t", &topic];
        let properties = ["-D", "publish", "user-property", "room", "12", "-D", "publish", "content-type", "text"];
        clients.publish(way, &[&to[..], &["-r", "-q", "1", "-m", "warm"], &properties].concat())?;
        let output = clients.subscribe(way, &[&to[..], &["-C", "1", "-F", "%p %C %P"]].concat())?;
        assert_eq!(output.text().trim(), "warm text room:12", "{way:?}");
    }
    Ok(())
}

#[test]
fn a_version_that_is_not_served_is_named_by_the_client() -> Result<()> {
    let broker = Broker::start("amber")?;
    let clients = Clients::start(&format!("mqtt: {{protocolLevels: [4]}}\n{}", upstream(&[broker.address()])))?;
    for way in Way::ALL {
        for version in ["mqttv31", "mqttv5"] {
            let arguments = clients.arguments(way, &["-V", version, "-i", "sensor", "-t", "x", "-m", "x"]);
            let output = mosquitto::publish(&borrowed(&arguments), wait::SOON)?;
            assert!(!output.success(), "{version}, {way:?}: {output:?}");
            assert!(output.stderr.to_lowercase().contains("protocol version"), "{version}, {way:?}: {output:?}");
        }
        clients.publish(way, &["-V", "mqttv311", "-t", "x", "-m", "x"])?;
    }
    Ok(())
}

/// Each device finds the broker again that keeps its session, and with it what came meanwhile.
#[test]
fn a_session_that_outlives_its_connection_is_found_again() -> Result<()> {
    let brokers = [Broker::start("amber")?, Broker::start("beryl")?, Broker::start("coral")?];
    let nodes = upstream(&brokers.each_ref().map(Broker::address));
    let nodes = nodes.trim_end_matches('}');
    let clients = Clients::start(&format!("{ALL_LEVELS}\n{nodes}, loadBalancer: {{type: ConsistentHash}}}}"))?;
    let devices: Vec<_> =
        (0..9_usize).map(|number| (format!("sensor-{number}"), VERSIONS[number % 3], Way::ALL[number / 3])).collect();
    // In MQTT 5, `-c` asks for a session that never expires.
    let session = |(id, version, _): &(String, &'static str, Way)| {
        ["-i", id, "-c", "-q", "1", "-t", "queue", "-V", version].map(str::to_owned)
    };
    for device in &devices {
        clients.subscribe(device.2, &[&borrowed(&session(device))[..], &["-E"]].concat())?;
    }
    for broker in &brokers {
        let port = broker.address().port().to_string();
        let to = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "queue", "-m", broker.name()];
        assert!(mosquitto::publish(&to, wait::SOON)?.success());
    }
    let mut reached = BTreeSet::new();
    for device in &devices {
        let output = clients.subscribe(device.2, &[&borrowed(&session(device))[..], &["-C", "1"]].concat())?;
        let broker = brokers.iter().find(|broker| broker.name() == output.text().trim()).context("a broker's name")?;
        // It alone has ever seen this device.
        let logs = brokers.each_ref().map(|broker| broker.log().contains(&format!(" as {} (", device.0)));
        assert_eq!(logs.iter().filter(|seen| **seen).count(), 1, "{}: {logs:?}", device.0);
        reached.insert(broker.name());
    }
    assert!(reached.len() > 1, "all devices went to {reached:?}");
    Ok(())
}

/// What a bridge needs to reach the proxy.
fn bridge(clients: &Clients, way: Way, version: &str) -> String {
    let port = clients.site.proxy.address(way.listener()).port();
    let tls = match way {
        Way::Plain => String::new(),
        Way::Tls12 | Way::Tls13 => format!(
            "bridge_cafile {}\nbridge_certfile {}\nbridge_keyfile {}",
            clients.authority,
            clients.certificate.certificate.display(),
            clients.certificate.key.display(),
        ),
    };
    format!(
        "connection up\naddress {SERVER_NAME}:{port}\nremote_clientid bridge\nbridge_protocol_version {version}\n\
         restart_timeout 1\nnotifications false\ntopic up/# both 1\n{tls}"
    )
}

/// A bridge of this version comes to a route that serves only that `level`, without the bridge's own bit.
fn falls_back(way: Way, version: &str, level: u8) -> Result<()> {
    let central = Broker::start("central")?;
    let mut clients =
        Clients::start(&format!("mqtt: {{protocolLevels: [{level}]}}\n{}", upstream(&[central.address()])))?;
    let edge = Broker::start_with("edge", &bridge(&clients, way, version))?;
    // It first tries the level with the bit, and is told in the old form.
    let site = &mut clients.site;
    let first =
        site.proxy.wait_for_connection("the bridge's first attempt", |line| line["client_id"] == Value::Null)?;
    assert_eq!((&first["end"], &first["route"]), (&"UnsupportedLevel".into(), &ROUTE.into()), "{first}");
    carries(&clients, &edge, &central)
}

/// What is published at the edge arrives at the centre.
fn carries(clients: &Clients, edge: &Broker, central: &Broker) -> Result<()> {
    let mut subscriber = Subscriber::start(&borrowed(&direct(central, &["-t", "up/#", "-q", "1"])))?;
    wait::until("a message that came over the bridge", wait::SOON, || {
        let to = direct(edge, &["-t", "up/x", "-q", "1", "-m", "from the edge"]);
        mosquitto::publish(&borrowed(&to), wait::SOON).ok()?;
        subscriber.wait_for_line("from the edge", Duration::from_millis(500)).ok()
    })
    .with_context(|| format!("{}\n{}", clients.site.proxy.log(), edge.log()))?;
    Ok(())
}

#[test]
fn a_bridge_falls_back_to_mqtt_3_1_1_where_only_that_is_served() -> Result<()> {
    falls_back(Way::Plain, "mqttv311", 4)
}

#[test]
fn a_bridge_falls_back_to_mqtt_3_1_under_tls_where_only_that_is_served() -> Result<()> {
    falls_back(Way::Tls13, "mqttv31", 3)
}

#[test]
fn a_bridge_of_mqtt_5_is_served() -> Result<()> {
    let central = Broker::start("central")?;
    let clients = Clients::before(&[&central])?;
    let edge = Broker::start_with("edge", &bridge(&clients, Way::Tls13, "mqttv50"))?;
    carries(&clients, &edge, &central)
}

/// Arguments for a client that goes to a broker without the proxy.
fn direct(broker: &Broker, more: &[&str]) -> Vec<String> {
    let port = broker.address().port().to_string();
    ["-h", "127.0.0.1", "-p", &port].into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
}
