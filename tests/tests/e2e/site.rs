//! A site as its people set it up: the platform's engineer installs streamgate, two tenants apply the examples, and a third
//! has a fleet.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use streamgate_tests::pki::{CertificateAuthority, Credentials};
use streamgate_tests::tls_client::TlsClient;
use streamgate_tests::{process, wait, workspace};
use tempfile::TempDir;

use crate::fleet::{Fleet, Terms};
use crate::kube::{CHART, Kube, name};
use crate::machine::Machine;

/// Where operator and proxies are.
pub(crate) const SYSTEM: &str = "streamgate-system";
/// Where the gateway's generated objects and Leases are.
pub(crate) const GATEWAY: &str = "streamgate-default";
/// The proxies, and their Service.
pub(crate) const PROXIES: &str = "deployment/streamgate-default";
pub(crate) const OPERATOR: &str = "deployment/streamgate-operator";
/// The namespace of the fleet's brokers.
pub(crate) const FLEET: &str = "fleet";
/// The name that its devices ask for.
pub(crate) const FLEET_NAME: &str = "devices.fleet.example";
/// For how long a proxy that goes still lets devices in.
pub(crate) const DRAIN_DELAY: Duration = Duration::from_secs(3);
/// Over which it hands its devices back then.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(10);

/// What the tests share.
pub(crate) struct Site {
    pub(crate) kube: Kube,
    pub(crate) machine: Machine,
    pub(crate) images: Images,
    /// Issued the certificates of all servers.
    pub(crate) public: CertificateAuthority,
    /// Issues those of each tenant's devices.
    pub(crate) acme: CertificateAuthority,
    pub(crate) globex: CertificateAuthority,
    pub(crate) fleet: CertificateAuthority,
    /// Whether release, tenants and fleet are there with certificates of these authorities.
    is_set_up: AtomicBool,
}

/// Images that the cluster has.
pub(crate) struct Images {
    /// The product's, as repository and tag.
    pub(crate) product: (String, String),
    /// The same under another tag.
    pub(crate) next_tag: String,
    pub(crate) mosquitto: String,
}

impl Site {
    pub(crate) fn new(kubeconfig: PathBuf, machine: Machine, images: Images) -> Result<Self> {
        Ok(Self {
            kube: Kube::new(kubeconfig),
            machine,
            images,
            public: CertificateAuthority::new("Public CA")?,
            acme: CertificateAuthority::new("Acme Devices CA")?,
            globex: CertificateAuthority::new("Globex Meters CA")?,
            fleet: CertificateAuthority::new("Fleet CA")?,
            is_set_up: AtomicBool::new(false),
        })
    }

    /// Refuses a cluster where there is something that these tests would change or delete and did not make.
    pub(crate) fn ensure_nothing_is_anothers(&self) -> Result<()> {
        let namespaces = self.kube.list("namespaces")?;
        let mine = |namespace: &Value| namespace["metadata"]["labels"][MADE_BY].as_str() == Some(TESTS);
        for used in [SYSTEM, GATEWAY, "acme", "globex", FLEET] {
            // The chart made the gateway's, as a part of the release.
            let maker = if used == GATEWAY { SYSTEM } else { used };
            let is_there = namespaces.iter().any(|namespace| name(namespace) == used);
            let is_mine = namespaces.iter().any(|namespace| name(namespace) == maker && mine(namespace));
            ensure!(
                !is_there || is_mine,
                "the namespace {used} is there, and not of these tests: they would delete it"
            );
        }
        let release_is_mine = namespaces.iter().any(|namespace| name(namespace) == SYSTEM && mine(namespace));
        let definitions = self.kube.kubectl("get crds -o name")?;
        ensure!(
            release_is_mine || !definitions.contains(".streamgate.dev"),
            "the cluster has streamgate's definitions, and not by these tests: they would delete them"
        );
        Ok(())
    }

    // --- the platform's engineer

