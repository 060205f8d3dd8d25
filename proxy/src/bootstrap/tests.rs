use clap::Parser;

use super::*;

mod problems;

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Command {
    #[command(flatten)]
    run: RunArguments,
}

/// The flags of a command line, split at spaces.
fn flags(line: &str) -> RunArguments {
    Command::try_parse_from(line.split(' ').filter(|word| !word.is_empty()))
        .unwrap_or_else(|error| panic!("{error}"))
        .run
}

fn flag_error(line: &str) -> String {
    Command::try_parse_from(line.split(' ')).err().unwrap_or_else(|| panic!("{line} is taken")).to_string()
}

fn by_flags(line: &str) -> Result<Bootstrap, Vec<Problem>> {
    Bootstrap::merge(flags(line), None)
}

fn by_file(yaml: &str) -> Result<Bootstrap, Vec<Problem>> {
    Bootstrap::merge(RunArguments::default(), Some(("streamgate.yaml", yaml)))
}

fn texts(result: Result<Bootstrap, Vec<Problem>>) -> Vec<String> {
    result.unwrap_err().iter().map(ToString::to_string).collect()
}

fn listener(name: &str, address: &str, protocol: Protocol) -> Listener {
    Listener { name: name.to_owned(), address: address.parse().unwrap(), protocol }
}

/// The least that a proxy needs, as flags and as a file.
const LEAST_FLAGS: &str = "--config-dir config --listener name=plain,address=0.0.0.0:1883,protocol=MQTT";
const LEAST_FILE: &str = "configDir: config\nlisteners: [{name: plain, address: 0.0.0.0:1883, protocol: MQTT}]\n";

fn least() -> Bootstrap {
    Bootstrap {
        gateway: "default".into(),
        config_dir: "config".into(),
        status_dir: None,
        listeners: vec![listener("plain", "0.0.0.0:1883", Protocol::Mqtt)],
        admin: "127.0.0.1:9901".parse().unwrap(),
        workers: std::thread::available_parallelism().unwrap().get(),
        drain_delay: Duration::from_secs(5),
        drain_time: Duration::from_secs(30),
        client_hello_timeout: Duration::from_secs(10),
        log_format: LogFormat::Text,
        denied_upstreams: vec![],
    }
}

fn whole() -> Bootstrap {
    Bootstrap {
        gateway: "edge".into(),
        config_dir: "/etc/streamgate".into(),
        status_dir: Some("/run/status".into()),
        listeners: vec![
            listener("mqtts", "[::]:8883", Protocol::Mqtts),
            listener("plain", "127.0.0.1:1883", Protocol::Mqtt),
        ],
        admin: "[::1]:9000".parse().unwrap(),
        workers: 3,
        drain_delay: Duration::from_secs(5),
        drain_time: Duration::from_secs(30),
        client_hello_timeout: Duration::from_millis(2_500),
        log_format: LogFormat::Json,
        denied_upstreams: vec!["169.254.0.0/16".parse().unwrap(), "::1".parse().unwrap()],
    }
}

const WHOLE_FLAGS: &str = "--gateway edge --config-dir /etc/streamgate --status-dir /run/status \
    --listener name=mqtts,address=[::]:8883,protocol=MQTTS --listener protocol=MQTT,address=127.0.0.1:1883,name=plain \
    --admin [::1]:9000 --workers 3 --client-hello-timeout 2s500ms --log-format Json --denied-upstreams 169.254.0.0/16,::1";

