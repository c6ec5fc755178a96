//! Profiles start, meet, are asked to stop or are killed, and come back.

use std::fs;
use std::io::{PipeReader, PipeWriter, Write as _};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use area_net::events::EventName;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;
use tokio::time::Instant;

use crate::processes::{Desk, Process, ports, until, until_exact};

const FIVE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// The five profiles with the targets that they ship with, at free ports.
fn start_five(desk: &Desk, addrs: &[SocketAddr]) -> Vec<Process> {
    (0..5)
        .map(|at| start_one_of_five(desk, addrs, at))
        .collect()
}

fn start_one_of_five(desk: &Desk, addrs: &[SocketAddr], at: usize) -> Process {
    let targets: [&[usize]; 5] = [&[], &[0, 2], &[4], &[0], &[3]];
    let targets: Vec<SocketAddr> = targets[at].iter().map(|&at| addrs[at]).collect();
    let targets = desk.targets(FIVE[at], &targets);
    desk.start(FIVE[at], addrs[at], &[&targets])
}

#[tokio::test]
async fn five_profiles_know_each_other_and_one_that_is_killed_comes_back() {
    let desk = Desk::new();
    let addrs = ports(5);
    let mut nodes = start_five(&desk, &addrs);
    until_exact(&nodes.iter().collect::<Vec<_>>(), &FIVE).await;
    for node in &nodes {
        let others = addrs.iter().filter(|addr| **addr != node.addr);
        let mut others: Vec<String> = others.map(SocketAddr::to_string).collect();
        others.sort();
        let peers = || {
            let mut peers: Vec<String> =
                serde_json::from_value(node.file("peers.json").unwrap()).unwrap();
            peers.sort();
            peers
        };
        until("peers.json lists the others", || peers() == others).await;
    }

    let mut alice = nodes.remove(0);
    alice.signal(Signal::KILL);
    alice.ended().await;
    let rest: Vec<&Process> = nodes.iter().collect();
    let took = until_exact(&rest, &FIVE[1..]).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    for node in &rest {
        assert_eq!(node.picture().state("alice"), "unreachable");
    }

    let alice = start_one_of_five(&desk, &addrs, 0);
    let all: Vec<&Process> = [&alice].into_iter().chain(&nodes).collect();
    let took = until_exact(&all, &FIVE).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_node_that_is_impaired_says_so_and_is_slower_to_one_peer_than_to_the_other() {
    let desk = Desk::new();
    let addrs = ports(3);
    let (bob, carol) = (
        desk.start("bob", addrs[0], &[]),
        desk.start("carol", addrs[1], &[]),
    );
    let words = format!("to {} delay 60ms; to {} loss 0.001%", addrs[0], addrs[1]);
    let targets = desk.targets("alice", &addrs[..2]);
    let mut alice = desk.start(
        "alice",
        addrs[2],
        &[
            &targets,
            &format!("network.controller.impair={words}"),
            "network.controller.probe.interval_ms=200",
            "network.controller.d2=true",
        ],
    );
    until_exact(&[&alice, &bob, &carol], &["alice", "bob", "carol"]).await;
    let [said] = &alice.events(EventName::SendingImpaired)[..] else {
        panic!("{}", alice.log());
    };
    assert_eq!(
        (&said["level"], &said["impair"]),
        (&"WARN".into(), &(*words).into())
    );
    assert_eq!(alice.file("network.json").unwrap()["impaired"], *words);
    assert!(bob.file("network.json").unwrap()["impaired"].is_null());
    let picture = fs::read_to_string(desk.path("profiles/alice/peers.d2")).unwrap();
    let mine = picture.lines().find(|line| line.contains("; me]")).unwrap();
    assert!(mine.contains("\\nimpaired: to [::1]:"), "{mine}");

    // Packets to bob take 60 ms; those from bob, and both ways to and from carol, take no time.
    let rtt_us = |to: &str| {
        let json = alice.file("network.json")?;
        let id = |label: &str| {
            let nodes = json["nodes"].as_array()?;
            let node = nodes.iter().find(|node| node["label"] == label)?;
            Some(node["id"].clone())
        };
        let ends = [id("alice")?, id(to)?];
        let links = json["links"].as_array()?;
        let link = links
            .iter()
            .find(|link| ends.contains(&link["dialer"]) && ends.contains(&link["listener"]));
        link?["rtt_us"].as_u64()
    };
    until("the way to bob is seen to be long", || {
        rtt_us("bob").is_some_and(|rtt| rtt >= 60_000)
            && rtt_us("carol").is_some_and(|rtt| rtt < 60_000)
    })
    .await;

    // The impairment still delivers the delayed packets of a node that leaves.
    alice.signal(Signal::TERM);
    assert_eq!(alice.ended().await.code(), Some(0));
    for other in [&bob, &carol] {
        until("the others show that she left", || {
            other.picture().state("alice") == "left"
        })
        .await;
    }
}

/// The same command, run by another one, which replaces itself by it.
pub(crate) fn by(words: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(words[0]);
    outer
        .args(&words[1..])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env_remove("RUST_LOG");
    outer
}

#[tokio::test]
async fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let desk = Desk::new();
    let addrs = ports(2);
    let ignoring = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh"];
    let mut command = by(&ignoring, &desk.command("alice", addrs[0], &[]));
    let mut alice = desk.start_by("alice", addrs[0], &mut command);
    until("it has started", || {
        !alice.events(EventName::NodeStarted).is_empty()
    })
    .await;
    for signal in [Signal::HUP, Signal::INT] {
        alice.signal(signal);
    }
    let targets = desk.targets("bob", &addrs[..1]);
    let bob = desk.start("bob", addrs[1], &[&targets]);
    until_exact(&[&alice, &bob], &["alice", "bob"]).await;
    assert_eq!(alice.events(EventName::NodeStopping).len(), 0);
    alice.signal(Signal::TERM);
    assert_eq!(alice.ended().await.code(), Some(0), "{}", alice.log());
}

