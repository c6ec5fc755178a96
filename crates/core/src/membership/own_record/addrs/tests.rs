use super::*;
use crate::membership::testing::{connected, ms, node};
use crate::membership::tuning::Tuning;

/// The links of node 1, to peers that see it at these addresses.
fn seen_at(votes: &[&str]) -> Links {
    let mut links = Links::new(node(1), ms(1500), std::sync::Arc::new(Tuning::DEFAULT));
    for (number, vote) in (2..).zip(votes) {
        let mut new = connected(u64::from(number), node(number), 7, true);
        new.hello.observed = vote.parse().unwrap();
        links.adopt(ms(0), &new);
    }
    links
}

fn shown(addrs: &OwnAddrs) -> Vec<String> {
    let text = |one: &PublishedAddr| format!("{:?} {}", one.kind, one.addr);
    addrs.published().iter().map(text).collect()
}

fn after(local: &[&str], votes: &[&str]) -> Vec<String> {
    let local: Vec<SocketAddr> = local.iter().map(|addr| addr.parse().unwrap()).collect();
    let mut addrs = OwnAddrs::new(&local);
    addrs.observe(&seen_at(votes), |_| false);
    shown(&addrs)
}

/// The same if all peers are at addresses of the settings.
fn after_targets(votes: &[&str]) -> Vec<String> {
    let mut addrs = OwnAddrs::default();
    addrs.observe(&seen_at(votes), |_| true);
    shown(&addrs)
}

#[test]
fn many_votes_for_one_family_do_not_hide_the_other() {
    let (four, six) = ("203.0.113.5:8083", "[2001:db8::1]:8083");
    let votes = [six, six, six, six, six, four, four];
    let both = ["Observed [2001:db8::1]:8083", "Observed 203.0.113.5:8083"];
    assert_eq!(after(&[], &votes), both);
    assert_eq!(after_targets(&votes[..6]), both, "the user named that peer");
}

#[test]
fn a_lone_voter_among_neighbours_is_not_believed_unless_the_settings_name_it() {
    let good = "203.0.113.5:8083";
    for lie in [
        "198.51.100.9:53",
        "10.0.0.7:8083",
        "[2001:db8::7]:53",
        "[::1]:8083",
    ] {
        let votes = [good, good, good, lie];
        let believed = if lie.starts_with("198") { 1 } else { 2 };
        assert_eq!(after(&[], &votes), ["Observed 203.0.113.5:8083"], "{lie}");
        let named = after_targets(&votes).len();
        assert!(named <= believed, "{lie}");
    }
    // It is believed if it is the only neighbour, and what was believed stands when others come that can't vote on it.
    let mut addrs = OwnAddrs::default();
    addrs.observe(&seen_at(&[good]), |_| false);
    addrs.observe(&seen_at(&[good, "[2001:db8::1]:8083"]), |_| false);
    assert_eq!(shown(&addrs), ["Observed 203.0.113.5:8083"]);
}

#[test]
fn one_vote_among_many_adds_nothing() {
    let good = "203.0.113.5:8083";
    let votes = [good, good, good, "198.51.100.9:1"];
    assert_eq!(after(&[], &votes), ["Observed 203.0.113.5:8083"]);
    assert_eq!(after(&[], &votes[2..]), [""; 0], "of two, neither counts");
    let mut addrs = OwnAddrs::default();
    addrs.observe(&seen_at(&votes[..1]), |_| false);
    addrs.observe(&seen_at(&votes[2..]), |_| false);
    assert_eq!(
        shown(&addrs),
        ["Observed 203.0.113.5:8083"],
        "the earlier one stands"
    );
    // A private address is of another class than the global ones.
    let votes = [good, good, good, "10.0.0.7:8083"];
    assert_eq!(after_targets(&votes).len(), 2);
    // Symmetric NAT: no two peers see the same port.
    let votes = ["203.0.113.5:1", "203.0.113.5:2", "203.0.113.5:3"];
    assert_eq!(after(&[], &votes), [""; 0]);
}

