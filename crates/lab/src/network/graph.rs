//! Whether a view's links make a sound graph of exactly the nodes that run.

/// Up to how many nodes everybody is linked with everybody.
const FULL_MESH: usize = 16;

/// Links that a node may have in a larger network.
const MAX_DEGREE: usize = 16;

/// What is worth knowing of a graph.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Graph {
    /// How many nodes.
    pub(crate) nodes: usize,
    /// How many links.
    pub(crate) links: usize,
    /// The fewest links of a node.
    pub(crate) min_degree: usize,
    /// The most links of a node.
    pub(crate) max_degree: usize,
}

impl Graph {
    /// Why the degrees aren't those of a network that has come to rest.
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

/// Checks sorted links (dialer, listener) between `members`, sorted as well: nobody else, nobody with itself, no pair twice, and
/// a way from everybody to everybody.
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

/// The representative of the part that `place` is in.
fn root(parents: &mut [usize], mut place: usize) -> usize {
    while parents[place] != place {
        parents[place] = parents[parents[place]];
        place = parents[place];
    }
    place
}
