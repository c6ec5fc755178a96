//! Scenario files, good and bad.

use super::super::plan::Plan;
use super::super::{driver, parse};
use super::{bad, good};
use crate::places::scenario::{Deed, What};
use crate::shared::{project, scenarios};

/// A promise, for tests that are about something else.
const MUST: &str = "[[must]]\nknow = \"all\"\nwithin = \"1s\"\n";

#[test]
fn every_shipped_scenario_is_sound() {
    let files = scenarios::shipped(&driver::folder()).unwrap();
    assert!(files.len() >= 40);
    for file in &files {
        let scenario = parse::file(file).unwrap();
        assert!(scenario.lasts_s <= 90.0, "{}", scenario.name);
        assert!(scenario.title.len() <= 110, "{}", scenario.name);
        let plan = Plan::new(&scenario);
        for host in &scenario.hosts {
            for target in host.targets.iter().filter(|target| target.contains('{')) {
                plan.fill(target).unwrap();
            }
        }
    }
}

#[test]
fn the_short_set_takes_a_minute_and_a_half() {
    let (mut small, mut large): (f64, f64) = (0.0, 0.0);
    for file in scenarios::shipped(&driver::folder()).unwrap() {
        let scenario = parse::file(&file).unwrap();
        if scenario.short {
            match Plan::new(&scenario).nodes.len() <= driver::SMALL {
                true => small += scenario.lasts_s,
                false => large += scenario.lasts_s,
            }
        }
    }
    // Small ones are played four at a time.
    let total = small / 4.0 + large;
    assert!((10.0..=90.0).contains(&total), "{total} s");
}

#[test]
fn the_page_names_every_shipped_scenario() {
    let page = std::fs::read_to_string(project().join("docs/lab.md")).unwrap();
    for file in scenarios::shipped(&driver::folder()).unwrap() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/lab.md doesn't name {name}"
        );
    }
}

#[test]
fn the_place_on_the_page_is_sound() {
    let file = project().join("docs/lab.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (_, rest) = page.split_once("```toml\n").expect("there is a scenario");
    let (text, _) = rest.split_once("```").expect("it ends");
    parse::scenario(&file, text).unwrap();
}

#[test]
fn steps_say_what_happens() {
    let scenario = good(&format!(
        "[[step]]\nat = \"2s\"\ntimes = 2\nevery = \"3s\"\nkill = [\"h0\", \"pub\"]\n\
         [[step]]\nat = \"4s\"\nreboot = \"gate\"\ndown = \"1s\"\n{MUST}"
    ));
    let kill = Deed::Kill(vec!["h0".into(), "pub".into()]);
    let reboot = Deed::Reboot {
        who: vec!["gate".into()],
        down_s: 1.0,
    };
    let steps: Vec<(f64, Deed)> = scenario
        .steps
        .into_iter()
        .map(|step| (step.at_s, step.deed))
        .collect();
    assert_eq!(steps, [(2.0, kill.clone()), (4.0, reboot), (5.0, kill)]);
}

#[test]
fn promises_say_what_holds_and_when() {
    let scenario = good("[[must]]\nlinked = [\"h\", \"pub\"]\nwithin = \"5s\"\nafter = \"7s\"\n");
    let promise = &scenario.promises[0];
    let groups = vec![vec!["h".to_owned()], vec!["pub".to_owned()]];
    assert_eq!(promise.what, What::Linked(groups));
    assert_eq!((promise.after_s, promise.within_s), (Some(7.0), 5.0));
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (rest, says) in [
        ("", "missing field `must`"),
        ("[[must]]\nwithin = \"1s\"\n", "must say what holds"),
        ("[[must]]\nknow = \"all\"\n", "how soon"),
        (
            "[[must]]\nknow = \"all\"\napart = \"h\"\nwithin = \"1s\"\n",
            "says one thing",
        ),
        ("[[must]]\nknow = \"all\"\nwithin = \"1\"\n", "needs a unit"),
        (
            "[[must]]\nknow = \"all\"\nwithin = \"2min\"\n",
            "ends before",
        ),
        (
            "[[must]]\nknow = \"pup\"\nwithin = \"1s\"\n",
            "did you mean `pub`",
        ),
        (
            "[[must]]\nnever_down = \"all\"\nwithin = \"1s\"\n",
            "all the time",
        ),
        (
            "[[step]]\nat = \"1s\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "must have an action",
        ),
        (
            "[[step]]\nat = \"1s\"\nplug = \"h0\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "which network",
        ),
        (
            "[[step]]\nat = \"61s\"\nkill = \"h0\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "the run has ended",
        ),
        (
            "[[host]]\nname = \"h\"\non = \"home\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "there twice",
        ),
        (
            "[[host]]\nname = \"h2\"\non = \"home\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "can't be a name",
        ),
        (
            "[[host]]\nname = \"x\"\non = \"hom\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "did you mean `home`",
        ),
        (
            "[[host]]\nname = \"x\"\non = \"home\"\nkey_of = \"pub\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "it needs a `start`",
        ),
        (
            "[[host]]\nname = \"x\"\non = \"home\"\nkey_of = \"pup\"\nstart = \"2s\"\n\
             [[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "did you mean `pub`",
        ),
        (
            "[[router]]\nname = \"x\"\ninside = \"home\"\noutside = \"internet\"\nkind = \"symmetric\"\n\
             hairpin = true\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "no hairpin",
        ),
    ] {
        refused(rest, says);
    }
}

#[test]
fn networks_that_have_no_room_are_refused() {
    for (rest, says) in [
        (
            "[[net]]\nname = \"x\"\nv4 = \"10.0.0.0/30\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "no IPv4 prefix",
        ),
        (
            "[[net]]\nname = \"x\"\nv4 = \"255.255.255.255/24\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "with zeros behind them",
        ),
        (
            "[[net]]\nname = \"x\"\nv6 = \"2001:db8::1/64\"\n[[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "no IPv6 prefix",
        ),
        (
            "[[host]]\nname = \"x\"\non = [\"home\", \"internet\"]\ncount = 114\n\
             [[must]]\nknow = \"all\"\nwithin = \"1s\"\n",
            "231 hosts and routers are on it",
        ),
    ] {
        refused(rest, says);
    }
}

/// A file with this end is refused; the error says why, and where.
fn refused(rest: &str, says: &str) {
    let error = bad(rest);
    assert!(error.contains(says), "{rest}: {error}");
    assert!(error.starts_with("try.toml, line "), "{error}");
}
