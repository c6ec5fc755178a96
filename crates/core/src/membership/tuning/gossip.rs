//! The tuned constants of gossip.
//!
//! "Halved" and "doubled" cite two simulated runs, seed 1, of the version 0.1.0 of 2026-11-29. A is a start:
//! `sim --nodes 600 --lasts 8s`. B is trouble: `sim --nodes 200 --loss 1% --kill 30%@20s --partition 50%@40s --heal 52s --lasts 68s`. With
//! the defaults, all nodes of A know all after 1.7 s (a new node is known to all after 1.00 s in the median), and 1.49 copies of a record
//! and 438,000 messages are sent; in B a new node is known after 0.77 s, the deaths after 4.0 s, and 1.89 copies and 510,000 messages
//! are sent. By chance, deaths are known up to 0.4 s sooner or later, a new node 0.05 s, and copies differ by 0.04 and messages by a few
//! percent. What names neither run follows from the code.

use std::time::Duration;

use super::view::{MAX_NODES, ORDINARY, Size};
use super::{links, tuning};
use crate::bucket::Rate;
use crate::wire::MAX_SYNC_ENTRIES;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

tuning! {
    /// The tuned constants of gossip.
    struct Tuning {
        /// Bounds how long the transport may hold a message for a neighbour before its link is closed. QUIC's idle timeout of 30 s does
        /// not see a peer that answers packets and reads nothing. 10 s is longer than the longest silence of a link that is judged
        /// down, so a path that fails is the detector's business, not this one's. Halved: a link at 20 % loss each way may be silent
        /// for 5 s and stand. Doubled: what a peer that stopped reading is to be sent stays in memory twice as long; nothing else waits
        /// for it. In B, where links across the partition end as stalled, either moves later times by no more than chance; A is the
        /// same.
        stalled: Duration = S.saturating_mul(10), S => HOUR;
        /// Bounds the messages, batches of records aside, that wait for one neighbour. More of them mean a slow peer. Each will be said
        /// again in another way, so the ninth is dropped. Eight full requests are as many records as may be requested of one neighbour
        /// (`most_requested_of_one`). Halved: requests are dropped where a neighbour names more than four thousand records at once, and
        /// are repeated only after `request_timeout`. Doubled: a peer that reads slowly makes us hold up to 600 kB for it, in place of
        /// 300.
        outbox: usize = 8, 1 => 1000;
        /// Bounds how long a gain waits before it is passed on, if its node was quiet: the other end of a new link publishes its own
        /// gain at about the same time, and one message carries both. It is paid once a hop. Halved: fewer gains meet, and B changes by
        /// no more than chance. Doubled: 1.57 copies in place of 1.49 and 2 % more messages in A; a record is 3 ms a hop later.
        first_relay: Duration = MS.saturating_mul(3), Duration::ZERO => MINUTE;
        /// Bounds how long a gain of a node that keeps changing waits in a full mesh. Records of the node that come meanwhile replace
        /// each other, so this bounds relays to 20 a second and node. Halved: twice as many relays while a mesh forms. Doubled: a node
        /// that the mesh does not link yet hears of others 50 ms later. It has no effect where there is a tree.
        next_relay: Duration = MS.saturating_mul(50), Duration::ZERO => MINUTE;
        /// The same along a tree, where each record comes once and the wait is paid at every hop. Halved: up to 50 relays a second and
        /// node, but neither A nor B changes by more than chance. Doubled: 1.58 copies in place of 1.49 and 7 % more messages in A, as
        /// lazy links name records that are about to come; B has 2 % more.
        next_tree_relay: Duration = MS.saturating_mul(20), Duration::ZERO => MINUTE;
        /// A node of which no record was passed on for this long was quiet: its next gain waits for `first_relay` only. It must exceed
        /// the waits for the next gains, else a node that changes all the time counts as quiet between two relays. Halved: a node with
        /// a gain every 0.6 s is passed on at once each time. Doubled: the first gain after a pause of 1.5 s comes up to 47 ms a hop
        /// later.
        quiet: Duration = S, Duration::ZERO => HOUR;
        /// Bounds how long a record waits that brings nothing but measurements, label or addresses. Nobody waits for those, and they
        /// make most of the traffic at rest. Halved or doubled: A is the same, and B changes by no more than chance. It matters where
        /// many nodes send measurements at the same time, which share a message if they wait.
        figures_relay: Duration = MS.saturating_mul(50), Duration::ZERO => MINUTE;
        /// Bounds how long figures wait for a probe to or from the neighbour, to share its packet. At rest, each link is probed
        /// within this time. Halved: half of them travel by themselves, and each packet of its own, with its acknowledgement,
        /// costs 150 bytes and wakes both nodes. Doubled: no difference at rest; where probes are rarer, figures grow older by
        /// this for each hop.
        figures_hold: Duration = MS.saturating_mul(3200), Duration::ZERO => MINUTE;
        /// How long figures wait behind an answer. The peer knows when a packet arrived, but not what is in it. If two arrive
        /// within 20 ms, it takes neither for the answer, and loses the sample. Halved: half of the samples at such an end are
        /// lost. Doubled: figures are older by as much at each hop.
        figures_after_answer: Duration = MS.saturating_mul(25), Duration::ZERO => MINUTE;
        /// Bounds how often withdrawals and suspicion reports of one node are passed on. A node at the border of a region that dies
        /// loses its links one by one. No withdrawal waits longer at any hop. Halved or doubled: A is the same, and B changes by no
        /// more than chance: its nodes publish their withdrawals together. At double, the second withdrawal of a node may be 0.2 s a
        /// hop later.
        relay_spacing: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// How much later the end of a link with the higher id passes a record on, in a full mesh: by then the other end's copy has
        /// mostly come, and nothing is left to send. It should exceed the usual one-way delay, and it delays what only the higher id
        /// has. Halved: on links of over 10 ms each way both ends send. Doubled: where only the higher id has a record, it comes 20 ms
        /// later.
        second_turn: Duration = MS.saturating_mul(20), Duration::ZERO => MINUTE;
        /// How long the record of a node that came into view waits before it is passed on once more. Most likely that was done when the
        /// record came, and neighbours have it by now. Halved: 5 % more messages in B, 3 % fewer in A. Doubled: 2 % and 1 % more. All
        /// of it may be chance.
        came_up: Duration = MS.saturating_mul(50), Duration::ZERO => MINUTE;
        /// How long a record waits before it is named to a lazy neighbour. By then the tree should have brought it: the tree's path may
        /// be several hops longer. Halved: B sends 2.06 copies in place of 1.89 and 18 % more messages, A 23 % more; nothing is sooner
        /// by more than chance. Doubled: A and B send 20 % and 14 % fewer messages, but a new node is known 0.1 s later (median 1.12 s
        /// and 0.86 s).
        lazy: Duration = MS.saturating_mul(100), Duration::ZERO => MINUTE;
        /// For how many batching intervals of the tree (`pace.batch`) that wait is longer in a large network, where records stay that
        /// long at each hop. At 0 in 10,000 nodes, where a batch takes 100 ms, records would be named when they are about to be sent.
        /// At 2 what the tree misses comes 100 ms later.
        lazy_batches: u32 = 1, 0 => 1000;
        /// Bounds from below how many records a neighbour has brought when it is decided whether its link is pruned. Of a few records,
        /// chance says which path is the quicker one, and where many nodes prune by chance, the tree falls apart: judged by 8, news of
        /// 600 deaths among 2000 nodes took 0.6 s longer to reach all, and there were no fewer copies. Halved: 1.43 copies in place of
        /// 1.49 in A and 1.74 in place of 1.89 in B, but a new node is known 0.06 s and 0.12 s later. Doubled: 1.57 and 2.03 copies,
        /// and a new node is known 0.05 s and 0.07 s sooner.
        least_judged: u32 = 32, 1 => 1_000_000;
        /// Up to this many nodes to be named to a neighbour are noted one by one; for more, the bits of all nodes are looked at. It
        /// trades 4 bytes for each entry, node and neighbour for CPU, and changes no message. Halved: the bits of all nodes are looked
        /// at more often, in networks where more than 16 nodes change within `lazy`. Doubled: up to 128 bytes more for each neighbour.
        few_named: usize = 32, 0 => 100_000;
        /// How many gains and withdrawals go over every link at once, tree or not: as many as the restart of one node brings in a
        /// network of degree eight, with the withdrawals and gains of its neighbours. Flooding is a hop or two quicker than the tree,
        /// and brings a record about six times. Halved (with the rate): 1.79 copies in place of 1.89 and 6 % fewer messages in B.
        /// Doubled: 2.13 copies and 12 % more messages. Times change by no more than chance, and A, where all is a storm, hardly at
        /// all.
        changes_burst: f64 = 32.0, 1.0 => 1e6;
        /// The same a second. Changes that come more often than this keep the bucket empty, so a storm takes the tree from its first
        /// tenth of a second until it is over. See `changes_burst` for half and double, which were tried together.
        changes_per_s: f64 = 8.0, 0.0 => 1e6;
        /// How many suspicion reports flood at once: the first neighbour of a dying node to have one tells all its other neighbours,
        /// and a report is of use before the verdict only. Halved: of four nodes that die together, neighbours of two probe later.
        /// Doubled: links that lose packets now and then flood twice as much in a row.
        suspicions_burst: f64 = 4.0, 1.0 => 1e6;
        /// The same a second. Links that lose packets bring suspicions forth all the time; without this bound they went over every link
        /// of the network, all the time. Halved: a real death is reported along the tree more often, a hop or two later. Doubled: the
        /// price of loss at rest doubles. The scenario loss-20 has such links.
        suspicions_per_s: f64 = 0.25, 0.0 => 1e6;
        /// How many records travel along the tree without a batch at once. Batches are for storms: the last gains after many deaths
        /// took 1.5 s to reach 10,000 nodes when every record was batched at every hop. Halved (with the rate): 10 % fewer messages in
        /// A and 9 % in B. Doubled: 20 % and 18 % more messages, and 3 % and 5 % more bytes. Times change by no more than chance at
        /// these sizes.
        unbatched_burst: f64 = 50.0, 1.0 => 1e6;
        /// The same a second. At the start of 10,000 nodes each reads some ten thousand records a second. See `unbatched_burst` for
        /// half and double.
        unbatched_per_s: f64 = 50.0, 0.0 => 1e6;
        /// For how long after a record flooded its copies say nothing about the links that bring them: by then it has arrived over
        /// every link. It bounds the list of what flooded, too. Halved: copies over a link of more than 0.5 s count as repeats, and
        /// prune it. Doubled: the list is twice as long, and fewer records judge links. A is the same either way, and B changes by no
        /// more than chance.
        flooded_for: Duration = S, Duration::ZERO => MINUTE;
        /// How long a requested record is waited for before another neighbour is asked. Several neighbours name each record within
        /// `lazy` of each other, and a round trip of 300 ms must fit. Halved: a request is repeated while its answer is under way on
        /// paths of more than 250 ms. Doubled: what one neighbour fails to send is half a second later. In A and B, whose round trips
        /// are under 100 ms, neither changes messages or times by more than chance.
        request_timeout: Duration = MS.saturating_mul(500), MS => MINUTE;
        /// Bounds how often a record is requested since a version of it came. Three neighbours that named it are remembered. After
        /// that, the next digest that differs begins an anti-entropy round. Halved: of three neighbours that named a record, one is not
        /// asked. Doubled: each is asked twice before an anti-entropy round is thought of, 1.5 s later.
        most_tries: u32 = 3, 1 => 1000;
        /// Bounds how often what others named while an answer was on its way is requested: 20 times a second. A neighbour that makes
        /// its answers come one by one must not have us send so many requests that others close the link (`names_per_s`). Halved: up to
        /// 40 requests a second. Doubled: the newest version is 50 ms later where several were named.
        requested_together: Duration = MS.saturating_mul(50), MS => MINUTE;
        /// Bounds the records that are requested at a time, and with them the table of requests, at some 150 bytes each. Half of the
        /// largest network: at the start of 10,000 nodes, a third of all records comes by request. Halved: still enough for 10,000
        /// nodes. Doubled: neighbours can fill a table of 5 MB with nodes that they invented.
        most_requested: usize = MAX_NODES / 2, 1 => MAX_NODES;
        /// The same for one neighbour. It may name nodes that it invented, and others must still be asked. Half of `most_requested`,
        /// and eight messages of names. Halved: after a long partition of 10,000 nodes, one new link can't request the other half at
        /// once. Doubled: one neighbour can fill the table.
        most_requested_of_one: usize = MAX_NODES / 4, 1 => MAX_NODES;
        /// For how long a request that was given up makes the next digest that differs begin an anti-entropy round at once. Digests
        /// come with probes, every 1.5 s to 3 s a link, or more slowly where that is set so. Halved: a node whose probes are set to be
        /// that slow may hear none in time. Doubled: a request for a node that nobody has hurries one round that is not needed, up to
        /// 20 s later.
        in_vain_lasts: Duration = S.saturating_mul(10), Duration::ZERO => HOUR;
        /// How many signatures are verified in one batch, at half the price of single ones. More are no cheaper, and one forged
        /// signature makes all of its batch be verified one by one. Halved: about as cheap. Doubled: a forger makes twice as many
        /// others expensive. It changes no message.
        verified_together: usize = 64, 1 => 100_000;
        /// A node that knows no more nodes than this is sent all records at once, with its first message, in place of a comparison of
        /// views. Halved: the five nodes of a small network compare views first, one round trip more. Doubled: where groups of 16 nodes
        /// meet that know each other already, each link brings 16 records in vain.
        few: u32 = 8, 0 => 100_000;
        /// How long two views must differ, ours unchanged, before an anti-entropy round begins; and the first pause between two rounds.
        /// While news spreads, views always differ. Halved or doubled, neither A nor B changes: spreading misses nothing there. What is
        /// missed is found that much sooner or later, and with half of it rounds begin while news is still under way (the slowest path
        /// takes `lazy` and a request a hop).
        differs_for: Duration = MS.saturating_mul(1200), Duration::ZERO => HOUR;
        /// The same where two neighbours share a view that is not ours: most often it is we who lack something, and their next probes
        /// need not be waited for. It must be less than `differs_for`. Halved: A and B are the same. Doubled, it is no sooner than
        /// `differs_for`, and of no use; A is the same, and B changes by no more than chance. 2000 nodes of which 30 % were killed were
        /// exact after 7.3 s, in place of 12.1 s, with the commit that brought this rule and others.
        outvoted_for: Duration = MS.saturating_mul(800), Duration::ZERO => HOUR;
        /// Views that differ for this long are compared whatever ours does: where news never ceases, no view stands still. Halved:
        /// twice as many rounds in a network that changes all the time. Doubled: a record that spreading missed there is found 10 s
        /// later. The scenario churn is such a network.
        differs_long: Duration = S.saturating_mul(10), Duration::ZERO => HOUR;
        /// The pause after a round that found something: there may be more than fits into one, and what it found needs a round trip to
        /// come. Halved: on paths of more than 150 ms the next round begins before the records came, and finds the same again. Doubled:
        /// a difference of many rounds takes twice as long.
        next_round: Duration = MS.saturating_mul(300), Duration::ZERO => HOUR;
        /// The longest pause after rounds that found nothing; the pause doubles with each. Views that differ for good mean a fault, or
        /// a neighbour that shows another view to each. Halved: such a neighbour costs twice as many rounds, at 8 bytes for each eight
        /// nodes. Doubled: a difference that rounds can settle only later waits up to a minute. No scenario shows it.
        longest_pause: Duration = S.saturating_mul(30), Duration::ZERO => HOUR;
        /// How long a link that waits for its first round waits for the next step of it. A neighbour that never answers is a neighbour
        /// after all. Halved: a neighbour that is slower than a second is listed before its versions came, and nodes that died may be
        /// shown for a moment; B sends 0.3 % more messages. Doubled: a neighbour that never answers is unlisted for 4 s, and all behind
        /// it are out of view; A and B are the same.
        first_step: Duration = S.saturating_mul(2), MS => MINUTE;
        /// The longest such wait in all: the records of half of the largest network come in that time over a link of 3 Mbit/s. Halved:
        /// on slower links, two parts of 10,000 nodes that meet again may show each other's dead for a moment. Doubled: a neighbour
        /// that sends records one by one keeps a link unlisted for 40 s. The test
        /// `a_neighbour_that_never_answers_holds_a_link_for_one_step` shows the step; the whole needs 10,000 nodes.
        first_most: Duration = S.saturating_mul(20), MS => HOUR;
        /// Bounds how often a first round compares the views, as one message holds the versions of a thousand nodes only. Where news
        /// keeps coming, each comparison would find some, as fast as messages go to and fro. Halved: two halves of more than 12,000
        /// nodes are not compared to the end. Doubled: with those of the neighbour, 96 messages exceed the 64 that it admits
        /// (`rounds_burst`), and it closes the link.
        first_comparisons: u32 = 24, 1 => 1000;
        /// Most links that are judged down were silent for less than this. If all links that are left are younger, what passed during
        /// the silence came over none of them, and a first round begins on one. Halved: a link at 20 % loss each way may be silent for
        /// that long, and the gap would go unnoticed. Before there was this rule, in 1 of 3 runs of 1000 nodes with 30 % killed, one
        /// node showed the dead for 9 s. Doubled: more rounds after losses in a young network, one each.
        longest_silence: Duration = S.saturating_mul(10), Duration::ZERO => HOUR;
        /// Of the thousands of records that a first round waits for, this many are looked up in vain whenever records come. A neighbour
        /// that never sends them must not make the records of others expensive. Halved or doubled: the look-ups that each message
        /// costs, no more; the end of a round is noticed all the same, since those that have come leave the list.
        most_lacking: u32 = 64, 1 => 100_000;
        /// How many new records one neighbour may bring at once while this node fills its view: the first fill of the largest network.
        /// Halved: a node that joins a network of more than 16,384 through one neighbour closes that link. Doubled: a neighbour can have
        /// us verify 65,536 signatures, 3.3 s of CPU, at once.
        new_records_burst: f64 = MAX_NODES as f64, 1.0 => 1e6;
        /// The same later: so many, and four for each node that is up and counts by itself (invented nodes widen no limit). News of nodes
        /// that come back is more than that only if they were never here. Halved: two networks of hundreds that meet close their first links once. Doubled: a hostile neighbour can have us
        /// verify 1024 signatures, 50 ms of CPU, at once.
        new_records_later: f64 = 512.0, 1.0 => 1e6;
        /// The same a second, besides a quarter of the nodes that are up and count by themselves. A signature takes 50 µs to verify, so this is 0.005 of a core a
        /// neighbour. Halved: a small network in trouble, of which one neighbour brings all news, comes close. Doubled: each hostile
        /// neighbour may cost 0.01 of a core.
        new_records_per_s: f64 = 100.0, 0.0 => 1e6;
        /// How many bytes of records one neighbour may send at once that are known already, or that are not taken, besides 2 kB for each
        /// node that is up and counts by itself. Halved: an honest neighbour of a host that joins again and again, each time with other invented nodes, comes
        /// close. Doubled: a hostile neighbour can have us read 1 MiB at once, 10 ms of CPU.
        useless_burst: f64 = 512.0 * 1024.0, 1.0 => 1e12;
        /// The same while this node fills its view. A start brings each record some two times. Halved: the start of a network with large
        /// records may exceed it. Doubled: a hostile neighbour can have us read 8 MiB, in our first moments.
        useless_filling: f64 = 4.0 * 1024.0 * 1024.0, 1.0 => 1e12;
        /// The same a second, in bytes: four times what an honest neighbour passes on of claims (`view.claims_told_per_s`). At rest there are
        /// none. Halved: where hostile hosts send records of the largest size, honest neighbours come close. Doubled: a hostile neighbour
        /// may cost 0.2 % of a core more.
        useless_per_s: f64 = 131_072.0, 0.0 => 1e12;
        /// How many messages of anti-entropy rounds (and marks of superfluous links) one neighbour may send at once: two first rounds,
        /// ours and its own, fit. Each costs a walk over the view. Halved: the first rounds of two parts that meet again exceed it, and
        /// the link is closed. Doubled: a neighbour may cost twice as many walks at once.
        rounds_burst: f64 = 64.0, 1.0 => 1e6;
        /// The same a second. A neighbour begins a round every `next_round` at most, and answers ours: about seven messages a second.
        /// Halved: rounds that keep finding something exceed it after some 20 s, and the link is closed. Doubled: the price of a
        /// hostile neighbour doubles.
        rounds_per_s: f64 = 8.0, 0.0 => 1e6;
        /// How many messages that name records, request them or change the tree one neighbour may send at once. Each costs a look-up of
        /// as many nodes as it names. All of the largest network can be named and requested, four times over. Halved: twice over, still
        /// enough. Doubled: a neighbour may cause half a million look-ups at once.
        names_burst: f64 = 256.0, 1.0 => 1e6;
        /// The same a second: names go every `lazy` at most, requests every `requested_together`, grafts and prunes far less often.
        /// Halved: 32, hardly above those 30: a neighbour in a storm might be closed for what it has to say. Doubled: a hostile
        /// neighbour may cost 131,072 look-ups a second.
        names_per_s: f64 = 64.0, 0.0 => 1e6;
    }
}

