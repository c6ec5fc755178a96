//! The documents keep their word: every command in README.md is run by something, and what the pages list exists.

#[cfg(test)]
#[path = "readme/documents.rs"]
mod documents;
#[cfg(test)]
#[path = "readme/pages.rs"]
mod pages;
#[cfg(test)]
#[expect(dead_code, reason = "these tests read no log events")]
mod processes;

#[cfg(test)]
mod commands {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::{Command, Output};

    use rustix::process::Signal;

    use crate::documents::{fenced, project, text};
    use crate::processes::{Desk, Process, ports, until, until_exact};

    /// Where a command of the README is run.
    enum By {
        /// By this test, in this file.
        Test(&'static str, &'static str),
        /// By this step of `.ci/run`.
        Ci(&'static str),
    }
    use By::{Ci, Test};

    const ONE_MORE: &str = "target/release/area-net -c config -s label=zoe -s network.controller.listen.port=9000 \
        -s network.controller.target.path=profiles/alice/peers.json";
    const FIRST: &str =
        "target/release/area-net -c config -s label=one -s network.controller.listen.addr=::";
    const TARGETS: &str = r#"echo '["192.0.2.7:8083"]' > targets.json"#;
    const SECOND: &str = "target/release/area-net -c config -s label=two -s network.controller.listen.addr=:: \
        -s network.controller.target.path=targets.json";
    const HELP: &str = "target/release/area-net -h";
    const IMPAIRED: &str = "target/release/area-net -c config -p bob -s 'network.controller.impair=delay 20ms 5ms loss 2%'";
    /// A simulation with an attack in which nobody is blamed, so that the names of counters are no fields.
    const ATTACK: &str =
        "target/release/area-net sim --nodes 5 --attack mute:from=5s --lasts 10s --json -";
    const CLOSED: [&str; 3] = [
        "target/release/area-net network create office",
        "target/release/area-net network admit office --new alice bob carol dave erin",
        "cp -r office/members/* certs/",
    ];
    const MEMBERS: &str = "tests/binary/members.rs";
    const THREE: &str = "three_commands_close_a_network_of_five";
    const SIM: [&str; 4] = [
        "target/release/area-net sim --nodes 100 --loss 5% --kill 30%@60s --html report.html",
        "target/release/area-net sim config/sim/flapping.toml --seed 7 --json report.json",
        "target/release/area-net sim --fidelity whole --nodes 20 --loss 5% --kill 30%@20s --lasts 40s",
        "target/release/area-net sim --fuzz 5 --nodes 8",
    ];
    const HERE: &str = "tests/readme.rs";

    /// Every command of the README, and what runs it.
    const COMMANDS: [(&str, By); 22] = [
        (
            "./start.sh",
            Test(
                "tests/start_sh/main.rs",
                "q_ends_all_nodes_and_gives_the_terminal_back",
            ),
        ),
        ("cargo test", Ci("tests")),
        (
            "d2 --watch profiles/bob/peers.d2",
            Test("tests/d2.rs", "d2_watch_follows_a_file_that_is_replaced"),
        ),
        (
            "d2 profiles/bob/peers.d2 bob.svg",
            Test("tests/d2.rs", "any_label_is_shown_as_it_is"),
        ),
        (
            "target/release/area-net status -p bob",
            Test(
                "tests/binary/questions.rs",
                "every_question_has_an_answer_from_a_running_node",
            ),
        ),
        (
            "target/release/area-net path erin -p bob",
            Test(
                "tests/binary/questions.rs",
                "every_question_has_an_answer_from_a_running_node",
            ),
        ),
        (
            "target/release/area-net events --follow -p bob",
            Test(
                "tests/binary/questions.rs",
                "what_is_watched_and_followed_ends_with_its_reader",
            ),
        ),
        ("cargo build --release", Ci("release build")),
        (HELP, Test(HERE, "the_help_is_shown")),
        (
            ONE_MORE,
            Test(HERE, "one_more_node_joins_by_a_file_of_peers"),
        ),
        (FIRST, Test(HERE, "nodes_on_several_machines_meet")),
        (TARGETS, Test(HERE, "nodes_on_several_machines_meet")),
        (SECOND, Test(HERE, "nodes_on_several_machines_meet")),
        (CLOSED[0], Test(MEMBERS, THREE)),
        (CLOSED[1], Test(MEMBERS, THREE)),
        (CLOSED[2], Test(MEMBERS, THREE)),
        (SIM[0], Test(HERE, "simulations_run")),
        (SIM[1], Test(HERE, "simulations_run")),
        (SIM[2], Test(HERE, "simulations_run")),
        (SIM[3], Test(HERE, "simulations_run")),
        (IMPAIRED, Test(HERE, "a_node_impairs_itself")),
        (
            "./start.sh -s 'network.controller.impair=delay 20ms 5ms loss 2%'",
            Test("tests/start_sh/main.rs", "arguments_go_to_every_node"),
        ),
    ];

    #[test]
    fn every_command_of_the_readme_is_run() {
        let found = fenced(&text("README.md"), "sh");
        for command in &found {
            assert!(
                COMMANDS.iter().any(|(known, _)| known == command),
                "README.md has the command `{command}`, and nothing runs it: \
                 add it to COMMANDS in {HERE}, with the test or the step of .ci/run that does"
            );
        }
        for (command, by) in &COMMANDS {
            assert!(
                found.iter().any(|it| it == command),
                "{HERE} has the command `{command}`, and README.md does not: remove it"
            );
            let (file, mark) = match by {
                Test(file, name) => (*file, format!("fn {name}(")),
                Ci(step) => (".ci/run", format!("begin '{step}'")),
            };
            assert!(
                text(file).contains(&mark),
                "`{command}` should be run by {file}, which has no `{mark}`"
            );
        }
    }

