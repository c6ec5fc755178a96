//! Tests of the picture as text.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::export::example;
use crate::export::text::{MAX_SHOWN_LABEL, is_blank, is_deceptive, name};
use crate::snapshot::{NodeState, NodeView};
use crate::wire::NodeId;

fn lines(snapshot: &Snapshot) -> Vec<String> {
    let text = String::from_utf8(picture(snapshot, Shows::Auto)).expect("UTF-8");
    let (_, body) = text.split_once("\n}\n").expect("the end of the classes");
    body.lines().map(str::to_owned).collect()
}

/// The text that d2 shows for a quoted string.
fn unquoted(quoted: &str) -> String {
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .expect("quotes");
    let mut out = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        assert!(character != '"' && character != '$', "unescaped");
        match character {
            '\\' => match characters.next().expect("something escaped") {
                'n' => out.push('\n'),
                escaped @ ('\\' | '"' | '$') => out.push(escaped),
                other => panic!("a needless escape of {other:?}"),
            },
            _ => out.push(character),
        }
    }
    out
}

#[test]
fn three_nodes() {
    let picture = lines(&example::three());
    assert_eq!(
        picture,
        [
            r#"n1111111111: "alice\n:8090" {class: up}"#,
            r#"n2222222222: "bob\n:8095" {class: [up; me]}"#,
            r#"n3333333333: "carol\n:8085\nunreachable" {class: unreachable}"#,
            r#"n2222222222 -> n1111111111: "312 µs" {class: link}"#,
        ]
    );
}

#[test]
fn a_small_network_is_drawn_as_ever() {
    // Recorded before there was anything to choose.
    let mut snapshot = example::three();
    snapshot.cut_off = true;
    let recorded = include_str!("three.d2");
    for shows in [Shows::Auto, Shows::All] {
        let picture = String::from_utf8(picture(&snapshot, shows)).expect("UTF-8");
        assert_eq!(picture, recorded);
    }
}

/// Bob's view of a network in which he has dialed alice, carol has dialed him, and dave is linked with these two.
fn square() -> Snapshot {
    let mut snapshot = example::three();
    snapshot.nodes[2].state = NodeState::Up;
    snapshot.nodes.push(example::node(0x44, "dave", 8080));
    snapshot.links = vec![
        example::link(1, 0, 312),
        example::link(2, 1, 2000),
        example::link(3, 0, 700),
        example::link(3, 2, 700),
    ];
    snapshot
}

#[test]
fn a_tree_is_drawn_from_the_middle_and_says_what_is_missing() {
    let text = String::from_utf8(picture(&square(), Shows::Tree)).expect("UTF-8");
    let (_, body) = text.split_once("\n}\n").expect("the end of the classes");
    assert_eq!(
        body.lines().collect::<Vec<_>>(),
        [
            r##"note: "4 of 4 nodes and 3 of 4 links are shown: the shortest path to each node\nnetwork.json lists all" {class: note; near: top-center; style.font-color: "#5677a8"}"##,
            r#"n2222222222: "bob\n:8095" {class: [up; me]}"#,
            r#"n1111111111: "alice\n:8090" {class: up}"#,
            r#"n4444444444: "dave\n:8080" {class: up}"#,
            r#"n3333333333: "carol\n:8085" {class: up}"#,
            r#"n2222222222 -> n1111111111: "312 µs" {class: link}"#,
            r#"n1111111111 <-> n4444444444: "700 µs" {class: link; target-arrowhead.shape: none}"#,
            r#"n3333333333 -> n2222222222: "2000 µs" {class: link}"#,
        ]
    );
}

