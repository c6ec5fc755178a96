//! `area-net sim`: what it reads and refuses, that it repeats, what it reports, and that its watch sees what must not be.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use area_net::membership::Event;
use area_net::sim::command::{SimArgs, SimError};
use area_net::sim::parse::{Flags, read, read_text, toml_of_flags};
use area_net::sim::scenario::Bounds;
use area_net::sim::views::{Standing, Views};
use area_net::sim::watch::{Rule, Watch};
use area_net::sim::world::{News, Told, World, default_settings};
use area_net::sim::{Play, Report, Scenario, report, run};

fn scenario(text: &str) -> Scenario {
    match read_text("test.toml", text) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{error:?}"),
    }
}

fn play(text: &str) -> Report {
    let report = run(&scenario(text), |_| true);
    assert_eq!(report.violation, None);
    assert_eq!(report.ended, "done");
    report
}

fn flags(give: impl FnOnce(&mut Flags)) -> Flags {
    let mut flags = Flags::default();
    give(&mut flags);
    flags
}

#[test]
fn constants_are_varied_at_both_fidelities_and_named_in_the_report() {
    // All nodes dial at once, where the higher ids otherwise wait for the lower ones.
    let tuning = "[tuning]\n\"overlay.courtesy\" = \"0s\"\n\"pace.small\" = 64\n";
    for fidelity in ["core", "whole"] {
        let plain = format!(
            "nodes = 6\nseed = 3\nintroduction = \"star\"\nlasts = \"5s\"\nfidelity = \"{fidelity}\"\n"
        );
        let (before, after) = (play(&plain), play(&format!("{plain}{tuning}")));
        assert!(after.traffic.dials > before.traffic.dials, "{fidelity}");
        let json = report::json::render(&after);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let named = serde_json::json!({"overlay.courtesy": "0s", "pace.small": 64});
        assert_eq!(json["tuning"], named);
        assert!(!report::json::render(&before).contains("tuning"));
    }
}

mod reading {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_line_and_the_nearest_word() {
        for (text, said) in [
            (
                "nods = 5",
                "test.toml, line 1: unknown word `nods`; did you mean `nodes`?",
            ),
            (
                "nodes = 1",
                "test.toml, line 1: nodes must be from 2 to 32768, not 1",
            ),
            (
                "introduction = \"chian\"",
                "test.toml, line 1: unknown introduction `chian`; did you mean `chain`?",
            ),
            (
                "nodes = 5\n[[step]]\nat = \"60s\"\nkil = \"3\"",
                "test.toml, line 4: unknown word `kil`; did you mean `kill`?",
            ),
            (
                "nodes = 5\n[[step]]\nat = \"60s\"\nkill = \"5\"",
                "test.toml, line 4: there is no node `5`: they are 0 to 4, and a range is 0..5",
            ),
            (
                "[groups]\neast = \"0..10\"\n[[step]]\nat = \"6s\"\nkill = \"est\"",
                "test.toml, line 5: there is no node or group `est`; did you mean `east`?",
            ),
            (
                "[[step]]\nat = \"60\"\nkill = \"3\"",
                "test.toml, line 2: `60` needs a unit: 60s, or ms, min, h",
            ),
            (
                "links = \"delay 40ms lss 5%\"",
                "test.toml, line 1: `lss` at column 12 is not an option of netem; did you mean `loss`?",
            ),
            (
                "[[step]]\nat = \"1s\"\nkill = \"3\"\nleave = \"4\"",
                "test.toml, line 1: a step must have exactly one action, not 2",
            ),
            (
                "lasts = \"1min\"\n[[step]]\nat = \"90s\"\nkill = \"3\"",
                "test.toml, line 3: a step at 90s, but the run ends at 60s",
            ),
            (
                "settings = [\"label=zoe\"]",
                "test.toml, line 1: `label` has no effect on a simulated node; it accepts `network.controller.probe.",
            ),
            ("nodes = 5\nnodes = 6", "test.toml, line 2: "),
            (
                "fidelity = \"whole\"\n[[step]]\nat = \"6s\"\nlie = \"3\"",
                "test.toml, line 4: lie needs fidelity core",
            ),
        ] {
            let error = read_text("test.toml", text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}\nsays: {error}");
        }
    }

