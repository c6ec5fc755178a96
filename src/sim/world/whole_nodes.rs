//! The world with whole nodes: takes the datagrams of their tasks to the lines, and delivers datagrams to their sockets.

use std::collections::BTreeMap;

use super::World;
use super::outside::SentDatagram;
use crate::membership::Time;
use crate::sim::host::Body;
use crate::sim::news::Told;
use crate::sim::whole::{Sent, lock};
use crate::wire::NodeId;

/// Headers of a datagram: IPv6 and UDP.
const HEADERS: usize = 40 + 8;

impl World {
    /// Starts a whole node in the run that has begun.
    pub(in crate::sim) fn start_whole(&mut self, place: usize) {
        let whole = self.whole.as_mut().expect("whole nodes run here");
        let node = &mut self.nodes[place];
        let addr = node.listens.expect("a whole node listens somewhere");
        let settings = node.settings.clone();
        let running = whole.start(
            place,
            addr,
            node.key.identity(),
            settings,
            &node.start,
            node.unix_ms(),
        );
        self.deed(place, |node, _| {
            node.body = Some(Body::Whole(running));
            node.tell(Told::Started);
        });
        self.settle(place);
    }

    /// [`World::step`] for whole nodes: runs one task, or else advances to the next packet or timer.
    pub(in crate::sim) fn step_whole(&mut self, until: Time) -> bool {
        let whole = self.whole.as_mut().expect("whole nodes run here");
        if let Some(host) = whole.executor.run_one() {
            let place = whole.places[&host];
            self.settle(place);
            return true;
        }
        let packet = whole.packets.first();
        let alarm = whole.executor.next_alarm();
        let next = packet.into_iter().chain(alarm).min();
        self.now = next.map_or(until, |next| next.min(until)).max(self.now);
        whole.executor.advance(self.now);
        if next.is_none_or(|next| next > until) {
            return false;
        }
        while let Some(packet) = whole.packets.pop_by(self.now) {
            self.steps += 1;
            let Sent {
                from, to, bytes, ..
            } = packet.what;
            // A datagram that nobody receives is lost: a host without a node is silent.
            let there = self.listeners.get(&to).map(|&there| there as usize);
            let there = there.and_then(|there| self.nodes[there].body.as_ref());
            let from = self.nodes[from as usize].listens;
            if let (Some(Body::Whole(running)), Some(from)) = (there, from) {
                running.deliver(from, bytes);
            }
        }
        whole.packets.trim();
        true
    }

    /// Collects what a node just did, and takes its datagrams to the lines.
    fn settle(&mut self, place: usize) {
        let whole = self.whole.as_ref().expect("whole nodes run here");
        let turn = whole.take_turn(self.tap.is_some());
        let sent = std::mem::take(&mut *lock(&whole.outbox));
        // Connection ids are random, so the number of times that a task is polled may differ between otherwise identical runs.
        self.steps += turn.inputs;
        self.deed(place, |node, scene| {
            node.traffic.add(&turn.traffic);
            for line in turn.log {
                node.note(scene, format_args!("{line}"));
            }
            for told in turn.news {
                match told {
                    Told::Published(own, _) => node.published(own),
                    Told::Started
                    | Told::Stopped
                    | Told::Event(_)
                    | Told::Dialed(_)
                    | Told::Closed(_) => {
                        node.tell(told);
                    }
                }
            }
        });
        for packet in sent {
            self.send_packet(packet);
        }
        if turn.over {
            self.kill(place);
        }
    }

    fn send_packet(&mut self, packet: Sent) {
        if let Some(wiretap) = &mut self.wiretap {
            wiretap(SentDatagram {
                at: self.now,
                from: packet.from as usize,
                to: packet.to,
                bytes: &packet.bytes,
                marked: packet.marked,
            });
        }
        let whole = self.whole.as_mut().expect("whole nodes run here");
        let node = &mut self.nodes[packet.from as usize];
        let bytes = packet.bytes.len() + HEADERS;
        node.traffic.bytes += bytes as u64;
        let Some(&to) = self.listeners.get(&packet.to) else {
            return;
        };
        if self.drops_marked && packet.marked {
            return;
        }
        let (lines, rng) = (&mut node.lines, &mut node.rng);
        for delivery in lines.toss_whole(&self.land, to, self.now, bytes, rng) {
            let mut bytes = packet.bytes.clone();
            if let Some(flip) = delivery.flip {
                flip.apply(&mut bytes);
            }
            whole.carry(delivery.at, Sent { bytes, ..packet });
        }
    }

    /// Linked pairs of nodes (connections that both cores have), and how many connections each has.
    pub(in crate::sim) fn pairs_of_whole_nodes(
        &self,
        place_of: impl Fn(&NodeId) -> Option<usize>,
    ) -> BTreeMap<(usize, usize), u32> {
        let mut half: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for place in self.running() {
            let Some(core) = self.nodes[place].core() else {
                continue;
            };
            for peer in core.connected() {
                if let Some(peer) = place_of(&peer) {
                    *half.entry((place, peer)).or_default() += 1;
                }
            }
        }
        let both = half.iter().filter(|((from, to), _)| from < to);
        both.filter_map(|((from, to), count)| {
            let back = half.get(&(*to, *from))?;
            Some(((*from, *to), *count.min(back)))
        })
        .collect()
    }
}
