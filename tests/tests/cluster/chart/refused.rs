//! Values that can't be meant are refused, in words that say what to write.

use anyhow::{Result, ensure};

use super::{ValueSet, on_chart};

#[test]
fn values_that_do_not_hold_are_refused_with_what_to_write_instead() -> Result<()> {
    refuses(&[
        ("gateways: {default: null}", "wanted one or more, such as `default: {}`"),
        ("gateways: {Main: {}}", "found the name `Main`; wanted at most 52 lower-case letters"),
        ("gateways: {sys: {}}", "gateways.sys: found the namespace `streamgate-sys` in use; wanted another name"),
        ("gateways: {a: {}}\nwatchNamespaces: [streamgate-a]", "gateways.a: found the namespace `streamgate-a` in use"),
        ("gateways: {operator: {}}", "found the name that the operator's objects have, `streamgate-operator`"),
        ("gateways: {default: {listeners: []}}", "gateways.default.listeners: found none; wanted one or more"),
        (
            "gatewayDefaults: {listeners: [{name: a, protocol: MQTTS, port: 443}]}",
            "wanted a containerPort from 1024 on",
        ),
        ("gatewayDefaults: {listeners: [{name: a, protocol: MQTTS, port: 9901}]}", "and not 9901 or 9903"),
        (
            "gatewayDefaults: {listeners: [{name: a, protocol: MQTTS, port: 8883}, {name: a, protocol: MQTT, port: 1883}]}",
            "found `a` a second time; wanted a name of its own",
        ),
        (
            "gatewayDefaults: {listeners: [{name: a, protocol: MQTTS, port: 8883}, {name: b, protocol: MQTT, port: 8883}]}",
            "found the port 8883 a second time",
        ),
        ("operator: {dnsPolicy: ClusterFirstWithHostNet}", "at '/operator/dnsPolicy'"),
        ("gatewayDefaults: {dnsConfig: {nameserver: []}}", "additional properties 'nameserver' not allowed"),
        ("gatewayDefaults: {hostAliases: [{ip: 10.0.0.5}]}", "missing property 'hostnames'"),
        ("gatewayDefaults: {runtimeClassName: gVisor}", "at '/gatewayDefaults/runtimeClassName'"),
        ("operator: {minReadySeconds: 600}", "at '/operator/minReadySeconds': maximum: got 600, want 599"),
        ("gatewayDefaults: {autoscaling: {enabled: true, minReplicas: 11}}", "found minReplicas above maxReplicas"),
        (
            "gatewayDefaults: {autoscaling: {enabled: true}, resources: {requests: {cpu: null}}}",
            "gateways.default.autoscaling: found no resources.requests.cpu; wanted one",
        ),
        ("operator: {strategy: {type: OnDelete}}", "at '/operator/strategy/type'"),
        ("operator: {extraEnvFrom: [{prefix: A_}]}", "at '/operator/extraEnvFrom/0': 'oneOf' failed"),
        (
            "gateways: {default: {configSize: 225Mi}}",
            "gateways.default.configSize: found 225Mi, and a memory limit of 256Mi in sync.resources; wanted the limit to be at \
             least 32Mi above",
        ),
        ("gatewayDefaults: {sync: {resources: {limits: {memory: 128M}}}}", "found 128Mi, and a memory limit of 128M"),
        (
            "gatewayDefaults: {deniedUpstreams: [10.0.0.0/8, 10.64.0.0/9]}",
            "found `10.64.0.0/9`; wanted an address that is zero",
        ),
        ("gatewayDefaults: {deniedUpstreams: [10.0.0.0/33]}", "at '/gatewayDefaults/deniedUpstreams/0'"),
        ("gatewayDefaults: {deniedUpstreams: [10.0.0.300/32]}", "at '/gatewayDefaults/deniedUpstreams/0'"),
        ("bindAddress: dead", "at '/bindAddress'"),
        ("gatewayDefaults: {clientHelloTimeout: 0s}", "at '/gatewayDefaults/clientHelloTimeout'"),
        ("gatewayDefaults: {domains: [{namespaces: [a], names: ['*.*.x']}]}", "'*.*.x' does not match pattern"),
        (
            "gatewayDefaults: {allowedNamespaces: {matchExpressions: [{key: a, operator: In}]}}",
            "missing property 'values'",
        ),
        (
            "gatewayDefaults: {service: {ipFamilyPolicy: RequireDualStack}}",
            "gateways.default.service: found IPv6, and the bindAddress 0.0.0.0; wanted bindAddress `::`",
        ),
        ("gateways: {default: {service: {ipFamilies: [IPv6]}}}", "found IPv6, and the bindAddress 0.0.0.0"),
        ("nameOverride: My", "at '/nameOverride': 'My' does not match pattern"),
        ("operator: {ticketKeyRotation: 59s}", "operator.ticketKeyRotation: found `59s`; wanted at least 1m"),
        ("operator: {leaseDuration: 10ms}", "at '/operator/leaseDuration': '10ms' does not match pattern"),
        (
            "operator: {extraEnv: [{name: RUST_LOG, value: a}]}",
            "operator.extraEnv: found `RUST_LOG`; wanted no variable",
        ),
        ("test: {gateway: other}", "test.gateway: found `other`; wanted one of `gateways`: default"),
        ("operator: {replica: 3}", "at '/operator': additional properties 'replica' not allowed"),
        ("gateways: {default: {listener: []}}", "additional properties 'listener' not allowed"),
        ("gatewayDefaults: {drainDelay: 5}", "at '/gatewayDefaults/drainDelay': got number, want string"),
        ("gatewayDefaults: {drainDelay: five}", "at '/gatewayDefaults/drainDelay': 'five' does not match pattern"),
        ("image: {digest: latest}", "at '/image/digest'"),
        ("gatewayDefaults: {listeners: [{name: a, protocol: TLS, port: 8883}]}", "must be one of 'MQTTS', 'MQTT'"),
    ])
}