    #[test]
    fn a_setting_is_refused_in_the_words_of_a_nodes_settings() {
        for (setting, said) in [
            (
                "network.controller.degree.tagret=9",
                "unknown setting `network.controller.degree.tagret` = 9; did you mean `network.controller.degree.target`?",
            ),
            (
                "network.controller.probe.interval_ms=100",
                "`network.controller.probe.interval_ms` must be an integer from 200 to 10000 ms, not 100",
            ),
            (
                "network.controller.degree.cap=7",
                "`network.controller.degree.cap` = 7 (-s network.controller.degree.cap=7) is too small",
            ),
        ] {
            let text = format!("nodes = 5\nsettings = [\"{setting}\"]");
            let error = read_text("test.toml", &text).unwrap_err();
            assert_eq!(error.to_string(), "test.toml, line 2");
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains(said), "{cause}");
        }
    }

    #[test]
    fn settings_of_a_scenario_are_those_of_every_node() {
        let text = "settings = [\"'network.controller.probe'.interval_ms = 700\", \"network.controller.dial={at_once=3}\"]";
        let scenario = read_text("test.toml", text).unwrap();
        assert_eq!(scenario.settings.probe_interval, Duration::from_millis(700));
        let play = Play::new(&scenario);
        for node in &play.world.nodes {
            let config = node.config();
            assert_eq!(config.probe_interval, Duration::from_millis(700));
            assert_eq!(config.dials_at_once, 3);
            assert_eq!(config.degree_cap, 16);
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        for (text, said) in [
            (
                "nodes = 5\nlinks = \"dealy 5ms\"\nloss = \"1%\"",
                "test.toml, line 2: `dealy` at column 1 is not an option of netem; did you mean `delay`?",
            ),
            (
                "links = \"delay 10ms 1ms..5ms\"",
                "test.toml, line 1: `1ms..5ms` at column 12",
            ),
            (
                "links = \"delay 10ms..\"",
                "test.toml, line 1: `10ms..` lacks one end; write 10ms..50ms",
            ),
            (
                "delay = \"50ms..10ms\"",
                "test.toml, line 1: the first delay must be the smaller one",
            ),
            (
                "nodes = 5\ndelay = \"40\"",
                "test.toml, line 2: `40` needs a unit: 40s, or ms, min, h",
            ),
            (
                "links = \"loss 5%\"\njitter = \"5ms\"",
                "test.toml, line 2: jitter needs a delay",
            ),
            (
                "loss = \"200%\"\ndelay = \"20ms\"",
                "test.toml, line 1: `200%` is",
            ),
            (
                "nodes = 5\nloss = \"5% delay 3ms\"",
                "test.toml, line 2: `5% delay 3ms` has more than a loss",
            ),
            (
                "[[step]]\nat = \"9s\"\nkill = \"18446744073709551615\"",
                "test.toml, line 3: there is no node",
            ),
            (
                "nodes = 5\n[[link]]\non = [\"3\", \"\"]\nnetem = \"loss 1%\"",
                "test.toml, line 3: `on` needs directions",
            ),
            (
                "introduction = \"chain\"\n[targets]\nall = [\"0\"]",
                "test.toml, line 1: introduction and [targets] exclude each other",
            ),
        ] {
            let error = read_text("test.toml", text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}\nsays: {error}");
        }
    }

    #[test]
    fn what_is_never_or_nobody_is_told_with_its_line() {
        for (text, said) in [
            (
                "nodes = 5\n[[link]]\non = [\"hub\"]\nnetem = \"loss 1%\"",
                "test.toml, line 3: `hub` is known only during the run",
            ),
            (
                "nodes = 5\n[[link]]\non = []\nnetem = \"loss 1%\"",
                "test.toml, line 3: `on` needs directions",
            ),
            (
                "[[step]]\nat = \"9s\"\npartition = []",
                "test.toml, line 3: a partition needs at least one part",
            ),
            (
                "[[step]]\nat = \"9s\"\nkill = \"1\"\ntimes = 3",
                "test.toml, line 1: `times` (two or more) needs `every`, and `every` needs `times`",
            ),
            (
                "[[step]]\nat = \"277h\"\nkill = \"1\"",
                "test.toml, line 2: a step at 997200s, but the run ends at 864000s",
            ),
            (
                "lasts = \"20s\"\n[churn]\nper_min = 3.0",
                "test.toml, line 3: churn from 30s until 20s never happens",
            ),
            (
                "lasts = \"5s\"\nstart_over = \"9s\"",
                "test.toml, line 2: starts over 9s, but the run ends at 5s",
            ),
            (
                "nodes = \"five\"",
                "test.toml, line 1: invalid type: string \"five\", expected a whole number",
            ),
            (
                "lasts = \"0s\"",
                "test.toml, line 1: a run must last longer than 0s",
            ),
            (
                "nodes = 5\nmatrix = \"nowhere.csv\"",
                "test.toml, line 2: can't read nowhere.csv",
            ),
        ] {
            let error = read_text("test.toml", text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}\nsays: {error}");
        }
    }

    #[test]
    fn a_mistake_in_a_flag_is_told_with_the_flag() {
        for (flags, said) in [
            (
                flags(|it| it.kill = vec!["30x%@60s".into()]),
                "--kill 30x%@60s: `30x%` is not a share from 0% to 100%",
            ),
            (
                flags(|it| it.kill = vec!["5".into()]),
                "--kill 5: the time is missing; write 1500ms",
            ),
            (flags(|it| it.nodes = Some("many".into())), "--nodes many: "),
            (
                flags(|it| it.loss = Some("5x".into())),
                "--loss 5x: `5x` is",
            ),
            (
                flags(|it| it.settings = vec!["network.controller.degree.cap=1".into()]),
                "-s network.controller.degree.cap=1",
            ),
        ] {
            let error = read(None, &flags).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn flags_and_a_file_mean_the_same() {
        let flags = flags(|it| {
            it.nodes = Some("40".into());
            it.loss = Some("5%".into());
            it.delay = Some("40ms".into());
            it.kill = vec!["30%@60s".into()];
            it.heal = vec!["90s".into()];
        });
        let text = "nodes = 40\nlinks = \"delay 40ms loss 5%\"\n[[step]]\nat = \"60s\"\nkill = \"30%\"\n\
                    [[step]]\nat = \"90s\"\nheal = true\n";
        let (one, other) = (read(None, &flags).unwrap(), scenario(text));
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        let third = scenario(&toml_of_flags(&flags));
        assert_eq!(format!("{one:?}"), format!("{third:?}"));
    }

    #[test]
    fn flags_replace_their_part_of_what_a_file_says_of_links() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let read_with = |text: &str, flags: &Flags| {
            std::fs::write(&file, text).unwrap();
            read(Some(&file), flags)
        };
        let links =
            |words: &str| format!("{:?}", scenario(&format!("links = \"{words}\"")).terrain);
        for (text, flags, meant) in [
            (
                "links = \"delay 200ms 5ms loss 1%\"",
                flags(|it| it.loss = Some("5%".into())),
                "delay 200ms 5ms loss 5%",
            ),
            (
                "links = \"drop 1% latency 200ms\"",
                flags(|it| it.delay = Some("10ms..50ms".into())),
                "loss 1% delay 10ms..50ms",
            ),
            (
                "delay = \"40ms\"\nloss = \"3%\"",
                flags(|it| it.jitter = Some("7ms".into())),
                "delay 40ms 7ms loss 3%",
            ),
            (
                "links = \"delay 40ms 5ms distribution normal\"",
                flags(|it| it.jitter = Some("7ms".into())),
                "delay 40ms 7ms distribution normal",
            ),
            (
                "loss = \"3%\"",
                flags(|it| it.links = Some("delay 1ms".into())),
                "delay 1ms",
            ),
            (
                "loss = \"3%\"",
                Flags::default(),
                "delay 10ms..50ms loss 3%",
            ),
        ] {
            let read = read_with(text, &flags).unwrap();
            assert_eq!(
                format!("{:?}", read.terrain),
                links(meant),
                "{text} {flags:?}"
            );
        }
        let matrix = "matrix = \"m.csv\"\nnodes = 4\nlinks = \"loss 1%\"";
        std::fs::write(
            folder.path().join("m.csv"),
            ",us-east,eu\nus-east,1,80\neu,80,1\n",
        )
        .unwrap();
        let with = |give: fn(&mut Flags)| read_with(matrix, &flags(give));
        let lossy = with(|it| it.loss = Some("5%".into())).unwrap();
        assert!((lossy.terrain.impairment((0, 3)).mean_loss() - 0.05).abs() < 1e-9);
        assert_eq!(
            lossy.terrain.impairment((0, 3)).delay(),
            Duration::from_millis(80)
        );
        assert!(with(|it| it.jitter = Some("1ms".into())).is_ok());
        let plain = with(|it| it.delay = Some("1ms".into())).unwrap();
        let delay = plain.terrain.impairment((0, 3)).delay();
        assert_eq!(delay, Duration::from_millis(1));
        let both = read_with("matrix = \"m.csv\"\ndelay = \"1ms\"", &Flags::default());
        let error = both.unwrap_err().to_string();
        assert!(
            error.contains("line 2: the matrix sets the delays"),
            "{error}"
        );
    }

    #[test]
    fn a_flag_for_churn_leaves_the_other_words_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let text =
            "lasts = \"20s\"\n[churn]\nper_min = 3.0\ndown = \"1s\"\nfrom = \"2s\"\nuntil = \"9s\"";
        std::fs::write(&file, text).unwrap();
        let churn = |per_min: &str| {
            let flags = flags(|it| it.churn = Some(per_min.into()));
            read(Some(&file), &flags).unwrap().churn
        };
        let read = churn("30").unwrap();
        assert!((read.per_min - 30.0).abs() < 1e-9);
        assert_eq!(
            [read.down, read.from, read.until],
            [1, 2, 9].map(Duration::from_secs)
        );
        assert_eq!(churn("0"), None);
    }

    #[test]
    fn a_dead_link_says_nothing_of_the_others_and_jitter_is_delay_as_well() {
        let gone = |text: &str| scenario(text).bounds.gone;
        let lossy = "links = \"delay 10ms loss 45%\"";
        let dead = "\n[[link]]\non = [\"3->4\"]\nnetem = \"loss 100%\"";
        assert_eq!(gone(lossy), gone(&format!("{lossy}{dead}")));
        assert!(gone(lossy) > Duration::from_secs(40));
        assert_eq!(
            gone("links = \"delay 20ms 1500ms\""),
            gone("delay = \"1520ms\"")
        );
    }

    #[test]
    fn a_mistake_in_a_matrix_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let (file, csv) = (folder.path().join("a.toml"), folder.path().join("m.csv"));
        std::fs::write(&file, "nodes = 4\nmatrix = \"m.csv\"").unwrap();
        for (text, line, said) in [
            ("", 1, "the matrix is empty"),
            (
                ",a,b\na,1,2\nb,3,4\nc,5,6",
                4,
                "`c` is a row without a column",
            ),
            (",a,b\na,1,2", 2, "there is no row for `b`"),
            (",a,a\na,1,2\na,3,4", 1, "there are two sites `a`"),
            (
                ",all,b\nall,1,2\nb,3,4",
                1,
                "`all` can't be the name of a site",
            ),
            (",a,b\na,1\nb,3,4", 2, "1 delays for 2 sites"),
            (",a,b\na,1,x\nb,3,4", 2, "`x` is not a delay in ms"),
        ] {
            std::fs::write(&csv, text).unwrap();
            let error = read(Some(&file), &Flags::default())
                .unwrap_err()
                .to_string();
            let start = format!("{}, line {line}: {said}", csv.display());
            assert!(error.starts_with(&start), "{text}\nsays: {error}");
        }
    }

    #[test]
    fn groups_are_made_of_others_and_sites_have_hyphens() {
        let read = scenario("nodes = 9\n[groups]\nb = \"0..2\"\na = \"b\"");
        let a = read.groups.iter().find(|group| group.name == "a").unwrap();
        assert!(a.places.contains(1) && !a.places.contains(2));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::write(
            folder.path().join("m.csv"),
            ",us-east,eu\nus-east,1,80\neu,80,1\n",
        )
        .unwrap();
        for on in ["us-east", "us-east-eu", "us-east->eu", "0-1"] {
            let text = format!(
                "nodes = 4\nmatrix = \"m.csv\"\n[[link]]\non = [\"{on}\"]\nnetem = \"loss 9%\""
            );
            std::fs::write(&file, text).unwrap();
            assert!(read_file(&file).is_ok(), "{on}");
        }
    }

    fn read_file(path: &Path) -> Result<Scenario, area_net::sim::parse::ScenarioError> {
        read(Some(path), &Flags::default())
    }

    #[test]
    fn what_ships_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sim");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "toml") {
                let scenario = read(Some(&path), &Flags::default());
                assert!(scenario.is_ok(), "{}: {:?}", path.display(), scenario.err());
                count += 1;
            }
        }
        assert!(count >= 12);
    }
}

