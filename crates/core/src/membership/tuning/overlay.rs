//! The tuned constants of the overlay.

use std::time::Duration;

use super::tuning;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

tuning! {
    /// The tuned constants of the overlay.
    struct Tuning {
        /// A node that is younger than this dials eagerly, which repeats a lost first packet quickly: others may be starting at
        /// the same moment. Halved or doubled: 12 whole nodes stay exact after 2.7 and 2.5 s instead of 2.7 s (loss 5 %, medians of 60
        /// seeds).
        starting: Duration = S, Duration::ZERO => MINUTE;
        /// How many links a node keeps while the network grows around it. More of them would mostly be given up once the shape is
        /// made. Changed to 1: the start stays exact after 3.5 s instead of 3.6 s, for 304 kB a node instead of 329 kB. Doubled:
        /// after 5.8 s, for 499 kB (third-dies, 100 nodes). One link is enough for a start, but its loss cuts the newcomer off.
        least_while_growing: usize = 3, 0 => 64;
        /// How many of these it must have dialed itself: a newcomer does not rely only on nodes that sought it.
        least_dialed_while_growing: usize = 1, 0 => 64;
        /// How many links that it dialed itself a node keeps at least: whoever dials it often enough could surround it otherwise.
        least_dialed: usize = 3, 0 => 64;
        /// A node looks for more links only when it has this many fewer than its target. Halved: 5 % more links, 10 % more bytes,
        /// and a kill of 30 % costs 473 kB a node until views stay exact instead of 417 kB. Doubled: 4 % fewer links, the start
        /// stays exact after 6.6 s instead of 3.6 s, the kill after 5.0 s instead of 4.1 s (third-dies, 100 nodes).
        content_below_target: usize = 2, 0 => 64;
        /// How many links a node looks for at least, however low its target is set.
        least_links: usize = 3, 0 => 64;
        /// A full mesh that was given up comes back only this many nodes further down: otherwise one node that comes and goes would
        /// make all others mesh and prune.
        mesh_slack: usize = 2, 0 => 64;
        /// In a full mesh the node with the lower id dials; the other one waits this long before it dials too. It bounds the number
        /// of connection collisions. Halved: 93 dials for 66 links instead of 86. Doubled: 67 dials, and views stay exact after 1.6
        /// s instead of 1.4 s (12 nodes, star, seed 3).
        courtesy: Duration = MS.saturating_mul(400), Duration::ZERO => MINUTE;
        /// The neighbour set is looked at again after this time while links are missing and nothing else happens. Halved or
        /// doubled: the same times, bytes and dials (third-dies, 100 nodes).
        look_again: Duration = MS.saturating_mul(500), MS => MINUTE;
        /// A node gives links up when it has this many more than its target: one or two are not worth the records that tell of it.
        /// At 2: the start stays exact after 7.0 s instead of 3.6 s, for 394 kB a node instead of 329 kB. Doubled: after 6.5 s, for
        /// 355 kB, with 3 % more links at the end (third-dies, 100 nodes).
        too_many: usize = 3, 1 => 64;
        /// How old a link must be to be given up as superfluous. Halved: a kill of 30 % is known to all after 3.0 s instead of 2.8
        /// s, and stays exact after 4.2 s instead of 4.1 s. Doubled: after 3.3 s and 4.7 s, with 8 % more bytes over the whole run
        /// (third-dies, 100 nodes).
        settled: Duration = MS.saturating_mul(3000), Duration::ZERO => MINUTE;
        /// The least time between two links that a node gives up. Halved: a kill of 30 % stays exact after 4.3 s instead of 4.1 s.
        /// Doubled: after 4.4 s, with 3 % more bytes (third-dies, 100 nodes).
        prune_every: Duration = MS.saturating_mul(300), MS => MINUTE;
        /// How many random nodes are compared to find one with few links. At 1, which is no choice, and doubled: the start stays
        /// exact after 9.2 s instead of 3.6 s. With 6 it costs 377 kB a node instead of 329 kB (third-dies, 100 nodes).
        sample: usize = 3, 1 => 64;
        /// A network counts as starting up for no longer than this: in a large one some nodes always come and go, and the others
        /// need their links.
        longest_growth: Duration = MS.saturating_mul(10_000), Duration::ZERO => MINUTE;
        /// Up to this many nodes a network never counts as starting up: a handful of nodes is meshed at once. Halved: 12 nodes
        /// start for 81 kB a node instead of 89 kB. Doubled: for 79 kB, with 67 dials instead of 86, and views stay exact after 1.1
        /// s instead of 1.4 s (12 nodes, star, seed 3); what it does to larger networks was not measured.
        few_nodes: usize = 6, 0 => 100_000;
        /// A network has made most of its links this long after it stopped growing. Our record then tells of links that only change
        /// the shape, which wait until that time.
        shaped_after: Duration = MS.saturating_mul(700), Duration::ZERO => MINUTE;
        /// And no sooner than this long after the last node came into view.
        shaped: Duration = MS.saturating_mul(1500), Duration::ZERO => MINUTE;
        /// A collapse: one node in this many went out of view at once. Halved or doubled: the same times, bytes and dials (third-
        /// dies, 100 nodes); what it is for shows in networks of thousands (`overlay.after_collapse`).
        collapse: usize = 32, 1 => 100_000;
        /// No link is given up for this long after a collapse. Without it, 7000 views of which 3000 nodes had died were almost
        /// exact after 8.5 s, when the first links were given up, and exact after 12.1 s. Halved or doubled: the same times, bytes
        /// and dials with 100 nodes (third-dies), where the wait after a lost link is longer (`pace.after_loss`).
        after_collapse: Duration = MS.saturating_mul(4000), Duration::ZERO => MINUTE;
        /// How often a lost neighbour is redialed: at once, then after `first_redial`, and each further pause is twice as long.
        /// After that it is a candidate like others. At 1: 34 % fewer dials. Doubled: 53 % more dials, and views become exact as
        /// soon (third-dies, 100 nodes, where the lost neighbours are dead).
        redials: u32 = 4, 1 => 20;
        /// The pause between the first and the second redial of a lost neighbour; each is varied by a quarter either way. Halved:
        /// 18 % fewer dials. Doubled: 14 % more (40 nodes, split in halves for 60 s). The halves know each other 0.5 s after the
        /// heal in both runs and 1.2 s after it with the default, which depends on when a draw falls due.
        first_redial: Duration = S, MS => MINUTE;
        /// A node that was lost within this time is drawn as often as a configured target.
        lost_lately: Duration = MINUTE.saturating_mul(60), Duration::ZERO => DAY;
        /// How many configured targets are dialed at once at a start; the others wait for the draws. It bounds the burst of a node
        /// with a long list of targets.
        first_targets: usize = 32, 1 => 256;
        /// How many remembered nodes, those seen last, are dialed at once at a start. One that answers brings the rest of the
        /// network.
        first_remembered: usize = 8, 0 => 256;
        /// Nearly all of the network is missing while so many nodes have died for each one that is left. The parts that are left
        /// may be small then, and know mostly nodes that are dead. Halved or doubled: the same where 90 % die; with double, the
        /// survivors of 80 % find each other at the ordinary pace.
        torn: usize = 3, 1 => 100_000;
        /// Then all that a part of the network lost is tried within this time, as far as the dials at once allow.
        sweep: Duration = MS.saturating_mul(5_000), MS => MINUTE;
        /// For so long after the first of these deaths. It bounds what the search costs where nobody is left.
        sweep_for: Duration = MS.saturating_mul(30_000), Duration::ZERO => MINUTE;
        /// A target that failed for this long is drawn less often.
        target_given_up: Duration = MINUTE.saturating_mul(10), Duration::ZERO => DAY;
        /// The weight in a draw of a target that failed for so long; others have a weight of one.
        given_up_weight: f64 = 0.1, 0.0 => 1.0;
        /// The pause after a dial of a neighbour failed; it doubles with each failure. Halved: a kill of 30 % costs 454 kB a node
        /// until views stay exact instead of 417 kB. Doubled: views stay exact after 9.1 s instead of 4.1 s (third-dies, 100
        /// nodes).
        first_retry: Duration = S, MS => MINUTE;
        /// The longest pause after such failures. A pair that no dial can connect costs three packets of 1200 bytes an attempt: in
        /// a full mesh of 16 nodes behind NATs, pauses of a minute cost each node 1.8 kB a second. Halved: 60 bytes a second
        /// instead of 30. Doubled: a path that opens after a day may stay unused for two hours. A pause also has to become longer
        /// than the 180 s for which a NAT keeps a dead entry alive that our own dials refresh.
        longest_retry: Duration = MINUTE.saturating_mul(60), MS => DAY;
        /// After so many failed dials in a row of nodes that nobody has reached, this node pauses between such dials: for
        /// `first_retry` at first, and for twice as long after each second failure. A dial in vain costs four packets of 1200
        /// bytes. Halved: four fewer dials before they become rare. Doubled: eight more.
        unlucky: u32 = 8, 1 => 10_000;
        /// The longest pause between two such dials. Halved: up to 75 bytes a second more, for three packets of 1200 bytes.
        /// Doubled: a pair among many such nodes that could be linked waits twice as long.
        longest_unlucky: Duration = MINUTE, MS => DAY;
        /// How long an address rests that led to this very node, or to another than expected; it doubles each time. Halved: a node
        /// that is its own target dials itself twice as often. Doubled: a service address that moved is tried a minute later.
        first_rest: Duration = S.saturating_mul(30), MS => DAY;
        /// The longest rest of such an address. Halved or doubled: the bytes of a wrong address change in proportion, one handshake
        /// a rest.
        longest_rest: Duration = MINUTE.saturating_mul(60), MS => DAY;
        /// The Initials that this node sends at once to an address at which it never met anybody. A dial counts as four of them. Halved:
        /// where a first dial is lost, the second one waits for `stranger_per_s`. Doubled: whoever names a victim's address makes each
        /// node send four times 4.8 kB there at once instead of twice.
        stranger_burst: f64 = 8.0, 4.0 => 1000.0;
        /// And in each second afterwards, all nodes together: each node's share is this, divided by the number of nodes that it reaches.
        /// Halved: a node that could not be reached at first, and does not dial itself, is tried half as often. Doubled: a victim gets
        /// two Initials of 1200 bytes a second, whatever the size of the network.
        stranger_per_s: f64 = 1.0, 0.001 => 1000.0;
        /// The same for all such addresses of one host (an IPv4 address, or a /64 of IPv6), except this machine's: several nodes may be
        /// behind a NAT. Halved: eight dials in vain to nodes behind one NAT make the next ones wait. Doubled: a victim gets 128
        /// Initials at once from each node, if enough ports are named.
        host_burst: f64 = 64.0, 4.0 => 10_000.0;
        /// And in each second afterwards, all nodes together. Halved: nodes behind one NAT that can't be reached are tried half as
        /// often. Doubled: a host gets eight Initials a second.
        host_per_s: f64 = 4.0, 0.001 => 1000.0;
        /// A node that has not answered a dial for this long is asked for a rendezvous, over a neighbour. Halved: paths with a round
        /// trip over 250 ms cost a request of some 150 bytes for each dial. Doubled: nodes behind NATs are linked half a second later.
        meet_after: Duration = MS.saturating_mul(500), MS => MINUTE;
        /// A dial that takes longer than this may be one to a dead node: where a link was lost lately, the node no longer waits for
        /// it. Halved: a kill of 30 % stays exact after 3.9 s instead of 4.1 s. Doubled: after 4.3 s (third-dies, 100 nodes). Paths
        /// with a round trip of half of it or more would have healthy dials taken for slow ones.
        slow_dial: Duration = S, MS => MINUTE;
    }
}

const _: () = {
    let tuning = Tuning::DEFAULT;
    // The other end of a mesh gets its turn before a dial to it counts as slow, and before anybody retries.
    assert!(tuning.courtesy.as_nanos() < tuning.slow_dial.as_nanos());
    assert!(tuning.courtesy.as_nanos() < tuning.first_retry.as_nanos());
    assert!(tuning.first_retry.as_nanos() <= tuning.longest_retry.as_nanos());
    // What a node dialed itself is part of what it keeps at least.
    assert!(tuning.least_dialed_while_growing <= tuning.least_while_growing);
    assert!(tuning.least_dialed <= tuning.least_links);
    assert!(tuning.first_rest.as_nanos() <= tuning.longest_rest.as_nanos());
    // A dead entry of a NAT that our own dials keep alive lasts 180 s (RFC 4787, REQ-5, and Linux for an assured flow).
    assert!(tuning.longest_retry.as_secs() > 180);
};
