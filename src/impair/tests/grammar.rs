//! Tests of the grammar through `str::parse`.

use std::net::SocketAddr;

use proptest::prelude::*;

use crate::impair::{Fault, Impairment, MAX_RULES, MAX_TEXT, ParseError, Rules};

fn fault(text: &str) -> (String, usize, Fault) {
    let Err(ParseError {
        word,
        column,
        fault,
    }) = text.parse::<Rules>()
    else {
        panic!("{text} was accepted");
    };
    (word, column, fault)
}

#[test]
fn rules_print_in_canonical_form() {
    for (text, canonical) in [
        (
            "delay 40ms 10ms loss 5% reorder 5%",
            "delay 40ms 10ms loss 5% reorder 5%",
        ),
        ("delay 40000", "delay 40ms"),
        ("latency 0.5s", "delay 500ms"),
        ("delay 10ms 5ms 25", "delay 10ms 5ms 25%"),
        ("delay 10ms 0 25%", "delay 10ms"),
        ("delay 10ms 20ms", "delay 10ms 20ms"),
        ("delay 10ms 5ms distribution uniform", "delay 10ms 5ms"),
        (
            "distribution pareto loss 1 delay 10ms 5ms",
            "delay 10ms 5ms distribution pareto loss 1%",
        ),
        ("drop 5", "loss 5%"),
        ("loss random 5.50% 25", "loss 5.5% 25%"),
        ("loss state 5%", "loss state 5% 95% 0% 100% 0%"),
        (
            "loss state 1% 30% 20% 50% 1%",
            "loss state 1% 30% 20% 50% 1%",
        ),
        ("loss gemodel 1%", "loss gemodel 1% 99% 100% 0%"),
        (
            "loss gemodel 1% 10% 70% 0.1%",
            "loss gemodel 1% 10% 70% 0.1%",
        ),
        (
            "corrupt 5% 10% duplicate 1% 2%",
            "corrupt 5% 10% duplicate 1% 2%",
        ),
        (
            "gap 5 delay 10ms reorder 25% 50%",
            "delay 10ms reorder 25% 50% gap 5",
        ),
        ("rate 1Mbit", "rate 1mbit"),
        ("rate 100kbps -14", "rate 800kbit -14"),
        ("rate 1mbit 0 48 5", "rate 1mbit 0 48 5"),
        ("rate 1mbit 20 100 -5", "rate 1mbit 20 100 -5"),
        ("limit 1000 loss 1%", "loss 1%"),
        ("limit 10", "limit 10"),
        ("loss 0% corrupt 0 5% duplicate 0 reorder 0%", "delay 0us"),
        ("delay 0", "delay 0us"),
        ("", ""),
        (" \t\n", ""),
        (
            "delay 1ms;to ::1 loss 1% ; to [::1]:8090 delay 0",
            "delay 1ms; to ::1 loss 1%; to [::1]:8090 delay 0us",
        ),
        ("to [2001:db8::1] loss 1%", "to 2001:db8::1 loss 1%"),
        ("to ::ffff:127.0.0.1 loss 1%", "to 127.0.0.1 loss 1%"),
        ("to 127.0.0.1:80 loss 1%", "to 127.0.0.1:80 loss 1%"),
    ] {
        let rules: Rules = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(rules.to_string(), canonical, "{text}");
        assert_eq!(canonical.parse::<Rules>().unwrap(), rules, "{text}");
    }
}

#[test]
fn only_the_most_specific_rule_applies() {
    let rules: Rules = "to [::1]:8090 loss 1%; delay 1ms; to ::1 loss 2%; to 127.0.0.1 loss 3%"
        .parse()
        .unwrap();
    for (addr, words) in [
        ("[::1]:8090", "loss 1%"),
        ("[::1]:8091", "loss 2%"),
        ("[::2]:8090", "delay 1ms"),
        ("127.0.0.1:1", "loss 3%"),
        ("[::ffff:127.0.0.1]:1", "loss 3%"),
    ] {
        let addr: SocketAddr = addr.parse().unwrap();
        assert_eq!(rules.impairment_to(&addr).unwrap().to_string(), words);
    }
    let one: Rules = "to ::1 loss 2%".parse().unwrap();
    assert!(one.impairment_to(&"[::2]:1".parse().unwrap()).is_none());
    assert!(Rules::default().is_empty());
}