    #[test]
    fn the_readme_is_for_people_in_a_hurry() {
        let lines = text("README.md").lines().count();
        assert!(
            lines <= 220,
            "README.md has {lines} lines; move some to docs/"
        );
    }

    /// A folder like the project's, with the binary where a release build puts it.
    struct Checkout(Desk);

    impl Checkout {
        fn new() -> Self {
            let desk = Desk::new();
            fs::create_dir_all(desk.path("target/release")).unwrap();
            let binary = Path::new(env!("CARGO_BIN_EXE_area-net"));
            symlink(binary, desk.path("target/release/area-net")).unwrap();
            symlink(project().join("config/sim"), desk.path("config/sim")).unwrap();
            fs::create_dir(desk.path("profiles")).unwrap();
            for name in ["alice", "bob"] {
                let targets = format!("profiles/{name}.json");
                fs::copy(project().join(&targets), desk.path(&targets)).unwrap();
            }
            Self(desk)
        }

        /// A command of the README, to be run as a shell does, with more arguments.
        fn command(&self, words: &str, more: &[String]) -> Command {
            let mut command = Command::new("sh");
            command
                .current_dir(self.0.path(""))
                .env_remove("RUST_LOG")
                .args(["-c", &format!("exec {words} \"$@\""), "sh"])
                .args(more);
            command
        }

        fn run(&self, words: &str) -> Output {
            let output = self.command(words, &[]).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "`{words}`: {errors}");
            output
        }

        /// Starts a node by a command of the README. Another port and another network keep it from nodes of this machine.
        fn start(&self, profile: &str, words: &str, network: &str, port: u16) -> Process {
            let more = [
                "-s".to_owned(),
                format!("network.controller.listen.port={port}"),
                "-s".to_owned(),
                format!("network.name={network}"),
            ];
            let addr = (std::net::Ipv6Addr::LOCALHOST, port).into();
            let log = fs::File::create(self.0.path(&format!("{profile}.log"))).unwrap();
            let mut command = self.command(words, &more);
            self.0.spawn(profile, addr, command.stderr(log))
        }
    }

    async fn leave(mut node: Process) {
        node.signal(Signal::TERM);
        assert_eq!(node.ended().await.code(), Some(0));
    }

    #[test]
    fn the_help_is_shown() {
        let output = Checkout::new().run(HELP);
        assert!(!output.stdout.is_empty());
    }

    #[tokio::test]
    async fn one_more_node_joins_by_a_file_of_peers() {
        let checkout = Checkout::new();
        let desk = &checkout.0;
        let addrs = ports(3);
        let alice = desk.start("alice", addrs[0], &[]);
        let targets = desk.targets("bob", &[alice.addr]);
        let bob = desk.start("bob", addrs[1], &[&targets]);
        until_exact(&[&alice, &bob], &["alice", "bob"]).await;
        let peers = || alice.file("peers.json").is_some_and(|it| it[0].is_string());
        until("alice lists bob", peers).await;

        let zoe = checkout.start("default", ONE_MORE, &desk.network, addrs[2].port());
        until_exact(&[&alice, &bob, &zoe], &["alice", "bob", "zoe"]).await;
        crate::pages::fields_are_documented(
            "docs/files.md",
            "## network.json",
            &zoe.file("network.json").unwrap(),
        );
        let remembered = || {
            zoe.file("state.json")
                .is_some_and(|it| it["nodes"][0].is_object())
        };
        until("zoe remembers others", remembered).await;
        crate::pages::fields_are_documented(
            "docs/files.md",
            "## state.json",
            &zoe.file("state.json").unwrap(),
        );
        leave(zoe).await;
        until("zoe has left", || alice.picture().state("zoe") == "left").await;
    }

    #[tokio::test]
    async fn nodes_on_several_machines_meet() {
        let (here, there) = (Checkout::new(), Checkout::new());
        let network = &here.0.network;
        let addrs = ports(2);
        let one = here.start("default", FIRST, network, addrs[0].port());
        // The other machine is this one.
        let echo = TARGETS.replace("192.0.2.7:8083", &format!("127.0.0.1:{}", one.addr.port()));
        let status = Command::new("sh")
            .current_dir(there.0.path(""))
            .args(["-c", &echo])
            .status();
        assert!(status.unwrap().success());
        let two = there.start("default", SECOND, network, addrs[1].port());
        until_exact(&[&one, &two], &["one", "two"]).await;
        leave(two).await;
        leave(one).await;
    }

    #[tokio::test]
    async fn a_node_impairs_itself() {
        let checkout = Checkout::new();
        let port = ports(1)[0].port();
        let node = checkout.start("bob", IMPAIRED, &checkout.0.network, port);
        let impaired = || {
            let file = node.file("network.json");
            file.is_some_and(|it| it["impaired"] == "delay 20ms 5ms loss 2%")
        };
        until("the node says how it is impaired", impaired).await;
        leave(node).await;
    }

    #[test]
    fn simulations_run() {
        let checkout = Checkout::new();
        for command in SIM {
            let output = checkout.run(command);
            assert!(!output.stdout.is_empty(), "{command}");
        }
        assert!(checkout.0.path("report.html").is_file());
        let report = fs::read(checkout.0.path("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["ended"], "done");
        crate::pages::report_is_documented(&report);
        // Where nobody attacks, that part is missing.
        let output = checkout.run(ATTACK);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["attacks"]["load"].is_object());
        crate::pages::report_is_documented(&report);
    }
}
