//! The true state and the shown state after each event of a record.

use crate::lab::action::Action;
use crate::lab::record::{Event, View, What};
use crate::lab::scenario::Scenario;
use crate::lab::truth::Truth;

/// The true state and the shown state at one point of a record.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The true state, which follows from the lab's actions.
    pub(crate) truth: Truth,
    /// The newest view of each node, by index.
    pub(crate) views: Vec<Option<View>>,
    /// Each node's own id, by index. It comes from the node's views.
    pub(crate) ids: Vec<Option<String>>,
}

impl State {
    /// The state before the first event. The ids come from the whole record, because another node's view may name a node
    /// before that node's own first view.
    pub(crate) fn new(scenario: &Scenario, events: &[Event]) -> Self {
        let nodes = scenario.nodes;
        let mut ids: Vec<Option<String>> = vec![None; nodes];
        for event in events {
            if let What::Shows(view) = &event.what {
                ids[view.viewer].get_or_insert_with(|| view.id.clone());
            }
        }
        Self {
            truth: Truth::new(nodes),
            views: vec![None; nodes],
            ids,
        }
    }

    /// Applies one more event.
    pub(crate) fn apply(&mut self, event: &Event) {
        match &event.what {
            What::Does(action) => {
                self.truth.apply(action);
                if let Action::Start { node } = action {
                    self.views[*node] = None;
                }
            }
            What::Shows(view) => {
                self.ids[view.viewer] = Some(view.id.clone());
                self.views[view.viewer] = Some(view.clone());
            }
            What::Ended { node, .. } => self.truth.apply(&Action::Kill { node: *node }),
            What::Done | What::Ping { .. } => {}
        }
    }

    /// The index of the node with this id.
    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|own| own.as_deref() == Some(id))
    }

    /// Whether every living node shows exactly the reachable nodes as up.
    pub(crate) fn known(&self) -> bool {
        self.truth.living().all(|viewer| self.knows(viewer))
    }

    fn knows(&self, viewer: usize) -> bool {
        let Some(view) = &self.views[viewer] else {
            return false;
        };
        let part = self.truth.part_of(viewer);
        // A node that reports it is cut off keeps showing its old view, which is not judged.
        if part.len() == 1 && view.cut_off {
            return true;
        }
        let mut up: Vec<Option<usize>> = view
            .nodes
            .iter()
            .filter(|node| node.state == "up")
            .map(|node| self.place(&node.id))
            .collect();
        up.sort_unstable();
        !view.cut_off && up.into_iter().eq(part.into_iter().map(Some))
    }

    /// Whether the views are also exact. All views of a part must have the same links: one between every two nodes that can have
    /// one, and no other.
    pub(crate) fn exact(&self) -> bool {
        self.known() && self.truth.living().all(|viewer| self.exact_view(viewer))
    }

    fn exact_view(&self, viewer: usize) -> bool {
        let part = self.truth.part_of(viewer);
        if part.len() == 1 {
            return true;
        }
        let Some(links) = self.links(viewer) else {
            return false;
        };
        let mut pairs: Vec<(usize, usize)> = links
            .iter()
            .map(|(one, other)| (*one.min(other), *one.max(other)))
            .collect();
        pairs.sort_unstable();
        let wanted = part.iter().flat_map(|one| {
            let others = part.range(one + 1..);
            others
                .filter(|other| self.truth.linked(*one, **other))
                .map(|other| (*one, *other))
                .collect::<Vec<_>>()
        });
        let first = part.first().and_then(|first| self.links(*first));
        pairs.into_iter().eq(wanted) && first.as_ref() == Some(&links)
    }

    /// The links (dialer, listener) of a node's view, sorted. `None` if a link has an unknown id.
    pub(crate) fn links(&self, viewer: usize) -> Option<Vec<(usize, usize)>> {
        let view = self.views[viewer].as_ref()?;
        let mut links: Vec<(usize, usize)> = view
            .links
            .iter()
            .map(|link| Some((self.place(&link.dialer)?, self.place(&link.listener)?)))
            .collect::<Option<_>>()?;
        links.sort_unstable();
        Some(links)
    }
}

/// The number of events up to the one that first started the last node.
pub(crate) fn started(scenario: &Scenario, events: &[Event]) -> usize {
    let start = |event: &Event| matches!(event.what, What::Does(Action::Start { .. }));
    let starts = events.iter().enumerate().filter(|(_, event)| start(event));
    starts
        .map(|(place, _)| place)
        .nth(scenario.nodes - 1)
        .map_or(events.len(), |last| last + 1)
}
