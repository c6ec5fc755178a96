use super::*;
use crate::membership::testing::node;

const VICTIM: &str = "192.0.2.66:4000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn strangers() -> Strangers {
    Strangers::new(&[at("198.51.100.1:443")], Arc::default())
}

/// How many dials a node makes within that time that dials at every chance, each time for another id, at an address of its choice.
fn dials(all: &mut Strangers, up: usize, time: Duration, addr: impl Fn(u32) -> SocketAddr) -> u32 {
    let (mut now, mut made, ports) = (Time::ZERO, 0, Ports::default());
    while now < time {
        let id = Some(node(u8::try_from(made % 200).unwrap()));
        let addr = addr(made);
        if all.rests_until(now, &addr, id, (up, &ports)).is_none() {
            all.pay(now, &addr, id, (up, &ports));
            made += 1;
        }
        now += Duration::from_millis(250);
    }
    made
}

#[test]
fn an_address_costs_the_whole_network_an_initial_a_second_whatever_its_size() {
    let hour = Duration::from_secs(3600);
    for up in [1, 5, 100, 1000] {
        let made = dials(&mut strangers(), up, hour, |_| at(VICTIM));
        let initials = f64::from(made) * DIAL * up as f64;
        let at_once = 2.0 * DIAL * up as f64;
        assert!(initials <= 3600.0 + at_once, "{initials} from {up} nodes");
        assert!(made >= 2, "a first dial may be lost");
    }
}

#[test]
fn at_an_address_that_many_claim_each_node_has_its_turn() {
    let (up, addr, ports) = (24, at(VICTIM), Ports::default());
    let first = |before: usize| {
        let (mut all, id) = (strangers(), node(7));
        assert!(all.is_new(&addr, id, &ports));
        all.wait_turn(Time::ZERO, &addr, before, up);
        assert!(!all.is_new(&addr, id, &ports));
        let at = all.rests_until(Time::ZERO, &addr, Some(id), (up, &ports));
        at.unwrap_or_default().as_secs_f64()
    };
    for before in 0..up {
        let turn = before as f64 * DIAL;
        assert!((first(before) - turn).abs() < 0.01, "{before}");
    }
}

#[test]
fn a_host_costs_a_little_more_whatever_ports_are_named_except_on_this_machine() {
    let port = |ip: &str| {
        let ip: IpAddr = ip.parse().unwrap();
        move |nth: u32| SocketAddr::new(ip, 2000 + u16::try_from(nth % 60_000).unwrap())
    };
    let minutes = Duration::from_secs(600);
    for ip in ["192.0.2.66", "2001:db8::1"] {
        let made = dials(&mut strangers(), 10, minutes, port(ip));
        assert!((16..=16 + 60).contains(&made), "{made} dials to {ip}");
    }
    let made = dials(&mut strangers(), 10, minutes, port("127.0.0.1"));
    assert_eq!(made, 2400, "each is an address of its own");
}

#[test]
fn a_node_is_dialed_freely_where_it_was_met_and_others_are_strangers_there() {
    let (mut all, now, ports) = (strangers(), Time::ZERO, Ports::default());
    all.meet(now, at(VICTIM), node(1));
    let rests = |all: &Strangers, id| all.rests_until(now, &at(VICTIM), id, (5, &ports)).is_some();
    for _ in 0..9 {
        all.pay(now, &at(VICTIM), Some(node(1)), (5, &ports));
        assert!(!rests(&all, Some(node(1))));
    }
    assert!(!rests(&all, Some(node(2))), "it may have taken the place");
    for _ in 0..2 {
        all.pay(now, &at(VICTIM), Some(node(2)), (5, &ports));
    }
    let all_ids = [Some(node(1)), Some(node(2)), Some(node(3))];
    assert_eq!(all_ids.map(|id| rests(&all, id)), [false, true, true]);
    // The same address, as a dual-stack socket writes it.
    let mapped = at("[::ffff:192.0.2.66]:4000");
    assert!(
        all.rests_until(now, &mapped, Some(node(3)), (5, &ports))
            .is_some()
    );
}

