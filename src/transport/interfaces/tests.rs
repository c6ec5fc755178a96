//! Which addresses are published and which are on a link.

use super::*;

fn interface(index: u32, standing: Standing, addrs: &[&str]) -> Interface {
    let addrs = addrs
        .iter()
        .map(|addr| (addr.parse().unwrap(), held(State::Usable)));
    Interface {
        name: format!("eth{index}"),
        index,
        is_loopback: false,
        has_multicast: true,
        standing,
        addrs: addrs.collect(),
    }
}

fn held(state: State) -> Held {
    Held { state, prefix: 24 }
}

fn texts(addrs: &[IpAddr]) -> Vec<String> {
    addrs.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn this_machine_has_its_loopback_addresses() {
    let receiver = follow();
    let now = receiver.borrow().clone();
    let lo: IpAddr = "127.0.0.1".parse().unwrap();
    assert!(now.has(lo) && now.addrs().contains(&lo), "{now}");
    assert!(!now.reachable().contains(&lo));
    let loopback = now.iter().find(|one| one.is_loopback).unwrap();
    assert_eq!(now.index_of(&loopback.name), Some(loopback.index));
}

#[test]
fn the_likeliest_addresses_come_first_and_bridges_of_containers_last() {
    let eth = [
        "fe80::1",
        "192.168.1.2",
        "fd00::2",
        "2001:db8::2",
        "2001:db8::3",
    ];
    let mut all = vec![
        interface(2, Standing::InnerBridge, &["172.17.0.1", "fd17::1"]),
        interface(3, Standing::Plain, &["10.0.0.1", "169.254.1.1"]),
        interface(4, Standing::DefaultRoute, &eth),
    ];
    let reachable = Interfaces(all.clone()).reachable();
    assert_eq!(
        texts(&reachable),
        [
            "2001:db8::2",
            "192.168.1.2",
            "10.0.0.1",
            "2001:db8::3",
            "fd00::2",
            "fd17::1",
            "172.17.0.1"
        ]
    );
    for index in 5..20 {
        let addr = format!("172.{index}.0.1");
        all.push(interface(index, Standing::InnerBridge, &[&addr]));
    }
    let limited = Interfaces(all).reachable();
    assert_eq!(limited.len(), MAX_LOCAL);
    assert_eq!(limited[..5], reachable[..5]);
}

#[test]
fn a_tentative_address_is_not_published_and_a_passing_one_comes_late() {
    let mut one = interface(2, Standing::Plain, &["2001:db8::1", "2001:db8::9"]);
    one.addrs
        .insert("2001:db8::1".parse().unwrap(), held(State::Passing));
    one.addrs
        .insert("2001:db8::5".parse().unwrap(), held(State::Tentative));
    let all = Interfaces(vec![one]);
    assert_eq!(texts(&all.reachable()), ["2001:db8::9", "2001:db8::1"]);
    assert_eq!(
        all.tentative_on("2001:db8::5".parse().unwrap()),
        Some("eth2")
    );
    assert!(!all.has("2001:db8::5".parse().unwrap()));
    assert_eq!(
        all.to_string(),
        "eth2 2001:db8::1 2001:db8::5 (tentative) 2001:db8::9"
    );
}

#[test]
fn an_address_is_on_link_by_its_prefix_or_its_scope() {
    let one = interface(4, Standing::Plain, &["192.168.1.2", "fd00:1::2", "fe80::2"]);
    let all = Interfaces(vec![one]);
    let is_on_link = |addr: &str| all.is_on_link(addr.parse().unwrap());
    assert!(is_on_link("192.168.1.77:9") && !is_on_link("192.168.2.77:9"));
    assert!(is_on_link("[fd00:1::77]:9") && !is_on_link("[2001:db8::1]:9"));
    assert!(is_on_link("[fe80::77%4]:9") && !is_on_link("[fe80::77%5]:9"));
    let any = |prefix| {
        share(
            "10.0.0.1".parse().unwrap(),
            "192.0.2.1".parse().unwrap(),
            prefix,
        )
    };
    assert!(!any(0) && !any(8));
}
