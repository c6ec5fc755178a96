//! A node as a service of systemd's.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;

use area_net::events::EventName;
use rustix::process::Signal;

use crate::processes::{Desk, PATIENCE, ports, until};

/// A manager that hears what a service says.
fn manager(desk: &Desk) -> UnixDatagram {
    let manager = UnixDatagram::bind(desk.path("notify")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    manager
}

/// The next thing that the service says.
fn heard(manager: &UnixDatagram) -> String {
    let mut said = [0; 256];
    let length = manager.recv(&mut said).expect("the node says something");
    String::from_utf8(said[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn a_service_says_that_it_is_ready_alive_and_stopping() {
    let desk = Desk::new();
    let manager = manager(&desk);
    let addr = ports(1)[0];
    let mut command = desk.command("alice", addr, &[]);
    command
        .env("NOTIFY_SOCKET", desk.path("notify"))
        .env("WATCHDOG_USEC", "100000");
    let mut node = desk.start_by("alice", addr, &mut command);
    assert_eq!(heard(&manager), "READY=1");
    assert!(!node.events(EventName::NodeStarted).is_empty());
    for _ in 0..3 {
        assert_eq!(heard(&manager), "WATCHDOG=1");
    }
    node.signal(Signal::TERM);
    while heard(&manager) != "STOPPING=1" {}
    assert!(node.ended().await.success());
}

#[tokio::test]
async fn a_watchdog_of_another_process_is_left_alone() {
    let desk = Desk::new();
    let manager = manager(&desk);
    let addr = ports(1)[0];
    let mut command = desk.command("alice", addr, &[]);
    command
        .env("NOTIFY_SOCKET", desk.path("notify"))
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1");
    let mut node = desk.start_by("alice", addr, &mut command);
    assert_eq!(heard(&manager), "READY=1");
    node.signal(Signal::TERM);
    assert_eq!(heard(&manager), "STOPPING=1");
    assert!(node.ended().await.success());
}

#[tokio::test]
async fn a_manager_that_is_gone_does_not_stop_a_node() {
    let desk = Desk::new();
    let addr = ports(1)[0];
    let mut command = desk.command("alice", addr, &[]);
    command
        .env("NOTIFY_SOCKET", desk.path("nobody"))
        .env("WATCHDOG_USEC", "1000");
    let mut node = desk.start_by("alice", addr, &mut command);
    let shown = || node.file("network.json").is_some();
    until("the node runs", shown).await;
    node.signal(Signal::TERM);
    assert!(node.ended().await.success());
}

#[tokio::test]
async fn lines_for_the_journal_begin_with_their_priority() {
    let desk = Desk::new();
    for (profile, is_journal) in [("alice", true), ("bob", false)] {
        let log = fs::File::create(desk.path(profile)).unwrap();
        let file = log.metadata().unwrap();
        let inode = if is_journal { file.ino() } else { 1 };
        let addr = ports(1)[0];
        let mut command = desk.command(profile, addr, &[]);
        command
            .env("JOURNAL_STREAM", format!("{}:{inode}", file.dev()))
            .stderr(log);
        let mut node = desk.spawn(profile, addr, &mut command);
        let log = || fs::read_to_string(desk.path(profile)).unwrap();
        until("the node logs", || log().contains("node started")).await;
        node.signal(Signal::TERM);
        assert!(node.ended().await.success());
        for line in log().lines() {
            assert_eq!(line.starts_with("<6>{"), is_journal, "{line}");
        }
    }
}
