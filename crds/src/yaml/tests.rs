use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn problem(text: &str) -> String {
    Document::parse(text).unwrap_err().to_string()
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    Document::parse(text).unwrap().read().unwrap()
}

fn problems<T: DeserializeOwned + fmt::Debug>(text: &str) -> Vec<String> {
    Document::parse(text).unwrap().read::<T>().unwrap_err().iter().map(ToString::to_string).collect()
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sample {
    name: String,
    #[serde(default)]
    count: u8,
    #[serde(default)]
    flag: bool,
    #[serde(default)]
    entries: Vec<Entry>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    choice: Option<Choice>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Entry {
    host: String,
    port: u16,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
enum Choice {
    One,
    #[serde(rename = "1.2")]
    Version,
    #[serde(rename = "true")]
    Truth,
}

#[test]
fn json_is_yaml() {
    let json = "{\n\t\"name\": \"a\\u003c\\/\\ud83d\\ude00\",\n\t\"count\": 2, \"labels\": {\"k\": \"v\"}}";
    assert_eq!(read::<Sample>(json).name, "a</😀");
}

#[test]
fn a_text_without_a_document_is_told_so() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "null\n", "~"] {
        assert_eq!(problem(text), "1:1: found nothing; wanted one document", "{text:?}");
    }
}

#[test]
fn a_second_document_is_named_by_its_place() {
    let wanted = "found more than one document; wanted a single document; others go into files of their own";
    assert_eq!(problem("name: a\n---\nname: b\n"), format!("3:1: {wanted}"));
}

#[test]
fn empty_documents_around_one_do_not_count() {
    for text in ["---\nname: a\n---\n", "---\n---\nname: a\n...\n", "%YAML 1.2\n---\nname: a\n"] {
        assert_eq!(read::<Sample>(text).name, "a", "{text:?}");
    }
}

#[test]
fn several_documents_keep_their_order_and_places() {
    let documents = Document::parse_all("name: a\n---\n# nothing\n---\nname: b\n").unwrap();
    let places: Vec<_> = documents.iter().map(|each| (each.text("name"), each.location("name"))).collect();
    let place = |line| Location { line, column: 7 };
    assert_eq!(places, [(Some("a"), place(1)), (Some("b"), place(5))]);
}

#[test]
fn places_count_lines_and_characters_from_one() {
    for (text, place) in [
        ("name: a\ncount: x\n", "2:8"),
        ("name: a\r\ncount: x\r\n", "2:8"),
        ("name: a\rcount: x\r", "2:8"),
        ("\u{feff}name: a\ncount: x\n", "2:8"),
        ("{name: \"äöü😀\", count: x}", "1:23"),
        ("name: a\ncount:\n  x\n", "3:3"),
        ("name: a\ncount:\tx\n", "2:8"),
        ("name: a\ncount: |\n  x\n", "3:3"),
    ] {
        let found = problems::<Sample>(text);
        assert!(found[0].starts_with(&format!("{place}: count: ")), "{text:?}: {found:?}");
    }
}

#[test]
fn an_alias_is_where_it_is_used() {
    assert_eq!(
        problems::<Sample>("name: &a x\ncount: *a\n"),
        ["2:8: count: found `x`; wanted a whole number from 0 to 255"]
    );
}

#[test]
fn syntax_is_told_with_its_place_and_what_to_write() {
    for (text, wanted) in [
        ("a: 1\na: 2\n", "2:1: found the field `a` a second time; wanted each field once"),
        ("{true: 1, \"true\": 2}", "1:11: found the field `true` a second time; wanted each field once"),
        (
            "a: [*.example.com]",
            "1:5: found an alias (`*`) of nothing; wanted quotes around a text that begins with `*`",
        ),
        ("a: [*]", "1:5: found a `*` or `&` without quotes; wanted quotes around a text that begins with `*`"),
        ("a:\n- *\n", "2:3: found a `*` or `&` without quotes; wanted quotes around a text that begins with `*`"),
        ("a:\n\tb: 1\n", "2:2: found what is no YAML: tabs disallowed"),
        ("a:\n\tb: 1\n", "wanted spaces rather than tabs"),
        ("a: \"b\n", "1:4: found what is no YAML: unclosed quote; wanted YAML or JSON"),
        ("a: {b: [1\n", "found what is no YAML: unclosed bracket"),
        ("a: \0\n", "found what is no YAML"),
        ("a: .nan\n", "1:4: found what is no YAML: non-finite float"),
        ("? [a]\n: b\n", "found what is no YAML"),
        ("a: b: c\n", "1:5: found what is no YAML"),
    ] {
        let found = problem(text);
        assert!(found.contains(wanted), "{text:?}: {found}");
        assert!(!found.contains(" at line "), "{text:?}: {found}");
    }
}

#[test]
fn a_field_that_is_null_counts_as_absent() {
    let sample: Sample = read("name: a\ncount: null\nentries: ~\nlabels:\nchoice:\n");
    assert_eq!((sample.count, sample.entries.len(), sample.choice), (0, 0, None));
}

#[test]
fn a_value_of_another_type_is_told_the_right_one() {
    for (text, wanted) in [
        ("name: 5", "name: found the number 5; wanted a text: `\"5\"`, in quotes"),
        ("name: true", "name: found `true`; wanted a text: `\"true\"`, in quotes"),
        ("name: 1.50", "name: found the number 1.5; wanted a text: `\"1.5\"`, in quotes"),
        ("name: [a]", "name: found a list; wanted a text"),
        ("name: {a: b}", "name: found a mapping; wanted a text"),
        ("{name: a, count: 256}", "count: found the number 256; wanted a whole number from 0 to 255"),
        ("{name: a, count: -1}", "count: found the number -1; wanted a whole number from 0 to 255"),
        ("{name: a, count: 1.0}", "count: found the number 1.0; wanted a whole number from 0 to 255"),
        ("{name: a, count: \"1\"}", "count: found `1`; wanted a whole number from 0 to 255"),
        ("{name: a, count: 99999999999999999999999999}", "wanted a whole number from 0 to 255"),
        ("{name: a, flag: yes}", "flag: found `yes`; wanted `true` or `false`"),
        ("{name: a, flag: 1}", "flag: found the number 1; wanted `true` or `false`"),
        ("{name: a, entries: a}", "entries: found `a`; wanted a list"),
        ("{name: a, entries: {}}", "entries: found a mapping; wanted a list"),
        ("{name: a, entries: [a]}", "entries[0]: found `a`; wanted a mapping"),
        ("{name: a, entries: [null]}", "entries[0]: found nothing; wanted a mapping"),
        (
            "{name: a, entries: [{host: a, port: 65536}]}",
            "entries[0].port: found the number 65536; wanted a whole number",
        ),
        ("{name: a, labels: []}", "labels: found a list; wanted a mapping"),
        ("{name: a, labels: {a.b/c: 1}}", "labels.a.b/c: found the number 1; wanted a text: `\"1\"`, in quotes"),
        ("{name: a, choice: Two}", "choice: found `Two`; wanted one of `One`, `1.2`, `true`"),
        ("{name: a, choice: 1.2}", "choice: found the number 1.2; wanted `\"1.2\"`, in quotes"),
        ("{name: a, choice: true}", "choice: found `true`; wanted `\"true\"`, in quotes"),
        ("{name: a, choice: {One: }}", "choice: found a mapping; wanted one of `One`, `1.2`, `true`"),
        ("[]", "1:1: found a list; wanted a mapping"),
        ("a", "1:1: found `a`; wanted a mapping"),
    ] {
        let found = problems::<Sample>(text);
        assert!(found.len() == 1 && found[0].contains(wanted), "{text:?}: {found:?}");
    }
}

#[test]
fn a_field_that_is_missing_is_named_at_its_mapping() {
    assert_eq!(
        problems::<Sample>("name: a\nentries:\n  - host: a\n"),
        ["3:5: entries[0].port: found nothing; wanted a value, for the field is required"]
    );
}

#[test]
fn a_field_that_does_not_exist_is_told_those_that_do() {
    assert_eq!(
        problems::<Sample>("name: a\nentries: [{host: a, Port: 1, port: 1}]\n"),
        ["2:21: entries[0].Port: found a field that does not exist; wanted one of `host`, `port`"]
    );
}

#[test]
fn kubernetes_own_types_pass_over_what_they_do_not_know() {
    let text = "{name: a, other: {deep: [1]}, entries: [{host: a, port: 1, nodeName: b}]}";
    assert_eq!(Document::parse(text).unwrap().read_known::<Sample>().unwrap().entries.len(), 1);
}

#[test]
fn every_problem_is_told_once_and_none_that_follows_from_another() {
    let text = "count: 256\nflag: 2\nentries:\n  - {host: 1, port: 1}\n  - {host: a, prot: 1}\nother: 1\n";
    let found = problems::<Sample>(text);
    let fields: Vec<_> = found.iter().filter_map(|problem| problem.split(": ").nth(1)).collect();
    assert_eq!(fields, ["count", "flag", "entries[0].host", "entries[1].prot", "entries[1].port", "other", "name"]);
}

#[test]
fn problems_are_told_up_to_a_bound() {
    let text = format!("name: a\nentries: [{}]\n", vec!["a"; 1000].join(","));
    assert_eq!(problems::<Sample>(&text).len(), 20);
}

#[test]
fn a_part_is_read_by_its_path() {
    let document = Document::parse("a: {b: {name: x, count: 256}}\n").unwrap();
    let found = document.read_part::<Sample>("a.b").unwrap_err();
    assert_eq!(found[0].to_string(), "1:25: a.b.count: found the number 256; wanted a whole number from 0 to 255");
    let found = document.read_part::<Sample>("a.c").unwrap_err();
    assert_eq!(found[0].to_string(), "1:4: a.c.name: found nothing; wanted a value, for the field is required");
}

#[test]
fn the_place_of_a_field_that_is_not_there_is_its_parents() {
    let document = Document::parse("a:\n  - b: 1\n  - c: [1, 2]\n").unwrap();
    for (field, line, column) in [
        ("a[1].c[1]", 3, 12),
        ("a[1].c[7]", 3, 8),
        ("a[0].x.y", 2, 5),
        ("x", 1, 1),
        ("a[x]", 2, 3),
        ("a[", 2, 3),
        ("", 1, 1),
    ] {
        assert_eq!(document.location(field), Location { line, column }, "{field}");
    }
}

#[test]
fn a_document_nests_as_deep_as_a_manifest_needs_and_no_deeper() {
    let nested = |depth| format!("{}1{}", "{a: ".repeat(depth), "}".repeat(depth));
    Document::parse(&nested(32)).unwrap();
    let wanted = "found mappings and lists more than 32 deep in one another; wanted less depth";
    assert_eq!(problem(&nested(33)), format!("1:129: {wanted}"));
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        for depth in [33, 64, 300, 100_000] {
            let text = format!("{}{}", open.repeat(depth), close.repeat(depth));
            assert!(problem(&text).contains(wanted), "{open:?} {depth}: {}", problem(&text));
        }
    }
}

