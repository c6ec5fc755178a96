//! Bad input, as the user of the real binary meets it: one sentence that names the thing, its value and where it
//! stands; exit status 2; and nothing started or written.

use std::fs;

use self::desk::{DEFAULT, Desk};

#[test]
fn a_bad_configuration_folder() {
    let desk = Desk::with(&[]);
    desk.refuses(
        &["-c", "nowhere"],
        &["config folder `nowhere`", "No such file"],
    );
    desk.write("a-file", "");
    desk.refuses(
        &["-c", "a-file"],
        &["config folder `a-file`", "not a folder"],
    );
    desk.write("config/other/default.toml", "");
    desk.refuses(
        &["-c", "config"],
        &["settings folder `config/network`", "No such file"],
    );
    desk.write("flat/network", "");
    desk.refuses(&["-c", "flat"], &["`flat/network`", "not a folder"]);
    desk.write("bare/network/zoe.toml", "");
    desk.refuses(
        &["-c", "bare", "-p", "zoe"],
        &[
            "default settings file `bare/network/default.toml`",
            "No such file",
        ],
    );
    fs::create_dir_all(desk.dir.path().join("odd/network/default.toml")).unwrap();
    desk.refuses(&["-c", "odd"], &["`odd/network/default.toml`"]);
    desk.write("latin/network/default.toml", b"label = \"zo\xeb\"\n");
    desk.refuses(&["-c", "latin"], &["`latin/network/default.toml`", "UTF-8"]);
}

#[test]
fn a_bad_profile() {
    let desk = Desk::shipped();
    desk.refuses(
        &["-c", "config", "-p", "zeo"],
        &["no profile `zeo` in `config/network`", "`zoe`, `default`"],
    );
    for bad in ["", ".", "..", "../network/zoe", "a/b", ".zoe", "a..b"] {
        let quoted = format!("invalid profile name `{bad}`");
        desk.refuses(&["-c", "config", "-p", bad], &[&quoted]);
    }
}

#[test]
fn a_bad_file_of_settings() {
    for (text, said) in [
        (
            "lable = \"zoe\"",
            &["line 1", "`lable`", "\"zoe\"", "did you mean `label`?"][..],
        ),
        (
            "[network.controller.listen]\nport = \"9000\"",
            &[
                "line 2",
                "`network.controller.listen.port`",
                "\"9000\" is a string",
            ],
        ),
        (
            "[network.controller.listen]\nport = 65536",
            &[
                "line 2",
                "`network.controller.listen.port`",
                "65536",
                "0 to 65535",
            ],
        ),
        (
            "[network.controller]\nd2 = 1",
            &[
                "`network.controller.d2`",
                "true or false",
                "1 is an integer",
            ],
        ),
        ("network = true", &["`network`", "group", "true"]),
        (
            "[network]\nallow = [\"12\"]",
            &["`network.allow`", "\"12\" (entry 1)"],
        ),
        (
            "[log]\nlevel = \"loud\"",
            &["`log.level`", "\"loud\"", "\"trace\""],
        ),
        ("[network\n", &["line 1, column 9", "invalid TOML"]),
    ] {
        let desk = Desk::with(&[(DEFAULT, text)]);
        let said = [said, &["config/network/default.toml"]].concat();
        desk.refuses(&["-c", "config"], &said);
        // A mistake is told of in the layer that has it, also where a higher one covers it.
        let desk = Desk::shipped();
        desk.write("config/network/zoe.toml", text);
        let said = said
            .iter()
            .map(|part| part.replace("default.toml", "zoe.toml"));
        let said: Vec<_> = said.collect();
        let said: Vec<_> = said.iter().map(String::as_str).collect();
        let cover = [
            "-c",
            "config",
            "-p",
            "zoe",
            "-s",
            "network.controller.listen.port=1",
        ];
        desk.refuses(&cover, &said);
    }
}

#[test]
fn a_bad_argument() {
    let desk = Desk::shipped();
    for (argument, said) in [
        ("label", &["-s `label`", "KEY=VALUE"][..]),
        ("=zoe", &["-s `=zoe`", "KEY=VALUE"]),
        ("", &["-s ``", "KEY=VALUE"]),
        (
            "lable=zoe",
            &["-s lable=zoe", "`lable`", "`zoe`", "`label`?"],
        ),
        (
            "network.controller.port=9000",
            &["9000", "`network.controller.listen.port`?"],
        ),
        (
            "network.controller.listen.port=nine",
            &["`network.controller.listen.port`", "`nine` is a string"],
        ),
        (
            "network.controller.listen.port=65536",
            &["`network.controller.listen.port`", "65536"],
        ),
        (
            "\"network.controller.d2\" = yes",
            &["`network.controller.d2`", "`yes`", "true or false"],
        ),
        (
            "network.controller.d2_shows=some",
            &[
                "`network.controller.d2_shows`",
                "must be \"auto\", \"all\", \"mine\" or \"tree\", not `some`",
            ],
        ),
        (
            "network.controller.listen=9000",
            &["`network.controller.listen`", "group", "9000"],
        ),
        (
            "network.controller.degree.cap=7",
            &[
                "`network.controller.degree.cap` = 7",
                "`network.controller.degree.target` = 8",
                "config/network/default.toml, line ",
            ],
        ),
        (
            "network.controller.degree.full_mesh=32",
            &[
                "`network.controller.degree.cap` = 16",
                "`network.controller.degree.full_mesh` = 32",
            ],
        ),
    ] {
        desk.refuses(&["-c", "config", "-s", "label=fine", "-s", argument], said);
    }
}

