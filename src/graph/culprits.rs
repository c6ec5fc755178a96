//! One cause for many links that became slow at once: a node, the path between two sites, or everything that this node sees.

use std::collections::BTreeMap;

use super::Graph;
use crate::snapshot::Snapshot;

/// A link is slow if its round-trip time exceeds the usual one by this part of it and by [`SLOWER_US`]. At half, the usual noise of
/// a wireless link counts; at double, a path that became half as long again is not reported.
const SLOWER_PERCENT: u64 = 50;
/// See [`SLOWER_PERCENT`]. On one machine a loaded scheduler adds a millisecond. At half, it counts as slow; at double, a queue
/// of 3 ms is not reported.
const SLOWER_US: u64 = 2_000;
/// The least number of slow links that have a common cause; two may be slow by chance.
const LEAST_LINKS: usize = 3;
/// The part of a node's links, and of the links between two sites, that must be slow. At half, one slow neighbour accuses a node
/// that has few links; at 100 a single link that is measured late acquits it.
const LEAST_PERCENT: usize = 75;
/// Nodes this near are at one site. At half, a large campus is several sites; at double, neighbouring cities are one.
const SITE_US: u32 = 3_000;

/// The probable cause of slow links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspect {
    /// Most links everywhere: more likely the machine that shows this, or all machines, than each link by itself.
    Network,
    /// A node. If it is this node, it is starved, or its access line is full.
    Node(usize),
    /// The path between two sites. Each is given by one of its nodes, that with the lowest index, and its number of nodes.
    Sites([(usize, usize); 2]),
    /// A link by itself.
    Link,
}

/// A probable cause, and the slow links that it explains, as indices in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    /// The cause.
    pub suspect: Suspect,
    /// The links; never empty.
    pub links: Vec<usize>,
}

/// Finds the causes of slow links; those that explain most links come first, at most `most`. `usual` is the usual round-trip time of
/// a link by its index; links without one are not judged.
#[must_use]
pub fn culprits(
    snapshot: &Snapshot,
    graph: &Graph,
    usual: impl Fn(usize) -> Option<u32>,
    most: usize,
) -> Vec<Culprit> {
    let usual: Vec<Option<u32>> = (0..snapshot.links.len()).map(usual).collect();
    let mut court = Court::new(snapshot, &usual);
    let mut found = Vec::new();
    let slow: Vec<usize> = court.open_links().collect();
    let worst = court.accused(graph);
    let one_node = worst.is_some_and(|(count, _)| count == slow.len());
    let judged = court.judged.iter().filter(|judged| **judged).count();
    if !one_node && is_most(slow.len(), judged) {
        found.push(Culprit {
            suspect: Suspect::Network,
            links: slow,
        });
        return found;
    }
    if !one_node {
        found.extend(court.between_sites(snapshot, &usual));
    }
    // Later nodes explain fewer links, so more than `most` would be cut off anyway.
    for _ in 0..most {
        let Some((_, node)) = court.accused(graph) else {
            break;
        };
        let edges = graph.edges(node).iter().map(|edge| edge.link);
        let mut links: Vec<usize> = edges.filter(|&link| court.open[link]).collect();
        links.sort_unstable();
        court.close(&links);
        found.push(Culprit {
            suspect: Suspect::Node(node),
            links,
        });
    }
    found.extend(court.open_links().map(|link| Culprit {
        suspect: Suspect::Link,
        links: vec![link],
    }));
    // The sort is stable: of equals the order above holds.
    found.sort_by_key(|culprit| usize::MAX - culprit.links.len());
    found.truncate(most);
    found
}

fn is_most(slow: usize, judged: usize) -> bool {
    slow >= LEAST_LINKS && slow * 100 >= judged * LEAST_PERCENT
}

struct Court {
    /// The links with a usual and a current round-trip time.
    judged: Vec<bool>,
    /// The slow links that no cause explains yet.
    open: Vec<bool>,
}

impl Court {
    fn new(snapshot: &Snapshot, usual: &[Option<u32>]) -> Self {
        let links = || snapshot.links.iter().zip(usual);
        let both = |(link, usual): (&crate::snapshot::LinkView, &Option<u32>)| {
            Some((u64::from(link.rtt_us?), u64::from((*usual)?)))
        };
        let is_slow = |(rtt, usual): (u64, u64)| {
            rtt > usual + SLOWER_US && rtt * 100 > usual * (100 + SLOWER_PERCENT)
        };
        Self {
            judged: links().map(|one| both(one).is_some()).collect(),
            open: links().map(|one| both(one).is_some_and(is_slow)).collect(),
        }
    }

