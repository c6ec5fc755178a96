//! Why many links became slow at once: because of one node, of the way between two groups of nodes, of this very node, or
//! everywhere.
//!
//! [`explain`] is a pure function of the round-trip times at two times. It names the fewest causes that explain the most links that
//! became slower; what happens to single links is not explained.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The round-trip time of a link at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// One end: any number that stands for the node at both times.
    pub a: usize,
    /// The other end.
    pub b: usize,
    /// The round-trip time in µs.
    pub rtt_us: u32,
}

/// Why links became slower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Culprit {
    /// Most links of this very node, and few others: its machine is starved of CPU, or its access line is full.
    Myself,
    /// Most links of this node.
    Node(usize),
    /// Most links between these two groups, and few within each. Both in ascending order.
    Between(Vec<usize>, Vec<usize>),
    /// Most links of the network.
    Everywhere,
}

/// A cause, and what it explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The cause.
    pub culprit: Culprit,
    /// How many of its links became slower.
    pub slowed: usize,
    /// How many links it has.
    pub links: usize,
    /// By how much these links became slower: the median, in µs.
    pub rise_us: u32,
}

/// A link is slower if its round-trip time has risen by this share of what it was. At half, jitter on a wireless line counts; at
/// double, a detour between two neighbouring countries does not.
const RISE: f64 = 0.25;
/// And by this much. At half, a busy machine's loopback counts; at double, a full queue of a fast line in a LAN does not.
const RISE_US: u32 = 500;
/// A cause explains its links if at least this share of them became slower. At a half, a node all of whose neighbours are slow would be
/// a cause itself.
const MOST: f64 = 0.8;
/// The share of other links that may be slower at the same time.
const FEW: f64 = 0.2;
/// Fewer slow links than this need no common cause.
const FEWEST: usize = 3;
/// How often nodes change sides while two groups are looked for. Each turn mends what one stray link put wrong.
const TURNS: usize = 5;

/// A link that was measured at both times.
#[derive(Debug, Clone, Copy)]
struct Compared {
    a: usize,
    b: usize,
    /// By how much it became slower, if it did.
    rise_us: Option<u32>,
}

impl Compared {
    fn has(&self, node: usize) -> bool {
        self.a == node || self.b == node
    }
}

/// Compares two times, and names the causes, those that explain the most first. `me` is the node whose own links stand for this very
/// node.
#[must_use]
pub fn explain(me: usize, before: &[Timed], after: &[Timed]) -> Vec<Finding> {
    let mut links = compare(before, after);
    let mut findings = Vec::new();
    if let Some(everywhere) = finding(Culprit::Everywhere, links.iter()) {
        // A network of one hub has no other links to compare with: then the hub is the better cause.
        if !links.iter().all(|link| link.has(me)) {
            return vec![everywhere];
        }
    }
    while let Some(found) = worst_node(me, &links) {
        let node = match found.culprit {
            Culprit::Node(node) => node,
            Culprit::Myself | Culprit::Between(..) | Culprit::Everywhere => me,
        };
        links.retain(|link| !link.has(node));
        findings.push(found);
    }
    for part in slow_parts(&links) {
        findings.extend(two_groups(&part, &links));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.slowed));
    findings
}

/// The links that both lists have, by their ends.
fn compare(before: &[Timed], after: &[Timed]) -> Vec<Compared> {
    let ends = |link: &Timed| (link.a.min(link.b), link.a.max(link.b));
    let before: BTreeMap<_, u32> = before
        .iter()
        .map(|link| (ends(link), link.rtt_us))
        .collect();
    let after: BTreeMap<_, u32> = after.iter().map(|link| (ends(link), link.rtt_us)).collect();
    let both = after.into_iter().filter_map(|((a, b), now_us)| {
        let was_us = *before.get(&(a, b))?;
        let rise_us = now_us.saturating_sub(was_us);
        let is_slower = rise_us >= RISE_US && f64::from(rise_us) >= RISE * f64::from(was_us);
        let rise_us = is_slower.then_some(rise_us);
        (a != b).then_some(Compared { a, b, rise_us })
    });
    both.collect()
}

