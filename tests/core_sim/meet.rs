//! Rendezvous: hostile members name a victim's address, over and over, under many ids and over several relays. What honest nodes send
//! there stays within a bound.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use area_net::identity::Identity;
use area_net::membership::{Action, ConnId, Input, Time, Tuning};
use area_net::record::{AddrKind, Body, PublishedAddr, Record, Signer as _};
use area_net::wire::{Answer, Meet, Message, NodeId, Probe};

use crate::desk::{Desk, HONEST, LIAR, arrived, body, identity, link_to};
use crate::net::{NETWORK, ms, secs};

const VICTIM: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
/// The connections of the relays, all of which are hostile here, and the seeds of their keys.
const RELAYS: [(ConnId, u8); 3] = [(HONEST, 1), (LIAR, 2), (ConnId(3), 3)];
/// The seeds of the hostile members that no node has a link with.
const AUTHORS: std::ops::Range<u8> = 100..116;
const MINUTE: Time = Time::from_secs(60);

/// An honest node among hostile ones, and the packets that it sent to the victim.
struct Honest {
    desk: Desk,
    /// When small packets left, and how many.
    small: Vec<(Time, usize)>,
    dials: usize,
    nonce: u64,
    seq: u32,
}

/// What a hostile member says of itself: it has links with those.
fn says(of: &Identity, peers: &[Identity]) -> std::sync::Arc<Record> {
    let mut links: Vec<_> = peers.iter().map(link_to).collect();
    links.sort_by_key(|link| link.peer);
    let body = Body {
        seq: 2,
        addrs: Vec::new(),
        links,
        ..body(of)
    };
    arrived(&Record::sign(body, NETWORK, of))
}

impl Honest {
    fn new() -> Self {
        let mut desk = Desk::new();
        let third = identity(3);
        desk.connect(
            ConnId(3),
            &third,
            Record::sign(body(&third), NETWORK, &third),
        );
        let relays = RELAYS.map(|(_, key)| identity(key));
        let authors: Vec<Identity> = AUTHORS.map(identity).collect();
        let me = desk.core.own_record().id();
        let mut records: Vec<_> = authors.iter().map(|one| says(one, &relays)).collect();
        for relay in &relays {
            let mut links: Vec<_> = authors.iter().map(link_to).collect();
            links.push(area_net::record::LinkState {
                peer: me.abbreviated(),
                ..link_to(relay)
            });
            links.sort_by_key(|link| link.peer);
            let body = Body {
                seq: 2,
                links,
                ..body(relay)
            };
            records.push(arrived(&Record::sign(body, NETWORK, relay)));
        }
        desk.say(Message::Records(records));
        desk.now += ms(500);
        desk.give(Input::Timeout);
        assert!(authors.iter().all(|one| desk.core.is_up(&one.node_id())));
        Self {
            desk,
            small: Vec::new(),
            dials: 0,
            nonce: 0,
            seq: 1,
        }
    }

    /// Every author asks over every relay. That takes a second.
    fn ask(&mut self, port: u16, spoofs: bool) {
        let me = self.desk.core.own_record().id();
        for author in AUTHORS {
            for (conn, relay) in RELAYS {
                self.nonce += 1;
                let way = [identity(author).node_id(), identity(relay).node_id(), me];
                let meet = Meet {
                    way: way.iter().map(NodeId::abbreviated).collect(),
                    is_answer: false,
                    nonce: self.nonce,
                    asker_dials: self.nonce.is_multiple_of(2),
                    addrs: (0..8)
                        .map(|at| (VICTIM, port.wrapping_add(at).max(1024)).into())
                        .map(|addr| PublishedAddr::new(AddrKind::Observed, addr))
                        .collect(),
                };
                self.desk.give(Input::Message(conn, Message::Meet(meet)));
                if spoofs {
                    let from = (VICTIM, port).into();
                    let nonce = self.nonce;
                    self.desk.give(Input::Opened { nonce, from });
                }
            }
        }
        self.desk.give(Input::Timeout);
        self.look();
    }

    /// Counts what was sent to the victim, and keeps the links alive.
    fn look(&mut self) {
        let now = self.desk.now;
        let to_victim = |addr: &&SocketAddr| addr.ip() == VICTIM;
        for action in std::mem::take(&mut self.desk.actions) {
            match action {
                Action::Open { addrs, .. } => {
                    let packets = 3 * addrs.iter().filter(to_victim).count();
                    self.small.push((now, packets));
                }
                Action::Dial { addr, others, .. } => {
                    self.dials += others.iter().chain([&addr]).filter(to_victim).count();
                }
                Action::Probe(conn, probe) => {
                    let answer = Answer {
                        seq: probe.seq,
                        hold_us: 0,
                    };
                    self.desk.give(Input::Answer(conn, answer, Some(100)));
                }
                Action::Send(..) | Action::Close(..) | Action::Echo(..) => {}
            }
        }
        self.seq += 1;
        for (conn, _) in RELAYS {
            let probe = Probe {
                seq: self.seq,
                heard: true,
                rtt_us: 100,
                loss: 0,
                next_ms: 1500,
                digest: self.desk.core.digest(),
            };
            self.desk.give(Input::Probe(conn, probe));
        }
    }

    /// The most small packets in any minute.
    fn in_a_minute(&self) -> usize {
        let within = |from: Time| {
            let sent = self.small.iter();
            let sent = sent.filter(|(at, _)| (from..from + MINUTE).contains(at));
            sent.map(|(_, packets)| packets).sum()
        };
        self.small
            .iter()
            .map(|(at, _)| within(*at))
            .max()
            .unwrap_or_default()
    }

    fn packets(&self) -> usize {
        self.small.iter().map(|(_, packets)| packets).sum()
    }
}

/// The rendezvous that a node takes part in for one host, in any minute.
fn bound() -> usize {
    let tuning = Tuning::DEFAULT.meet;
    (tuning.host_burst + tuning.host_per_minute).round() as usize
}

#[test]
fn one_node_sends_a_victim_at_most_thirty_small_packets_in_any_minute_and_no_dial() {
    let mut honest = Honest::new();
    while honest.desk.now < secs(600) {
        let port = honest.desk.now.as_millis() as u16;
        honest.ask(port, false);
    }
    assert_eq!(bound(), 10);
    let most = honest.in_a_minute();
    assert!(
        (1..=3 * bound()).contains(&most),
        "{most} packets in a minute"
    );
    let all = honest.packets();
    assert!(all <= 3 * 46, "{all} packets in ten minutes");
    assert_eq!(honest.dials, 0);
}

#[test]
fn twenty_nodes_send_a_victim_no_more_than_twenty_times_that() {
    let mut all = 0;
    for node in 0..20 {
        let mut honest = Honest::new();
        while honest.desk.now < secs(90) {
            honest.ask(2000 + node, false);
        }
        let most = honest.in_a_minute();
        assert!(most <= 3 * bound(), "{most} packets in a minute");
        assert_eq!(honest.dials, 0);
        all += most;
    }
    assert!((1..=20 * 3 * bound()).contains(&all), "{all} packets");
}

#[test]
fn packets_in_the_name_of_a_victim_cost_it_no_more_dials_than_rendezvous() {
    let mut honest = Honest::new();
    while honest.desk.now < secs(600) {
        honest.ask(4000, true);
    }
    // Of the 46 that the allowance holds in ten minutes, each is a rendezvous or a dial.
    let rendezvous = honest.packets() / 3;
    let both = rendezvous + honest.dials;
    assert!(
        both <= 47,
        "{rendezvous} rendezvous and {} dials",
        honest.dials
    );
}
