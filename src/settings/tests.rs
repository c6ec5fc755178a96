//! The settings as a user meets them: files, profiles and `-s`.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::impair::Rules;
use crate::wire::NodeId;

mod refusals;

/// A configuration folder with these files under `network/`.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("network")).unwrap();
    for (name, text) in files {
        fs::write(dir.path().join("network").join(name), text).unwrap();
    }
    dir
}

/// The settings of a node of the built-in defaults with these arguments of `-s`.
fn with(arguments: &[&str]) -> Result<Settings, SettingsError> {
    let overrides: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
    Settings::load(
        folder(&[("default.toml", "")]).path(),
        None,
        None,
        &overrides,
    )
}

fn refusal(arguments: &[&str]) -> String {
    with(arguments).unwrap_err().to_string()
}

/// What the text of a default.toml is refused with.
fn file_refusal(text: &str) -> String {
    let dir = folder(&[("default.toml", text)]);
    let error = Settings::load(dir.path(), None, None, &[]).unwrap_err();
    let message = error.to_string();
    let file = dir.path().join("network/default.toml");
    assert!(message.contains(&*file.to_string_lossy()), "{message}");
    message
}

#[test]
fn a_node_without_a_word_of_settings_runs_on_the_defaults() {
    let settings = with(&[]).unwrap();
    assert_eq!(settings, Settings::default());
    let expected = Settings {
        profile: "default".into(),
        label: "default".into(),
        log_level: tracing::Level::INFO,
        log_format: LogFormat::Text,
        network: "area-net".into(),
        network_key: vec![],
        allow: vec![],
        authority: String::new(),
        certificate: String::new(),
        listen_addr: "::1".parse().unwrap(),
        listen_port: 8083,
        advertise: vec![],
        target_path: String::new(),
        targets: vec![],
        named_targets: vec![],
        skipped_own: vec![],
        discovery: Discovery::Off,
        d2: false,
        d2_shows: Shows::Auto,
        history_mib: 8,
        history_keep: Duration::from_secs(24 * 3600),
        web: false,
        web_addr: "::1".parse().unwrap(),
        web_port: 0,
        impair: Rules::default(),
        probe_interval: Duration::from_millis(1500),
        full_mesh: 16,
        degree_target: 8,
        degree_cap: 16,
        guests: 256,
        dials_at_once: 8,
        dial_timeout: Duration::from_millis(2900),
        refresh_bytes_per_s: 512,
        forget_after: Duration::from_secs(600),
        addresses_for: Duration::from_secs(30 * 24 * 3600),
    };
    assert_eq!(settings, expected);
}

#[test]
fn the_five_profiles_ship() {
    let profiles: [(&str, u16, &[u16]); 6] = [
        ("alice", 8090, &[]),
        ("bob", 8095, &[8090, 8085]),
        ("carol", 8085, &[8105]),
        ("dave", 8100, &[8090]),
        ("erin", 8105, &[8100]),
        ("default", 8083, &[]),
    ];
    for (profile, port, targets) in profiles {
        let settings = Settings::load(Path::new("config"), Some(profile), None, &[]).unwrap();
        let loopback: IpAddr = "::1".parse().unwrap();
        let expected: Vec<_> = targets
            .iter()
            .map(|port| SocketAddr::new(loopback, *port))
            .collect();
        assert_eq!(settings.listen_addr, loopback);
        assert_eq!(settings.listen_port, port, "{profile}");
        assert_eq!(settings.web, profile != "default", "{profile}");
        assert_eq!(settings.targets, expected, "{profile}");
        assert_eq!((&*settings.profile, &*settings.label), (profile, profile));
    }
}

#[test]
fn each_layer_overrides_the_one_below() {
    let dir = folder(&[
        (
            "default.toml",
            "label = 'd'\n[network.controller.listen]\nport = 1000\n",
        ),
        ("zoe.toml", "[network.controller.listen]\nport = 2000\n"),
    ]);
    let load = |profile, overrides: &[&str]| {
        let overrides: Vec<_> = overrides.iter().map(|&argument| argument.into()).collect();
        let settings = Settings::load(dir.path(), profile, None, &overrides).unwrap();
        (settings.label, settings.listen_port)
    };
    assert_eq!(load(None, &[]), ("d".into(), 1000));
    assert_eq!(load(Some("zoe"), &[]), ("d".into(), 2000));
    let twice = [
        "network.controller.listen.port=3000",
        "network.controller.listen.port=4000",
    ];
    assert_eq!(load(Some("zoe"), &twice), ("d".into(), 4000));
    assert_eq!(load(Some("zoe"), &["label="]), ("zoe".into(), 2000));
}