#[test]
fn a_bad_impairment() {
    let key = "network.controller.impair";
    for (value, said) in [
        (
            "dely 40ms",
            "`dely` at column 1 is not an option of netem; did you mean `delay`?",
        ),
        (
            "delay 40ms loss 105%",
            "`105%` at column 17 is out of range: the share of packets is 0% to 100%",
        ),
        ("reorder 5%", "`reorder` at column 1 needs a `delay`"),
        (
            "delay 40ms; to localhost loss 1%",
            "`localhost` at column 16 is not an address",
        ),
        ("loss 5% ecn", "`ecn` at column 9 is not supported"),
    ] {
        let desk = Desk::shipped();
        let argument = format!("{key}={value}");
        let place = format!("-s {argument}: `{key}` = `{value}` is not a valid impairment: ");
        desk.refuses(&["-c", "config", "-s", &argument], &[&place, said]);

        let text = format!("[network.controller]\nimpair = \"{value}\"\n");
        desk.write("config/network/zoe.toml", text);
        let place = format!(
            "config/network/zoe.toml, line 2: `{key}` = \"{value}\" is not a valid impairment: "
        );
        desk.refuses(&["-c", "config", "-p", "zoe"], &[&place, said]);
    }
}

#[test]
fn a_bad_file_of_targets() {
    let desk = Desk::shipped();
    let path = "network.controller.target.path";
    for (text, said) in [
        (
            "[\"[::1]:8090\",\n",
            &["not valid JSON", "line 2 column 0"][..],
        ),
        ("{}", &["JSON array", "an object"]),
        ("[\"[::1]:8090\", \"zoe\"]", &["entry 2", "\"zoe\""]),
        ("[\"[::1]:0\"]", &["entry 1", "[::1]:0", "port 0"]),
        ("[\"[::]:1\"]", &["entry 1", "[::]:1", "unspecified"]),
        (
            "[\"224.0.0.1:1\"]",
            &["entry 1", "224.0.0.1:1", "multicast"],
        ),
    ] {
        desk.write("targets.json", text);
        let said = [said, &["`targets.json`", path]].concat();
        let argument = format!("{path}=targets.json");
        desk.refuses(&["-c", "config", "-s", &argument], &said);
    }
    desk.write("large.json", vec![b' '; (8 << 20) + 1]);
    desk.refuses(
        &["-c", "config", "-s", &format!("{path}=large.json")],
        &["`large.json`", "more than 8388608 bytes"],
    );
    // The older name, out of a file.
    let text = "[network.controller.target]\nfile = \"nowhere.json\"\n";
    desk.write("config/network/zoe.toml", text);
    desk.refuses(
        &["-c", "config", "-p", "zoe"],
        &[
            "`nowhere.json`",
            path,
            "config/network/zoe.toml, line 2",
            "No such file",
        ],
    );
    let text = "[network.controller.target]\nfile = \"a.json\"\npath = \"b.json\"\n";
    desk.write("config/network/zoe.toml", text);
    desk.refuses(
        &["-c", "config", "-p", "zoe"],
        &[
            "network.controller.target.file",
            path,
            "\"b.json\"",
            "zoe.toml",
        ],
    );
}

#[test]
fn a_bad_list_of_log_levels() {
    let desk = Desk::shipped();
    let mut command = desk.area_net(&["-c", "config"]);
    command.env("RUST_LOG", "area_net=loud");
    desk.check(&mut command, &["RUST_LOG", "\"area_net=loud\""]);
}

