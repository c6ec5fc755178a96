//! Files that a node reads and writes: good ones, bad ones, and none.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use area_net::events::EventName;
use rustix::process::Signal;

use crate::processes::{Desk, Process, ports, until, until_exact};

/// Runs a node that can't start. Its error must be one line that contains all of `said`, and no file may change.
#[track_caller]
fn refuses(desk: &Desk, addr: SocketAddr, said: &[&str]) {
    let before = contents(&desk.path(""));
    let mut command = desk.command("alice", addr, &[]);
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in said {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
    assert_eq!(contents(&desk.path("")), before, "nothing is written");
}

fn contents(dir: &Path) -> Vec<(String, Vec<u8>, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let name = path.display().to_string();
        if path.is_dir() {
            found.push((name, Vec::new(), mode));
            found.extend(contents(&path));
        } else {
            found.push((name, fs::read(&path).unwrap(), mode));
        }
    }
    found.sort();
    found
}

#[test]
fn a_port_in_use_is_told_with_its_address_and_key() {
    let desk = Desk::new();
    let taken = UdpSocket::bind("[::1]:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let said = [
        &addr.to_string(),
        "network.controller.listen",
        "port",
        "alice",
        "in use",
    ];
    // The profile has no files yet: the desk has only its configuration.
    desk.command("alice", addr, &[]);
    refuses(&desk, addr, &said);
    assert!(!desk.path("certs").exists() && !desk.path("profiles").exists());
}

#[test]
fn files_that_would_overwrite_each_other_are_refused() {
    let desk = Desk::new();
    let addr = ports(1)[0];
    // The profile has no files yet: the desk has only its configuration.
    desk.command("alice", addr, &[]);
    let dir = desk.path("profiles/alice");
    fs::create_dir_all(&dir).unwrap();
    for (name, to) in [("peers.json", "network.json"), ("state.json", "peers.json")] {
        let (link, file) = (dir.join(name), dir.join(to));
        fs::write(&file, "[]").unwrap();
        std::os::unix::fs::symlink(to, &link).unwrap();
        refuses(&desk, addr, &[name, to, "are one file"]);
        fs::remove_file(link).unwrap();
        fs::remove_file(file).unwrap();
    }
    fs::write(dir.join("peers.json"), "[]").unwrap();
    let path = "network.controller.target.path=profiles/alice/peers.json";
    let output = desk.command("alice", addr, &[path]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("are one file"), "{stderr}");
    assert_eq!(fs::read(dir.join("peers.json")).unwrap(), b"[]");
}