#[test]
fn what_a_gateway_says_and_a_service_of_its_type_can_not_have_is_refused() -> Result<()> {
    refuses(&[
        (
            "gateways: {default: {service: {type: ClusterIP}, listeners: [{name: a, protocol: MQTT, port: 1883, nodePort: 31883}]}}",
            "gateways.default.listeners: found a nodePort of `a`, and service.type ClusterIP; wanted service.type NodePort",
        ),
        (
            "gateways: {default: {service: {type: NodePort, loadBalancerClass: a}}}",
            "gateways.default.service: found loadBalancerClass, and type NodePort; wanted type LoadBalancer",
        ),
        (
            "gatewayDefaults: {service: {type: NodePort}}\ngateways: {default: {service: {loadBalancerIP: 192.0.2.10}}}",
            "gateways.default.service: found loadBalancerIP, and type NodePort; wanted type LoadBalancer",
        ),
        (
            "gateways: {default: {service: {type: ClusterIP, loadBalancerSourceRanges: [192.0.2.0/24]}}}",
            "found loadBalancerSourceRanges, and type ClusterIP; wanted type LoadBalancer",
        ),
        (
            "gateways: {default: {service: {type: ClusterIP, externalTrafficPolicy: Local}}}",
            "found externalTrafficPolicy, and type ClusterIP; wanted type NodePort or LoadBalancer",
        ),
        ("gatewayDefaults: {service: {loadBalancerIP: balancer}}", "at '/gatewayDefaults/service/loadBalancerIP'"),
    ])
}

#[test]
fn an_account_that_is_somebody_elses_or_nobodys_is_refused() -> Result<()> {
    refuses(&[
        (
            "operator: {serviceAccount: {create: false}}",
            "operator.serviceAccount: found create: false, and no name; wanted the name of a ServiceAccount",
        ),
        (
            "gatewayDefaults: {serviceAccount: {create: false}}",
            "gateways.default.serviceAccount: found create: false, and no name",
        ),
        (
            "operator: {serviceAccount: {name: a}}\ngateways: {default: {serviceAccount: {create: false, name: a}}}",
            "gateways.default.serviceAccount: found the operator's, `a`; wanted another",
        ),
        (
            "gatewayDefaults: {serviceAccount: {create: false, name: a}}\ngateways: {other: {}}",
            "gateways.default.serviceAccount: found `a`, which gateways.other has too; wanted one of its own",
        ),
    ])
}

/// Each of these values is refused, in these words.
pub(super) fn refuses(cases: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<()> {
    for (values, words) in cases {
        let (values, words) = (values.as_ref(), words.as_ref());
        let refused = on_chart(None, &["template", "streamgate"], "streamgate-sys", values)?;
        ensure!(!refused.success(), "{values} is taken");
        ensure!(refused.stderr.contains(words), "{values}: {}", refused.stderr);
    }
    Ok(())
}

#[test]
fn the_same_values_without_their_fault_are_taken() -> Result<()> {
    for values in [
        "gateways: {main: {}}",
        "gateways: {helm-test: {}}",
        "enabled: true",
        "gatewayDefaults: {service: {type: NodePort, externalTrafficPolicy: Local}}",
        "gatewayDefaults: {service: {type: ClusterIP, loadBalancerIP: 192.0.2.10, externalTrafficPolicy: Local}}",
        "gatewayDefaults: {service: {type: NodePort, loadBalancerClass: a}}\ngateways: {default: {service: {type: LoadBalancer}}}",
        "gatewayDefaults: {service: {loadBalancerIP: 'fd00::10'}}\nbindAddress: '::'",
        "operator: {minReadySeconds: 599, serviceAccount: {create: false, name: a}}",
        "gatewayDefaults: {listeners: [{name: a, protocol: MQTTS, port: 1024}]}",
        "gatewayDefaults: {configSize: 224Mi}",
        "gateways: {default: {replicas: null}}",
        "gatewayDefaults: {autoscaling: {enabled: true}, resources: {requests: {cpu: null}, limits: {cpu: 2}}}",
        "gatewayDefaults: {resources: {requests: {cpu: null}}}",
        "gatewayDefaults: {extraVolumes: [{name: a, emptyDir: {}}], extraVolumeMounts: [{name: a, mountPath: /run/streamgate-a}]}",
        "bindAddress: '::'\ngatewayDefaults: {service: {ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4]}}",
        "gatewayDefaults: {clientHelloTimeout: 10s, domains: [{namespaces: [a], names: ['*', '*.x.example', x.example]}]}",
        "gatewayDefaults: {allowedNamespaces: {matchExpressions: [{key: a, operator: Exists}]}}",
        "gatewayDefaults: {configSize: 1Gi, sync: {resources: {limits: {memory: 1.5Gi}}}}",
        "gatewayDefaults: {configSize: 1Gi, sync: {resources: {limits: {memory: null}}}}",
        "gatewayDefaults: {deniedUpstreams: [0.0.0.0/0, 10.128.0.0/9, 192.0.2.7/32, 192.0.2.7]}",
    ] {
        ValueSet { name: values.to_owned(), text: values.to_owned() }.render("streamgate-sys")?;
    }
    Ok(())
}