#[test]
fn a_run_that_does_not_fit_is_refused_before_it_starts() {
    let args = SimArgs {
        scenario: None,
        flags: flags(|it| it.nodes = Some("32768".into())),
        json: None,
        html: None,
        log_from: None,
        fuzz: None,
        quiet: true,
    };
    let stop = Arc::new(AtomicBool::new(true));
    let error = area_net::sim::command::run(&args, &stop).unwrap_err();
    assert!(
        matches!(error, SimError::Memory { nodes: 32768, .. }),
        "{error}"
    );
    assert!(error.is_bad_input());
}

const THIRD: &str = "nodes = 30\nlasts = \"60s\"\n[[step]]\nat = \"40s\"\nkill = \"30%\"\n";

#[test]
fn the_same_seed_gives_the_same_report_to_the_byte() {
    let text = format!("links = \"delay 10ms..50ms 3ms loss 3%\"\n{THIRD}");
    let (one, other) = (play(&text), play(&text));
    assert_eq!(report::json::render(&one), report::json::render(&other));
    assert_eq!(report::html::render(&one), report::html::render(&other));
    let another = play(&format!("seed = 2\n{text}"));
    assert_ne!(report::json::render(&one), report::json::render(&another));
}

#[test]
fn the_same_seed_gives_the_same_report_on_any_number_of_threads() {
    let scenario = scenario(
        "nodes = 60\nlasts = \"40s\"\nlinks = \"delay 10ms..50ms 3ms loss 3% duplicate 2%\"\n\
         [[step]]\nat = \"10s\"\nkill = \"20%\"\n[[step]]\nat = \"15s\"\npartition = [\"0..25\"]\n\
         [[step]]\nat = \"20s\"\nleave = \"any 3\"\n[[step]]\nat = \"25s\"\nheal = true\n\
         [[step]]\nat = \"30s\"\nstart = \"down\"\n",
    );
    let on = |threads| {
        let mut play = Play::new(&scenario);
        play.world.set_threads(threads);
        let (ended, measure, world) = play.run(|_| true);
        let report = Report::new(&scenario, &ended, &measure, &world);
        assert_eq!(report.ended, "done", "{:?}", report.violation);
        report::json::render(&report) + &report::html::render(&report)
    };
    let one = on(1);
    for threads in [2, 4] {
        assert!(on(threads) == one, "{threads} threads make a difference");
    }
}