impl Tuning {
    /// Gains and withdrawals that flood.
    pub(in crate::membership) fn changes(&self) -> Rate {
        rate(self.changes_burst, self.changes_per_s)
    }

    /// Suspicions that flood.
    pub(in crate::membership) fn suspicions(&self) -> Rate {
        rate(self.suspicions_burst, self.suspicions_per_s)
    }

    /// Records that travel along the tree without a batch.
    pub(in crate::membership) fn unbatched(&self) -> Rate {
        rate(self.unbatched_burst, self.unbatched_per_s)
    }

    /// New records that a neighbour may send.
    pub(in crate::membership) fn new_records(&self, size: Size) -> Rate {
        let burst = if size.filling {
            self.new_records_burst
        } else {
            (self.new_records_later + 4.0 * size.known as f64).min(self.new_records_burst)
        };
        rate(burst, self.new_records_per_s + size.known as f64 / 4.0)
    }

    /// Bytes of records that a neighbour may send in vain.
    pub(in crate::membership) fn useless(&self, size: Size) -> Rate {
        let least = if size.filling {
            self.useless_filling
        } else {
            self.useless_burst
        };
        let burst = least + ORDINARY as f64 * size.known as f64;
        rate(burst, self.useless_per_s)
    }

    /// Messages of anti-entropy rounds that a neighbour may send.
    pub(in crate::membership) fn rounds(&self) -> Rate {
        rate(self.rounds_burst, self.rounds_per_s)
    }