    /// `helm install`, or `helm upgrade` where it is there: the chart with the site's values, and `further` ones over them.
    pub(crate) fn install(&self, further: &str) -> Result<()> {
        self.namespace(SYSTEM)?;
        let line = format!("upgrade --install streamgate {CHART} --namespace {SYSTEM} --wait --timeout 4m");
        self.kube.helm(&line, &self.values(further)?)?;
        Ok(())
    }

    /// The site's values with others over them, as YAML, of which JSON is a part. The tests ask the admin ports by way of the
    /// API server, which is anywhere.
    pub(crate) fn values(&self, further: &str) -> Result<String> {
        let (repository, tag) = &self.images.product;
        let mosquitto = &self.images.mosquitto;
        let base = format!(
            "
image: {{registry: '', repository: {repository}, tag: '{tag}', pullPolicy: IfNotPresent}}
test: {{image: {mosquitto}}}
networkPolicy: {{adminFrom: [{{ipBlock: {{cidr: 0.0.0.0/0}}}}]}}
gateways:
  default:
    replicas: 2
    service: {{type: NodePort}}
    resources: {{requests: {{cpu: 10m, memory: 64Mi}}}}
    drainDelay: {}s
    drainTime: {}s
",
            DRAIN_DELAY.as_secs(),
            DRAIN_TIME.as_secs()
        );
        let mut values: Value = serde_saphyr::from_str(&base)?;
        if !further.is_empty() {
            merge(&mut values, serde_saphyr::from_str(further)?);
        }
        Ok(values.to_string())
    }

    /// Whether the release is there. That nobody could be asked is an error.
    pub(crate) fn is_installed(&self) -> Result<bool> {
        let line = format!("status streamgate --namespace {SYSTEM}");
        let status = self.kube.try_helm(&line, "")?;
        ensure!(status.success() || status.stderr.contains("release: not found"), "{line}: {status:?}");
        Ok(status.success())
    }

    /// Has the release, the tenants and the fleet be there. What a former run has left is of other authorities, so it is set up
    /// anew.
    pub(crate) fn prepare(&self) -> Result<()> {
        if self.is_set_up.load(Ordering::Relaxed) && self.is_installed()? {
            return Ok(());
        }
        self.install("")?;
        self.apply_examples()?;
        self.set_up_fleet()
    }

    /// What there is, for whoever reads of a failure.
    pub(crate) fn picture(&self) -> String {
        let lines = [
            format!("get pods,leases -n {SYSTEM} -o wide"),
            format!("get configmaps,secrets,leases -n {GATEWAY}"),
            "get streamroutes,tlssnis -A".to_owned(),
            format!("get pods,endpointslices -n {FLEET} -o wide"),
            format!("logs -n {SYSTEM} {OPERATOR} --all-pods --tail=20"),
            format!("logs -n {SYSTEM} {PROXIES} --all-pods --all-containers --tail=20"),
            "get events -A --sort-by=.lastTimestamp".to_owned(),
        ];
        let shown = lines.map(|line| match self.kube.try_kubectl(&line) {
            Ok(output) => format!("$ kubectl {line}\n{}{}", output.text(), output.stderr),
            Err(error) => format!("$ kubectl {line}\n{error:#}"),
        });
        shown.join("\n")
    }

