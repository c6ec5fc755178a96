//! A network that an authority closes, from the first command to the last member that is thrown out.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use area_net::events::EventName;
use rustix::process::Signal;

use crate::processes::{Desk, Process, ports, until, until_exact};

const FIVE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// Runs `area-net network` in the folder of a desk.
fn network(desk: &Desk, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_area-net"));
    command.current_dir(desk.path("")).arg("network");
    command
        .args(arguments)
        .output()
        .expect("the test's own files and programs work")
}

#[track_caller]
fn done(desk: &Desk, arguments: &[&str]) -> String {
    let output = network(desk, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("the test's own files and programs work")
}

fn copy(desk: &Desk, from: &str, to: &str) {
    let (from, to) = (desk.path(from), desk.path(to));
    fs::create_dir_all(&to).expect("the test's own files and programs work");
    for entry in fs::read_dir(from).expect("the test's own files and programs work") {
        let entry = entry.expect("the test's own files and programs work");
        fs::copy(entry.path(), to.join(entry.file_name()))
            .expect("the test's own files and programs work");
    }
}

/// An authority, and five machines with their files.
fn closed() -> Desk {
    let desk = Desk::new();
    done(&desk, &["create", "office", "--name", &desk.network]);
    let admit = ["admit", "office", "--new"];
    done(&desk, &[&admit[..], &FIVE[..]].concat());
    for label in FIVE {
        copy(
            &desk,
            &format!("office/members/{label}"),
            &format!("certs/{label}"),
        );
    }
    desk
}

/// Starts some of the five. All dial alice.
fn start(desk: &Desk, addrs: &[SocketAddr], at: usize) -> Process {
    let others: Vec<SocketAddr> = addrs
        .iter()
        .copied()
        .filter(|addr| *addr != addrs[at])
        .collect();
    let targets = desk.targets(FIVE[at], &others);
    desk.start(FIVE[at], addrs[at], &[&targets])
}

fn up(node: &Process) -> usize {
    let nodes = node.picture().nodes;
    nodes.values().filter(|(state, _)| state == "up").count()
}

#[tokio::test]
async fn three_commands_close_a_network_of_five() {
    let desk = closed();
    let addrs = ports(6);
    let mut nodes: Vec<Process> = (0..5).map(|at| start(&desk, &addrs[..5], at)).collect();
    until_exact(&nodes.iter().collect::<Vec<_>>(), &FIVE).await;

    // A stranger is refused, and the log says what would admit it. With that it joins, without a restart of anybody.
    fs::create_dir_all(desk.path("certs/zoe")).unwrap();
    copy_file(&desk, "office/authority.pub", "certs/zoe/authority.pub");
    let targets = desk.targets("zoe", &addrs[..5]);
    let zoe = desk.start("zoe", addrs[5], &[&targets]);
    let refused = |node: &Process| {
        let lines = node.events(EventName::JoinRefused);
        let action = lines.iter().find_map(|line| line["action"].as_str());
        action.map(str::to_owned)
    };
    until("alice refuses zoe", || refused(&nodes[0]).is_some()).await;
    let action = refused(&nodes[0]).unwrap();
    let words: Vec<&str> = action.split_whitespace().collect();
    let id = *words.last().unwrap();
    assert!(
        action.ends_with(&format!("area-net network admit DIR {id}")),
        "{action}"
    );
    assert!(!zoe.events(EventName::NoMember).is_empty(), "{}", zoe.log());
    assert!(nodes.iter().all(|node| up(node) == 5) && up(&zoe) <= 1);
    let asked = Command::new(env!("CARGO_BIN_EXE_area-net"))
        .current_dir(desk.path(""))
        .env_remove("XDG_RUNTIME_DIR")
        .args(["status", "-p", "alice"])
        .output()
        .unwrap();
    let status = String::from_utf8(asked.stdout).unwrap();
    assert!(status.replace(['\n', ' '], "").contains(id), "{status}");
    done(&desk, &["admit", "office", id, "--label", "zoe"]);
    copy_file(
        &desk,
        "office/members/zoe/member.cert",
        "certs/zoe/member.cert",
    );
    let six = ["alice", "bob", "carol", "dave", "erin", "zoe"];
    nodes.push(zoe);
    until_exact(&nodes.iter().collect::<Vec<_>>(), &six).await;

    // Erin is away while dave is thrown out.
    let mut erin = nodes.remove(4);
    erin.signal(Signal::KILL);
    erin.ended().await;
    let mut dave = nodes.remove(3);
    done(&desk, &["revoke", "office", "dave"]);
    copy_file(&desk, "office/revoked.list", "profiles/alice/revoked.list");
    let stay = ["alice", "bob", "carol", "zoe"];
    until_exact(&nodes.iter().collect::<Vec<_>>(), &stay).await;
    until("dave knows", || up(&dave) == 1).await;
    for label in stay {
        let list = desk.path(&format!("profiles/{label}/revoked.list"));
        until("each keeps the list", || list.exists()).await;
    }
    let carol = &nodes[2];
    assert_eq!(carol.events(EventName::RevocationsHeard)[0]["number"], 1);
    let removed = &carol.events(EventName::NodeRemoved)[0];
    assert_eq!(removed["node"], "dave");
    assert_eq!(removed["cause"], "a membership that the authority revoked");

    // It stays out after a restart of itself, and of carol, and erin hears of it when it comes back.
    dave.signal(Signal::KILL);
    dave.ended().await;
    let mut carol = nodes.remove(2);
    carol.signal(Signal::TERM);
    assert!(carol.ended().await.success());
    let dave = start(&desk, &addrs[..5], 3);
    nodes.insert(2, start(&desk, &addrs[..5], 2));
    nodes.insert(3, start(&desk, &addrs[..5], 4));
    let stay = ["alice", "bob", "carol", "erin", "zoe"];
    until_exact(&nodes.iter().collect::<Vec<_>>(), &stay).await;
    until("dave is refused", || {
        !dave.events(EventName::DialFailed).is_empty()
    })
    .await;
    // Erin did not know when it came back, and may have let dave in for a moment.
    until("dave is alone", || up(&dave) <= 1).await;
}

fn copy_file(desk: &Desk, from: &str, to: &str) {
    // By rename, as any careful program does.
    let half = desk.path("half");
    fs::copy(desk.path(from), &half).expect("the test's own files and programs work");
    fs::rename(half, desk.path(to)).expect("the test's own files and programs work");
}

#[tokio::test]
async fn a_node_that_can_never_be_a_member_does_not_start() {
    let desk = closed();
    let addr = ports(1)[0];
    let refused = |settings: &[&str]| {
        let output = desk.command("bob", addr, settings).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    };
    let said = refused(&["label=carol"]);
    assert!(
        said.contains("the label \"carol\", while its certificate allows \"bob\""),
        "{said}"
    );
    let said = refused(&["network.name=another"]);
    assert!(said.contains("set network.name to"), "{said}");
    let said = refused(&["network.authority=nowhere.pub"]);
    assert!(said.contains("nowhere.pub"), "{said}");
    copy_file(&desk, "certs/carol/member.cert", "certs/bob/member.cert");
    let said = refused(&[]);
    assert!(said.contains("a certificate of the node"), "{said}");
    fs::remove_file(desk.path("certs/bob/authority.pub")).unwrap();
    let said = refused(&[]);
    assert!(
        said.contains("there is no certs/bob/authority.pub"),
        "{said}"
    );
    fs::write(desk.path("certs/bob/authority.pub"), "nonsense").unwrap();
    let said = refused(&[]);
    assert!(said.contains("its first line should be"), "{said}");
}

#[tokio::test]
async fn commands_that_make_no_sense_say_so() {
    let desk = closed();
    for (arguments, why) in [
        (&["create", "office"][..], "never overwritten"),
        (&["admit", "office", "nobody"], "is no node id"),
        (&["admit", "office"], "required"),
        (
            &["admit", "office", "--new", "bob"],
            "there is such a member already",
        ),
        (&["admit", "nowhere", "bob"], "is no folder of an authority"),
        (&["admit", "office", "bob", "--days", "0"], "0 is not in"),
        (&["admit", "office", "bob", "--groups", "a b"], "groups"),
        (&["revoke", "office", "nobody"], "is no node id"),
        (
            &["show", "config/network/default.toml"],
            "its first line should be",
        ),
        (&["show", "nowhere"], "nowhere"),
        (&["create", "office", "--finish"], "there is no old key"),
        (&["create", "office", "--lost"], "--next"),
        (&["create", "office", "--next", "--lost"], "it is not lost"),
    ] {
        let output = network(&desk, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    assert!(!Path::new(&desk.path("office/revoked.list")).exists());
}
