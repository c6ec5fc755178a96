//! The graph that both layouts work on: links between the numbers of nodes, without loops and without duplicates.

use super::Input;

/// A link between two nodes, the lower number first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    pub(super) a: u32,
    pub(super) b: u32,
    /// The measured round-trip time in µs.
    pub(super) rtt_us: Option<u32>,
}

/// An undirected graph as adjacency lists in one vector.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) links: Vec<Link>,
    /// Where the neighbours of each node begin in `ends`; one entry more than nodes.
    starts: Vec<u32>,
    /// A neighbour, and the number of the link to it.
    ends: Vec<(u32, u32)>,
}

impl Graph {
    /// Of two links between the same nodes, the one with the smaller round-trip time counts. A link to a node that does not exist,
    /// or of a node to itself, does not count.
    /// Without `measures`, round-trip times are left out.
    pub(super) fn new(input: &Input, measures: bool) -> Self {
        let nodes = input.nodes.len();
        let number = |node: usize| u32::try_from(node).ok().filter(|_| node < nodes);
        let links = input.links.iter().filter_map(|&(a, b, rtt_us)| {
            let (a, b) = (number(a.min(b))?, number(a.max(b))?);
            let rtt_us = rtt_us.filter(|_| measures);
            (a != b).then_some(Link { a, b, rtt_us })
        });
        let mut links: Vec<Link> = links.collect();
        links.sort_unstable_by_key(|link| (link.a, link.b, link.rtt_us.unwrap_or(u32::MAX)));
        links.dedup_by_key(|link| (link.a, link.b));
        Self::of_links(nodes, links)
    }

    /// The links must be unique, and sorted by their ends.
    fn of_links(nodes: usize, links: Vec<Link>) -> Self {
        let mut starts = vec![0_u32; nodes + 1];
        for link in &links {
            starts[link.a as usize + 1] += 1;
            starts[link.b as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut free = starts.clone();
        let mut ends = vec![(0, 0); 2 * links.len()];
        for (number, link) in (0..).zip(&links) {
            for (from, to) in [(link.a, link.b), (link.b, link.a)] {
                let at = &mut free[from as usize];
                ends[*at as usize] = (to, number);
                *at += 1;
            }
        }
        Self {
            links,
            starts,
            ends,
        }
    }

    /// These nodes, numbered in this order, and the links among them.
    pub(super) fn part(&self, nodes: &[u32]) -> Self {
        let mut numbers = vec![u32::MAX; self.nodes()];
        for (new, &old) in (0..).zip(nodes) {
            numbers[old as usize] = new;
        }
        let links = nodes.iter().flat_map(|&node| {
            self.around(node as usize)
                .iter()
                .map(move |&(other, link)| (node, other, link))
        });
        let links =
            links
                .filter(|(node, other, _)| node < other)
                .filter_map(|(node, other, link)| {
                    let (a, b) = (numbers[node as usize], numbers[other as usize]);
                    let rtt_us = self.links[link as usize].rtt_us;
                    (b != u32::MAX).then_some(Link {
                        a: a.min(b),
                        b: a.max(b),
                        rtt_us,
                    })
                });
        let links = links.collect();
        Self::of_links(nodes.len(), links)
    }

    /// The same nodes, and those links whose number `keep` accepts.
    pub(super) fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        let links = self.links.iter().enumerate();
        let links = links
            .filter(|(number, _)| keep(*number))
            .map(|(_, link)| *link);
        Self::of_links(self.nodes(), links.collect())
    }

    pub(super) fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    /// The neighbours of a node in ascending order, each with the number of the link to it.
    pub(super) fn around(&self, node: usize) -> &[(u32, u32)] {
        &self.ends[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    pub(super) fn is_link(&self, node: usize, other: u32) -> bool {
        let around = self.around(node);
        around.binary_search_by_key(&other, |end| end.0).is_ok()
    }

    pub(super) fn degree(&self, node: usize) -> usize {
        self.around(node).len()
    }

    /// The connected parts, the largest first.
    pub(super) fn components(&self) -> Vec<Vec<u32>> {
        let mut seen = vec![false; self.nodes()];
        let mut found = Vec::new();
        for first in 0..self.nodes() {
            if seen[first] {
                continue;
            }
            seen[first] = true;
            let mut part = vec![number(first)];
            let mut next = 0;
            while let Some(&node) = part.get(next) {
                next += 1;
                for &(other, _) in self.around(node as usize) {
                    if !std::mem::replace(&mut seen[other as usize], true) {
                        part.push(other);
                    }
                }
            }
            found.push(part);
        }
        found.sort_by_key(|part| std::cmp::Reverse(part.len()));
        found
    }

    /// Fills in the number of hops from one node to all that it reaches; others keep `u32::MAX`.
    pub(super) fn hops(&self, from: u32, hops: &mut Vec<u32>, queue: &mut Vec<u32>) {
        hops.clear();
        hops.resize(self.nodes(), u32::MAX);
        queue.clear();
        queue.push(from);
        hops[from as usize] = 0;
        let mut next = 0;
        while let Some(&node) = queue.get(next) {
            next += 1;
            for &(other, _) in self.around(node as usize) {
                if hops[other as usize] == u32::MAX {
                    hops[other as usize] = hops[node as usize] + 1;
                    queue.push(other);
                }
            }
        }
    }
}

/// A node's number in 32 bits.
pub(super) fn number(node: usize) -> u32 {
    u32::try_from(node).expect("a view has fewer than 2^32 nodes")
}