    /// Where devices from outside reach the proxies.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        self.address_of("streamgate-default")
    }

    /// Where they reach those of a gateway, by its Service.
    pub(crate) fn address_of(&self, service: &str) -> Result<SocketAddr> {
        let service = self.kube.get(&format!("service -n {SYSTEM} {service}"))?;
        let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
        let port = ports.iter().find(|port| port["name"] == "mqtts").and_then(|port| port["nodePort"].as_u64());
        let nodes = self.kube.list("nodes")?;
        let addresses = nodes.iter().flat_map(|node| node["status"]["addresses"].as_array().into_iter().flatten());
        let mut internal = addresses.filter(|address| address["type"] == "InternalIP");
        let host = internal.find_map(|address| address["address"].as_str()).context("a node without an address")?;
        Ok(format!("{host}:{}", port.context("a Service without a NodePort `mqtts`")?).parse()?)
    }

    /// The pods of the proxies that are there, with those that go.
    pub(crate) fn proxies(&self) -> Result<Vec<Value>> {
        self.kube.list(&format!("pods -n {SYSTEM} -l app.kubernetes.io/component=proxy"))
    }

    /// What a proxy counts itself: the sum of a metric over the series that have this in their labels.
    pub(crate) fn count(&self, proxy: &Value, metric: &str, label: &str) -> Result<usize> {
        let page = self.kube.ask_pod(SYSTEM, name(proxy), 9901, "metrics")?;
        let series = page.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once(' '));
        series.filter(|(labels, _)| labels.contains(label)).map(|(_, value)| Ok(value.parse::<usize>()?)).sum()
    }

    // --- the tenants

    /// A namespace that says whose it is, whoever applies it besides, and in which the API server takes restricted pods alone.
    pub(crate) fn namespace(&self, namespace: &str) -> Result<()> {
        let metadata = json!({
            "name": namespace, "labels": {MADE_BY: TESTS, "pod-security.kubernetes.io/enforce": "restricted"},
        });
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        self.kube.apply_as(TESTS, &namespace.to_string())
    }

    /// A Secret with a server's certificate.
    pub(crate) fn tls_secret(&self, namespace: &str, name: &str, credentials: &Credentials) -> Result<()> {
        let data = json!({"tls.crt": credentials.chain_pem, "tls.key": credentials.key_pem});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": namespace, "name": name}, "stringData": data,
        });
        self.kube.apply(&secret.to_string())
    }

    /// A ConfigMap with the certificate of an authority.
    fn ca_config_map(&self, namespace: &str, name: &str, authority: &CertificateAuthority) -> Result<()> {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name},
            "data": {"ca.crt": authority.certificate_pem()},
        });
        self.kube.apply(&map.to_string())
    }

    /// A Secret with certificates of authorities.
    pub(crate) fn ca_secret(&self, namespace: &str, name: &str, authorities: &[&CertificateAuthority]) -> Result<()> {
        let pem: String = authorities.iter().map(|authority| authority.certificate_pem()).collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name},
            "stringData": {"ca.crt": pem},
        });
        self.kube.apply(&secret.to_string())
    }

    /// What the two tenants of `examples/` refer to, then `kubectl apply -f examples/`, and the time until it is in effect.
    pub(crate) fn apply_examples(&self) -> Result<Duration> {
        let tenants = [
            ("acme", "devices", "devices.acme.example", &self.acme),
            ("globex", "meters", "meters.globex.example", &self.globex),
        ];
        for (namespace, name, server_name, authority) in tenants {
            self.namespace(namespace)?;
            self.tls_secret(namespace, &format!("{name}-tls"), &self.public.server(&[server_name])?)?;
            self.ca_config_map(namespace, &format!("{name}-ca"), authority)?;
        }
        let checkout = self.checkout()?;
        let start = Instant::now();
        self.kube.kubectl_in(checkout.path(), "apply -f examples/")?;
        for (namespace, name, ..) in tenants {
            self.kube.wait_for_condition(namespace, &format!("streamroute/{name} tlssni/{name}"), "Programmed")?;
        }
        let took = start.elapsed();
        self.kube.wait_for_rollout("acme", "statefulset/broker")?;
        self.kube.wait_for_rollout("globex", "deployment/broker")?;
        Ok(took)
    }

    /// A folder with all of `examples/`, where the tenants' brokers are of the image of mosquitto that this cluster has.
    pub(crate) fn checkout(&self) -> Result<TempDir> {
        let checkout = tempfile::tempdir()?;
        let mut copy = Command::new("cp");
        copy.arg("-r").args([workspace().join("examples").as_path(), checkout.path()]);
        process::run(copy, Duration::from_mins(1))?.succeeded("cp -r examples")?;
        for tenant in ["acme.yaml", "globex.yaml"] {
            let file = checkout.path().join("examples").join(tenant);
            fs::write(&file, self.with_mosquitto(&fs::read_to_string(&file)?))?;
        }
        Ok(checkout)
    }

    /// A manifest with the image of mosquitto that this cluster has.
    pub(crate) fn with_mosquitto(&self, manifest: &str) -> String {
        manifest.replace("docker.io/library/eclipse-mosquitto:2.0.22", &self.images.mosquitto)
    }

    /// The fleet's tenant, with three brokers that tell their pod's name; until its route is in effect.
    pub(crate) fn set_up_fleet(&self) -> Result<()> {
        self.namespace(FLEET)?;
        self.tls_secret(FLEET, "tls", &self.public.server(&[FLEET_NAME])?)?;
        self.ca_secret(FLEET, "ca", &[&self.fleet])?;
        self.kube.apply(&self.with_mosquitto(include_str!("manifests/fleet.yaml")))?;
        self.kube.wait_for_rollout(FLEET, "statefulset/broker")?;
        self.kube.wait_for_condition(FLEET, "streamroute/devices tlssni/devices", "Programmed")?;
        self.is_set_up.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A device of the fleet, by a certificate that its authority issued.
    pub(crate) fn fleet_device(&self, common_name: &str) -> Result<TlsClient> {
        TlsClient::with_certificate(&self.public, FLEET_NAME, &self.fleet.device(common_name)?)
    }

    /// So many of the fleet's devices, connected.
    pub(crate) fn start_fleet(&self, count: usize) -> Result<Fleet> {
        self.start_fleet_with(count, false)
    }

    /// The same, with wills.
    pub(crate) fn start_fleet_with(&self, count: usize, have_wills: bool) -> Result<Fleet> {
        let client = self.fleet_device("fleet")?;
        let address = self.address()?;
        Fleet::start(&Terms { address, client: &client, name: FLEET_NAME, called: "device", count, have_wills })
    }

    /// A few more besides, where the API may be away.
    pub(crate) fn start_newcomers(&self, address: SocketAddr) -> Result<Fleet> {
        let client = self.fleet_device("newcomer")?;
        let called = "newcomer";
        Fleet::start(&Terms { address, client: &client, name: FLEET_NAME, called, count: 20, have_wills: false })
    }

    // --- looking on

    /// The resourceVersion of every StreamRoute and TlsSni.
    pub(crate) fn versions(&self) -> Result<Vec<(String, String)>> {
        let objects = self.kube.list("streamroutes,tlssnis --all-namespaces")?;
        let version = |object: &Value| {
            let metadata = &object["metadata"];
            let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
            (format!("{} {}/{}", object["kind"], text("namespace"), text("name")), text("resourceVersion"))
        };
        Ok(objects.iter().map(version).collect())
    }

    /// Waits until every condition of every StreamRoute and TlsSni of these namespaces is True.
    pub(crate) fn wait_until_all_is_true(&self, namespaces: &[&str]) -> Result<()> {
        for namespace in namespaces {
            for condition in ["Accepted", "ResolvedRefs", "Programmed"] {
                self.kube.wait_for_condition(namespace, "streamroutes,tlssnis --all", condition)?;
            }
        }
        Ok(())
    }

    /// Waits until what is generated of a namespace's objects is as wanted, by name.
    pub(crate) fn wait_for_generated(&self, namespace: &str, wanted: impl Fn(&[String]) -> bool) -> Result<()> {
        let mut seen = Vec::new();
        let look = || {
            seen = self.generated_of(namespace).ok()?;
            wanted(&seen).then_some(())
        };
        let waited = wait::until("the gateway's namespace", Duration::from_mins(1), look);
        waited.with_context(|| format!("of {namespace} there is {seen:?}"))
    }

    fn generated_of(&self, namespace: &str) -> Result<Vec<String>> {
        let objects = self.kube.list(&format!("configmaps,secrets -n {GATEWAY}"))?;
        let names = objects.iter().map(name).filter(|name| name.split('.').nth(1) == Some(namespace));
        Ok(names.map(str::to_owned).collect())
    }
}

/// The label of every namespace that these tests made.
const MADE_BY: &str = "app.kubernetes.io/created-by";
const TESTS: &str = "streamgate-e2e";

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
