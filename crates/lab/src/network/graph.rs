//! Checks that a view's links form a sound graph of exactly the running nodes.

/// Up to this many nodes, the network is a full mesh.
const FULL_MESH: usize = 16;

/// The most links that a node may have in a larger network.
const MAX_DEGREE: usize = 16;

/// The figures of a graph.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Graph {
    /// The number of nodes.
    pub(crate) nodes: usize,
    /// The number of links.
    pub(crate) links: usize,
    /// The fewest links of a node.
    pub(crate) min_degree: usize,
    /// The most links of a node.
    pub(crate) max_degree: usize,
}

impl Graph {
    /// Returns why the degrees are not those of a network at rest, or `None` if they are.
    pub(crate) fn unrest(&self) -> Option<String> {
        let (few, many) = (self.min_degree, self.max_degree);
        if self.nodes <= FULL_MESH {
            let full = self.nodes - 1;
            return (few < full)
                .then(|| format!("no full mesh: a node has {few} links, not {full}"));
        }
        (many > MAX_DEGREE).then(|| format!("a node has {many} links, over {MAX_DEGREE}"))
    }
}

/// Checks links (dialer, listener) against `members`; both must be sorted. No link may have an end outside `members`, no node may
/// link to itself, no pair may occur twice, and the graph must be connected.
pub(crate) fn check(links: &[(u32, u32)], members: &[u32]) -> Result<Graph, String> {
    let mut degrees = vec![0_usize; members.len()];
    let mut parents: Vec<usize> = (0..members.len()).collect();
    for link in links {
        let place = |id| {
            members
                .binary_search(&id)
                .map_err(|_| "a link to a node that isn't up")
        };
        let (dialer, listener) = (place(link.0)?, place(link.1)?);
        if dialer == listener {
            return Err("a link of a node with itself".into());
        }
        if links.binary_search(&(link.1, link.0)).is_ok() {
            return Err("a pair with two links".into());
        }
        degrees[dialer] += 1;
        degrees[listener] += 1;
        let (one, other) = (root(&mut parents, dialer), root(&mut parents, listener));
        parents[one] = other;
    }
    if links.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("the same link twice".into());
    }
    let parts = (0..parents.len())
        .filter(|place| parents[*place] == *place)
        .count();
    if parts != 1 {
        return Err(format!("{parts} parts that aren't connected"));
    }
    let min_degree = degrees.iter().copied().min().unwrap_or(0);
    let max_degree = degrees.iter().copied().max().unwrap_or(0);
    Ok(Graph {
        nodes: members.len(),
        links: links.len(),
        min_degree,
        max_degree,
    })
}

/// Returns the representative of the component that contains `place`.
fn root(parents: &mut [usize], mut place: usize) -> usize {
    while parents[place] != place {
        parents[place] = parents[parents[place]];
        place = parents[place];
    }
    place
}