#[test]
fn a_bad_command_line() {
    let desk = Desk::shipped();
    for arguments in [
        &[][..],
        &["-p", "zoe"],
        &["-c"],
        &["-c", "config", "zoe"],
        &["-c", "config", "--nope"],
    ] {
        let output = desk.area_net(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn help_is_one_text_on_stdout() {
    let desk = Desk::with(&[]);
    let of = |flag| {
        desk.area_net(&[flag])
            .assert()
            .success()
            .get_output()
            .stdout
            .clone()
    };
    assert_eq!(of("-h"), of("--help"));
    let help = String::from_utf8(of("-h")).unwrap();
    for part in [
        "-c <CONFIG DIR>",
        "network.controller.d2 = false",
        "Exit status:",
        "RUST_LOG",
    ] {
        assert!(help.contains(part), "{part}");
    }
    let version = String::from_utf8(of("-V")).unwrap();
    assert_eq!(version, format!("area-net {}\n", env!("CARGO_PKG_VERSION")));
    assert!(desk.contents().is_empty());
}

#[test]
fn a_network_key_is_made_once_and_used_only_if_nobody_else_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::shipped();
    let path = desk.dir.path().join("net.key");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let made = ["network", "key", "net.key"];
    desk.area_net(&made).assert().success();
    let permissions = fs::metadata(&path).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o7777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let key = text.lines().last().unwrap();
    desk.refuses(&made, &["net.key: exists already", "never overwritten"]);
    desk.refuses(
        &["network", "key", "no/such/folder"],
        &["no/such/folder", "can't create it", "No such file"],
    );

    let start = ["-c", "config", "-p", "zoe", "-s", "network.key=net.key"];
    let open = &[
        "net.key: mode 0640",
        "run: chmod 600 net.key",
        "profile zoe",
    ];
    mode(0o640);
    desk.refuses(&start, open);
    let from_variable = |name: &str| {
        let mut command = desk.area_net(&start[..4]);
        command.env("AREA_NET_KEY_FILE", name);
        command
    };
    desk.check(&mut from_variable("net.key"), open);
    mode(0o600);
    desk.check(&mut from_variable("nowhere"), &["nowhere", "No such file"]);
    desk.write("net.key", format!("{text}\n{}\n", &key[1..]));
    desk.refuses(&start, &["net.key, line 4", "has 63 characters"]);
    desk.write("net.key", "");
    desk.refuses(&start, &["net.key", "contains no key"]);
    // The key itself has no place there, and is not repeated.
    let itself = format!("network.key={key}");
    let refused = desk.area_net(&["-c", "config", "-s", &itself]).output();
    let refused = refused.unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("write it into a file"), "{said}");
    assert!(!said.contains(key), "{said}");
}

// The attribute is what tells clippy that this is a test's.
#[cfg(test)]
mod desk {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    use assert_cmd::Command;
    use tempfile::TempDir;

    /// The only file in the network folder that a node can't do without.
    pub(super) const DEFAULT: &str = "network/default.toml";

    /// A working directory with a configuration folder `config` in it.
    pub(super) struct Desk {
        pub(super) dir: TempDir,
    }

    impl Desk {
        /// A desk with these files in the configuration folder.
        pub(super) fn with(files: &[(&str, &str)]) -> Self {
            let desk = Self {
                dir: tempfile::tempdir().unwrap(),
            };
            for (name, text) in files {
                desk.write(&format!("config/{name}"), text);
            }
            desk
        }

        /// A desk as area-net ships: the real default.toml, and a profile zoe.
        pub(super) fn shipped() -> Self {
            let default = include_str!("../config/network/default.toml");
            let zoe = "label = \"zoe\"\n";
            Self::with(&[(DEFAULT, default), ("network/zoe.toml", zoe)])
        }

        pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
            let path = self.dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        /// Everything on the desk.
        pub(super) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
            fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
                for entry in fs::read_dir(dir).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        found.insert(path.clone(), Vec::new());
                        walk(&path, found);
                    } else {
                        found.insert(path.clone(), fs::read(&path).unwrap());
                    }
                }
            }
            let mut found = BTreeMap::new();
            walk(self.dir.path(), &mut found);
            found
        }

        pub(super) fn area_net(&self, arguments: &[&str]) -> Command {
            let mut command = Command::cargo_bin("area-net").unwrap();
            command
                .current_dir(self.dir.path())
                .env_remove("RUST_LOG")
                .env_remove("AREA_NET_KEY_FILE")
                .args(arguments)
                .timeout(std::time::Duration::from_secs(20));
            command
        }

        /// Demands that the command line is refused in words that have all of `said` in them.
        #[track_caller]
        pub(super) fn refuses(&self, arguments: &[&str], said: &[&str]) {
            self.check(&mut self.area_net(arguments), said);
        }

        #[track_caller]
        pub(super) fn check(&self, command: &mut Command, said: &[&str]) {
            let before = self.contents();
            let output = command.output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.starts_with("area-net: error: "), "{stderr}");
            assert_eq!(stderr.matches('\n').count(), 1, "one line: {stderr}");
            for part in said {
                assert!(stderr.contains(part), "no {part:?} in: {stderr}");
            }
            assert!(output.stdout.is_empty());
            assert_eq!(self.contents(), before, "nothing is written");
        }
    }
}