    /// Messages that name records, request them or change the tree that a neighbour may send.
    pub(in crate::membership) fn names(&self) -> Rate {
        rate(self.names_burst, self.names_per_s)
    }
}

const DEFAULT: Tuning = Tuning::DEFAULT;

/// Messages that name all nodes of the largest network.
const ALL_NAMES: f64 = MAX_NODES.div_ceil(MAX_SYNC_ENTRIES) as f64;

const fn ms(time: Duration) -> u128 {
    time.as_millis()
}

const _: () = assert!(
    2 * DEFAULT.first_comparisons <= DEFAULT.rounds_burst as u32,
    "a neighbour admits the comparisons of two first rounds, ours and the answers to its own"
);
const _: () = assert!(
    DEFAULT.rounds_per_s >= 2000.0 / ms(DEFAULT.next_round) as f64,
    "a neighbour admits our rounds and our answers to its own, if each finds something"
);
const _: () = assert!(
    DEFAULT.outbox >= 6,
    "one input may have an answer, a comparison, a graft, a first round, and requests of two kinds posted to one neighbour"
);
const _: () = assert!(
    DEFAULT.most_requested_of_one <= DEFAULT.outbox * MAX_SYNC_ENTRIES,
    "what is requested of one neighbour fits into its outbox"
);
const _: () = assert!(
    2 * DEFAULT.most_requested_of_one <= DEFAULT.most_requested
        && DEFAULT.most_requested <= MAX_NODES,
    "one neighbour fills half of the table at most, and the table is for nodes that the view has room for"
);
const _: () = assert!(
    DEFAULT.names_burst >= 2.0 * ALL_NAMES,
    "a neighbour admits that all nodes are named and requested at once"
);
const _: () = assert!(
    DEFAULT.names_per_s
        >= 1000.0 / ms(DEFAULT.lazy) as f64 + 1000.0 / ms(DEFAULT.requested_together) as f64,
    "a neighbour admits the names and the requests of a storm"
);
const _: () = assert!(
    DEFAULT.new_records_burst >= MAX_NODES as f64,
    "a neighbour admits the first fill of the largest network"
);
const _: () = assert!(
    DEFAULT.most_tries as u128 * ms(DEFAULT.request_timeout) < ms(DEFAULT.in_vain_lasts),
    "of requests made together, the first one given up still counts when the last one is"
);
const _: () = assert!(
    DEFAULT.useless_per_s >= 4.0 * super::view::Tuning::DEFAULT.claims_told_per_s * ORDINARY as f64,
    "an honest neighbour may pass on claims that are of no use to us"
);
const _: () = assert!(
    ms(DEFAULT.lazy) < ms(DEFAULT.request_timeout),
    "what one neighbour named is not requested again before the others have named it"
);
const _: () = assert!(
    ms(DEFAULT.first_relay) <= ms(DEFAULT.next_tree_relay)
        && ms(DEFAULT.next_tree_relay) <= ms(DEFAULT.next_relay)
        && ms(DEFAULT.next_relay) < ms(DEFAULT.quiet)
        && ms(DEFAULT.next_relay) < ms(DEFAULT.lazy),
    "gains wait longer where their node keeps changing, less than until it counts as quiet, and less than until they are named"
);
const _: () = assert!(
    ms(DEFAULT.lazy) < ms(DEFAULT.flooded_for),
    "what floods has arrived before its copies judge a link"
);
const _: () = assert!(
    ms(DEFAULT.outvoted_for) < ms(DEFAULT.differs_for)
        && ms(DEFAULT.differs_for) < ms(DEFAULT.differs_long)
        && ms(DEFAULT.next_round) < ms(DEFAULT.differs_for)
        && ms(DEFAULT.differs_for) <= ms(DEFAULT.longest_pause),
    "the reasons to begin a round sooner come first, and pauses only grow"
);
const _: () = assert!(
    ms(DEFAULT.first_step) < ms(DEFAULT.first_most),
    "a first round has more than one step"
);
const _: () = assert!(
    ms(DEFAULT.longest_silence) >= ms(links::Tuning::DEFAULT.parked),
    "a parked link that comes back was silent for less than a link that counts as old has stood"
);

fn rate(burst: f64, per_s: f64) -> Rate {
    Rate { burst, per_s }
}