#[test]
fn depth_by_aliases_counts_as_if_written_out() {
    let lines = (1..64).map(|each| {
        let (open, close, last) = ("{a: ".repeat(28), "}".repeat(28), each - 1);
        format!("v{each}: &v{each} {open}*v{last} {close}\n")
    });
    let text = format!("v0: &v0 x\n{}", lines.collect::<String>());
    assert!(problem(&text).contains("more than 32 deep"), "{}", problem(&text));
}

/// What is meant to take long, and how it must end.
fn hostile_texts() -> Vec<(&'static str, String)> {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let laughs = lines(40, &|each| format!("l{}: &l{} [{}]\n", each + 1, each + 1, format!("*l{each}, ").repeat(10)));
    vec![
        ("a billion laughs", format!("l0: &l0 [lol]\n{laughs}")),
        ("one long text by many aliases", format!("a: &a {}\nb: [{}]\n", "y".repeat(500_000), "*a, ".repeat(100_000))),
        ("many anchors", format!("a: [{}]\n", lines(100_000, &|each| format!("&a{each} x, ")))),
        ("many merges", format!("a: &a {{b: 1}}\n{}", lines(50_000, &|each| format!("k{each}: {{<<: *a}}\n")))),
        ("many documents", "---\na\n".repeat(200_000)),
        ("many fields", lines(100_000, &|each| format!("k{each}: 1\n"))),
        ("many entries", format!("entries: [{}]\n", "a, ".repeat(200_000))),
        ("many entries under a long name", format!("? {}\n: [{}]\n", "k".repeat(500_000), "1, ".repeat(100_000))),
        ("a long name", format!("{}: 1\n", "k".repeat(1_000_000))),
        ("a long text", format!("count: \"{}\"\n", "k\\n".repeat(300_000))),
        ("a quote that never ends", format!("count: \"{}", "k\n".repeat(500_000))),
        ("many comments", "# a\n".repeat(300_000)),
        ("many colons", ": ".repeat(300_000)),
        ("many question marks", "?\n".repeat(300_000)),
        ("many percent signs", "%\n".repeat(300_000)),
        ("a staircase", lines(3000, &|each| format!("{}a:\n", " ".repeat(each)))),
    ]
}

