use proptest::prelude::*;

use super::*;

fn subject(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn matches(pattern: &str, pairs: &[(&str, &str)]) -> bool {
    pattern.parse::<SubjectPattern>().unwrap().matches(&subject(pairs))
}

fn error(text: &str) -> String {
    text.parse::<SubjectPattern>().unwrap_err().to_string()
}

const DEVICE: &[(&str, &str)] = &[("C", "DE"), ("O", "Acme"), ("OU", "west"), ("OU", "east"), ("CN", "sensor-7")];

#[test]
fn every_attribute_that_is_written_must_be_in_the_subject() {
    assert!(matches("CN=sensor-7", DEVICE));
    assert!(matches("O=Acme,CN=sensor-7,C=DE", DEVICE));
    assert!(!matches("CN=sensor-7,O=Other", DEVICE));
    assert!(!matches("CN=sensor-7,L=*", DEVICE));
    assert!(!matches("CN=sensor-7", &[]));
}

#[test]
fn an_attribute_that_is_there_twice_matches_by_either() {
    assert!(matches("OU=east", DEVICE) && matches("OU=west,OU=east", DEVICE));
    assert!(!matches("OU=east,OU=north", DEVICE));
}

#[test]
fn a_star_stands_for_any_run_of_characters() {
    for pattern in ["CN=*", "CN=sensor-*", "CN=*-7", "CN=s*s*r-*7", "CN=sensor-7*", "CN=**sensor-7"] {
        assert!(matches(pattern, DEVICE), "{pattern}");
    }
    for pattern in ["CN=sensor*8", "CN=sens", "CN=*ensor", "CN=s*7*7", "CN=sensor-7*7"] {
        assert!(!matches(pattern, DEVICE), "{pattern}");
    }
}

#[test]
fn a_prefix_and_a_suffix_never_share_a_character() {
    assert!(!matches("CN=ab*ba", &[("CN", "aba")]));
    assert!(matches("CN=ab*ba", &[("CN", "abba")]));
}

#[test]
fn values_are_compared_as_they_are_and_names_in_either_case() {
    assert!(!matches("CN=Sensor-7", DEVICE));
    assert!(matches("cn=sensor-7, o = Acme", DEVICE));
}

#[test]
fn an_attribute_may_go_by_name_or_object_identifier_on_either_side() {
    assert!(matches("2.5.4.3=sensor-7", DEVICE) && matches("OID.2.5.4.3=sensor-7", DEVICE));
    assert!(matches("CN=a", &[("2.5.4.3", "a")]) && matches("1.2.3=a", &[("1.2.3", "a")]));
    assert!(matches("E=a@b", &[("emailAddress", "a@b")]) && matches("emailAddress=a@b", &[("Email", "a@b")]));
}

#[test]
fn a_backslash_makes_a_character_mean_itself() {
    assert!(matches("O=Acme\\, Inc.", &[("O", "Acme, Inc.")]));
    assert!(matches("CN=a\\*", &[("CN", "a*")]) && !matches("CN=a\\*", &[("CN", "ab")]));
    assert!(matches("CN=a\\2A", &[("CN", "a*")]) && matches("CN=\\C3\\BC", &[("CN", "ü")]));
    assert!(matches("CN=a\\ ", &[("CN", "a ")]) && matches("CN= a ", &[("CN", "a")]));
    assert!(matches("CN=a=b\\+c", &[("CN", "a=b+c")]) && matches("CN=a+O=b", &[("CN", "a"), ("O", "b")]));
}

#[test]
fn a_bare_word_is_told_to_name_its_attribute() {
    assert!(error("sensor-*").contains("wanted `CN=sensor-*`"));
    assert!(error("CN=Acme, Inc").contains("`\\` before a comma"));
}

#[test]
fn a_pattern_has_1024_characters_at_most() {
    assert!(format!("CN={}", "ü".repeat(1021)).parse::<SubjectPattern>().is_ok());
    assert!(error(&format!("CN={}", "a".repeat(1022))).contains("found 1025 characters; wanted at most 1024"));
}

#[test]
fn what_is_no_distinguished_name_is_refused_with_what_to_write() {
    assert!(error("/CN=a/O=b").contains("`CN=a,O=b`"));
    assert!(error("CM=a").contains("`CM` is no known attribute"));
    assert!(error("CN=").contains("`*` for any"));
    assert!(error("CN=#0403").contains("its text"));
    assert!(error("O=\"Acme, Inc\"").contains("no quotes"));
    assert!(error("CN=\\FF").contains("UTF-8"));
    for text in ["", " ", ",", "CN=a,", ",CN=a", "=a", "CN=\\", "CN=\\a", "CN=a;O=b", "1..2=a"] {
        error(text);
    }
}

proptest! {
    #[test]
    fn what_is_displayed_parses_to_the_same(
        parts in prop::collection::vec((0..ATTRIBUTES.len(), prop::collection::vec("\\PC{1,5}|[ ,+*#=\\\\\"]{1,4}|\x00", 1..4)), 1..4)
    ) {
        let attribute = |(index, parts): (usize, Vec<String>)| Attribute {
            object_identifier: ATTRIBUTES[index].1.to_owned(),
            value: Value { parts },
        };
        let pattern = SubjectPattern { attributes: parts.into_iter().map(attribute).collect() };
        prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
    }

    #[test]
    fn a_literal_value_matches_itself_and_nothing_longer(value in "\\PC{1,12}") {
        let pattern = SubjectPattern {
            attributes: vec![Attribute { object_identifier: "2.5.4.3".into(), value: Value { parts: vec![value.clone()] } }],
        };
        let pattern: SubjectPattern = pattern.to_string().parse().unwrap();
        prop_assert!(pattern.matches(&subject(&[("CN", &value)])));
        let longer = format!("{value}x");
        prop_assert!(!pattern.matches(&subject(&[("CN", &longer)])));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,20}|(CN|O|=|,|\\\\|[*# a\"]){0,12}", value in "\\PC{0,12}") {
        if let Ok(pattern) = text.parse::<SubjectPattern>() {
            pattern.matches(&subject(&[("CN", &value)]));
            prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    }
}