#[test]
fn no_stranger_is_dialed_at_a_port_of_the_system() {
    let (mut all, now) = (strangers(), Time::ZERO);
    let barred = |all: &Strangers, addr: &str, id: Option<NodeId>, ports: &Ports| {
        let until = all.rests_until(now, &at(addr), id, (5, ports));
        until == Some(Tuning::DEFAULT.overlay.longest_retry)
    };
    let ports = Ports::default();
    for addr in [
        "192.0.2.66:53",
        "192.0.2.66:1023",
        "[::1]:631",
        "[2001:db8::1]:443",
    ] {
        for id in [None, Some(node(1))] {
            assert!(barred(&all, addr, id, &ports), "{addr}");
        }
    }
    assert!(!barred(&all, "192.0.2.66:1024", Some(node(1)), &ports));
    assert!(
        !barred(&all, "198.51.100.1:443", None, &ports),
        "configured"
    );
    // A node that listens there itself, as all of its network may.
    let own = Ports {
        own: [443].into(),
        ..Ports::default()
    };
    assert!(!barred(&all, "192.0.2.66:443", Some(node(1)), &own));
    assert!(barred(&all, "192.0.2.66:53", Some(node(1)), &own));
    // Advertised by a node that was met at that host.
    let says = Ports {
        advertised: [at("192.0.2.66:53")].into(),
        ..Ports::default()
    };
    all.meet(now, at("192.0.2.66:40000"), node(1));
    assert!(!barred(&all, "192.0.2.66:53", Some(node(1)), &says));
    assert!(
        barred(&all, "192.0.2.66:53", Some(node(2)), &says),
        "it was not met there"
    );
    assert!(barred(&all, "192.0.2.66:54", Some(node(1)), &says));
    // Met at the very port.
    all.meet(now, at("192.0.2.66:123"), node(1));
    assert!(!barred(&all, "192.0.2.66:123", Some(node(2)), &ports));
}

#[test]
fn what_was_not_sent_is_given_back() {
    let (mut all, now, ports) = (strangers(), Time::ZERO, Ports::default());
    for _ in 0..50 {
        assert_eq!(all.rests_until(now, &at(VICTIM), None, (5, &ports)), None);
        all.pay(now, &at(VICTIM), None, (5, &ports));
        all.refund(&at(VICTIM), 0.0);
    }
    for _ in 0..5 {
        all.pay(now, &at(VICTIM), None, (5, &ports));
        all.refund(&at(VICTIM), 1.0);
    }
    let rests = all.rests_until(now, &at(VICTIM), None, (5, &ports));
    assert_eq!(
        rests,
        Some(Duration::from_secs(5)),
        "five Initials of eight were sent"
    );
}

#[test]
fn private_networks_are_told_apart_by_who_was_met_there() {
    let mut all = strangers();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    for (met, near, far) in [
        ("10.1.2.3:1", "10.200.0.1", "172.16.0.1"),
        ("172.20.0.1:1", "172.16.0.9", "172.32.0.1"),
        ("192.168.1.1:1", "192.168.9.9", "100.64.0.1"),
        ("[fd00:1:2:3::1]:1", "fd00:1:2:ff::1", "fd00:1:3::1"),
    ] {
        assert!(!all.reaches(ip(near)), "{near}");
        all.meet(Time::ZERO, at(met), node(1));
        assert!(all.reaches(ip(near)), "{near}");
        assert!(!all.reaches(ip(far)), "{far}");
    }
    assert!(!all.reaches(ip("203.0.113.1")));
}

#[test]
fn the_tables_are_bounded_and_configured_addresses_stay() {
    let (mut all, ports) = (strangers(), Ports::default());
    all.meet(Time::ZERO, at("198.51.100.1:443"), node(9));
    for nth in 0..10_000_u32 {
        let now = Duration::from_secs(nth.into());
        let addr = SocketAddr::new(IpAddr::V4((0x0a00_0000 + nth).into()), 5000);
        all.meet(now, addr, node(1));
        all.pay(now, &addr, Some(node(2)), (5, &ports));
    }
    assert_eq!(
        (all.met.len(), all.addrs.0.len(), all.hosts.0.len()),
        (MAX_MET, MAX_BUDGETS, MAX_BUDGETS)
    );
    assert_eq!(all.who(&at("198.51.100.1:443")), Some(node(9)));
}