#[test]
fn an_own_address_needs_one_vote() {
    let good = "203.0.113.5:8083";
    let votes = [good, good, good, "198.51.100.9:8083"];
    let local = ["198.51.100.9:8083"];
    assert_eq!(
        after(&local, &votes),
        ["Observed 203.0.113.5:8083", "Local 198.51.100.9:8083"]
    );
}

#[test]
fn loopback_is_published_by_those_that_have_nothing_else() {
    assert_eq!(after(&["[::1]:8083"], &[]), ["Local [::1]:8083"]);
    assert_eq!(after(&[], &["[::1]:8083"]), ["Observed [::1]:8083"]);
    let local = ["[::1]:8083", "192.168.1.5:8083", "[fe80::1]:8083"];
    assert_eq!(after(&local, &[]), ["Local 192.168.1.5:8083"]);
    let votes = ["[::1]:9000"];
    assert_eq!(after(&["192.168.1.5:8083"], &votes).len(), 1);
    assert_eq!(after(&["[::1]:8083"], &votes), ["Local [::1]:8083"]);
}

#[test]
fn what_is_configured_comes_first_and_stays() {
    let mut addrs = OwnAddrs::default();
    let advertised = ["198.51.100.1:9000".parse().unwrap()];
    let local = ["[::ffff:192.168.1.5]:8083".parse().unwrap()];
    assert!(addrs.set(&advertised, &local));
    assert!(addrs.observe(
        &seen_at(&["198.51.100.1:8083", "198.51.100.1:8083"]),
        |_| false
    ));
    let all = [
        "Advertised 198.51.100.1:9000",
        "Observed 198.51.100.1:8083",
        "Local 192.168.1.5:8083",
    ];
    assert_eq!(shown(&addrs), all);
    assert!(!addrs.set(&advertised, &local), "nothing changed");
}

#[test]
fn a_vote_that_changed_leaves_nothing_behind() {
    let mut addrs = OwnAddrs::default();
    let (old, new) = ("203.0.113.5:8083", "198.51.100.7:8083");
    let mut links = seen_at(&[old, old, old]);
    assert!(addrs.observe(&links, |_| false));
    for peer in 2..4 {
        assert!(links.hear_observed(&node(peer), new.parse().unwrap()));
        addrs.observe(&links, |_| false);
    }
    assert_eq!(shown(&addrs), [format!("Observed {new}")]);
    assert!(!links.hear_observed(&node(2), new.parse().unwrap()));
}

#[test]
fn a_proof_is_for_a_published_address_and_goes_with_it() {
    let mut addrs = OwnAddrs::new(&["192.0.2.1:1".parse().unwrap()]);
    addrs.prove("192.0.2.9:1".parse().unwrap());
    assert!(!addrs.published()[0].dialable);
    addrs.prove("[::ffff:192.0.2.1]:1".parse().unwrap());
    assert!(addrs.published()[0].dialable);
    addrs.set(&[], &["192.0.2.2:1".parse().unwrap()]);
    addrs.set(&[], &["192.0.2.1:1".parse().unwrap()]);
    assert!(!addrs.published()[0].dialable);
}

#[test]
fn a_spare_port_is_no_address_but_shows_that_the_node_is_elsewhere() {
    let spare_at = |seen: &str| {
        let mut links = Links::new(node(1), ms(1500), std::sync::Arc::new(Tuning::DEFAULT));
        let mut new = connected(9, node(9), 7, true);
        new.hello.observed = seen.parse().unwrap();
        new.spare = true;
        links.adopt(ms(0), &new);
        links
    };
    let mut addrs = OwnAddrs::new(&[]);
    addrs.observe(
        &seen_at(&["203.0.113.5:8083", "[2001:db8::1]:8083"]),
        |_| true,
    );
    let before = shown(&addrs);
    for unchanged in ["203.0.113.5:40001", "10.0.0.7:40001"] {
        assert!(!addrs.observe(&spare_at(unchanged), |_| false));
        assert_eq!(shown(&addrs), before);
    }
    assert!(addrs.observe(&spare_at("203.0.113.6:40001"), |_| false));
    assert_eq!(shown(&addrs), ["Observed [2001:db8::1]:8083"]);
}
