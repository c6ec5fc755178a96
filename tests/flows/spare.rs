//! Peers that hold all spare ports of a node do not take spare ports away from others.

use std::net::SocketAddr;

use tokio::time::sleep;

use crate::switch::{SECOND, Shared, addr, start, until};

/// The spare port of `home` to which `peer` sends now.
async fn port_in_use(switch: &Shared, peer: SocketAddr, home: SocketAddr) -> Option<SocketAddr> {
    let sent = || {
        let switch = switch.lock().unwrap();
        let ports = switch
            .sent
            .iter()
            .filter(|((from, to), _)| *from == peer && to.ip() == home.ip() && *to != home);
        let ports = ports.map(|((_, to), count)| (*to, *count));
        ports.collect::<Vec<_>>()
    };
    let before = sent();
    sleep(SECOND * 5).await;
    let after = sent().into_iter().filter(|one| !before.contains(one));
    after.map(|(to, _)| to).next()
}

#[tokio::test(start_paused = true)]
async fn peers_that_hold_all_spare_ports_leave_one_for_a_peer_elsewhere() {
    let switch = Shared::default();
    let home = addr("203.0.113.9:8083");
    let holders = [1, 2, 3, 4].map(|last| SocketAddr::from(([198, 51, 100, last], 8083)));
    let honest = addr("198.51.100.9:8083");
    for peer in holders.into_iter().chain([honest]) {
        switch.lock().unwrap().block(home, peer);
    }
    let targets: Vec<SocketAddr> = holders.into_iter().chain([honest]).collect();
    let node = start(&switch, 1, home, &targets);
    // Each of them accepts from a spare port alone, and keeps the connection.
    let mut running = Vec::new();
    for (seed, holder) in (2..).zip(holders) {
        running.push(start(&switch, seed, holder, &[]));
        let holds = || async { port_in_use(&switch, holder, home).await.is_some() };
        until(300, holds).await;
        sleep(SECOND * 15).await;
    }
    let mut held = Vec::new();
    for holder in holders {
        held.push(port_in_use(&switch, holder, home).await.unwrap());
    }
    held.sort_unstable();
    held.dedup();
    assert_eq!(held.len(), 4, "{held:?}");

    let peer = start(&switch, 9, honest, &holders[..1]);
    until(60, || node.knows(&peer)).await;
    // Before it was there, it was dialed from each of the ports in vain. These dials count for 200 s.
    until(260, || async {
        port_in_use(&switch, honest, home).await.is_some()
    })
    .await;
    let first = port_in_use(&switch, honest, home).await.unwrap();
    assert!(switch.lock().unwrap().spare_ports() <= 4);
    // The flow leads nowhere from now on: another port serves, though all are held.
    switch.lock().unwrap().block(first, honest);
    let moved = || async {
        let port = port_in_use(&switch, honest, home).await;
        port.is_some_and(|port| port != first)
    };
    until(260, moved).await;
    assert!(switch.lock().unwrap().spare_ports() <= 4);
}
