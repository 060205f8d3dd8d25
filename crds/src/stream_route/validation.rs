//! What a `StreamRoute` must be to hold by itself.

use super::mqtt::{CERTIFICATE_FIELD_WANTED, LEAST_CONNECT_SIZE, MOST_CONNECT_SIZE, OLD_LEVELS_WANTED};
use super::upstream::{KEY_WANTED, MOST_NODES, MOST_SERVICES, NODE_NAME_WANTED};
use super::{
    ANY_WANTED, CertificateField, ClientIdPolicy, LoadBalancer, LoadBalancerType, MOST_LISTENERS, MOST_RANGES,
    MOST_SNIS, Mqtt, Node, ProtocolName, RouteMatch, SERVER_REFERENCE_WANTED, ServicePort, ServiceRef, StreamRoute,
    Upstream,
};
use crate::problem::Problem;
use crate::sni::Sni;
use crate::validation::Findings;
use crate::{name, size};

impl StreamRoute {
    /// Everything that is wrong with the route by itself, each with its object and the path of its field; if it is
    /// much, the first of it.
    pub fn validate(&self) -> Vec<Problem> {
        let spec = &self.spec;
        let mut found = Findings::default();
        found.metadata(self);
        found.word("spec.gateway", name::gateway(&spec.gateway));
        for (index, listener) in spec.listeners.iter().enumerate() {
            found.word(format!("spec.listeners[{index}]"), name::label(listener));
        }
        found.most("spec.listeners", spec.listeners.len(), MOST_LISTENERS);
        found.twice("spec.listeners", &spec.listeners);
        validate_match(&spec.r#match, &mut found);
        validate_mqtt(&spec.mqtt, &mut found);
        validate_upstream(&spec.upstream, &mut found);
        if let Some(reference) = &spec.on_drain.server_reference
            && !(1..=1024).contains(&reference.len())
        {
            let bytes = format!("{} bytes", reference.len());
            found.add("spec.onDrain.serverReference", bytes, SERVER_REFERENCE_WANTED);
        }
        found.of(self)
    }
}

fn validate_match(route_match: &RouteMatch, found: &mut Findings) {
    for (index, sni) in route_match.snis.iter().enumerate() {
        if *sni == Sni::Any {
            found.add(format!("spec.match.snis[{index}]"), "`*`", ANY_WANTED);
        }
    }
    found.most("spec.match.snis", route_match.snis.len(), MOST_SNIS);
    found.most("spec.match.sourceRanges", route_match.source_ranges.len(), MOST_RANGES);
    found.twice("spec.match.snis", &route_match.snis);
    found.twice("spec.match.sourceRanges", &route_match.source_ranges);
}

fn validate_mqtt(mqtt: &Mqtt, found: &mut Findings) {
    let Mqtt { protocol_name, protocol_levels, connect_timeout, max_connect_size, client_id } = mqtt;
    for (index, level) in protocol_levels.iter().enumerate() {
        let field = format!("spec.mqtt.protocolLevels[{index}]");
        match (protocol_name, level) {
            (ProtocolName::Mqtt, 3..=5) | (ProtocolName::Mqisdp, 3) => {}
            (ProtocolName::Mqtt, _) => {
                found.add(field, format!("the level {level}"), "3 (MQTT 3.1), 4 (MQTT 3.1.1) or 5 (MQTT 5.0)");
            }
            (ProtocolName::Mqisdp, _) => {
                found.add(field, format!("the level {level} with `protocolName: MQIsdp`"), OLD_LEVELS_WANTED);
            }
        }
    }
    found.twice("spec.mqtt.protocolLevels", protocol_levels);
    found.positive("spec.mqtt.connectTimeout", *connect_timeout);
    if !(LEAST_CONNECT_SIZE..=MOST_CONNECT_SIZE).contains(max_connect_size) {
        found.add(
            "spec.mqtt.maxConnectSize",
            format!("{} bytes", max_connect_size.0),
            size::between_wanted(LEAST_CONNECT_SIZE, MOST_CONNECT_SIZE),
        );
    }
    if client_id.policy != ClientIdPolicy::MatchesCertificate
        && client_id.certificate_field != CertificateField::CommonName
    {
        found.add(
            "spec.mqtt.clientId.certificateField",
            format!("`{:?}` without the policy that needs it", client_id.certificate_field),
            CERTIFICATE_FIELD_WANTED,
        );
    }
}

fn validate_upstream(upstream: &Upstream, found: &mut Findings) {
    match (upstream.services.is_empty(), upstream.nodes.is_empty()) {
        (true, true) => found.add("spec.upstream", "neither `services` nor `nodes`", "one of the two"),
        (false, false) => found.add("spec.upstream", "both `services` and `nodes`", "one of the two"),
        _ => {}
    }
    found.most("spec.upstream.services", upstream.services.len(), MOST_SERVICES);
    found.most("spec.upstream.nodes", upstream.nodes.len(), MOST_NODES);
    for (index, service) in upstream.services.iter().enumerate() {
        validate_service(service, &format!("spec.upstream.services[{index}]"), found);
    }
    let services: Vec<_> =
        upstream.services.iter().map(|service| format!("{}:{}", service.name, service.port)).collect();
    found.twice("spec.upstream.services", &services);
    for (index, node) in upstream.nodes.iter().enumerate() {
        validate_node(node, &format!("spec.upstream.nodes[{index}]"), found);
    }
    let nodes: Vec<_> = upstream.nodes.iter().map(Node::identity).collect();
    found.twice("spec.upstream.nodes", &nodes);
    if let LoadBalancer { r#type, key: Some(key) } = upstream.load_balancer
        && r#type != LoadBalancerType::ConsistentHash
    {
        found.add("spec.upstream.loadBalancer.key", format!("`{key:?}` without the type that needs it"), KEY_WANTED);
    }
    found.positive("spec.upstream.connectTimeout", upstream.connect_timeout);
    found.positive("spec.upstream.connackTimeout", upstream.connack_timeout);
}

fn validate_service(service: &ServiceRef, field: &str, found: &mut Findings) {
    found.word(format!("{field}.name"), name::label(&service.name));
    match &service.port {
        ServicePort::Number(number) => found.port(format!("{field}.port"), *number),
        ServicePort::Name(text) => found.word(format!("{field}.port"), name::port(text)),
    }
    found.weight(format!("{field}.weight"), service.weight);
}

fn validate_node(node: &Node, field: &str, found: &mut Findings) {
    if let Some(name) = &node.name
        && !is_node_name(name)
    {
        found.add(format!("{field}.name"), format!("`{}`", name.escape_debug()), NODE_NAME_WANTED);
    }
    found.word(format!("{field}.host"), name::host(&node.host));
    found.port(format!("{field}.port"), node.port);
    found.weight(format!("{field}.weight"), node.weight);
}

fn is_node_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && !name.contains(|character: char| character.is_whitespace() || character.is_control())
}
