//! The schema that is generated from the types: what `kubectl explain` shows, and the defaults that it states.

use kube::CustomResourceExt;
use serde_json::Value;
use streamgate_crds::manifest;
use streamgate_crds::{StreamRoute, TlsSni};

fn schema<T: CustomResourceExt>() -> Value {
    let definition = serde_json::to_value(T::crd()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Every property below `schema`, by its path (`spec.match.snis`, `spec.upstream.nodes[].port`).
fn properties(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.push((path.clone(), property.clone()));
        properties(property, &path, found);
        properties(&property["items"], &format!("{path}[]"), found);
    }
}

fn all_properties() -> Vec<(String, Value)> {
    [("StreamRoute", schema::<StreamRoute>()), ("TlsSni", schema::<TlsSni>())]
        .iter()
        .flat_map(|(kind, schema)| {
            let mut found = Vec::new();
            properties(schema, "", &mut found);
            found.into_iter().map(move |(path, property)| (format!("{kind} {path}"), property))
        })
        .collect()
}

fn property(path: &str) -> Value {
    let found = all_properties().into_iter().find(|(each, _)| each == path);
    found.unwrap_or_else(|| panic!("no {path}")).1
}

fn description(property: &Value) -> String {
    property["description"].as_str().unwrap_or_default().replace('\n', " ")
}

#[test]
fn every_property_is_described() {
    let properties = all_properties();
    assert!(properties.len() > 40, "{}", properties.len());
    for (path, property) in properties {
        assert!(description(&property).ends_with(['.', '`']), "{path}: {property}");
    }
}

#[test]
fn every_property_has_a_type_as_the_api_server_asks() {
    for (path, property) in all_properties() {
        let is_typed = property["type"].is_string() || property["x-kubernetes-int-or-string"] == true;
        assert!(is_typed, "{path}: {property}");
    }
}

#[test]
fn the_schemas_hold_the_fields_that_work_and_no_others() {
    let spec = |kind: &str| -> Vec<String> {
        let begin = format!("{kind} spec.");
        all_properties().into_iter().filter_map(|(path, _)| Some(path.strip_prefix(&begin)?.to_owned())).collect()
    };
    assert_eq!(
        spec("StreamRoute"),
        [
            "gateway",
            "listeners",
            "match",
            "match.snis",
            "match.sourceRanges",
            "mqtt",
            "mqtt.clientId",
            "mqtt.clientId.certificateField",
            "mqtt.clientId.policy",
            "mqtt.connectTimeout",
            "mqtt.maxConnectSize",
            "mqtt.protocolLevels",
            "mqtt.protocolName",
            "onDrain",
            "onDrain.serverReference",
            "onDrain.will",
            "upstream",
            "upstream.connackTimeout",
            "upstream.connectTimeout",
            "upstream.loadBalancer",
            "upstream.loadBalancer.key",
            "upstream.loadBalancer.type",
            "upstream.nodes",
            "upstream.nodes[].host",
            "upstream.nodes[].name",
            "upstream.nodes[].port",
            "upstream.nodes[].weight",
            "upstream.retries",
            "upstream.services",
            "upstream.services[].name",
            "upstream.services[].port",
            "upstream.services[].weight",
        ]
    );
    assert_eq!(
        spec("TlsSni"),
        [
            "allowedRoutes",
            "allowedRoutes.namespaces",
            "alpnProtocols",
            "certificates",
            "certificates[].secretName",
            "clientAuth",
            "clientAuth.allowedSubjects",
            "clientAuth.ca",
            "clientAuth.ca.configMapName",
            "clientAuth.ca.key",
            "clientAuth.ca.secretName",
            "clientAuth.crl",
            "clientAuth.crl.configMapName",
            "clientAuth.crl.key",
            "clientAuth.crl.secretName",
            "clientAuth.maxDepth",
            "clientAuth.mode",
            "gateway",
            "minProtocolVersion",
            "snis",
        ]
    );
}

#[test]
fn a_default_is_the_one_that_the_description_states() {
    let mut checked = 0;
    for (path, property) in all_properties() {
        let default = match &property["default"] {
            Value::Null | Value::Object(_) => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let description = description(&property);
        let stated = [format!("Default: `{default}`."), format!("Default: `\"{default}\"`.")];
        assert!(stated.iter().any(|stated| description.contains(stated)), "{path}: {default}: {description}");
        checked += 1;
    }
    assert!(checked >= 12, "{checked}");
}

#[test]
fn a_default_that_the_schema_leaves_out_is_the_one_that_holds() {
    let read = |spec: &str| {
        let yaml = format!("{{apiVersion: streamgate.dev/v1alpha1, kind: StreamRoute, spec: {{{spec}}}}}");
        manifest::read::<StreamRoute>("", "acme", "devices", &yaml).unwrap().spec
    };
    let nodes = "nodes: [{host: broker, port: 1883}]";
    let plain = read(&format!("upstream: {{{nodes}}}"));
    let old = read(&format!("mqtt: {{protocolName: MQIsdp}}, upstream: {{{nodes}}}"));
    let hash = read(&format!("upstream: {{loadBalancer: {{type: ConsistentHash}}, {nodes}}}")).upstream.load_balancer;
    let levels = format!("Default: `{:?}`, with protocolName `MQIsdp` `{:?}`.", plain.mqtt.levels(), old.mqtt.levels());
    let field = format!("Default: `{:?}`.", plain.mqtt.client_id.certificate_field);
    assert_eq!(plain.upstream.nodes[0].identity(), "broker:1883");
    for (path, stated) in [
        ("StreamRoute spec.mqtt.protocolLevels", levels),
        ("StreamRoute spec.mqtt.clientId.certificateField", field),
        ("StreamRoute spec.upstream.loadBalancer.key", format!("Default: `{:?}`.", hash.key())),
        ("StreamRoute spec.upstream.nodes[].name", "Default: its host and port.".to_owned()),
        ("TlsSni spec.clientAuth.mode", "Default: `Require` where a `ca` is given, else `None`.".to_owned()),
        ("TlsSni spec.clientAuth.ca.key", "Default: `ca.crt`.".to_owned()),
    ] {
        let property = property(path);
        assert_eq!(property["default"], Value::Null, "{path}");
        assert!(description(&property).ends_with(&stated), "{path}: {stated}: {}", description(&property));
    }
}

#[test]
fn every_property_that_may_be_absent_says_what_then() {
    let schemas = [("StreamRoute", schema::<StreamRoute>()), ("TlsSni", schema::<TlsSni>())];
    for (path, property) in all_properties() {
        let (kind, rest) = path.split_once(' ').unwrap();
        let (_, schema) = schemas.iter().find(|(each, _)| *each == kind).unwrap();
        let (parent, name) = rest.rsplit_once('.').unwrap_or(("", rest));
        let pointer: String = parent
            .split('.')
            .filter(|step| !step.is_empty())
            .map(|step| match step.strip_suffix("[]") {
                Some(list) => format!("/properties/{list}/items"),
                None => format!("/properties/{step}"),
            })
            .collect();
        let required = &schema.pointer(&pointer).unwrap()["required"];
        let is_required = required.as_array().is_some_and(|required| required.contains(&name.into()));
        let description = description(&property);
        // What is within a mapping says it, and of these pairs one is needed.
        let is_plain =
            property["type"] == "object" || ["services", "nodes", "configMapName", "secretName"].contains(&name);
        let is_said = description.contains("Default: ") || description.contains("Absent: ");
        assert!(is_required || is_plain || is_said, "{path}: {description}");
    }
}

#[test]
fn the_words_of_a_choice_are_those_that_are_read() {
    let read = |kind: &str, spec: &str| {
        let yaml = format!("{{apiVersion: streamgate.dev/v1alpha1, kind: {kind}, spec: {{{spec}}}}}");
        match kind {
            "TlsSni" => manifest::read::<TlsSni>("", "a", "b", &yaml).map(|read| read.validate()),
            _ => manifest::read::<StreamRoute>("", "a", "b", &yaml).map(|read| read.validate()),
        }
    };
    let route = |spec: &str| format!("{spec}, upstream: {{nodes: [{{host: a, port: 1}}]}}");
    let balancer = |spec: &str| format!("upstream: {{nodes: [{{host: a, port: 1}}], loadBalancer: {{{spec}}}}}");
    let tls_sni = |spec: &str| format!("snis: [a], certificates: [{{secretName: a}}], {spec}");
    for (path, spec) in [
        ("StreamRoute spec.mqtt.protocolName", route("mqtt: {protocolName: WORD}")),
        ("StreamRoute spec.mqtt.clientId.policy", route("mqtt: {clientId: {policy: WORD}}")),
        (
            "StreamRoute spec.mqtt.clientId.certificateField",
            route("mqtt: {clientId: {policy: MatchesCertificate, certificateField: WORD}}"),
        ),
        ("StreamRoute spec.upstream.loadBalancer.type", balancer("type: WORD")),
        ("StreamRoute spec.upstream.loadBalancer.key", balancer("type: ConsistentHash, key: WORD")),
        ("TlsSni spec.clientAuth.mode", tls_sni("clientAuth: {mode: WORD, ca: {configMapName: a}}")),
        ("TlsSni spec.minProtocolVersion", tls_sni("minProtocolVersion: \"WORD\"")),
        ("TlsSni spec.allowedRoutes.namespaces", tls_sni("allowedRoutes: {namespaces: WORD}")),
    ] {
        let words = property(path)["enum"].as_array().unwrap_or_else(|| panic!("{path} has no words")).clone();
        assert!(words.len() >= 2, "{path}");
        for word in words {
            let kind = path.split_once(' ').unwrap().0;
            let word = word.as_str().unwrap();
            read(kind, &spec.replace("WORD", word)).unwrap_or_else(|problems| panic!("{path}: {word}: {problems:?}"));
        }
    }
}

#[test]
fn the_definitions_are_what_kubectl_knows_them_by() {
    for (definition, plural, kind) in
        [(StreamRoute::crd(), "streamroutes", "StreamRoute"), (TlsSni::crd(), "tlssnis", "TlsSni")]
    {
        assert_eq!(definition.spec.names.plural, plural);
        assert_eq!(definition.spec.names.kind, kind);
        assert_eq!(definition.spec.names.categories, Some(vec!["streamgate".to_owned()]));
        assert_eq!(definition.spec.scope, "Namespaced");
        assert_eq!(definition.metadata.name, Some(format!("{plural}.streamgate.dev")));
    }
}