#[test]
fn a_fault_is_reported_with_its_word_and_column() {
    let unknown = |nearest| Fault::Unknown { nearest };
    for (text, word, column, expected) in [
        ("dely 40ms", "dely", 1, unknown(Some("delay"))),
        ("delay 40ms lss 5%", "lss", 12, unknown(Some("loss"))),
        ("dup 5%", "dup", 1, unknown(Some("duplicate"))),
        ("Delay 40ms", "Delay", 1, unknown(Some("delay"))),
        ("delay 40ms wobble 5%", "wobble", 12, unknown(None)),
        (
            "  delay 40ms 10ms distribution nrmal",
            "nrmal",
            32,
            unknown(Some("normal")),
        ),
        ("loss gmodel 1%", "gmodel", 6, unknown(Some("gemodel"))),
        ("delay 40 ms", "ms", 10, Fault::LooseUnit),
        ("loss 5 %", "%", 8, Fault::LooseUnit),
        ("loss 5% 25% 3%", "3%", 13, Fault::OneTooMany("loss")),
        ("drop 5% 25% 3%", "3%", 13, Fault::OneTooMany("drop")),
        ("5%", "5%", 1, unknown(None)),
        ("delay 1ms latency 2ms", "latency", 11, Fault::Twice),
        ("loss 0% loss 4%", "loss", 9, Fault::Twice),
        ("reorder 5%", "reorder", 1, Fault::NeedsDelay),
        ("delay 0 5ms reorder 5%", "reorder", 13, Fault::NeedsDelay),
        ("rate 1mbit reorder 5%", "reorder", 12, Fault::NeedsDelay),
        (
            "delay 10ms distribution normal",
            "distribution",
            12,
            Fault::NeedsJitter,
        ),
        ("delay 10ms gap 5", "gap", 12, Fault::NeedsReorder),
        (
            "delay 10ms reorder 0% gap 5",
            "gap",
            23,
            Fault::NeedsReorder,
        ),
        ("delay 1ms;", "", 11, Fault::NoRule),
        ("; delay 1ms", ";", 1, Fault::NoRule),
        ("delay 1ms;; loss 1%", ";", 11, Fault::NoRule),
        ("to", "to", 1, Fault::NoValue("to [::1]:8090 delay 40ms")),
        ("to ::1", "::1", 4, Fault::NothingHappens),
        ("loss 1%; loss 2%", "loss", 10, Fault::SameDestination),
        (
            "to ::1 loss 1%; to [::1] loss 2%",
            "[::1]",
            20,
            Fault::SameDestination,
        ),
        ("delay 1ms to ::1", "to", 11, Fault::NeedsSemicolon),
        // Columns count characters, not bytes.
        ("ä dely 1ms", "ä", 1, unknown(None)),
        ("to ::1 loss 1%; ä", "ä", 17, unknown(None)),
    ] {
        assert_eq!(fault(text), (word.to_owned(), column, expected), "{text}");
    }
}

/// A text, the word at fault in it, its column, and a part of the message.
#[rustfmt::skip]
const BAD_VALUES: [(&str, &str, usize, &str); 30] = [
    ("delay", "delay", 1, "lacks a value; write it as in `delay 40ms`"),
    ("loss state", "state", 6, "lacks a value; write it as in `loss state 1% 30%`"),
    ("delay loss 5%", "loss", 7, "is not a time such as 40ms"),
    ("delay 10ns", "10ns", 7, "is not a time"),
    ("delay -5ms", "-5ms", 7, "is not a time"),
    ("delay 275s", "275s", 7, "is out of range: the delay is 0 to 274.877906s"),
    ("delay 1s 3s", "3s", 10, "is out of range: the jitter is 0 to 2.147483s"),
    ("loss .5%", ".5%", 6, "is not a share of packets such as 5%, nor random"),
    ("loss random .5%", ".5%", 13, "is not a share in percent"),
    ("loss 100.1%", "100.1%", 6, "is out of range: the share of packets is 0% to 100%"),
    ("loss 5% 101%", "101%", 9, "is out of range: the correlation is 0% to 100%"),
    ("loss gemodel 101%", "101%", 14, "is out of range: the probability"),
    ("corrupt 5x", "5x", 9, "is not a share in percent"),
    ("rate 5%", "5%", 6, "is not supported: there is no device"),
    ("rate 1xbit", "1xbit", 6, "is not a rate such as 10mbit"),
    ("rate 0", "0", 6, "is out of range: the rate is 8bit to 1000tbit"),
    ("rate 1mbit 70000", "70000", 12, "is out of range: the overhead of a packet"),
    ("rate 1mbit 1.5", "1.5", 12, "is not a whole number of bytes"),
    ("rate 1mbit - 5", "-", 12, "is not a whole number of bytes"),
    ("limit 0", "0", 7, "is out of range: the limit is 1 to 100000 packets"),
    ("limit 1k", "1k", 7, "is not a whole number of packets"),
    ("limit 99999999999999999999", "99999999999999999999", 7, "is out of range"),
    ("delay 1ms reorder 5% gap 0", "0", 26, "is out of range: the gap"),
    ("loss 5% ecn", "ecn", 9, "is not supported: packets are lost, not marked"),
    ("slot 10ms", "slot", 1, "is not supported"),
    ("delay 1ms 1ms distribution experimental", "experimental", 28, "is not supported"),
    ("to localhost loss 1%", "localhost", 4, "is not an address such as [::1]:8090"),
    ("to [::1]:0 loss 1%", "[::1]:0", 4, "is out of range: a destination"),
    ("to :: loss 1%", "::", 4, "is out of range: a destination"),
    ("loss \u{1b}[31m", "\u{1b}[31m", 6, "is not a share of packets"),
];

