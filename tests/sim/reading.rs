//! What it reads and refuses.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use area_net::sim::parse::{Flags, read, read_text, toml_of_flags};
use area_net::sim::{Play, Scenario};

use crate::{flags, scenario};

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
            "test.toml, line 1: `label` has no effect on a simulated node; it accepts `network.controller.joins_per_s`, `network.controller.claims`, `network.controller.probe.",
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
    let links = |words: &str| format!("{:?}", scenario(&format!("links = \"{words}\"")).terrain);
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
