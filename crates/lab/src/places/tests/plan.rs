//! The plan, and the rules that follow from it.

use std::net::IpAddr;

use super::super::nat::Nat;
use super::super::plan::Plan;
use super::good;
use crate::places::scenario::Kind;

const MUST: &str = "[[must]]\nknow = \"all\"\nwithin = \"1s\"\n";

fn plan() -> Plan {
    Plan::new(&good(MUST))
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn each_copy_of_a_network_has_a_router_and_hosts_of_its_own() {
    let plan = plan();
    let names: Vec<&str> = plan
        .places
        .iter()
        .map(|place| place.name.as_str())
        .collect();
    assert_eq!(names, ["gate0", "gate1", "pub", "h0", "h1"]);
    assert_eq!(plan.nodes, [2, 3, 4]);
    // Both homes have the same prefix; the routers come first on every network.
    for host in [3, 4] {
        assert_eq!(plan.places[host].ports[0].v4, "192.168.1.2".parse().ok());
    }
    assert_eq!(
        plan.places[2].ports[0].addresses(),
        ips(&["198.51.100.3", "2001:db8::3"])
    );
}

#[test]
fn names_mean_places() {
    let plan = plan();
    let who = |names: &[&str]| plan.who(&names.iter().map(|&name| name.into()).collect::<Vec<_>>());
    assert_eq!(who(&["all"]), [2, 3, 4]);
    assert_eq!(who(&["h"]), [3, 4]);
    assert_eq!(who(&["h1", "gate0"]), [0, 4]);
    assert_eq!(plan.nodes_of(&["h1".into(), "gate0".into()]), [2]);
}

#[test]
fn placeholders_stand_for_addresses() {
    let plan = plan();
    assert_eq!(plan.fill("{pub}:8083").unwrap(), "198.51.100.3:8083");
    assert_eq!(plan.fill("[{pub.6}]:1").unwrap(), "[2001:db8::3]:1");
    assert_eq!(
        plan.fill("{gate1} {gate1.in}").unwrap(),
        "198.51.100.2 192.168.1.1"
    );
    assert_eq!(
        plan.fill("{ type filter; } {h0}").unwrap(),
        "{ type filter; } 192.168.1.2"
    );
    assert!(plan.fill("{nobody}").is_err());
    assert!(plan.fill("{pub.1}").is_err());
}

#[test]
fn a_host_behind_a_nat_is_seen_at_the_nats_address() {
    let mut plan = plan();
    assert_eq!(
        plan.public(1),
        (ips(&["198.51.100.1"]), ips(&["192.168.1.2"]))
    );
    assert_eq!(plan.public(0).0, ips(&["2001:db8::3", "198.51.100.3"]));
    plan.renumber(0, 1);
    assert_eq!(plan.public(1).0, ips(&["198.51.100.4"]));
    // A renumbered host has addresses that nobody had.
    let old = plan.renumber(2, 0);
    assert_eq!(old, ips(&["198.51.100.3", "2001:db8::3"]));
    assert_eq!(plan.public(0).0, ips(&["2001:db8::5", "198.51.100.5"]));
}

#[test]
fn what_is_behind_a_nat_has_no_route_from_outside() {
    let below = plan().below(0);
    assert_eq!(below.len(), 2);
    assert!(
        below
            .iter()
            .all(|(_, (v4, v6))| v4.is_none() && v6.is_none())
    );
}

#[test]
fn a_mapped_port_is_not_used_for_anything_else() {
    let plan = plan();
    let inside = "192.168.1.2".parse().unwrap();
    assert_eq!(plan.maps(0), [(9000, inside, 8083)]);
    assert_eq!(plan.outside_ports(0), [(inside, 8083, 8083)]);
}

fn rules(kind: Kind, hairpin: bool) -> String {
    let nat = Nat {
        kind,
        kind6: Kind::Firewall,
        inside: "eth0".into(),
        outside: vec![("eth1".into(), "198.51.100.1".parse().ok())],
        ports: vec![("192.168.1.2".parse().unwrap(), 8083, 8083)],
        maps: Vec::new(),
        hairpin,
        timeout_s: 30,
    };
    nat.rules()
}

#[test]
fn kinds_differ_in_mapping_and_filtering() {
    let has = |kind, text: &str| rules(kind, false).contains(text);
    for kind in [
        Kind::FullCone,
        Kind::AddressRestricted,
        Kind::PortRestricted,
    ] {
        assert!(has(kind, "snat ip to ip saddr . udp sport map @source0"));
        assert!(!has(kind, "fully-random"));
    }
    assert!(has(Kind::Symmetric, "masquerade random,fully-random"));
    assert!(!has(Kind::Firewall, "table ip nat {"));
    assert!(has(Kind::FullCone, "udp dport @open accept"));
    assert!(has(Kind::AddressRestricted, "ip saddr @peers accept"));
    for kind in [Kind::PortRestricted, Kind::Symmetric, Kind::Firewall] {
        assert!(!has(kind, "@open accept") && !has(kind, "@peers accept"));
        assert!(!has(kind, "dport map @target"));
    }
    assert!(rules(Kind::PortRestricted, true).contains("ct status dnat accept"));
}