    fn open_links(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.open.len()).filter(|&link| self.open[link])
    }

    fn close(&mut self, links: &[usize]) {
        for &link in links {
            self.open[link] = false;
        }
    }

    /// The node that explains most open links, if it explains enough of them and most of its links are slow.
    fn accused(&self, graph: &Graph) -> Option<(usize, usize)> {
        let nodes = (0..graph.nodes()).filter_map(|node| {
            let links = || graph.edges(node).iter().map(|edge| edge.link);
            let open = links().filter(|&link| self.open[link]).count();
            let judged = links().filter(|&link| self.judged[link]).count();
            is_most(open, judged).then_some((open, node))
        });
        nodes.max_by_key(|&(open, node)| (open, usize::MAX - node))
    }

    /// The pairs of sites between which most links are slow, at several nodes of both.
    fn between_sites(&mut self, snapshot: &Snapshot, usual: &[Option<u32>]) -> Vec<Culprit> {
        let sites = sites(snapshot, usual);
        let mut sizes = vec![0; sites.len()];
        for &site in &sites {
            sizes[site] += 1;
        }
        let mut between: BTreeMap<[usize; 2], Vec<usize>> = BTreeMap::new();
        for (index, link) in snapshot.links.iter().enumerate() {
            let mut pair = [sites[link.dialer], sites[link.listener]];
            pair.sort_unstable();
            if self.judged[index] && pair[0] != pair[1] {
                between.entry(pair).or_default().push(index);
            }
        }
        let mut found = Vec::new();
        for (pair, judged) in between {
            let open = judged.iter().copied().filter(|&link| self.open[link]);
            let links: Vec<usize> = open.collect();
            let several = pair.iter().all(|&site| {
                let ends = links.iter().map(|&link| {
                    let link = &snapshot.links[link];
                    if sites[link.dialer] == site {
                        link.dialer
                    } else {
                        link.listener
                    }
                });
                let mut ends: Vec<usize> = ends.collect();
                ends.sort_unstable();
                ends.dedup();
                ends.len() > 1
            });
            if several && is_most(links.len(), judged.len()) {
                self.close(&links);
                let suspect = Suspect::Sites(pair.map(|site| (site, sizes[site])));
                found.push(Culprit { suspect, links });
            }
        }
        found
    }
}

/// The site of each node, as the lowest index of a node at the same site: nodes that short links connect.
fn sites(snapshot: &Snapshot, usual: &[Option<u32>]) -> Vec<usize> {
    fn root(sites: &mut [usize], mut node: usize) -> usize {
        while sites[node] != node {
            sites[node] = sites[sites[node]];
            node = sites[node];
        }
        node
    }
    let mut sites: Vec<usize> = (0..snapshot.nodes.len()).collect();
    for (link, usual) in snapshot.links.iter().zip(usual) {
        if usual.is_some_and(|usual| usual <= SITE_US) {
            let [a, b] = [link.dialer, link.listener].map(|node| root(&mut sites, node));
            sites[a.max(b)] = a.min(b);
        }
    }
    for node in 0..sites.len() {
        sites[node] = root(&mut sites, node);
    }
    sites
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::{cpu_time, ring, snapshot};

    /// A full mesh of `nodes` nodes. `usual` and `now` are the round-trip times by pair.
    fn judge(
        nodes: usize,
        usual: impl Fn(usize, usize) -> u32,
        now: impl Fn(usize, usize) -> u32,
    ) -> Vec<(Suspect, usize)> {
        let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        let links: Vec<_> = pairs.map(|(a, b)| (a, b, now(a, b))).collect();
        let view = snapshot(nodes, &links);
        let usual = |link: usize| Some(usual(links[link].0, links[link].1));
        let found = culprits(&view, &Graph::of(&view), usual, 10);
        let found = found.into_iter();
        found.map(|one| (one.suspect, one.links.len())).collect()
    }

    #[test]
    fn a_node_whose_links_all_became_slow_is_the_culprit() {
        let now = |a, b| if a == 3 || b == 3 { 9_000 } else { 1_100 };
        assert_eq!(judge(6, |_, _| 1_000, now), [(Suspect::Node(3), 5)]);
    }

    #[test]
    fn nothing_slow_or_little_slower_accuses_nobody() {
        assert_eq!(judge(6, |_, _| 1_000, |_, _| 2_900), []);
        assert_eq!(judge(6, |_, _| 100_000, |_, _| 140_000), []);
    }

    #[test]
    fn the_path_between_two_sites_is_told_from_their_nodes() {
        let site = |node| node / 4;
        let far = |a, b| site(a) != site(b);
        let usual = |a, b| if far(a, b) { 20_000 } else { 300 };
        let now = |a: usize, b: usize| {
            let slow = [site(a), site(b)] == [0, 2];
            usual(a, b) + if slow { 40_000 } else { 10 }
        };
        let sites = Suspect::Sites([(0, 4), (8, 4)]);
        assert_eq!(judge(12, usual, now), [(sites, 16)]);
    }

    #[test]
    fn when_nearly_all_is_slow_no_single_node_is_accused() {
        assert_eq!(judge(5, |_, _| 100, |_, _| 9_000), [(Suspect::Network, 10)]);
        // In a star the middle explains everything.
        let links: Vec<_> = (1..6).map(|node| (0, node, 9_000)).collect();
        let view = snapshot(6, &links);
        let found = culprits(&view, &Graph::of(&view), |_| Some(100), 10);
        assert_eq!(found[0].suspect, Suspect::Node(0));
    }

    #[test]
    fn one_slow_link_is_a_link_and_one_that_was_never_usual_is_not_judged() {
        let now = |a, b| if (a, b) == (1, 2) { 9_000 } else { 1_000 };
        assert_eq!(judge(6, |_, _| 1_000, now), [(Suspect::Link, 1)]);
        let view = snapshot(2, &[(0, 1, 9_000)]);
        assert_eq!(culprits(&view, &Graph::of(&view), |_| None, 10), []);
    }

    #[test]
    fn ten_thousand_nodes_take_no_time_to_speak_of() {
        let view = ring(10_000, 8);
        let begun = cpu_time();
        // A third of the links is slow, without any common cause.
        let usual = |link: usize| {
            let now = view.links[link].rtt_us?;
            Some(if link.is_multiple_of(3) { now / 4 } else { now })
        };
        assert_eq!(culprits(&view, &Graph::of(&view), usual, 20).len(), 20);
        let used = cpu_time() - begun;
        assert!(used.as_secs() < 5, "{used:?}");
    }
}
