use super::*;
use crate::manifest;

const HEAD: &str = "apiVersion: streamgate.dev/v1alpha1\nkind: TlsSni\nspec:\n";
const LEAST: &str = "  snis: [a.example]\n  certificates: [{secretName: tls}]\n";

fn read(spec: &str) -> Result<TlsSni, Vec<crate::Problem>> {
    manifest::read("f.yaml", "acme", "devices", &format!("{HEAD}{spec}"))
}

fn spec(spec: &str) -> TlsSniSpec {
    read(spec).unwrap().spec
}

/// The problems of a `spec` whose first line is the fourth of the file.
fn problems(spec: &str) -> Vec<String> {
    let problems = read(spec).expect_err(spec);
    problems.iter().map(|problem| format!("{}: {}", problem.location.unwrap(), problem.sentence())).collect()
}

#[test]
fn names_and_certificates_are_needed_and_the_rest_has_its_defaults() {
    let spec = spec(LEAST);
    assert_eq!(
        spec,
        TlsSniSpec {
            gateway: "default".into(),
            snis: vec![Sni::Exact("a.example".into())],
            certificates: vec![CertificateRef { secret_name: "tls".into() }],
            client_auth: ClientAuth { mode: None, ca: None, crl: None, max_depth: 4, allowed_subjects: vec![] },
            min_protocol_version: TlsVersion::V1_2,
            alpn_protocols: vec![],
            allowed_routes: AllowedRoutes { namespaces: FromNamespaces::Same },
        }
    );
    assert_eq!(spec.client_auth.mode(), ClientAuthMode::None);
}

#[test]
fn an_empty_mapping_has_the_defaults_of_one_that_is_absent() {
    assert_eq!(spec(&format!("{LEAST}  clientAuth: {{}}\n  allowedRoutes: {{}}\n")), spec(LEAST));
}

#[test]
fn every_field_that_is_written_counts() {
    let spec = spec(
        "  gateway: edge\n  snis: [A.example, \"*.b.example\", \"*\"]\n  certificates: [{secretName: ecdsa}, {secretName: \
         rsa.v2}]\n  clientAuth: {mode: Optional, ca: {secretName: ca, key: devices.pem}, maxDepth: 0, allowedSubjects: \
         [\"CN=a,O=b\"]}\n  minProtocolVersion: \"1.3\"\n  alpnProtocols: [mqtt, x-amzn-mqtt-ca]\n  allowedRoutes: {namespaces: \
         All}\n",
    );
    assert_eq!(
        spec,
        TlsSniSpec {
            gateway: "edge".into(),
            snis: vec![Sni::Exact("a.example".into()), Sni::Wildcard("b.example".into()), Sni::Any],
            certificates: vec![
                CertificateRef { secret_name: "ecdsa".into() },
                CertificateRef { secret_name: "rsa.v2".into() }
            ],
            client_auth: ClientAuth {
                mode: Some(ClientAuthMode::Optional),
                ca: Some(CaRef {
                    config_map_name: None,
                    secret_name: Some("ca".into()),
                    key: Some("devices.pem".into())
                }),
                crl: None,
                max_depth: 0,
                allowed_subjects: vec!["CN=a,O=b".parse().unwrap()],
            },
            min_protocol_version: TlsVersion::V1_3,
            alpn_protocols: vec!["mqtt".into(), "x-amzn-mqtt-ca".into()],
            allowed_routes: AllowedRoutes { namespaces: FromNamespaces::All },
        }
    );
}

#[test]
fn the_mode_is_require_where_a_ca_is_given_unless_written() {
    for (client_auth, mode) in [
        ("{}", ClientAuthMode::None),
        ("{mode: None}", ClientAuthMode::None),
        ("{ca: {configMapName: ca}}", ClientAuthMode::Require),
        ("{mode: Require, ca: {configMapName: ca}}", ClientAuthMode::Require),
        ("{mode: Optional, ca: {configMapName: ca}}", ClientAuthMode::Optional),
        ("{mode: None, ca: {configMapName: ca}}", ClientAuthMode::None),
    ] {
        let spec = spec(&format!("{LEAST}  clientAuth: {client_auth}\n"));
        assert_eq!(spec.client_auth.mode(), mode, "{client_auth}");
    }
}

#[test]
fn the_key_of_a_ca_is_ca_crt_unless_written() {
    for (ca, key) in
        [("{configMapName: a}", "ca.crt"), ("{configMapName: a, key: b}", "b"), ("{secretName: a}", "ca.crt")]
    {
        let spec = spec(&format!("{LEAST}  clientAuth: {{ca: {ca}}}\n"));
        assert_eq!(spec.client_auth.ca.unwrap().key(), key, "{ca}");
    }
}

