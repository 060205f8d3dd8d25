use super::*;

mod cover;
mod names;
mod overlap;
mod policy;
mod properties;
mod whole;

/// A `TlsSni` of these names, by `namespace/name`.
fn tls_sni(object: &str, snis: &[&str]) -> TlsSni {
    read(object, "TlsSni", &serde_json::json!({ "snis": snis, "certificates": [{ "secretName": "tls" }] }))
}

/// A `StreamRoute` of these names, by `namespace/name`; of all if there are none.
fn route(object: &str, snis: &[&str]) -> StreamRoute {
    let mut spec = serde_json::json!({ "upstream": { "nodes": [{ "host": "broker", "port": 1883 }] } });
    if !snis.is_empty() {
        spec["match"]["snis"] = snis.into();
    }
    read(object, "StreamRoute", &spec)
}

fn read<T: Manifest>(object: &str, kind: &str, spec: &serde_json::Value) -> T {
    let (namespace, name) = object.split_once('/').unwrap();
    let manifest = serde_json::json!({ "apiVersion": "streamgate.dev/v1alpha1", "kind": kind, "spec": spec });
    crate::manifest::read("", namespace, name, &manifest.to_string()).unwrap()
}

/// What tests change of an object.
trait Change: Sized {
    fn metadata(&mut self) -> &mut kube::core::ObjectMeta;

    /// Created so many seconds after the beginning of time.
    fn created(mut self, second: i64) -> Self {
        let time = k8s_openapi::jiff::Timestamp::from_second(second).unwrap();
        self.metadata().creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time));
        self
    }
}

impl Change for TlsSni {
    fn metadata(&mut self) -> &mut kube::core::ObjectMeta {
        &mut self.metadata
    }
}

impl Change for StreamRoute {
    fn metadata(&mut self) -> &mut kube::core::ObjectMeta {
        &mut self.metadata
    }
}

impl TlsSni {
    fn open_to_all(mut self) -> Self {
        self.spec.allowed_routes.namespaces = crate::tls_sni::FromNamespaces::All;
        self
    }

    fn on(mut self, gateway: &str) -> Self {
        gateway.clone_into(&mut self.spec.gateway);
        self
    }
}

impl StreamRoute {
    fn on(mut self, gateway: &str) -> Self {
        gateway.clone_into(&mut self.spec.gateway);
        self
    }

    fn of_ranges(mut self, ranges: &[&str]) -> Self {
        self.spec.r#match.source_ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
        self
    }

    fn at_listeners(mut self, listeners: &[&str]) -> Self {
        self.spec.listeners = listeners.iter().map(ToString::to_string).collect();
        self
    }
}

fn judge(tls_snis: Vec<TlsSni>, stream_routes: Vec<StreamRoute>) -> Admitted {
    admit(&Policy::default(), Objects { tls_snis, stream_routes })
}

/// What takes effect, `namespace/name: names`, in its order.
fn effective(admitted: &Admitted) -> Vec<String> {
    let line = |object: ObjectRef, snis: &[crate::Sni]| {
        let snis: Vec<_> = snis.iter().map(ToString::to_string).collect();
        format!("{object}: {}", snis.join(" ")).trim_end().to_owned()
    };
    let Objects { tls_snis, stream_routes } = &admitted.objects;
    let tls_snis = tls_snis.iter().map(|tls_sni| line(tls_sni.reference(), &tls_sni.spec.snis));
    tls_snis.chain(stream_routes.iter().map(|route| line(route.reference(), &route.spec.r#match.snis))).collect()
}

/// What was refused, `object: reason: message`.
fn refused(admitted: &Admitted) -> Vec<String> {
    let line = |Refusal { object, reason, message }: &Refusal| format!("{object}: {reason}: {message}");
    admitted.refusals.iter().map(line).collect()
}