/// A finding, if enough of these links became slower.
fn finding<'a>(culprit: Culprit, links: impl Iterator<Item = &'a Compared>) -> Option<Finding> {
    let links: Vec<&Compared> = links.collect();
    let mut rises: Vec<u32> = links.iter().filter_map(|link| link.rise_us).collect();
    rises.sort_unstable();
    let slowed = rises.len();
    if slowed < FEWEST || (slowed as f64) < MOST * links.len() as f64 {
        return None;
    }
    Some(Finding {
        culprit,
        slowed,
        links: links.len(),
        rise_us: rises[slowed / 2],
    })
}

/// The node that explains the most slow links.
fn worst_node(me: usize, links: &[Compared]) -> Option<Finding> {
    let slow = links.iter().filter(|link| link.rise_us.is_some());
    let nodes: BTreeSet<usize> = slow.flat_map(|link| [link.a, link.b]).collect();
    let found = nodes.into_iter().filter_map(|node| {
        let culprit = if node == me {
            Culprit::Myself
        } else {
            Culprit::Node(node)
        };
        finding(culprit, links.iter().filter(|link| link.has(node)))
    });
    // Of equals, the first, so that the answer repeats.
    found.reduce(|best, next| {
        if next.slowed > best.slowed {
            next
        } else {
            best
        }
    })
}

/// The parts of the network that slow links connect.
fn slow_parts(links: &[Compared]) -> Vec<BTreeMap<usize, Vec<usize>>> {
    let mut around: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for link in links.iter().filter(|link| link.rise_us.is_some()) {
        around.entry(link.a).or_default().push(link.b);
        around.entry(link.b).or_default().push(link.a);
    }
    let mut parts = Vec::new();
    while let Some((&first, _)) = around.first_key_value() {
        let mut part = BTreeMap::new();
        let mut queue = VecDeque::from([first]);
        while let Some(node) = queue.pop_front() {
            if let Some(others) = around.remove(&node) {
                queue.extend(&others);
                part.insert(node, others);
            }
        }
        parts.push(part);
    }
    parts
}

