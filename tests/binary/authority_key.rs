//! The procedures for the keys of the authority and of its members in `docs/certificates.md`, as they are typed.

use std::fs;

use area_net::authority::office::{Office, Wish};
use area_net::events::EventName;

use crate::machines::{FIVE, Machines, commands};
use crate::processes::until;

const PAGE: &str = "docs/certificates.md";

/// The blocks below a heading.
fn blocks<const N: usize>(heading: &str) -> [String; N] {
    let blocks = commands(PAGE, heading);
    let found = blocks.len();
    let exact = blocks.try_into();
    exact.unwrap_or_else(|_| panic!("{heading} has {found} blocks of commands"))
}

/// An authority and five members that run.
async fn five() -> Machines {
    let mut machines = Machines::new(&[]);
    machines.types("area-net network create office").await;
    let admit = "area-net network admit office --new alice bob carol dave erin";
    machines.types(admit).await;
    for host in FIVE {
        let copy = format!(
            "mkdir {at}/certs; scp -r office/members/{host} {host}:area-net/certs/; rm office/members/{host}/key.pem",
            at = machines.path(host, "").display()
        );
        machines.types(&copy).await;
    }
    machines.start_five().await;
    machines.see_each_other(&FIVE).await;
    machines
}

/// Nobody lost a link or a node in this run.
fn nothing_was_lost(machines: &Machines) {
    for host in FIVE {
        let node = machines.node(host);
        for event in [
            EventName::LinkDown,
            EventName::NodeRemoved,
            EventName::NodeUnreachable,
            EventName::PaperUnusable,
        ] {
            assert_eq!(node.events(event).len(), 0, "{host}: {}", node.log());
        }
    }
}

/// Changes the authority's key after the first block, which begins that.
async fn change(machines: &mut Machines, begin: &str) {
    let [_, renew, finish] = blocks("### A new key for the authority");
    machines.types(begin).await;
    machines
        .have_logged(&FIVE, EventName::AuthorityChanged)
        .await;
    machines.types(&renew).await;
    machines
        .have_logged(&FIVE, EventName::CertificateChanged)
        .await;
    machines.types(&finish).await;
    let finished = |host: &&str| {
        let lines = machines.node(host).events(EventName::AuthorityChanged);
        lines.iter().any(|line| line["keys"] == 1)
    };
    until("no node trusts the old key", || FIVE.iter().all(finished)).await;
    machines.see_each_other(&FIVE).await;
}

#[tokio::test]
async fn the_authority_is_restored_and_changes_its_key_while_all_nodes_run() {
    let mut machines = five().await;
    // Somebody was revoked once, after the backup.
    let [pack, unpack] = blocks("### Back up the authority");
    machines.types(&pack).await;
    let revoke = format!("area-net network revoke office {}", "5a".repeat(32));
    machines.types(&revoke).await;
    let copy = "scp office/revoked.list dave:area-net/profiles/dave/";
    machines.types(copy).await;
    machines
        .have_logged(&FIVE, EventName::RevocationsHeard)
        .await;
    let kept = || {
        machines
            .path("alice", "profiles/alice/revoked.list")
            .exists()
    };
    until("alice keeps the list", kept).await;
    fs::remove_dir_all(machines.own("office")).unwrap();
    machines.types(&unpack).await;
    let [begin, ..] = blocks::<3>("### A new key for the authority");
    change(&mut machines, &begin).await;
    nothing_was_lost(&machines);
    machines.types(copy).await;
    let second = |host: &&str| {
        let lines = machines.node(host).events(EventName::RevocationsHeard);
        lines.iter().any(|line| line["number"] == 2)
    };
    until("the list goes on", || FIVE.iter().all(second)).await;
    // It is the same after a restart.
    machines.stop("carol").await;
    machines.start("carol").await;
    machines.see_each_other(&FIVE).await;
    let shown = machines.types("area-net network show office").await;
    assert!(!shown.contains("older key"), "{shown}");
    assert!(!machines.own("office/authority.old.key").exists());
}