#[test]
fn a_bad_value_is_reported_with_what_is_expected() {
    for (text, word, column, said) in BAD_VALUES {
        let error = text.parse::<Rules>().unwrap_err();
        assert_eq!((&*error.word, error.column), (word, column), "{text}");
        let message = error.to_string();
        let place = format!("`{}` at column {column} ", word.escape_debug());
        assert!(
            message.starts_with(&place) && message.contains(said),
            "{message}"
        );
    }
}

#[test]
fn too_many_rules_and_too_long_texts_are_rejected() {
    let text = (1..=MAX_RULES).map(|port| format!("to [::1]:{port} loss 1%;"));
    let most = text.collect::<String>();
    let most = most.trim_end_matches(';');
    most.parse::<Rules>().unwrap();
    let (word, _, why) = fault(&format!("{most}; loss 1%"));
    assert_eq!((word.as_str(), why), ("loss", Fault::TooManyRules));
    let (_, column, why) = fault(&" ".repeat(MAX_TEXT + 1));
    assert_eq!((column, why), (1, Fault::TooLong));
}

/// Texts in the form of rules, most of them valid.
fn texts() -> impl Strategy<Value = String> {
    let share = "(0|5|33\\.333|99\\.99|100|0\\.000001)%?";
    let time = "(0|1|40|250)(\\.[0-9]{1,3})?(us|ms|)";
    let parts = [
        format!("delay {time}"),
        format!("delay {time} {time}"),
        format!("delay 10ms {time} {share} loss {share}"),
        "delay 10ms 5ms distribution (normal|pareto|paretonormal)".to_owned(),
        format!("loss state {share} {share} {share} {share} {share}"),
        format!("loss gemodel {share} {share} {share} {share}"),
        format!("loss random {share} {share} duplicate {share}"),
        format!("corrupt {share} {share} duplicate {share} limit [1-9][0-9]{{0,3}}"),
        format!("delay 10ms reorder {share} {share}"),
        "delay 10ms reorder 5% gap [1-9]".to_owned(),
        "rate [1-9][0-9]{0,5}(kbit|mbit|bps|kibps) (-?[1-9][0-9]{0,2})?".to_owned(),
        "rate [1-9]mbit -?[0-9]{1,2} [0-9]{1,3} -?[0-9]{1,2}".to_owned(),
    ];
    let rule = parts.join("|");
    let to = "(to (\\[::1\\]:[1-9]|::[1-9]|127\\.0\\.0\\.[1-9]) )";
    proptest::string::string_regex(&format!("({rule})(; {to}({rule}))?")).unwrap()
}

proptest! {
    #[test]
    fn printed_rules_parse_as_the_same_rules(text in texts()) {
        let rules = text.parse::<Rules>();
        prop_assert!(rules.is_ok(), "{}: {:?}", text, rules);
        let rules = rules.unwrap();
        prop_assert_eq!(rules.to_string().parse::<Rules>(), Ok(rules));
    }

    #[test]
    fn any_text_gives_rules_or_a_fault_within_it(text: String) {
        if let Err(error) = text.parse::<Rules>() {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column));
            error.to_string();
        }
        let _ = text.parse::<Impairment>();
    }

    #[test]
    fn any_sequence_of_words_gives_rules_or_a_fault(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "delay", "loss", "state", "gemodel", "random", "corrupt", "duplicate", "reorder", "gap",
                "rate", "limit", "distribution", "normal", "5%", "10ms", "1mbit", "7", "-3", ";", "to", "::1",
            ]), 0..12)
    ) {
        let text = words.join(" ");
        match text.parse::<Rules>() {
            Ok(rules) => prop_assert_eq!(rules.to_string().parse::<Rules>(), Ok(rules)),
            Err(error) => {
                let at = text.chars().skip(error.column - 1).collect::<String>();
                prop_assert!(at.starts_with(&error.word), "{} in {}", error, text);
            }
        }
    }
}