#[test]
fn a_label_is_any_text() {
    for (argument, label) in [
        ("label=zoe", "zoe"),
        ("label=123", "123"),
        ("label=true", "true"),
        ("label=a=b", "a=b"),
        ("label = zoe and bob ", "zoe and bob"),
        ("label=\" zoe \"", " zoe "),
        ("label='zoe'", "zoe"),
        ("label=\"zo\\u00eb\"", "zoë"),
        ("label=\"zoe", "\"zoe"),
        ("label=zoe # not a comment", "zoe # not a comment"),
        ("label=[1]", "[1]"),
        ("label=2024-01-01", "2024-01-01"),
        ("\"label\"=zoe", "zoe"),
        ("'label' = zoe", "zoe"),
        ("label=\"\"", "default"),
        ("label=", "default"),
    ] {
        assert_eq!(with(&[argument]).unwrap().label, label, "{argument}");
    }
}

#[test]
fn a_setting_can_be_spelled_in_three_ways() {
    for argument in [
        "network.controller.d2=true",
        " network.controller.d2 = true ",
        "\"network.controller.d2\" = true",
        "'network.controller.d2'=true",
        "network.\"controller\".d2=true",
        "\"network.controller.d\\u0032\"=true",
        "network={controller={d2=true}}",
        "network.controller={'d2'=true}",
    ] {
        assert!(with(&[argument]).unwrap().d2, "{argument}");
    }
    let id = "00ff".repeat(16);
    let settings = with(&[
        &format!("network.allow=[\"{id}\"]"),
        "network.controller.listen.addr=127.0.0.1",
        "network.controller.listen.port=0x1F90",
        "log.level=debug",
        "log.format=\"json\"",
    ]);
    let settings = settings.unwrap();
    assert_eq!(settings.allow, [NodeId::from_hex(&id).unwrap()]);
    assert_eq!(settings.listen_addr, IpAddr::from([127, 0, 0, 1]));
    assert_eq!(settings.listen_port, 8080);
    assert_eq!(settings.log_level, tracing::Level::DEBUG);
    assert_eq!(settings.log_format, LogFormat::Json);
}

/// Demands that each `-s key=value` is refused in words that name the argument, the key, and what else is said.
fn refuses(rows: &[(&str, &str, &str)]) {
    for (key, value, said) in rows {
        let argument = format!("{key}={value}");
        let message = refusal(&[&argument]);
        assert!(message.contains(said), "{message}");
        assert!(message.contains(&format!("`{key}`")), "{message}");
        let layer = format!("-s {argument}: ");
        assert!(message.starts_with(&layer), "{message}");
    }
}

