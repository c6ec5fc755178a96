//! `area-net top` on a real terminal, with real nodes.

#[cfg(test)]
mod desk;
#[cfg(test)]
#[path = "../processes/ports.rs"]
mod ports;

use std::time::Duration;

use rustix::process::Signal;

use desk::{Desk, Terminal, enters, leaves};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn it_shows_both_nodes_and_gives_the_terminal_back() {
    let desk = Desk::new();
    let _nodes = [desk.start("alice"), desk.start("bob")];
    let mut top = Terminal::open(desk.top(Some("bob")));
    top.expect(enters());
    top.expect("alice");
    top.type_keys("2");
    top.expect("LISTENER");
    top.type_keys("4");
    top.expect("by links");
    top.type_keys("?");
    top.expect("quit");
    top.type_keys("qq");
    top.expect(leaves());
    assert_eq!(top.end(), 0);
}

#[test]
fn it_waits_for_a_node_that_is_gone_and_ends_when_it_is_told_to() {
    let desk = Desk::new();
    let bob = desk.start("bob");
    let mut top = Terminal::open(desk.top(None));
    top.expect("LIVE");
    drop(bob);
    top.expect("waiting for its return");
    let _bob = desk.start("bob");
    top.expect("LIVE");
    top.signal(Signal::TERM);
    top.expect(leaves());
    assert_eq!(top.end(), 0);
}

#[test]
fn without_a_terminal_or_a_node_it_says_so() {
    let desk = Desk::new();
    let output = desk.piped().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("top needs a terminal"), "{error}");
    let mut top = Terminal::open(desk.top(Some("bob")));
    let shown = top.expect("no node of the profile bob is running");
    assert!(!shown.contains(enters()), "{shown:?}");
    assert_eq!(top.end(), 3);
}