#[test]
fn a_note_says_by_what_rule_a_part_is_drawn() {
    let note = |snapshot: &Snapshot, shows: Shows| {
        let text = String::from_utf8(picture(snapshot, shows)).expect("UTF-8");
        let note = text.lines().find(|line| line.starts_with("note: "));
        note.map(str::to_owned)
    };
    let mut snapshot = square();
    assert_eq!(note(&snapshot, Shows::Auto), None);
    snapshot.links.remove(2);
    assert_eq!(note(&snapshot, Shows::Tree), None, "nothing is missing");
    assert_eq!(
        note(&snapshot, Shows::Mine).expect("a note"),
        r##"note: "3 of 4 nodes and 2 of 3 links are shown: this node, its neighbours and the links between them\nnetwork.json lists all" {class: note; near: top-center; style.font-color: "#5677a8"}"##
    );
    snapshot.cut_off = true;
    snapshot.links.clear();
    assert_eq!(
        note(&snapshot, Shows::Mine).expect("a note"),
        r#"note: "cut off: this node has lost all its links\nthe rest of this picture may be out of date\n1 of 4 nodes and 0 of 0 links are shown: this node, its neighbours and the links between them\nnetwork.json lists all" {class: note; near: top-center}"#
    );
    snapshot.cut_off = false;
    let nodes = (0..2000_u16).map(|node| {
        let mut view = example::node(0, "x", 1);
        view.id.0[..2].copy_from_slice(&node.to_be_bytes());
        view
    });
    snapshot.nodes = nodes.collect();
    snapshot.links = (1..2000)
        .map(|node| example::link(node - 1, node, 10))
        .collect();
    let shown = |shows| note(&snapshot, shows).expect("a note");
    assert!(shown(Shows::All).contains(
        "601 of 2000 nodes and 600 of 1999 links are shown: the nodes nearest to this one\\n"
    ));
    assert!(shown(Shows::Auto).contains(
        "100 of 2000 nodes and 99 of 1999 links are shown: the nodes nearest to this one, and the shortest path to each\\n"
    ));
}