const WHOLE_FILE: &str = "
gateway: edge
configDir: /etc/streamgate
statusDir: /run/status
listeners:
  - {name: mqtts, address: \"[::]:8883\", protocol: MQTTS}
  - protocol: MQTT
    address: 127.0.0.1:1883
    name: plain
admin: \"[::1]:9000\"
workers: 3
clientHelloTimeout: 2s500ms
logFormat: Json
deniedUpstreams: [169.254.0.0/16, \"::1\"]
";

#[test]
fn a_directory_and_a_listener_are_enough_and_the_rest_has_its_defaults() {
    assert_eq!(by_flags(LEAST_FLAGS), Ok(least()));
    assert_eq!(by_file(LEAST_FILE), Ok(least()));
}

#[test]
fn every_field_is_a_flag() {
    assert_eq!(by_flags(WHOLE_FLAGS), Ok(whole()));
}

#[test]
fn every_flag_is_a_field() {
    assert_eq!(by_file(WHOLE_FILE), Ok(whole()));
}

#[test]
fn a_field_that_is_null_counts_as_absent() {
    let nulls = "gateway:\nstatusDir: null\nadmin: ~\nworkers:\nclientHelloTimeout:\nlogFormat:\ndeniedUpstreams:\n";
    assert_eq!(by_file(&format!("{LEAST_FILE}{nulls}")), Ok(least()));
}

#[test]
fn each_flag_wins_over_its_field() {
    for (flag, change) in [
        ("--gateway other", (|bootstrap| bootstrap.gateway = "other".into()) as fn(&mut Bootstrap)),
        ("--config-dir other", |bootstrap| bootstrap.config_dir = "other".into()),
        ("--status-dir other", |bootstrap| bootstrap.status_dir = Some("other".into())),
        ("--listener name=o,address=127.0.0.1:0,protocol=MQTT", |bootstrap| {
            bootstrap.listeners = vec![listener("o", "127.0.0.1:0", Protocol::Mqtt)];
        }),
        ("--admin 127.0.0.1:0", |bootstrap| bootstrap.admin = "127.0.0.1:0".parse().unwrap()),
        ("--workers 7", |bootstrap| bootstrap.workers = 7),
        ("--client-hello-timeout 1m", |bootstrap| bootstrap.client_hello_timeout = Duration::from_mins(1)),
        ("--log-format Text", |bootstrap| bootstrap.log_format = LogFormat::Text),
        ("--denied-upstreams 10.0.0.0/8", |bootstrap| bootstrap.denied_upstreams = vec!["10.0.0.0/8".parse().unwrap()]),
    ] {
        let mut wanted = whole();
        change(&mut wanted);
        assert_eq!(Bootstrap::merge(flags(flag), Some(("f", WHOLE_FILE))), Ok(wanted), "{flag}");
    }
}

#[test]
fn denied_upstreams_may_be_repeated() {
    let bootstrap =
        by_flags(&format!("{LEAST_FLAGS} --denied-upstreams 10.0.0.0/8 --denied-upstreams ::1,192.0.2.1")).unwrap();
    let denied: Vec<_> = bootstrap.denied_upstreams.iter().map(ToString::to_string).collect();
    assert_eq!(denied, ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]);
}

#[test]
fn the_log_format_is_a_flag_in_either_case() {
    assert_eq!(by_flags(&format!("{LEAST_FLAGS} --log-format json")).unwrap().log_format, LogFormat::Json);
}

#[test]
fn what_is_missing_is_told_as_a_flag_where_no_file_is() {
    assert_eq!(
        texts(by_flags("")),
        [
            "--config-dir: found nothing; wanted the directory of the manifests; or `configDir` in the file of --bootstrap",
            "--listener: found nothing; wanted one or more, such as name=plain,address=0.0.0.0:1883,protocol=MQTT; or \
             `listeners` in the file of --bootstrap",
        ]
    );
}

#[test]
fn what_is_missing_is_told_as_a_field_where_a_file_is() {
    assert_eq!(
        texts(by_file("gateway: a\n")),
        [
            "streamgate.yaml:1:1: configDir: found nothing; wanted the directory of the manifests; or --config-dir",
            "streamgate.yaml:1:1: listeners: found nothing; wanted one or more, such as \
             name=plain,address=0.0.0.0:1883,protocol=MQTT; or --listener",
        ]
    );
}

#[test]
fn flags_make_up_for_what_a_file_lacks() {
    assert_eq!(Bootstrap::merge(flags(LEAST_FLAGS), Some(("f", "gateway: default\n"))), Ok(least()));
}

#[test]
fn listeners_that_are_an_empty_list_are_missing() {
    let found = texts(by_file("configDir: a\nlisteners: []\n"));
    assert!(
        found.len() == 1 && found[0].starts_with("streamgate.yaml:2:12: listeners: found nothing; wanted one"),
        "{found:?}"
    );
}

#[test]
fn ports_that_are_free_may_be_asked_for_more_than_once() {
    by_flags(
        "--config-dir a --listener name=a,address=127.0.0.1:0,protocol=MQTT --listener \
         name=b,address=127.0.0.1:0,protocol=MQTTS --admin 127.0.0.1:0",
    )
    .unwrap();
}

#[test]
fn one_port_may_be_on_several_addresses() {
    by_flags(
        "--config-dir a --listener name=four,address=0.0.0.0:1883,protocol=MQTT --listener \
         name=six,address=[::]:1883,protocol=MQTT --listener name=one,address=[::1]:1883,protocol=MQTT",
    )
    .unwrap();
}

#[test]
fn a_value_of_the_wrong_type_is_told_the_right_one() {
    for (field, wanted) in [
        ("gateway: 5", "3:10: gateway: found the number 5; wanted a text: `\"5\"`, in quotes"),
        ("statusDir: [a]", "3:12: statusDir: found a list; wanted"),
        ("workers: two", "3:10: workers: found `two`; wanted a whole number from 0"),
        ("workers: -1", "3:10: workers: found the number -1; wanted a whole number from 0"),
        ("workers: 1.5", "3:10: workers: found the number 1.5; wanted a whole number from 0"),
        (
            "clientHelloTimeout: 10",
            "3:21: clientHelloTimeout: found the number 10; wanted a duration with its unit, such as",
        ),
        ("clientHelloTimeout: 1.5s", "3:21: clientHelloTimeout: found `1.5s`; wanted no fractions"),
        ("logFormat: json", "3:12: logFormat: found `json`; wanted one of `Text`, `Json`"),
        ("admin: 9901", "3:8: admin: found the number 9901; wanted an IP address with a port, such as"),
        (
            "admin: localhost:9901",
            "3:8: admin: found `localhost:9901`; wanted an IP address with a port: `0.0.0.0:1883` or",
        ),
        (
            "admin: \":9901\"",
            "3:8: admin: found `:9901`; wanted an IP address with a port: `0.0.0.0:9901` or `[::]:9901`",
        ),
        ("admin: \"::1\"", "3:8: admin: found `::1`; wanted an IP address with a port: `[::1]:1883`"),
        ("deniedUpstreams: 10.0.0.0/8", "3:18: deniedUpstreams: found `10.0.0.0/8`; wanted a list"),
        (
            "deniedUpstreams: [10.0.0.1/8]",
            "3:19: deniedUpstreams[0]: found `10.0.0.1/8`, an address within a range; wanted",
        ),
        (
            "denyUpstreams: []",
            "3:1: denyUpstreams: found a field that does not exist; wanted one of `gateway`, `configDir`",
        ),
    ] {
        let found = texts(by_file(&format!("{LEAST_FILE}{field}\n")));
        let wanted = format!("streamgate.yaml:{wanted}");
        assert!(found.len() == 1 && found[0].starts_with(&wanted), "{field}: {found:?}");
    }
}

#[test]
fn a_listener_in_the_file_is_told_what_one_looks_like() {
    for (entry, wanted) in [
        (
            "{name: a, address: 0.0.0.0:1, protocol: mqtt}",
            "2:53: listeners[0].protocol: found `mqtt`; wanted one of `MQTT`, `MQTTS`",
        ),
        (
            "{name: a, address: 0.0.0.0:1, protocol: WSS}",
            "2:53: listeners[0].protocol: found `WSS`; wanted one of `MQTT`, `MQTTS`",
        ),
        (
            "{name: a, address: 0.0.0.0, protocol: MQTT}",
            "2:32: listeners[0].address: found `0.0.0.0`; wanted an IP address with",
        ),
        ("{name: a, address: 1883, protocol: MQTT}", "2:32: listeners[0].address: found the number 1883; wanted"),
        (
            "{name: a, address: 0.0.0.0:65536, protocol: MQTT}",
            "2:32: listeners[0].address: found `0.0.0.0:65536`; wanted",
        ),
        (
            "{name: a, protocol: MQTT}",
            "2:13: listeners[0].address: found nothing; wanted a value, for the field is required",
        ),
        ("{name: a, address: 0.0.0.0:1}", "2:13: listeners[0].protocol: found nothing; wanted a value"),
        (
            "{name: a, port: 1}",
            "2:23: listeners[0].port: found a field that does not exist; wanted one of `name`, `address`",
        ),
        ("plain", "2:13: listeners[0]: found `plain`; wanted a mapping"),
    ] {
        let found = texts(by_file(&format!("configDir: a\nlisteners: [{entry}]\n")));
        assert!(found[0].starts_with(&format!("streamgate.yaml:{wanted}")), "{entry}: {found:?}");
    }
}

#[test]
fn every_problem_of_the_file_is_told_at_once() {
    let found = texts(by_file("gateway: 5\nworkers: x\nlisteners: [{name: 1, address: a, protocol: b}]\nfoo: 1\n"));
    let fields: Vec<_> = found.iter().filter_map(|problem| problem.split(": ").nth(1)).collect();
    assert_eq!(
        fields,
        ["gateway", "workers", "listeners[0].name", "listeners[0].address", "listeners[0].protocol", "foo"]
    );
}

#[test]
fn every_broken_rule_is_told_at_once() {
    let found = texts(by_flags("--gateway A --workers 0 --client-hello-timeout 0s"));
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    for (yaml, wanted) in [
        ("", "1:1: found nothing; wanted one document"),
        ("gateway: [\n", "1:10: found what is no YAML"),
        ("gateway: a\ngateway: b\n", "2:1: found the field `gateway` a second time; wanted each field once"),
        ("a: 1\n---\nb: 1\n", "3:1: found more than one document"),
        ("listeners:\n\t- a\n", "2:2: found what is no YAML: tabs"),
        ("- a\n", "1:1: found a list; wanted a mapping"),
    ] {
        let found = texts(by_file(yaml));
        assert!(found.len() == 1 && found[0].starts_with(&format!("streamgate.yaml:{wanted}")), "{yaml:?}: {found:?}");
    }
}

#[test]
fn hostile_files_end_with_a_problem() {
    for yaml in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        format!("gateway: {}\n", "a".repeat(1_000_000)),
        format!("listeners: [{}]\n", "a, ".repeat(100_000)),
        "- &a [x]\n".to_owned() + &"- &a [*a, *a, *a, *a]\n".repeat(50),
        "\0".to_owned(),
        "\u{feff}\u{feff}".to_owned(),
    ] {
        let found = texts(by_file(&yaml));
        assert!((1..=21).contains(&found.len()) && found.iter().all(|problem| problem.len() < 3_000));
    }
}