#[tokio::test]
async fn a_node_that_is_asked_to_stop_says_farewell() {
    let desk = Desk::new();
    let addrs = ports(3);
    let bob = desk.start("bob", addrs[0], &[]);
    let carol = desk.start("carol", addrs[1], &[]);
    let targets = desk.targets("alice", &addrs[..2]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        // The tests themselves may run under nohup, or in the background of a script.
        let default = ["env", "--default-signal=HUP,INT,TERM"];
        let mut command = by(&default, &desk.command("alice", addrs[2], &[&targets]));
        let mut alice = desk.start_by("alice", addrs[2], &mut command);
        until_exact(&[&alice, &bob, &carol], &["alice", "bob", "carol"]).await;
        alice.signal(signal);
        let since = Instant::now();
        let status = alice.ended().await;
        let took = since.elapsed();
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", alice.log());
        assert!(took < Duration::from_secs(1), "{signal:?}: {took:?}");
        for other in [&bob, &carol] {
            until("the others show that she left", || {
                other.picture().state("alice") == "left"
            })
            .await;
        }
        let took = since.elapsed();
        assert!(took < Duration::from_millis(1500), "{signal:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_node_that_listens_on_loopback_says_why_it_reaches_no_other_machine() {
    let desk = Desk::new();
    let addrs = ports(1);
    // An address for documentation (RFC 5737): no machine has it.
    let targets = desk.targets("alice", &["192.0.2.1:8083".parse().unwrap()]);
    let alice = desk.start("alice", addrs[0], &[&targets]);
    until("alice says so", || {
        let failed = alice.events(EventName::DialFailed);
        failed.iter().any(|line| {
            let says = |key: &str, part| line[key].as_str().is_some_and(|it| it.contains(part));
            says("cause", "no way from ::1") && says("action", "network.controller.listen.addr")
        })
    })
    .await;
}

/// A full pipe that nobody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    for piece in [4096, 1] {
        while writer.write(&vec![b'.'; piece]).is_ok() {}
    }
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}

#[tokio::test]
async fn a_node_whose_log_nobody_takes_goes_on() {
    let desk = Desk::new();
    let addrs = ports(2);
    let (reader, writer) = full_pipe();
    let mut command = desk.command("alice", addrs[0], &["log.level=trace"]);
    let mut alice = desk.spawn("alice", addrs[0], command.stderr(writer));
    let targets = desk.targets("bob", &addrs[..1]);
    let bob = desk.start("bob", addrs[1], &[&targets]);
    until_exact(&[&alice, &bob], &["alice", "bob"]).await;
    alice.signal(Signal::TERM);
    assert_eq!(alice.ended().await.code(), Some(0));
    drop(reader);
}