/// Splits a part into two groups with the slow links between them, if that explains them.
fn two_groups(part: &BTreeMap<usize, Vec<usize>>, links: &[Compared]) -> Option<Finding> {
    let (&first, _) = part.first_key_value()?;
    // Neighbours over slow links are on opposite sides.
    let mut side = BTreeMap::from([(first, true)]);
    let mut queue = VecDeque::from([first]);
    while let Some(node) = queue.pop_front() {
        let opposite = !side[&node];
        for &other in &part[&node] {
            side.entry(other).or_insert_with(|| {
                queue.push_back(other);
                opposite
            });
        }
    }
    for _ in 0..TURNS {
        let mut moved = false;
        for (&node, others) in part {
            let opposite = others.iter().filter(|other| side[other] != side[&node]);
            if 2 * opposite.count() < others.len() {
                let turned = !side[&node];
                side.insert(node, turned);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let sides = |link: &Compared| Some((*side.get(&link.a)?, *side.get(&link.b)?));
    let inside = || links.iter().filter_map(|link| Some((sides(link)?, link)));
    let within = || inside().filter(|((a, b), _)| a == b).map(|(_, link)| link);
    let slow_within = within().filter(|link| link.rise_us.is_some()).count();
    if slow_within as f64 > FEW * within().count() as f64 {
        return None;
    }
    let group = |which: bool| {
        side.iter()
            .filter(|(_, is)| **is == which)
            .map(|(node, _)| *node)
            .collect()
    };
    let (one, other): (Vec<usize>, Vec<usize>) = (group(true), group(false));
    if one.len() < 2 || other.len() < 2 {
        return None;
    }
    let between = inside().filter(|((a, b), _)| a != b).map(|(_, link)| link);
    finding(Culprit::Between(one, other), between)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full mesh with round-trip times of 20 ms, or of what `rtt_us` says.
    fn mesh(nodes: usize, rtt_us: impl Fn(usize, usize) -> Option<u32>) -> Vec<Timed> {
        let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        let timed = pairs.map(|(a, b)| Timed {
            a,
            b,
            rtt_us: rtt_us(a, b).unwrap_or(20_000),
        });
        timed.collect()
    }

    fn culprits(after: &[Timed], nodes: usize) -> Vec<Culprit> {
        let findings = explain(0, &mesh(nodes, |_, _| None), after);
        findings
            .into_iter()
            .map(|finding| finding.culprit)
            .collect()
    }

    #[test]
    fn nothing_slower_has_no_culprit() {
        assert_eq!(culprits(&mesh(6, |_, _| None), 6), []);
        // Faster, a little slower, or slower by less than jitter.
        assert_eq!(culprits(&mesh(6, |_, _| Some(10_000)), 6), []);
        assert_eq!(culprits(&mesh(6, |_, _| Some(21_000)), 6), []);
    }

    #[test]
    fn a_node_all_of_whose_links_are_slower_is_the_culprit() {
        let after = mesh(6, |a, b| (a == 3 || b == 3).then_some(50_000));
        let findings = explain(0, &mesh(6, |_, _| None), &after);
        let expected = Finding {
            culprit: Culprit::Node(3),
            slowed: 5,
            links: 5,
            rise_us: 30_000,
        };
        assert_eq!(findings, [expected]);
    }

    #[test]
    fn this_very_node_is_told_apart_from_others() {
        let after = mesh(6, |a, _| (a == 0).then_some(50_000));
        assert_eq!(culprits(&after, 6), [Culprit::Myself]);
    }

    #[test]
    fn two_slow_nodes_are_two_culprits() {
        let after = mesh(12, |a, b| {
            [a, b]
                .iter()
                .any(|end| [3, 7].contains(end))
                .then_some(50_000)
        });
        assert_eq!(culprits(&after, 12), [Culprit::Node(3), Culprit::Node(7)]);
    }

    #[test]
    fn the_way_between_two_groups_is_the_culprit() {
        // 0 to 3 and 4 to 7; 8 to 11 have nothing to do with it.
        let after = mesh(12, |a, b| (a < 4 && (4..8).contains(&b)).then_some(90_000));
        let expected = Culprit::Between(vec![0, 1, 2, 3], vec![4, 5, 6, 7]);
        assert_eq!(culprits(&after, 12), [expected]);
    }

    #[test]
    fn one_stray_link_does_not_hide_the_way_between_two_groups() {
        let after = mesh(12, |a, b| {
            let stray = (a, b) == (0, 1);
            (stray || a < 4 && (4..8).contains(&b)).then_some(90_000)
        });
        let expected = Culprit::Between(vec![0, 1, 2, 3], vec![4, 5, 6, 7]);
        assert_eq!(culprits(&after, 12), [expected]);
    }

    #[test]
    fn when_everything_is_slower_no_node_is_blamed() {
        assert_eq!(
            culprits(&mesh(6, |_, _| Some(90_000)), 6),
            [Culprit::Everywhere]
        );
    }

    #[test]
    fn a_single_slow_link_has_no_culprit() {
        let after = mesh(6, |a, b| ((a, b) == (1, 2)).then_some(90_000));
        assert_eq!(culprits(&after, 6), []);
    }

    #[test]
    fn links_that_only_one_of_the_lists_has_do_not_count() {
        let mut after = mesh(6, |a, b| (a == 3 || b == 3).then_some(50_000));
        after.retain(|link| link.a != 3 && link.b != 3);
        after.push(Timed {
            a: 1,
            b: 99,
            rtt_us: 900_000,
        });
        after.push(Timed {
            a: 1,
            b: 1,
            rtt_us: u32::MAX,
        });
        assert_eq!(culprits(&after, 6), []);
        assert_eq!(explain(0, &[], &[]), []);
    }

    #[test]
    fn the_order_and_direction_of_links_do_not_matter() {
        let mut after = mesh(12, |a, b| (a < 4 && (4..8).contains(&b)).then_some(90_000));
        let before = mesh(12, |_, _| None);
        let expected = explain(0, &before, &after);
        after.reverse();
        after
            .iter_mut()
            .for_each(|link| (link.a, link.b) = (link.b, link.a));
        assert_eq!(explain(0, &before, &after), expected);
    }
}
