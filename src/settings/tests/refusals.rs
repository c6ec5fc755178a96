//! What is refused, and in which words.

use super::{file_refusal, refusal, refuses, with};

#[test]
fn what_is_no_setting_is_answered_with_the_right_form() {
    for argument in ["", "label", "=5", " = 5", "''=5", "\"label=5", "#=5"] {
        let message = refusal(&[argument]);
        assert!(message.contains(&format!("-s `{argument}`")), "{message}");
        assert!(message.contains("KEY=VALUE"), "{message}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_not_converted() {
    let port = "network.controller.listen.port";
    refuses(&[
        (
            port,
            "abc",
            "an integer from 0 to 65535, but `abc` is a string",
        ),
        (port, "\"9000\"", "but \"9000\" is a string"),
        (port, "9000.5", "but 9000.5 is a float"),
        (port, "true", "but true is a boolean"),
        (port, "", "but `` is a string"),
        (port, "{a=1}", "is a table"),
        (port, "[1]", "but [1] is an array"),
        (
            "network.controller.d2",
            "yes",
            "must be true or false, but `yes` is a string",
        ),
        (
            "network.controller.d2",
            "1",
            "must be true or false, but 1 is an integer",
        ),
        ("network.allow", "abc", "but `abc` is a string"),
    ]);
}

#[test]
fn a_value_out_of_range_is_told_with_the_range() {
    const ADVERTISE: &str = "network.controller.advertise";
    let port = "network.controller.listen.port";
    let huge = "99999999999999999999";
    refuses(&[
        (port, "65536", "an integer from 0 to 65535, not 65536"),
        (port, "-1", "not -1"),
        (port, huge, "not 99999999999999999999"),
        ("network.controller.listen.addr", "[::1]", "not `[::1]`"),
        (
            "network.controller.listen.addr",
            "localhost",
            "not `localhost`",
        ),
        ("network.controller.listen.addr", "ff02::1", "not `ff02::1`"),
        ("log.level", "loud", "or \"trace\", not `loud`"),
        ("log.format", "JSON", "\"text\" or \"json\", not `JSON`"),
        ("network.name", "two words", "not `two words`"),
        ("network.allow", "['abc']", "not 'abc' (entry 1)"),
        ("network.allow", "[1]", "not 1 (entry 1)"),
        (ADVERTISE, "[1]", "not 1 (entry 1)"),
        (ADVERTISE, "node.example:8083", "is a string"),
        (
            ADVERTISE,
            "['a:1','b:1','c:1','d:1','e:1','f:1','g:1','h:1','i:1']",
            "an array of at most 8 strings HOST:PORT",
        ),
        (
            ADVERTISE,
            "['node.example']",
            "entry 1: 'node.example' has no port; write \"HOST:PORT\"",
        ),
        (
            ADVERTISE,
            "['node.example:1', '[fe80::1%eth0]:8083']",
            "entry 2: '[fe80::1%eth0]:8083' is a link-local address",
        ),
    ]);
    let advertised = with(&["network.controller.advertise=['node.example:9', '[fd00::7]:9']"]);
    let advertised = advertised.unwrap().advertise;
    let texts: Vec<_> = advertised.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["node.example:9", "[fd00::7]:9"]);
    let long = format!("label={}", "x".repeat(129));
    assert!(refusal(&[&long]).contains("a string of at most 128 bytes"));
}

#[test]
fn an_unknown_key_is_answered_with_the_nearest() {
    let port = "` = 9000; did you mean `network.controller.listen.port`?";
    refuses(&[
        ("network.controller.port", "9000", port),
        ("lable", "zoe", "`lable` = `zoe`; did you mean `label`?"),
        ("label.x", "1", "did you mean `label`?"),
        ("foo bar", "1", "unknown setting `foo bar`"),
        (
            "network.controller",
            "5",
            "a group of settings and can't be set to 5",
        ),
        ("network", "zoe", "set a key in it, such as `network.name`"),
    ]);
}

#[test]
fn a_bad_file_is_told_by_key_value_file_and_line() {
    let listen = "[network.controller.listen]\n";
    for (text, said) in [
        (
            format!("{listen}port = \"9000\""),
            "line 2: `network.controller.listen.port` must be an integer from 0 to 65535, but \"9000\" is a string",
        ),
        (
            format!("{listen}port = 70000"),
            "line 2: `network.controller.listen.port` must be an integer from 0 to 65535, not 70000",
        ),
        (
            format!("{listen}\nprot = 9000"),
            "line 3: unknown setting `network.controller.listen.prot` = 9000; did you mean `network.controller.listen.port`?",
        ),
        (
            "label = 5".into(),
            "line 1: `label` must be a string of at most 128 bytes, but 5 is an integer",
        ),
        (
            "label = 2024-01-01".into(),
            "but 2024-01-01 is a date or time",
        ),
        (
            "[label]\nx = 1".into(),
            "`label` must be a string of at most 128 bytes, but {…} is a table",
        ),
        (
            "network = 5".into(),
            "line 1: `network` is a group of settings and can't be set to 5",
        ),
        (
            "[netwrok.controller]\nd2 = true".into(),
            "unknown setting `netwrok.controller.d2` = true; did you mean `network.controller.d2`?",
        ),
        ("[netwrok]".into(), "unknown setting `netwrok`"),
        ("label = \n".into(), "line 1, column 9: invalid TOML"),
        (
            "\n\n[log\nlevel = 1".into(),
            "line 3, column 5: invalid TOML",
        ),
        (
            "label = 'a'\nlabel = 'b'".into(),
            "line 2, column 1: invalid TOML: duplicate key",
        ),
        (
            "'network.controller.d2' = true\n[network.controller]\nd2 = true".into(),
            "`network.controller.d2` is set twice",
        ),
        (
            "[network.controller.target]\npath = 'a'\nfile = 'b'".into(),
            "`network.controller.target.path` is set twice, once under its older name `network.controller.target.file`",
        ),
        (
            "[network.controller.target]\nfile = 7".into(),
            "`network.controller.target.file` must be the path of a file, but 7 is",
        ),
    ] {
        let message = file_refusal(&text);
        assert!(message.contains(said), "{message}");
    }
}