#[test]
fn a_link_shows_rtt_age_loss_and_suspicion() {
    let mut snapshot = example::three();
    let mut label = |change: fn(&mut LinkView)| {
        snapshot.links[0] = example::link(1, 0, 312);
        change(&mut snapshot.links[0]);
        let line = lines(&snapshot).pop().expect("a link");
        line.split_once(": ").expect("a label").1.to_owned()
    };
    assert_eq!(label(|link| link.rtt_us = None), r#""…" {class: link}"#);
    assert_eq!(
        label(|link| link.rtt_stale = true),
        r#""312 µs ?" {class: link}"#
    );
    assert_eq!(
        label(|link| link.loss_permille = 9),
        r#""312 µs" {class: link}"#
    );
    assert_eq!(
        label(|link| link.loss_permille = 125),
        r#""312 µs, 12.5 % lost" {class: link}"#
    );
    assert_eq!(
        label(|link| link.disputed_ms = Some(5)),
        r#""312 µs, disputed" {class: link}"#
    );
    assert_eq!(
        label(|link| link.suspect = true),
        r#""312 µs, suspect" {class: suspect}"#
    );
}

#[test]
fn nodes_off_loopback_show_their_whole_address() {
    let mut snapshot = example::alone();
    let mut shown = |addrs: &[&str]| {
        snapshot.nodes[0].addrs = addrs
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect();
        lines(&snapshot).remove(0)
    };
    assert!(shown(&["127.0.0.1:9000"]).contains(r#""alice\n:9000""#));
    assert!(shown(&["192.0.2.7:9000", "[::1]:1"]).contains(r#""alice\n192.0.2.7:9000""#));
    assert!(shown(&["[2001:db8::1]:9000"]).contains(r#""alice\n[2001:db8::1]:9000""#));
    assert!(shown(&[]).contains(r#""alice\nno address""#));
}

#[test]
fn a_cut_off_node_notes_that_its_view_may_be_out_of_date() {
    let mut snapshot = example::three();
    snapshot.cut_off = true;
    assert!(lines(&snapshot)[0].starts_with("note: \"cut off"));
}

#[test]
fn an_impairment_is_shown_at_its_own_node_alone() {
    let mut snapshot = example::three();
    snapshot.impaired = Some(Arc::from("delay 40ms loss 5%"));
    let picture = lines(&snapshot);
    assert!(picture[1].contains(r#""bob\n:8095\nimpaired: delay 40ms loss 5%""#));
    assert!(picture[0].contains(r#""alice\n:8090""#));
    snapshot.impaired = Some(Arc::from("to [::1]:8090 loss 100%; ".repeat(9)));
    let shown = lines(&snapshot)[1]
        .split_once("impaired: ")
        .map(|(_, rest)| rest.to_owned());
    assert!(
        shown
            .expect("a note")
            .starts_with("to [::1]:8090 loss 100%; to [::1]:8090 loss 100%…\"")
    );
}

#[test]
fn nodes_without_links_stand_in_a_grid() {
    let arranged = |snapshot: &Snapshot| arrangement(&Choice::of(snapshot, Shows::Auto));
    let mut snapshot = example::three();
    snapshot.links.clear();
    assert_eq!(arranged(&snapshot), "grid-rows: 1\ngrid-columns: 3");
    snapshot.nodes = (1..=100).map(|byte| example::node(byte, "x", 1)).collect();
    assert_eq!(arranged(&snapshot), "grid-rows: 7\ngrid-columns: 15");
    assert_eq!(arranged(&example::alone()), "direction: right");
}

#[test]
fn nodes_that_share_ten_digits_get_their_whole_ids() {
    let mut snapshot = example::three();
    let mut twin = snapshot.nodes[0].clone();
    twin.id.0[31] = 0x12;
    snapshot.nodes.insert(1, twin);
    let names: Vec<String> = (0..4).map(|index| name(&snapshot.nodes, index)).collect();
    assert_eq!(names[0].len(), 65);
    assert_eq!(names[1].len(), 65);
    assert_ne!(names[0], names[1]);
    assert_eq!(names[2], "n2222222222");
}

#[test]
fn a_label_that_shows_nothing_is_replaced_by_the_short_id() {
    for blank in ["", " \t\n", "\u{200b}\u{feff}", "\u{2800}\u{3164}"] {
        let mut snapshot = example::alone();
        snapshot.nodes[0].label = Arc::from(blank);
        assert!(lines(&snapshot)[0].contains(r#""1111111111\n:8090""#));
    }
}

#[test]
fn a_long_label_is_cut() {
    let mut snapshot = example::alone();
    snapshot.nodes[0].label = Arc::from("ä".repeat(100_000));
    assert!(lines(&snapshot)[0].contains(&format!("\"{}…\\n", "ä".repeat(MAX_SHOWN_LABEL))));
}

#[test]
fn deceptive_characters_become_replacement_characters() {
    assert_eq!(
        quoted("a\u{202e}b\u{0}c\u{7f}"),
        "\"a\u{fffd}b\u{fffd}c\u{fffd}\""
    );
    assert_eq!(quoted("a\r\nb\rc\u{2028}d\te"), r#""a\nb\nc\nd e""#);
    assert_eq!(quoted(r#"\"${x}"#), r#""\\\"\${x}""#);
    // Emoji sequences keep their joiners.
    assert_eq!(quoted("👩\u{200d}🚀"), "\"👩\u{200d}🚀\"");
}

proptest! {
    #[test]
    fn any_label_stays_within_its_line_and_is_unchanged(label in any::<String>()) {
        let mut snapshot = example::alone();
        snapshot.nodes[0].label = Arc::from(label.as_str());
        let picture = lines(&snapshot);
        prop_assert_eq!(picture.len(), 1);
        let line = &picture[0];
        let text = line
            .strip_prefix("n1111111111: ")
            .and_then(|rest| rest.strip_suffix(" {class: [up; me]}"))
            .expect("name, label, class");
        let shown = unquoted(text);
        let shown = shown.strip_suffix("\n:8090").expect("the port");
        if is_blank(&label) {
            prop_assert_eq!(shown, "1111111111");
        } else if !label.contains(['\r', '\n', '\t', '\u{2028}', '\u{2029}']) {
            prop_assert_eq!(shown.chars().count(), label.chars().count());
            for (shown, given) in shown.chars().zip(label.chars()) {
                let replaced = shown == char::REPLACEMENT_CHARACTER && is_deceptive(given);
                prop_assert!(shown == given || replaced);
            }
        }
    }

    #[test]
    fn names_are_unique(ids in proptest::collection::btree_set(
        (0_u8..3, 0_u8..3).prop_map(|(first, last)| {
            let mut id = [0xab; 32];
            (id[4], id[31]) = (first, last);
            id
        }), 1..9)
    ) {
        let nodes: Vec<NodeView> = ids
            .iter()
            .map(|id| NodeView { id: NodeId(*id), ..example::node(0, "x", 1) })
            .collect();
        let names: std::collections::BTreeSet<String> = (0..nodes.len()).map(|index| name(&nodes, index)).collect();
        prop_assert_eq!(names.len(), nodes.len());
    }
}