#[test]
fn a_third_dies_and_the_others_know_within_seconds() {
    let report = play(THIRD);
    assert_eq!(report.at_end.up, 21);
    assert!((report.at_end.exact - 1.0).abs() < 1e-9);
    assert_eq!(report.gone.count, 9);
    assert!(report.gone.max_ms < 8000.0, "{:?}", report.gone);
    assert_eq!((report.false_downs, report.still_shown), (0, 0));
    let killed = &report.events[1];
    assert_eq!(killed.what, "kill 30%");
    assert!(killed.all_exact_after_ms.unwrap() < 15_000.0);
    assert!(report.degree.max <= 16);
}

/// They know where all others were, and nine tenths of these are dead.
#[test]
fn the_few_that_survive_find_each_other() {
    for seed in 1..=2 {
        let report = play(&format!(
            "nodes = 150\nseed = {seed}\nlasts = \"60s\"\n[[step]]\nat = \"25s\"\nkill = \"90%\""
        ));
        let killed = &report.events[1];
        let after = killed.all_known_after_ms.expect("they find each other");
        assert!(after < 15_000.0, "seed {seed}: {after} ms");
    }
}

#[test]
fn on_lossy_links_none_is_lost_and_little_is_said_of_them() {
    for seed in 1..=2 {
        let report = play(&format!(
            "nodes = 60\nlinks = \"delay 10ms..50ms loss 10%\"\nlasts = \"60s\"\nseed = {seed}"
        ));
        assert_eq!(report.false_downs, 0);
        // Many are given up, as they are too many, and the words that lead to it are lost as well.
        assert_eq!(report.links_lost, 0);
        let idle = report.traffic.idle_bytes_per_s.expect("it came to rest");
        // Up to 512 of them are figures.
        assert!(idle < 1200.0, "{idle} bytes a node a second");
    }
}