#[tokio::test]
async fn files_that_are_links_are_written_through_and_stay_links() {
    let desk = Desk::new();
    let addrs = ports(2);
    let [dir, certs, there] =
        ["profiles/alice", "certs/alice", "there"].map(|name| desk.path(name));
    for folder in [&dir, &certs, &there] {
        fs::create_dir_all(folder).unwrap();
    }
    let names = ["peers.json", "network.json", "state.json", "peers.d2"];
    let links: Vec<_> = names
        .iter()
        .map(|name| (dir.join(name), there.join(name)))
        .chain(["key.pem", "cert.pem"].map(|name| (certs.join(name), there.join(name))))
        .collect();
    for (link, file) in &links {
        std::os::unix::fs::symlink(file, link).unwrap();
    }
    let mut alice = desk.start("alice", addrs[0], &["network.controller.d2=true"]);
    let targets = desk.targets("bob", &addrs[..1]);
    let bob = desk.start("bob", addrs[1], &[&targets]);
    until_exact(&[&alice, &bob], &["alice", "bob"]).await;
    alice.signal(Signal::TERM);
    assert_eq!(alice.ended().await.code(), Some(0), "{}", alice.log());
    for (link, file) in &links {
        assert!(link.is_symlink(), "{}", link.display());
        assert!(!fs::read(file).unwrap().is_empty(), "{}", file.display());
    }
    let mode = fs::metadata(there.join("key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Makes a key and a certificate by a short run of the program.
async fn make_identity(desk: &Desk, profile: &str) {
    let mut node = desk.start(profile, ports(1)[0], &[]);
    until("it has started", || {
        !node.events(EventName::NodeStarted).is_empty()
    })
    .await;
    node.signal(Signal::TERM);
    assert_eq!(node.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_bad_key_or_certificate_is_named_and_left_alone() {
    let desk = Desk::new();
    make_identity(&desk, "alice").await;
    make_identity(&desk, "bob").await;
    let addr = ports(1)[0];
    let (key, cert) = (
        desk.path("certs/alice/key.pem"),
        desk.path("certs/alice/cert.pem"),
    );
    let (good_key, good_cert) = (fs::read(&key).unwrap(), fs::read(&cert).unwrap());
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for bad in [&b""[..], b"garbage", &good_key[..40], pem.as_bytes()] {
        fs::write(&key, bad).unwrap();
        refuses(&desk, addr, &["certs/alice/key.pem"]);
    }
    fs::write(&key, &good_key).unwrap();
    for bad in [&b""[..], b"garbage", &good_cert[..40]] {
        fs::write(&cert, bad).unwrap();
        refuses(&desk, addr, &["certs/alice/cert.pem"]);
    }
    fs::copy(desk.path("certs/bob/cert.pem"), &cert).unwrap();
    refuses(
        &desk,
        addr,
        &["certs/alice/cert.pem", "not a certificate of the key"],
    );
    fs::write(&cert, &good_cert).unwrap();

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refuses(&desk, addr, &["certs/alice/key.pem", "0644", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&key, Some(1), None).unwrap();
        refuses(&desk, addr, &["certs/alice/key.pem", "user 1", "user 0"]);
        std::os::unix::fs::chown(&key, Some(0), None).unwrap();
    }
    fs::remove_file(&key).unwrap();
    refuses(&desk, addr, &["certs/alice/cert.pem", "no key.pem"]);
    // A folder in the key's place can't be read as one.
    fs::create_dir(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o700)).unwrap();
    refuses(&desk, addr, &["certs/alice/key.pem"]);
}

#[tokio::test]
async fn a_certificate_that_is_missing_is_made_anew_for_the_same_key() {
    let desk = Desk::new();
    make_identity(&desk, "alice").await;
    let key = fs::read(desk.path("certs/alice/key.pem")).unwrap();
    fs::remove_file(desk.path("certs/alice/cert.pem")).unwrap();
    make_identity(&desk, "alice").await;
    assert!(desk.path("certs/alice/cert.pem").exists());
    assert_eq!(fs::read(desk.path("certs/alice/key.pem")).unwrap(), key);
}

#[tokio::test]
async fn an_identity_that_runs_twice_is_said_loudly() {
    let desk = Desk::new();
    let addrs = ports(3);
    make_identity(&desk, "alice").await;
    fs::create_dir_all(desk.path("certs/copy")).unwrap();
    for file in ["key.pem", "cert.pem"] {
        fs::copy(
            desk.path("certs/alice").join(file),
            desk.path("certs/copy").join(file),
        )
        .unwrap();
    }
    let bob = desk.start("bob", addrs[0], &[]);
    let targets = desk.targets("alice", &addrs[..1]);
    let alice = desk.start("alice", addrs[1], &[&targets]);
    until_exact(&[&alice, &bob], &["alice", "bob"]).await;
    let copy = desk.start("copy", addrs[2], &[&targets]);
    let says = |node: &Process, event: EventName| {
        let said = node.events(event);
        said.iter().any(|line| line["level"] == "ERROR")
    };
    until("bob says so", || {
        says(&bob, EventName::PeerIdentityDuplicated)
    })
    .await;
    until("the copy says so", || {
        says(&copy, EventName::OwnIdentityDuplicated)
    })
    .await;
    // The node that was there first keeps its links.
    assert!(bob.picture().is_full_mesh_of(&["alice", "bob"]));
    assert_eq!(bob.events(EventName::LinkDown).len(), 0, "{}", bob.log());
}

#[tokio::test]
async fn a_folder_that_vanishes_or_is_in_the_way_stops_nobody() {
    let desk = Desk::new();
    let addrs = ports(3);
    // A file stands where the folder should be, so that not even root can write there.
    fs::write(desk.path("profiles"), "in the way").unwrap();
    let mut alice = desk.start("alice", addrs[0], &[]);
    until("alice warns", || {
        let said = alice.events(EventName::FileNotWritten);
        said.iter().any(|line| line["level"] == "WARN")
    })
    .await;
    // Alice goes on: she links with bob, and writes her files as soon as she can.
    fs::remove_file(desk.path("profiles")).unwrap();
    let targets = desk.targets("bob", &addrs[..1]);
    let bob = desk.start("bob", addrs[1], &[&targets]);
    until_exact(&[&alice, &bob], &["alice", "bob"]).await;

    // A node may write a file just then, and the folder is not empty any more.
    until("the folder is gone", || {
        fs::remove_dir_all(desk.path("profiles")).is_ok()
    })
    .await;
    let carol = desk.start("carol", addrs[2], &[&targets]);
    until_exact(&[&alice, &bob, &carol], &["alice", "bob", "carol"]).await;
    alice.signal(Signal::TERM);
    assert_eq!(alice.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_broken_state_is_set_aside_and_epochs_grow_over_restarts() {
    let desk = Desk::new();
    let addr = ports(1)[0];
    let epoch = |node: &Process| {
        node.file("state.json")
            .and_then(|state| state["epoch"].as_u64())
    };
    let mut before = 0;
    for _ in 0..3 {
        let mut alice = desk.start("alice", addr, &[]);
        until("the epoch is on disk", || {
            epoch(&alice).is_some_and(|epoch| epoch > before)
        })
        .await;
        before = epoch(&alice).unwrap();
        alice.signal(Signal::KILL);
        alice.ended().await;
    }
    // A clock that went back makes no difference.
    let ahead = before + 3_600_000;
    let state = desk.path("profiles/alice/state.json");
    fs::write(
        &state,
        format!("{{\"format\":1,\"epoch\":{ahead},\"nodes\":[]}}"),
    )
    .unwrap();
    let mut alice = desk.start("alice", addr, &[]);
    until("the epoch is above", || epoch(&alice) == Some(ahead + 1)).await;
    alice.signal(Signal::KILL);
    alice.ended().await;

    fs::write(&state, "{\"format\":1,").unwrap();
    let alice = desk.start("alice", addr, &[]);
    until("it has started", || epoch(&alice).is_some()).await;
    assert_eq!(
        fs::read(state.with_extension("json.broken")).unwrap(),
        b"{\"format\":1,"
    );
    // A thread of its own writes the log.
    until("alice says so once", || {
        alice.events(EventName::MemoryReset).len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_newcomer_can_use_what_another_wrote_as_its_targets() {
    let desk = Desk::new();
    let addrs = ports(3);
    let alice = desk.start("alice", addrs[0], &[]);
    let targets = desk.targets("bob", &addrs[..1]);
    let bob = desk.start("bob", addrs[1], &[&targets]);
    until_exact(&[&alice, &bob], &["alice", "bob"]).await;
    until("alice lists bob", || {
        alice.file("peers.json") == Some(serde_json::json!([addrs[1]]))
    })
    .await;
    let path = "network.controller.target.path=profiles/alice/peers.json";
    let zoe = desk.start("zoe", addrs[2], &[path]);
    until_exact(&[&alice, &bob, &zoe], &["alice", "bob", "zoe"]).await;
}