#[test]
fn names_and_certificates_may_be_neither_absent_nor_empty() {
    for (spec, wanted) in [
        (
            "  certificates: [{secretName: a}]\n",
            "4:3: spec.snis: found nothing; wanted a value, for the field is required",
        ),
        ("  snis: [a]\n", "4:3: spec.certificates: found nothing; wanted a value, for the field is required"),
        (
            "  snis: []\n  certificates: [{secretName: a}]\n",
            "4:9: spec.snis: found no name; wanted at least one, or `\"*\"` for all that no other TlsSni serves",
        ),
        (
            "  snis: [a]\n  certificates: []\n",
            "5:17: spec.certificates: found no certificate; wanted at least one: `[{secretName: my-tls}]`",
        ),
        ("  snis: [a]\n  certificates: [{}]\n", "5:18: spec.certificates[0].secretName: found nothing; wanted a value"),
    ] {
        let found = problems(spec);
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{spec}: {found:#?}");
    }
}

#[test]
fn each_rule_says_what_to_write_instead() {
    for (field, wanted) in [
        ("gateway: a.b", "6:12: spec.gateway: found `a.b`; wanted a gateway's name: at most 52 lower-case letters"),
        (
            "clientAuth: {mode: Require}",
            "6:15: spec.clientAuth: found `mode: Require` without a `ca`; wanted the authorities whose certificates count: \
             `ca: {configMapName: device-ca}`",
        ),
        ("clientAuth: {mode: Optional}", "6:15: spec.clientAuth: found `mode: Optional` without a `ca`; wanted the"),
        ("clientAuth: {mode: None, allowedSubjects: [CN=a]}", "6:45: spec.clientAuth.allowedSubjects: found subjects"),
        (
            "clientAuth: {allowedSubjects: [CN=a]}",
            "6:33: spec.clientAuth.allowedSubjects: found subjects without a `ca`, so that no certificate is asked for; wanted \
             the authorities whose certificates count: `ca: {configMapName: device-ca}`",
        ),
        (
            "clientAuth: {mode: None, ca: {configMapName: a}, allowedSubjects: [CN=a]}",
            "6:69: spec.clientAuth.allowedSubjects: found subjects with `mode: None`, so that no certificate is asked for; \
             wanted `mode: Require` or `Optional`, or no `allowedSubjects`",
        ),
        (
            "clientAuth: {ca: {}}",
            "6:20: spec.clientAuth.ca: found neither `configMapName` nor `secretName`; wanted one of the two",
        ),
        (
            "clientAuth: {ca: {configMapName: a, secretName: b}}",
            "6:20: spec.clientAuth.ca: found both `configMapName` and `secretName`; wanted one of the two",
        ),
        (
            "clientAuth: {ca: {configMapName: ../a}}",
            "6:36: spec.clientAuth.ca.configMapName: found `../a`; wanted at most 253",
        ),
        ("clientAuth: {ca: {secretName: A}}", "6:33: spec.clientAuth.ca.secretName: found `A`; wanted at most 253"),
        (
            "clientAuth: {ca: {secretName: a, key: ../b}}",
            "6:41: spec.clientAuth.ca.key: found `../b`; wanted a key such as `ca.crt`",
        ),
        (
            "clientAuth: {mode: require}",
            "6:22: spec.clientAuth.mode: found `require`; wanted one of `None`, `Optional`, `Require`",
        ),
        (
            "clientAuth: {maxDepth: 7}",
            "6:26: spec.clientAuth.maxDepth: found 7 intermediates; wanted 0 to 6: no longer chain is verified",
        ),
        (
            "clientAuth: {ca: {configMapName: a}, allowedSubjects: []}",
            "6:57: spec.clientAuth.allowedSubjects: found an empty list; wanted at least one entry, or the field left out",
        ),
        (
            "clientAuth: {ca: {configMapName: a}, allowedSubjects: [sensor-*]}",
            "6:58: spec.clientAuth.allowedSubjects[0]: found `sensor-*`, in which at `sensor-*` is no `=`; wanted `CN=sensor-*`",
        ),
        ("minProtocolVersion: 1.3", "6:23: spec.minProtocolVersion: found the number 1.3; wanted `\"1.3\"`, in quotes"),
        ("minProtocolVersion: \"1.1\"", "6:23: spec.minProtocolVersion: found `1.1`; wanted one of `1.2`, `1.3`"),
        ("alpnProtocols: []", "6:18: spec.alpnProtocols: found an empty list; wanted at least one entry, or the field"),
        (
            "alpnProtocols: [\"\"]",
            "6:19: spec.alpnProtocols[0]: found 0 bytes; wanted 1 to 255 bytes (RFC 7301), such as `mqtt`",
        ),
        (
            "alpnProtocols: [a, a]",
            "6:22: spec.alpnProtocols[1]: found `a`, which [0] is already; wanted each entry once",
        ),
        (
            "allowedRoutes: {namespaces: Selector}",
            "6:31: spec.allowedRoutes.namespaces: found `Selector`; wanted one of `Same`, `All`",
        ),
        ("allowedRoutes: All", "6:18: spec.allowedRoutes: found `All`; wanted a mapping"),
    ] {
        let found = problems(&format!("{LEAST}  {field}\n"));
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{field}: {found:#?}");
    }
}

#[test]
fn a_name_or_secret_is_there_once() {
    assert_eq!(
        problems("  snis: [a, \"*\", A., \"*\"]\n  certificates: [{secretName: b}, {secretName: b}]\n"),
        [
            "4:18: spec.snis[2]: found `a`, which [0] is already; wanted each entry once",
            "4:22: spec.snis[3]: found `*`, which [1] is already; wanted each entry once",
            "5:35: spec.certificates[1]: found `b`, which [0] is already; wanted each entry once",
        ]
    );
}

#[test]
fn a_secret_goes_by_a_name_that_is_safe_in_a_path() {
    for secret in ["..", "../x", "a/b", "A", "a_b", "\"\"", "\"a\\0\""] {
        let found = problems(&format!("  snis: [a]\n  certificates: [{{secretName: {secret}}}]\n"));
        assert!(found[0].contains("spec.certificates[0].secretName"), "{secret}: {found:?}");
    }
    let long = "a".repeat(254);
    assert!(
        problems(&format!("  snis: [a]\n  certificates: [{{secretName: {long}}}]\n"))[0].contains("254 characters")
    );
}

#[test]
fn a_protocol_has_255_bytes_at_most() {
    spec(&format!("{LEAST}  alpnProtocols: [{}]\n", "a".repeat(255)));
    assert!(problems(&format!("{LEAST}  alpnProtocols: [{}]\n", "a".repeat(256)))[0].contains("found 256 bytes"));
}
