//! See the crate's documentation.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::switch::{Flow, Running, SECOND, Shared, addr, start, until};

#[tokio::test(start_paused = true)]
async fn a_flow_that_leads_nowhere_is_left_for_a_spare_port_and_taken_again_once_forgotten() {
    let switch = Shared::default();
    let (at_home, outside) = (addr("203.0.113.9:8083"), addr("198.51.100.1:8083"));
    let public = start(&switch, 1, outside, &[]);
    let home = start(&switch, 2, at_home, &[outside]);
    until(2, || home.knows(&public)).await;
    until(2, || public.knows(&home)).await;
    assert_eq!(
        switch.lock().unwrap().spare_ports(),
        0,
        "the listening port works"
    );
    assert_eq!(public.addrs_of(&home).await, [at_home]);

    switch.lock().unwrap().stale = Some(Flow {
        inside: at_home,
        outside,
        last: Instant::now(),
    });
    until(10, async || !home.knows(&public).await).await;
    until(40, || home.knows(&public)).await;
    assert_eq!(switch.lock().unwrap().spare_ports(), 1);
    // The link lasts, and nobody takes the spare port for an address of the node.
    for _ in 0..150 {
        sleep(SECOND).await;
        assert!(home.knows(&public).await && public.knows(&home).await);
        assert_eq!(public.addrs_of(&home).await, [at_home]);
    }
    // By then the flow has been silent for long enough.
    until(300, async || switch.lock().unwrap().spare_ports() == 0).await;
    assert!(switch.lock().unwrap().stale.is_none());
    assert!(home.knows(&public).await && public.knows(&home).await);
}

#[tokio::test(start_paused = true)]
async fn what_never_answers_costs_few_packets_and_leaves_no_port_open() {
    let switch = Shared::default();
    let (here, nowhere) = (addr("203.0.113.9:8083"), addr("198.51.100.1:8083"));
    let _lone = start(&switch, 1, here, &[nowhere]);
    let mut most = 0;
    for _ in 0..6000 {
        sleep(SECOND / 10).await;
        most = most.max(switch.lock().unwrap().spare_ports());
    }
    assert!((1..=4).contains(&most), "{most} spare ports at once");
    let switch = switch.lock().unwrap();
    let sent = |spare: bool| -> u64 {
        let of = switch
            .sent
            .iter()
            .filter(|((from, _), _)| (*from != here) == spare);
        of.map(|(_, count)| count).sum()
    };
    assert!(
        sent(true) * 2 <= sent(false),
        "{} from spare ports, {} from the own",
        sent(true),
        sent(false)
    );
}

/// Thirty nodes at one address start together, and later find that their peer restarted. Returns how long each took until it knew all.
async fn thirty_behind_one_address(delay: Duration) -> [Duration; 2] {
    let switch = Shared::default();
    switch.lock().unwrap().delay = delay;
    let outside = addr("198.51.100.1:8083");
    let public = start(&switch, 1, outside, &[]);
    let behind = |port: u16| SocketAddr::new(addr("203.0.113.9:1").ip(), port);
    let inside: Vec<Running> = (0..30)
        .map(|at| start(&switch, 2 + at, behind(20_000 + u16::from(at)), &[outside]))
        .collect();
    let all = inside.len() + 1;
    let started = until(20, async || public.up().await == all).await;
    sleep(SECOND * 20).await;
    public.leave().await;
    let public = start(&switch, 1, outside, &[]);
    let restarted = until(20, async || public.up().await == all).await;
    [started, restarted]
}

#[tokio::test(start_paused = true)]
async fn thirty_nodes_behind_one_address_get_in_together() {
    for delay in [SECOND / 100, SECOND / 20, SECOND / 7] {
        let [started, restarted] = thirty_behind_one_address(delay).await;
        // Ten turns of those that come in first, and a packet that is sent again after a second.
        let limit = delay * 10 + SECOND * 2;
        let at_once = delay * 10 + SECOND / 10;
        assert!(
            started <= at_once && restarted <= limit,
            "{delay:?}: {started:?}, {restarted:?}"
        );
    }
}