#[test]
fn discovery_on_the_lan_needs_an_address_there() {
    let lan = "network.controller.discovery=lan";
    let found = with(&[lan, "network.controller.listen.addr=::"]).unwrap();
    assert_eq!(found.discovery, Discovery::Lan);
    let refused = refusal(&[lan]);
    for part in [
        "`network.controller.discovery` = \"lan\" (-s network.controller.discovery=lan)",
        "`network.controller.listen.addr` = \"::1\" (the built-in defaults) is loopback",
        "set it to \"::\"",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    refuses(&[(
        "network.controller.discovery",
        "wan",
        "must be \"off\" or \"lan\", not `wan`",
    )]);
}

#[test]
fn an_impairment_is_text_in_netems_words() {
    for (argument, rules) in [
        (
            "network.controller.impair=delay 40ms 10ms loss 5% reorder 5%",
            "delay 40ms 10ms loss 5% reorder 5%",
        ),
        (
            "network.controller.impair = \"loss 5; to [::1]:8090 delay 1s\"",
            "loss 5%; to [::1]:8090 delay 1s",
        ),
        ("network.controller.impair=", ""),
    ] {
        assert_eq!(
            with(&[argument]).unwrap().impair.to_string(),
            rules,
            "{argument}"
        );
    }
    refuses(&[
        (
            "network.controller.impair",
            "dely 40ms",
            "= `dely 40ms` is not a valid impairment",
        ),
        (
            "network.controller.impair",
            "5",
            "= `5` is not a valid impairment",
        ),
        (
            "network.controller.impair",
            "\"loss 101%\"",
            "= \"loss 101%\" is not a valid impairment",
        ),
    ]);
    let error = with(&["network.controller.impair=delay 40ms lss 5%"]).unwrap_err();
    let fault = std::error::Error::source(&error).expect("the word at fault");
    assert_eq!(
        fault.to_string(),
        "`lss` at column 12 is not an option of netem; did you mean `loss`?"
    );
    let message = file_refusal("[network.controller]\nimpair = 5");
    assert!(
        message.contains("must be a string in the syntax of tc netem, but 5 is an integer"),
        "{message}"
    );
}

#[test]
fn the_targets_older_name_is_the_same_setting() {
    let dir = folder(&[
        (
            "default.toml",
            "[network.controller.target]\nfile = 'nowhere.json'",
        ),
        ("zoe.toml", "[network.controller.target]\npath = ''"),
    ]);
    Settings::load(dir.path(), Some("zoe"), None, &[]).unwrap();
    let error = Settings::load(dir.path(), None, None, &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("the target file `nowhere.json`"), "{error}");
    assert!(error.contains("default.toml, line 2"), "{error}");
    // Each -s is a layer of its own.
    with(&[
        "network.controller.target.path=a",
        "network.controller.target.file=",
    ])
    .unwrap();
}

#[test]
fn a_node_must_have_room_for_the_links_it_wants() {
    let message = refusal(&["network.controller.degree.cap=7"]);
    for part in [
        "`network.controller.degree.cap` = 7 (-s network.controller.degree.cap=7)",
        "at least 8",
        "`network.controller.degree.target` = 8 (the built-in defaults)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let message = refusal(&["network.controller.degree.full_mesh=18"]);
    assert!(message.contains("at least 17"), "{message}");
    assert!(
        message.contains("`network.controller.degree.cap` = 16"),
        "{message}"
    );
    assert!(
        message.contains("`network.controller.degree.full_mesh` = 18"),
        "{message}"
    );
    with(&["network.controller.degree.full_mesh=17"]).unwrap();
}

#[test]
fn a_target_that_is_the_node_itself_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("peers.json");
    fs::write(&file, r#"["[::1]:8083", "[::1]:8090", "[::1]:8090"]"#).unwrap();
    let settings = with(&[&format!(
        "network.controller.target.path={}",
        file.display()
    )]);
    let settings = settings.unwrap();
    assert_eq!(settings.targets, ["[::1]:8090".parse().unwrap()]);
    assert_eq!(settings.skipped_own, ["[::1]:8083".parse().unwrap()]);
}

proptest! {
    #[test]
    fn any_argument_is_a_setting_or_an_error(argument: String) {
        let _ = Layer::from_argument(&argument);
    }

    #[test]
    fn any_value_of_any_key_is_taken_or_an_error(index in 0..KEYS.len(), value: String) {
        let _ = Layer::from_argument(&format!("{}={value}", KEYS[index].name));
    }

    #[test]
    fn any_bits_of_toml_are_taken_or_an_error(argument in "[-a-z.=\"'\\\\\\[\\]{}#, \n0-9:]{0,40}") {
        let _ = Layer::from_argument(&argument);
        let _ = Layer::from_text("a file", &argument);
    }

    #[test]
    fn a_quoted_label_comes_back_as_it_was(label in "\\PC{1,32}") {
        let quoted = toml_string(&label);
        let settings = with(&[&format!("label={quoted}")]).unwrap();
        prop_assert_eq!(settings.label, label);
    }
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[test]
fn the_network_key_is_named_by_a_path_several_paths_or_the_variable() {
    let dir = folder(&[("default.toml", "[network]\nkey = 'a.key'")]);
    let load = |variable: Option<&str>, overrides: &[&str]| {
        let overrides: Vec<_> = overrides.iter().map(|&argument| argument.into()).collect();
        let variable = variable.map(std::ffi::OsStr::new);
        Settings::load(dir.path(), None, variable, &overrides).map(|it| it.network_key)
    };
    let keys = |variable, overrides: &[&str]| load(variable, overrides).unwrap();
    assert_eq!(keys(None, &[]), ["a.key"]);
    assert_eq!(keys(Some(""), &[]), ["a.key"]);
    assert_eq!(keys(Some("/run/b"), &[]), ["/run/b"]);
    assert_eq!(keys(Some("/run/b"), &["network.key=c"]), ["c"]);
    assert_eq!(keys(None, &["network.key=['new', 'old']"]), ["new", "old"]);
    assert_eq!(keys(Some("/run/b"), &["network.key="]), [""; 0]);
    for bad in ["['a', '']", "[1]", "['1', '2', '3', '4', '5']"] {
        let error = load(None, &[&format!("network.key={bad}")]).unwrap_err();
        assert!(error.to_string().contains("network.key"), "{error}");
    }
}
