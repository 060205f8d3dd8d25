//! What is wrong, and how it is told.

use super::*;

#[test]
fn each_rule_says_in_the_file_where_it_is_broken() {
    let listeners = |entries: &str| format!("configDir: config\nlisteners: [{entries}]\n");
    for (yaml, wanted) in [
        (
            format!("{LEAST_FILE}gateway: My Gateway\n"),
            "3:10: gateway: found `My Gateway`; wanted a gateway's name: at most 52 lower-case letters, digits and `-`, \
             beginning and ending with a letter or digit",
        ),
        (format!("{LEAST_FILE}workers: 0\n"), "3:10: workers: found 0; wanted 1 or more"),
        (
            format!("{LEAST_FILE}clientHelloTimeout: 0s\n"),
            "3:21: clientHelloTimeout: found `0s`; wanted more than that, such as `10s`",
        ),
        (
            format!("{LEAST_FILE}admin: 0.0.0.0:1883\n"),
            "3:8: admin: found `0.0.0.0:1883`, which is the listener `plain`; wanted an address or a port of its own",
        ),
        (
            listeners("{name: A, address: 0.0.0.0:1, protocol: MQTT}"),
            "2:20: listeners[0].name: found `A`; wanted at most 63 lower-case letters, digits and `-`, beginning and ending \
             with a letter or digit",
        ),
        (
            listeners("{name: a, address: 0.0.0.0:1, protocol: MQTT}, {name: a, address: 0.0.0.0:2, protocol: MQTT}"),
            "2:67: listeners[1].name: found `a` a second time; wanted a name of its own for each listener",
        ),
        (
            listeners("{name: a, address: 0.0.0.0:1, protocol: MQTT}, {name: b, address: 0.0.0.0:1, protocol: MQTTS}"),
            "2:79: listeners[1].address: found `0.0.0.0:1` a second time; wanted an address or a port of its own for each \
             listener",
        ),
        (
            listeners(
                "{name: a, address: \"[::1]:1\", protocol: MQTT}, {name: b, address: \"[0:0::1]:1\", protocol: MQTT}",
            ),
            "2:79: listeners[1].address: found `[::1]:1` a second time; wanted an address or a port of its own for each \
             listener",
        ),
    ] {
        assert_eq!(texts(by_file(&yaml)), [format!("streamgate.yaml:{wanted}")], "{yaml}");
    }
}

#[test]
fn each_rule_names_the_flag_that_breaks_it() {
    for (line, wanted) in [
        (format!("{LEAST_FLAGS} --gateway A"), "--gateway: found `A`; wanted a gateway's name"),
        (format!("{LEAST_FLAGS} --workers 0"), "--workers: found 0; wanted 1 or more"),
        (
            format!("{LEAST_FLAGS} --client-hello-timeout 0ms"),
            "--client-hello-timeout: found `0s`; wanted more than that",
        ),
        (format!("{LEAST_FLAGS} --admin 0.0.0.0:1883"), "--admin: found `0.0.0.0:1883`, which is the listener `plain`"),
        (
            format!("{LEAST_FLAGS} --listener name=plain,address=[::]:1883,protocol=MQTT"),
            "--listener: found `plain` a second time; wanted a name of its own for each listener",
        ),
        (
            format!("{LEAST_FLAGS} --listener name=b,address=0.0.0.0:1883,protocol=MQTT"),
            "--listener: found `0.0.0.0:1883` a second time; wanted an address or a port of its own for each listener",
        ),
        (
            "--config-dir a --listener name=a,address=127.0.0.1:9901,protocol=MQTT".to_owned(),
            "--admin: found `127.0.0.1:9901`, which is the listener `a`; wanted an address or a port of its own",
        ),
    ] {
        let found = texts(by_flags(&line));
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{line}: {found:?}");
    }
}

#[test]
fn a_flag_that_breaks_a_rule_is_named_though_a_file_is_there() {
    let found = texts(Bootstrap::merge(flags("--workers 0"), Some(("f", &format!("{LEAST_FILE}gateway: A\n")))));
    assert!(
        found.len() == 2 && found[0].starts_with("f:3:10: gateway: ") && found[1].starts_with("--workers: "),
        "{found:?}"
    );
}

#[test]
fn a_field_that_a_flag_covers_is_not_judged() {
    Bootstrap::merge(flags("--workers 2"), Some(("f", &format!("{LEAST_FILE}workers: 0\n")))).unwrap();
}