#[test]
fn hostile_texts_end_soon_and_without_panic() {
    for (what, text) in hostile_texts() {
        let start = Instant::now();
        for document in Document::parse_all(&text).unwrap_or_default() {
            let problems = document.read::<Sample>().err().unwrap_or_default();
            assert!(problems.iter().all(|problem| problem.to_string().len() < 8_000), "{what}");
        }
        // A generous bound for a slow machine without optimization; what it rules out takes minutes.
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: {:?}", start.elapsed());
    }
}

#[test]
fn aliases_unfold_to_ten_thousand_values_at_most() {
    let text = |width: usize| {
        let list = |entry: &str| format!("[{}]", vec![entry; width].join(", "));
        format!("a: &a {}\nb: &b {}\nc: {}\n", list("x"), list("*a"), list("*b"))
    };
    Document::parse(&text(10)).unwrap();
    assert!(problem(&text(25)).contains("unfolds to too much"), "{}", problem(&text(25)));
}

#[test]
fn what_unfolds_to_too_much_is_refused() {
    let hostile: BTreeMap<_, _> = hostile_texts().into_iter().collect();
    for what in ["a billion laughs", "one long text by many aliases", "many anchors", "many documents"] {
        assert!(problem(&hostile[what]).contains("unfolds to too much"), "{what}: {}", problem(&hostile[what]));
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}|([a-c]|: |- |\n|  |\\{|\\}|\\[|\\]|,|&a |\\*a|\"|'|#|!|\\||>|\\?|%|---|<<|\t|\r|\0|\u{feff}|1|null){0,40}") {
        for document in Document::parse_all(&text).unwrap_or_default() {
            let _ = document.read::<Sample>();
            let _ = document.read_known::<Sample>();
            let _ = document.read_part::<Vec<String>>(&text);
            document.location(&text);
        }
    }

    #[test]
    fn what_json_says_is_what_is_read(labels: BTreeMap<String, String>, name: String, count: u8, flag: bool) {
        let json = serde_json::json!({ "name": name, "count": count, "flag": flag, "labels": labels }).to_string();
        let sample = Document::parse(&json).unwrap().read::<Sample>().unwrap();
        prop_assert_eq!((sample.name, sample.count, sample.flag, sample.labels), (name, count, flag, labels));
    }
}
