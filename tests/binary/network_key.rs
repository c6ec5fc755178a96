//! The procedures for the network key in `docs/trust.md`, as they are typed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use area_net::events::EventName;

use crate::machines::{FIVE, Machines, commands};

const PAGE: &str = "docs/trust.md";

/// Five nodes with one key, and a thief who has it too.
async fn with_thief() -> Machines {
    let mut machines = Machines::new(&["network.key=net.key"]);
    machines.types("area-net network key net.key").await;
    let copy =
        "for host in alice bob carol dave erin mallory; do scp -p net.key $host:area-net/; done";
    machines.types(copy).await;
    machines.start_five().await;
    machines.start("mallory").await;
    machines
        .see_each_other(&[&FIVE[..], &["mallory"]].concat())
        .await;
    machines
}

#[tokio::test]
async fn the_network_key_is_changed_without_a_split() {
    let mut machines = with_thief().await;
    let [backup] = &commands(PAGE, "### Back it up")[..] else {
        panic!("one block")
    };
    machines.types(backup).await;
    let kept = fs::metadata(machines.own("net.key.backup")).unwrap();
    assert_eq!(kept.mode() & 0o777, 0o600);
    let [both, alone] = &commands(PAGE, "### Change it without a split")[..] else {
        panic!("two blocks")
    };
    machines.types(both).await;
    machines
        .see_each_other(&[&FIVE[..], &["mallory"]].concat())
        .await;
    machines.types(alone).await;
    machines.see_each_other(&FIVE).await;
    machines.is_alone("mallory").await;
    for host in FIVE {
        // Erin was restarted last: every log is from its node's second restart on.
        let node = machines.node(host);
        for event in [EventName::CutOff, EventName::LinkDown] {
            let seen = node.events(event);
            let others = seen.iter().filter(|line| line["peer"] != "mallory");
            assert_eq!(others.count(), 0, "{host}: {}", node.log());
        }
    }
    let key = fs::read_to_string(machines.own("net.key")).unwrap();
    let old = fs::read_to_string(machines.own("net.key.backup")).unwrap();
    assert_ne!(key, old);
    for host in FIVE {
        let theirs = fs::read_to_string(machines.path(host, "net.key")).unwrap();
        assert_eq!(theirs, key, "{host}");
    }
}

#[tokio::test]
async fn a_network_key_that_is_lost_or_stolen_is_replaced() {
    let mut machines = with_thief().await;
    let [copy, replace] = &commands(PAGE, "### If it is lost")[..] else {
        panic!("two blocks")
    };
    let key = fs::read_to_string(machines.own("net.key")).unwrap();
    fs::remove_file(machines.own("net.key")).unwrap();
    machines.types(copy).await;
    assert_eq!(fs::read_to_string(machines.own("net.key")).unwrap(), key);
    // No machine has it any more; the nodes go on until they are restarted.
    for host in FIVE {
        fs::remove_file(machines.path(host, "net.key")).unwrap();
    }
    machines.types(replace).await;
    machines.see_each_other(&FIVE).await;
    machines.is_alone("mallory").await;
    machines.stop("mallory").await;
    machines.start("mallory").await;
    machines
        .have_logged(&["mallory"], EventName::JoinRefused)
        .await;
    machines.is_alone("mallory").await;
    machines.see_each_other(&FIVE).await;
}