#[test]
fn liars_are_seen_through_and_the_views_of_the_others_stay_right() {
    for seed in 1..=3 {
        let report = play(&format!(
            "nodes = 40\nseed = {seed}\nlasts = \"150s\"\n[[step]]\nat = \"40s\"\nlie = \"15%\"\n\
             [[step]]\nat = \"60s\"\nkill = \"any 3\"\n[[step]]\nat = \"100s\"\nhonest = \"all\""
        ));
        assert_eq!((report.false_downs, report.still_shown), (0, 0));
        for (event, what) in report.events.iter().zip(["start", "lie", "kill", "honest"]) {
            assert!(event.what.starts_with(what), "{}", event.what);
            // Links come and go where nodes lie, so views are exact now and then; for good once all are honest.
            let exact = match what {
                "lie" | "kill" => event.all_exact_after_ms,
                _ => event.stays_exact_after_ms,
            };
            assert!(exact.is_some(), "{event:?}");
        }
        assert!((report.at_end.exact - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_partition_shows_as_two_networks_and_heals() {
    let report = play(
        "nodes = 24\nlasts = \"3min\"\n[[step]]\nat = \"40s\"\npartition = [\"0..12\"]\n\
         [[step]]\nat = \"100s\"\nheal = true\n",
    );
    assert!(
        report.events[1].all_known_after_ms.is_some(),
        "{:?}",
        report.events
    );
    // What is for the other side is not sent over and over: whole nodes, with QUIC's real senders, send as much.
    let cut = report.events[1].sent_until_exact.expect("views were exact");
    assert!(cut.mean < 300_000.0, "{cut:?}");
    let heal = &report.events[2];
    assert!(heal.all_exact_after_ms.is_some(), "{heal:?}");
    // Each half lacked the records of the other one, and nothing else.
    let record = heal.lacked_bytes_a_node / 12.0;
    assert!((200.0..1000.0).contains(&record), "{record} bytes");
    assert!(report.events[1].lacked_bytes_a_node.abs() < 1e-9);
    let (exact, stays) = heal
        .sent_until_exact
        .zip(heal.sent_until_it_stays)
        .expect("views were exact");
    assert!(exact.mean > heal.lacked_bytes_a_node, "{heal:?}");
    assert!(exact.mean <= stays.mean && exact.most <= stays.most);
    assert!(stays.mean <= stays.most as f64, "{heal:?}");
}

#[test]
fn nodes_stop_go_on_leave_restart_and_come_and_go() {
    let report = play(
        "nodes = 20\nlasts = \"4min\"\nclocks = \"1h\"\n[[step]]\nat = \"40s\"\nstop = \"any 2\"\n\
         [[step]]\nat = \"60s\"\ncontinue = \"all\"\n[[step]]\nat = \"80s\"\nleave = \"3\"\n\
         [[step]]\nat = \"100s\"\nstart = \"down\"\n[[step]]\nat = \"120s\"\nrestart = \"50%\"\n\
         [churn]\nper_min = 20.0\nfrom = \"140s\"\nuntil = \"180s\"\n",
    );
    assert_eq!(report.at_end.up, 20);
    assert!(
        (report.at_end.exact - 1.0).abs() < 1e-9,
        "{:?}",
        report.at_end
    );
}

#[test]
fn the_new_delay_of_a_link_is_shown_by_all() {
    let report = play(
        "nodes = 40\nlinks = \"delay 10ms\"\nlasts = \"60s\"\n\
         [[step]]\nat = \"20s\"\non = [\"3-all\"]\nnetem = \"delay 50ms\"\n\
         [[step]]\nat = \"50s\"\non = [\"3-all\"]\nnetem = \"delay 50ms\"",
    );
    let after = report.events[1].delays_shown_after_ms.expect("all show it");
    assert!(after > 100.0, "{after}");
    assert_eq!(
        report.events[2].delays_shown_after_ms, None,
        "nothing changed"
    );
}

/// Links come back while others are being dialed in their place. The fuzz found it.
#[test]
fn the_cap_holds_when_a_split_network_heals() {
    for (seed, start, split_ms, heal_ms) in [
        (
            915,
            "nodes = 27\nintroduction = \"random 1\"\nlinks = \"delay 10ms..50ms\"",
            60_000,
            65_281,
        ),
        (
            925,
            "nodes = 26\nintroduction = \"chain\"\nlinks = \"delay 20ms\"",
            82_075,
            90_277,
        ),
    ] {
        play(&format!(
            "seed = {seed}\n{start}\nlasts = \"110s\"\n\
             [[step]]\nat = \"{split_ms}ms\"\npartition = [\"30%\", \"30%\"]\n\
             [[step]]\nat = \"{heal_ms}ms\"\nheal = true"
        ));
    }
}

/// Where the parts of a split network meet, each remembers the other as it was: the links of those that died or left since among them.
/// The fuzz found it, too.
#[test]
fn who_left_a_split_network_is_not_shown_when_it_heals() {
    for seed in [937, 1, 2, 3] {
        play(&format!(
            "seed = {seed}\nnodes = 5\nintroduction = \"chain\"\nlinks = \"delay 20ms\"\nlasts = \"130s\"\n\
             [[step]]\nat = \"60s\"\npartition = [\"30%\", \"30%\"]\n\
             [[step]]\nat = \"86978ms\"\nleave = \"46%\"\n\
             [[step]]\nat = \"112622ms\"\nheal = true"
        ));
    }
}

/// Where nodes come without a pause, that is no start any more, in which those that are there would wait with their links.
#[test]
fn nodes_make_their_links_where_others_come_all_the_time() {
    let report = play("nodes = 160\nstart_over = \"32s\"\nlasts = \"32s\"");
    let (median, p99) = (report.degree.median, report.degree.p99);
    assert!(p99 * 2 < median * 3, "{:?}", report.degree);
}

#[test]
fn a_run_that_is_interrupted_reports_what_ran() {
    let scenario = scenario("nodes = 20\nlasts = \"1h\"");
    let mut spells = 0;
    let report = run(&scenario, |_| {
        spells += 1;
        spells < 5
    });
    assert_eq!(report.ended, "interrupted");
    assert!(report.ran_ms > 0.0 && report.ran_ms < 3_600_000.0);
    assert!(report::summary::render(&report).contains("20 nodes"));
}

#[test]
fn five_nodes_at_rest_send_about_what_real_ones_do() {
    // `cargo run -p area-net-lab --release -- network` measures 424 bytes a node a second on loopback.
    let report = play("nodes = 5\nlinks = \"delay 100us\"\nlasts = \"3min\"\n");
    let idle = report.traffic.idle_bytes_per_s.expect("there is rest");
    assert!((300.0..550.0).contains(&idle), "{idle}");
}

mod watching {
    use super::*;

    fn world() -> World {
        let mut world = World::new(1);
        for place in 0..3 {
            world.add(place as u64, default_settings(place, &[0]));
        }
        for place in 0..3 {
            world.start(place);
        }
        run_on(&mut world, 5);
        world
    }

    fn run_on(world: &mut World, seconds: u64) {
        let until = world.now() + Duration::from_secs(seconds);
        while world.step(until) {
            while world.poll_news().is_some() {}
        }
    }

    const BOUNDS: Bounds = Bounds {
        gone: Duration::from_secs(5),
        exact: Duration::from_secs(20),
    };

    fn up(world: &World, place: usize, of: usize) -> News {
        News {
            at: world.now(),
            place,
            what: Told::Event(Event::Up(world.nodes[of].id())),
        }
    }

    #[test]
    fn a_node_shown_long_after_its_death_is_a_violation() {
        assert!(look_8_s_after_a_death(|_, _| {}).is_some());
    }

    #[test]
    fn other_deaths_are_no_excuse_for_that_but_ways_that_change_are() {
        assert!(look_8_s_after_a_death(Watch::disturbed).is_some());
        assert!(look_8_s_after_a_death(Watch::hindered).is_none());
    }

    /// Node 0 shows node 2 all the while; something else happens 4 s after the death.
    fn look_8_s_after_a_death(happens: impl Fn(&mut Watch, Duration)) -> Option<Duration> {
        let mut world = world();
        let (mut views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
        let Told::Event(seen) = up(&world, 0, 2).what else {
            unreachable!()
        };
        views.hear(0, &seen);
        world.kill(2);
        let stopped = News {
            at: world.now(),
            place: 2,
            what: Told::Stopped,
        };
        let heard = watch.hear(&world, &views, &stopped);
        heard.expect("a node may die");
        run_on(&mut world, 4);
        let looked = watch.look(&world, &views, &Standing::default());
        looked.expect("it is within the bound");
        happens(&mut watch, world.now());
        run_on(&mut world, 4);
        let found = watch.look(&world, &views, &Standing::default()).err()?;
        assert_eq!(found.rule, Rule::StillShown);
        assert_eq!(found.at, world.now());
        Some(found.at)
    }

    #[test]
    fn a_node_that_comes_up_long_after_its_death_is_a_ghost() {
        let mut world = world();
        let (views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
        world.kill(2);
        run_on(&mut world, 10);
        let found = watch.hear(&world, &views, &up(&world, 0, 2)).unwrap_err();
        assert_eq!(found.rule, Rule::Ghost);
        watch.hear(&world, &views, &up(&world, 0, 1)).unwrap();
    }

    /// Who dies before it missed a neighbour that died leaves word of it.
    #[test]
    fn a_chain_of_deaths_counts_from_the_last_one() {
        let mut world = world();
        let (views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
        for place in 1..3 {
            let own = world.nodes[place].own().unwrap().clone();
            assert_eq!(own.body().links.len(), 2);
            let what = Told::Published(own, None);
            let at = world.now();
            watch
                .hear(&world, &views, &News { at, place, what })
                .unwrap();
        }
        world.kill(2);
        run_on(&mut world, 3);
        world.kill(1);
        run_on(&mut world, 4);
        watch.hear(&world, &views, &up(&world, 0, 2)).unwrap();
        run_on(&mut world, 2);
        let found = watch.hear(&world, &views, &up(&world, 0, 2)).unwrap_err();
        assert_eq!(found.rule, Rule::Ghost);
    }

    /// Who stands still can't miss a neighbour that dies meanwhile, and lists it until a moment after it went on.
    #[test]
    fn who_stood_still_has_the_bound_from_when_it_went_on() {
        let mut world = world();
        let (views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
        let own = world.nodes[2].own().unwrap().clone();
        let (at, what) = (world.now(), Told::Published(own, None));
        let news = News { at, place: 2, what };
        watch.hear(&world, &views, &news).unwrap();
        world.pause(1);
        world.kill(2);
        run_on(&mut world, 30);
        world.resume(1);
        watch.hear(&world, &views, &up(&world, 0, 2)).unwrap();
        run_on(&mut world, 6);
        let found = watch.hear(&world, &views, &up(&world, 0, 2)).unwrap_err();
        assert_eq!(found.rule, Rule::Ghost);
    }

    #[test]
    fn a_view_that_stays_wrong_is_a_violation() {
        let mut world = world();
        // These views were told nothing, so they show nobody.
        let (mut views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
        let standing = views.judge(&world);
        assert!(!standing.all_known());
        watch.look(&world, &views, &standing).unwrap();
        run_on(&mut world, 21);
        let found = watch.look(&world, &views, &standing).unwrap_err();
        assert_eq!(found.rule, Rule::WrongView);
    }

    #[test]
    fn more_links_than_the_cap_are_a_violation() {
        let mut world = world();
        let (views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
        world.nodes[1].settings.degree_cap = 1;
        world.nodes[1].settings.guests = 0;
        let own = world.nodes[1].own().unwrap().clone();
        let news = News {
            at: world.now(),
            place: 1,
            what: Told::Published(own, None),
        };
        let found = watch.hear(&world, &views, &news).unwrap_err();
        assert_eq!(found.rule, Rule::Degree);
    }
}

mod reporting {
    use super::*;

    #[test]
    fn the_json_has_its_documented_names() {
        let report = play("nodes = 4\nlasts = \"20s\"");
        let text = report::json::render(&report);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for name in [
            "format",
            "title",
            "seed",
            "fidelity",
            "nodes",
            "ran_ms",
            "lasts_ms",
            "ended",
            "violation",
            "happened",
            "events",
            "gone",
            "gone_single",
            "known",
            "still_shown",
            "false_downs",
            "links_lost",
            "at_end",
            "traffic",
            "degree",
            "figures",
            "awareness",
            "graph",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
        assert_eq!(json["format"], 1);
        for path in [
            "/events/0/all_exact_after_ms",
            "/events/0/stays_exact_after_ms",
            "/known/median_ms",
            "/at_end/exact",
            "/traffic/idle_bytes_per_s",
            "/traffic/copies",
            "/degree/p99",
            "/figures/at_rest",
            "/figures/at_end/own/age_ms/median",
            "/figures/at_end/others/error_percent/p99",
            "/awareness/0/known",
            "/graph/links/0/2",
        ] {
            assert!(json.pointer(path).is_some(), "{path}");
        }
    }

    /// Four nodes of which two are killed after 20 of 60 seconds run for 160 seconds together; four that start 10 s apart, for 180.
    #[test]
    fn traffic_is_divided_by_the_time_that_nodes_ran() {
        for (text, node_s) in [
            ("[[step]]\nat = \"20s\"\nkill = \"2..4\"", 160.0),
            ("start_over = \"40s\"", 180.0),
        ] {
            let traffic = play(&format!("nodes = 4\nlasts = \"60s\"\n{text}")).traffic;
            let expected = traffic.bytes as f64 / node_s;
            assert!(
                (traffic.bytes_per_s - expected).abs() <= 0.05,
                "{text}: {traffic:?}"
            );
            // The four do the same, for as long as they run.
            assert!(traffic.busiest_over_median < 1.5, "{text}: {traffic:?}");
        }
    }

    #[test]
    fn the_end_is_reported_like_the_rest_before_it() {
        let report = play("nodes = 4\nlasts = \"90s\"");
        let idle = report.traffic.idle_bytes_per_s.expect("nothing happens");
        let end = report.at_end.bytes_per_s;
        assert!(
            (end / idle - 1.0).abs() < 0.25,
            "{end} at the end, {idle} at rest"
        );
        // All that was sent is in the curve, each part with its time.
        let mut sent = 0.0;
        let mut before = 0.0;
        for point in &report.awareness {
            sent += point.bytes_per_s * 4.0 * (point.at_ms - before) / 1000.0;
            before = point.at_ms;
        }
        let bytes = report.traffic.bytes as f64;
        assert!((sent / bytes - 1.0).abs() < 0.001, "{sent} of {bytes}");
    }

    #[test]
    fn a_started_node_is_known_when_all_that_can_show_it() {
        let report = play(
            "nodes = 5\nlasts = \"60s\"\n[[step]]\nat = \"10s\"\nstop = \"0\"\n\
             [[step]]\nat = \"20s\"\nrestart = \"3\"",
        );
        assert_eq!(report.known.count, 6, "{:?}", report.known);
    }

    /// Two nodes have one link, which each of them shows. The network is at rest from 20 s on, and a sample is taken every five seconds.
    #[test]
    fn round_trip_times_in_views_are_compared_with_the_path() {
        let calm = play("nodes = 2\nlinks = \"delay 10ms\"\nlasts = \"60s\"").figures;
        let rest = calm.at_rest.expect("nothing happens");
        assert_eq!((calm.at_end.own.shown, calm.at_end.others.shown), (2, 0));
        assert_eq!((rest.own.shown, rest.others.shown), (2 * 8, 0));
        assert_eq!((rest.own.unmeasured, rest.own.stale), (0, 0));
        assert!(calm.at_end.own.error_us.max.abs() < 1e-9, "{calm:?}");
        assert!(rest.own.age_ms.max <= 60_000.0, "{calm:?}");
        // Nobody can know of a change that came in the last moment.
        let moved = play(
            "nodes = 2\nlinks = \"delay 10ms\"\nlasts = \"60s\"\n\
             [[step]]\nat = \"59990ms\"\nnetem = \"delay 50ms\"",
        );
        let error = moved.figures.at_end.own;
        assert!((error.error_us.median - 80_000.0).abs() < 1e-9, "{error:?}");
        assert!((error.error_percent.max - 80.0).abs() < 1e-9, "{error:?}");
        // At rest it was not different yet.
        assert_eq!(moved.figures.at_rest, calm.at_rest);
    }

    /// The figures of every link at every node: never old, never wrong by more than the scale's step.
    #[test]
    fn round_trip_times_are_current_at_every_node() {
        for (nodes, oldest_s) in [(5, 15.0), (25, 30.0), (100, 60.0)] {
            let report = play(&format!("nodes = {nodes}\nlasts = \"150s\""));
            let rest = report.figures.at_rest.expect("nothing happens");
            assert_eq!((rest.own.stale, rest.others.stale), (0, 0), "{rest:?}");
            assert!(rest.own.age_ms.max <= 3500.0, "{nodes}: {:?}", rest.own);
            assert!(rest.own.error_percent.max < 0.1, "{nodes}: {:?}", rest.own);
            let others = rest.others;
            assert!(
                others.age_ms.max <= oldest_s * 1000.0,
                "{nodes}: {others:?}"
            );
            assert!(others.error_percent.max < 3.1, "{nodes}: {others:?}");
        }
    }

    /// After a move, one's own links show it within five samples, and everybody hears of it at once.
    #[test]
    fn a_moved_round_trip_time_is_shown_by_everybody() {
        for nodes in [5, 25] {
            let report = play(&format!(
                "nodes = {nodes}\nlinks = \"delay 20ms\"\nlasts = \"100s\"\n\
                 [[step]]\nat = \"60s\"\nnetem = \"delay 18ms\""
            ));
            let end = report.figures.at_end;
            assert!(end.own.error_percent.max < 3.0, "{nodes}: {:?}", end.own);
            assert!(
                end.others.error_percent.max < 6.0,
                "{nodes}: {:?}",
                end.others
            );
        }
    }

    /// Every element that is opened is closed, in order; a parser of its own, so that no tool is needed.
    fn check_nesting(page: &str) {
        const VOID: [&str; 1] = ["meta"];
        let mut open: Vec<&str> = Vec::new();
        for tag in page.split('<').skip(1) {
            let tag = tag.split('>').next().expect("a split has a first part");
            if tag.starts_with('!') || tag.ends_with('/') {
                continue;
            }
            let name = tag.split_whitespace().next().expect("a tag has a name");
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if VOID.contains(&name) => {}
                None => open.push(name),
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn the_page_is_whole_and_needs_nothing_else() {
        let report = play(
            "title = '<b>\"& done'\nnodes = 20\nlasts = \"60s\"\n[[step]]\nat = \"40s\"\nkill = \"any 3\"\n",
        );
        let page = report::html::render(&report);
        check_nesting(&page);
        for never in [
            "http", "<script", "src=", "url(", "@import", "href=", "<b>\"", "NaN", "inf",
        ] {
            assert!(!page.contains(never), "{never}");
        }
        assert!(page.contains("&lt;b&gt;&quot;&amp; done"));
        assert!(page.contains("prefers-color-scheme: dark"));
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn files_are_written_where_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| -> PathBuf { folder.path().join(name) };
        assert_cmd::Command::cargo_bin("area-net")
            .unwrap()
            .args(["sim", "--nodes", "4", "--lasts", "10s", "--quiet", "--json"])
            .arg(file("report.json"))
            .arg("--html")
            .arg(file("report.html"))
            .timeout(Duration::from_secs(60))
            .assert()
            .success();
        assert!(
            std::fs::read(file("report.json"))
                .unwrap()
                .starts_with(b"{")
        );
        assert!(
            std::fs::read(file("report.html"))
                .unwrap()
                .starts_with(b"<!DOCTYPE")
        );
        let bad = assert_cmd::Command::cargo_bin("area-net")
            .unwrap()
            .args(["sim", "--nodes", "4", "--kill", "9@10s"])
            .timeout(Duration::from_secs(60))
            .assert()
            .code(2);
        let said = String::from_utf8_lossy(&bad.get_output().stderr).into_owned();
        assert!(said.contains("there is no node `9`"), "{said}");
    }

    fn sim(args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_area-net"));
        command.arg("sim").args(args).stdin(Stdio::null());
        command
    }

    /// The exit status, and what was said to stderr.
    fn said(args: &[&str]) -> (Option<i32>, String) {
        let output = sim(args).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    }

    #[test]
    fn reports_are_kept_where_nobody_takes_the_summary() {
        let folder = tempfile::tempdir().unwrap();
        let (json, html) = (folder.path().join("a.json"), folder.path().join("a.html"));
        let files = [
            "--json",
            json.to_str().unwrap(),
            "--html",
            html.to_str().unwrap(),
        ];
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut run = sim(&["--nodes", "4", "--lasts", "1s"]);
        let ended = run
            .args(files)
            .stdout(full)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(ended.code(), Some(1));
        assert!(std::fs::read(&json).unwrap().starts_with(b"{"));
        assert!(std::fs::read(&html).unwrap().starts_with(b"<!DOCTYPE"));
    }

    #[test]
    fn a_report_that_could_not_be_kept_is_refused_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (scenario, report, nowhere) = (path("a.toml"), path("b"), path("c/d"));
        let text = "nodes = 4\nlasts = \"1s\"\n";
        std::fs::write(&scenario, text).unwrap();
        for (args, what) in [
            (
                vec!["--json", &scenario],
                "the scenario was read from this file",
            ),
            (vec!["--html", &path("")], "this is a folder"),
            (vec!["--html", &nowhere], "can't be written"),
            (
                vec!["--html", "-"],
                "only --json can write to standard output",
            ),
            (
                vec!["--json", &report, "--html", &report],
                "--json writes the same file",
            ),
        ] {
            let args = [vec![scenario.as_str()], args].concat();
            let (code, said) = said(&args);
            assert_eq!(code, Some(2), "{args:?}: {said}");
            assert!(said.contains(what), "{args:?}: {said}");
        }
        assert_eq!(std::fs::read_to_string(&scenario).unwrap(), text);
    }

    #[test]
    fn two_reports_in_one_file_are_refused_however_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("d")).unwrap();
        std::fs::write(path("there"), "before").unwrap();
        std::fs::hard_link(path("there"), path("hard")).unwrap();
        let links = [
            ("link", "there"),
            ("future", "not yet"),
            ("other", "d/../future"),
            ("dir", "d"),
        ];
        for (link, to) in links {
            std::os::unix::fs::symlink(to, path(link)).unwrap();
        }
        let run = |json: &str, html: &str| {
            let mut run = sim(&["--nodes", "4", "--lasts", "1s", "--quiet"]);
            run.current_dir(folder.path());
            run.args(["--json", json, "--html", html]).output().unwrap()
        };
        for (json, html) in [
            ("new", "./new"),
            ("new", "d/../new"),
            ("there", "link"),
            ("there", "hard"),
            ("not yet", "future"),
            ("future", "./not yet"),
            ("other", "future"),
            ("dir/new", "d/new"),
        ] {
            let output = run(json, html);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{json}, {html}: {said}");
            assert!(said.contains("--json writes the same file"), "{said}");
        }
        assert_eq!(std::fs::read_to_string(path("there")).unwrap(), "before");
        // Different files are written, also through a link to one that did not exist.
        assert!(run("future", "dir/new").status.success());
        assert!(std::fs::read(path("not yet")).unwrap().starts_with(b"{"));
        assert!(path("future").is_symlink());
        assert!(std::fs::read(path("d/new")).unwrap().starts_with(b"<"));
    }

    /// Ctrl-C and SIGTERM end a run with a report.
    #[test]
    fn a_run_that_a_signal_ends_writes_its_report() {
        use std::io::{BufRead as _, BufReader};

        use rustix::process::{Pid, Signal, kill_process};
        for signal in [Signal::INT, Signal::TERM] {
            let args = [
                "--nodes",
                "4",
                "--lasts",
                "10h",
                "--log-from",
                "0s",
                "--json",
                "-",
            ];
            let mut run = sim(&args);
            let mut run = run
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut log = BufReader::new(run.stderr.take().unwrap()).lines();
            assert!(log.next().unwrap().is_ok(), "the run has begun");
            kill_process(Pid::from_child(&run), signal).unwrap();
            let reader = std::thread::spawn(move || log.count());
            let output = run.wait_with_output().unwrap();
            reader.join().unwrap();
            assert_eq!(output.status.code(), Some(0), "{signal:?}");
            let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(json["ended"], "interrupted", "{signal:?}");
        }
    }

    #[test]
    fn random_scenarios_take_no_other_flags() {
        let (code, said) = said(&["--fuzz", "1", "--loss", "5%"]);
        assert_eq!(code, Some(2));
        assert!(
            said.contains("only --nodes, --seed, --fidelity and --tuning can be combined with it"),
            "{said}"
        );
    }

    #[test]
    fn a_violation_is_said_with_all_that_it_takes_to_see_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it is.toml");
        let text =
            "nodes = 4\n[bounds]\ngone = \"100ms\"\n[[step]]\nat = \"20s\"\nkill = \"any 1\"\n";
        std::fs::write(&file, text).unwrap();
        let (code, said) = said(&[
            file.to_str().unwrap(),
            "--nodes",
            "7",
            "--seed",
            "3",
            "--delay",
            "80ms",
            "--tuning",
            "pace.small=64",
        ]);
        assert_eq!(code, Some(1), "{said}");
        let again = format!(
            "area-net sim '{}' --nodes 7 --seed 3 --delay 80ms --tuning pace.small=64 --log-from 10",
            file.display()
        );
        assert!(said.contains(&again), "{said}");
    }

    #[test]
    fn nodes_that_hardly_ever_come_or_go_are_no_trouble() {
        let (code, said) = said(&["--nodes", "4", "--lasts", "31s", "--churn", "1e-25"]);
        assert_eq!(code, Some(0), "{said}");
    }
}