#[test]
fn a_flag_that_cannot_be_read_is_told_what_to_write() {
    for (line, wanted) in [
        ("--listener plain", "found `plain`; wanted name=plain,address=0.0.0.0:1883,protocol=MQTT"),
        ("--listener name=a,address=0.0.0.0:1", "found no `protocol=`; wanted name=plain,"),
        ("--listener address=0.0.0.0:1,protocol=MQTT", "found no `name=`; wanted name=plain,"),
        ("--listener name=a,protocol=MQTT", "found no `address=`; wanted name=plain,"),
        ("--listener name=a,port=1", "found `port=`; wanted name=plain,"),
        ("--listener name=a,name=b", "found `name=` a second time; wanted it once; further listeners by further flags"),
        ("--listener protocol=mqtt", "found the protocol `mqtt`; wanted `MQTT` or `MQTTS`"),
        ("--listener address=::1", "found `::1`; wanted an IP address with a port: `[::1]:1883`"),
        ("--listener address=:1883", "wanted an IP address with a port: `0.0.0.0:1883` or `[::]:1883`"),
        ("--listener address=localhost:1883", "found `localhost:1883`; wanted an IP address with a port"),
        ("--admin 9901", "found `9901`; wanted an IP address with a port: `0.0.0.0:9901` or `[::]:9901`"),
        ("--client-hello-timeout 10", "found `10`; wanted a unit with the number, such as `10s`"),
        ("--denied-upstreams 10.0.0.1/8", "wanted `10.0.0.0/8` for the range, or `10.0.0.1` for the address alone"),
        ("--log-format xml", "possible values: Text, Json"),
        ("--workers many", "invalid value 'many'"),
    ] {
        assert!(flag_error(line).contains(wanted), "{line}: {}", flag_error(line));
    }
}