#[tokio::test]
async fn a_stolen_key_of_a_node_is_worth_nothing_once_it_is_revoked() {
    let mut machines = five().await;
    // The thief has bob's folder. Bob's machine is off meanwhile.
    let theft = "mkdir mallory; scp -r bob:area-net/certs mallory:area-net/";
    machines.types(&theft.replace("mkdir mallory; ", "")).await;
    machines.stop("bob").await;
    machines.start_as("mallory", "bob").await;
    let others = ["alice", "carol", "dave", "erin"];
    let sees_bob = |host: &&str| machines.node(host).picture().state("bob") == "up";
    until("the thief is bob", || others.iter().all(sees_bob)).await;
    let [revoke, renew] = blocks("### A node's key is lost or stolen");
    machines.types(&revoke).await;
    machines.see_each_other(&others).await;
    machines.is_alone("mallory").await;
    // Neither its restart nor that of the others lets it in.
    machines.stop("mallory").await;
    machines.start_as("mallory", "bob").await;
    for host in others {
        machines.stop(host).await;
        machines.start(host).await;
    }
    machines.see_each_other(&others).await;
    machines
        .have_logged(&["mallory"], EventName::DialFailed)
        .await;
    machines.is_alone("mallory").await;
    // Bob's machine comes back with a new key, under its old label.
    machines.start("bob").await;
    machines.types(&renew).await;
    machines.see_each_other(&FIVE).await;
    machines.is_alone("mallory").await;
    // It was told of the thief before it started, and never let it in.
    let thief = &machines.node("mallory").events(EventName::NodeStarted)[0]["id"];
    let linked = machines.node("bob").events(EventName::LinkUp);
    assert!(linked.iter().all(|line| line["id"] != *thief), "{linked:?}");
    assert!(!machines.own("office/members/bob2/key.pem").exists());
    // The label means the member that counts.
    machines.types("area-net network admit office bob").await;
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the certificate ends at a time of the wall clock, as real nodes see it"
)]
async fn without_the_authoritys_key_members_stay_until_their_certificates_end() {
    let mut machines = five().await;
    // Erin's certificate ends in 15 seconds for clocks that are right; all others count it ten minutes longer.
    let now_s = std::time::SystemTime::now();
    let now_s = now_s.duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut office = Office::open(&machines.own("office")).unwrap();
    let erin = office.find("erin").unwrap();
    let wish = Wish {
        label: None,
        groups: None,
        days: 1,
    };
    let signed_s = now_s.as_secs() - 86_400 - 600 + 15;
    office.admit(&erin, &wish, signed_s).unwrap();
    machines
        .types("scp office/members/erin/member.cert erin:area-net/certs/erin/")
        .await;
    fs::remove_file(machines.own("office/authority.key")).unwrap();
    machines
        .have_logged(&["erin"], EventName::CertificateChanged)
        .await;
    for (command, why) in [
        ("area-net network admit office bob", "authority.key"),
        ("area-net network revoke office bob", "authority.key"),
        ("area-net network create office --next", "if it is lost"),
    ] {
        let (said, good) = machines.try_typing(command).await;
        assert!(!good && said.to_lowercase().contains(why), "{said}");
    }
    // A restart needs no authority.
    machines.stop("bob").await;
    machines.start("bob").await;
    // Then time takes erin out.
    let others = ["alice", "bob", "carol", "dave"];
    machines.see_each_other(&others).await;
    machines.have_logged(&["erin"], EventName::NoMember).await;
    // A new key beside the public part of the old one mends all.
    let [lost, found] = blocks("### The authority's key is lost");
    fs::remove_dir_all(machines.own("office/members")).unwrap();
    fs::rename(machines.own("office"), machines.own("broken")).unwrap();
    machines.types(&found).await;
    fs::copy(
        machines.own("broken/members.json"),
        machines.own("office/members.json"),
    )
    .unwrap();
    let copy = blocks::<3>("### A new key for the authority")[0]
        .replace("area-net network create office --next\n", "");
    change(&mut machines, &format!("{lost}{copy}")).await;
}

#[tokio::test]
async fn a_stolen_authority_admits_and_revokes_nobody_once_its_key_is_replaced() {
    let mut machines = five().await;
    machines.types("cp -r office stolen").await;
    // The thief joins, and revokes alice.
    machines
        .types("area-net network admit stolen --new mallory; scp -r stolen/members/mallory mallory:area-net/; ssh mallory 'cd area-net; mkdir certs; mv mallory certs/'")
        .await;
    machines.start("mallory").await;
    machines
        .see_each_other(&[&FIVE[..], &["mallory"]].concat())
        .await;
    machines.types("area-net network revoke stolen alice").await;
    machines
        .types("scp stolen/revoked.list mallory:area-net/profiles/mallory/")
        .await;
    let rest = ["bob", "carol", "dave", "erin", "mallory"];
    machines.see_each_other(&rest).await;
    let [all] = blocks("### The authority's key was stolen");
    machines.types(&all).await;
    machines.see_each_other(&FIVE).await;
    machines.is_alone("mallory").await;
    // It stays so after restarts, also where the thief's list is still on disk.
    for host in ["alice", "bob", "mallory"] {
        machines.stop(host).await;
        machines.start(host).await;
    }
    machines.see_each_other(&FIVE).await;
    machines.is_alone("mallory").await;
    // The authority goes on.
    machines.types("area-net network revoke office erin").await;
    machines
        .types("scp office/revoked.list alice:area-net/profiles/alice/")
        .await;
    machines
        .see_each_other(&["alice", "bob", "carol", "dave"])
        .await;
}