#[test]
fn a_bootstrap_file_is_read_from_where_the_flag_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("streamgate.yaml");
    std::fs::write(&file, WHOLE_FILE).unwrap();
    let arguments = RunArguments { bootstrap: Some(file), workers: Some(9), ..RunArguments::default() };
    assert_eq!(Bootstrap::load(arguments), Ok(Bootstrap { workers: 9, ..whole() }));
}

#[test]
fn a_bootstrap_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("absent.yaml");
    let found = texts(Bootstrap::load(RunArguments { bootstrap: Some(file.clone()), ..RunArguments::default() }));
    let wanted = format!("--bootstrap: found `{}` (No such file or directory", file.display());
    assert!(found.len() == 1 && found[0].starts_with(&wanted), "{found:?}");
    assert!(found[0].ends_with("; wanted a YAML file that can be read"), "{found:?}");
}

#[test]
fn without_a_bootstrap_file_the_flags_are_all() {
    assert_eq!(Bootstrap::load(flags(LEAST_FLAGS)), Ok(least()));
}

#[test]
fn the_bootstrap_file_of_the_examples_reads() {
    let bootstrap = by_file(include_str!("../../../examples/standalone/streamgate.yaml")).unwrap();
    let names: Vec<_> = bootstrap.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["mqtts", "plain"]);
}
