//! What comes out of a core: actions for the transport, events for the log, and counters.

use std::collections::{BTreeMap, VecDeque};

use super::interface::{Action, ConnId, Event, LinkNews};
use crate::snapshot::{Changes, Rejected};
use crate::wire::{CloseCode, Message, NodeId};

/// An empty queue keeps room for this many entries.
const ROOM_KEPT: usize = 32;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Out {
    /// Messages that share the packet of a probe of the same moment: they leave before everything else.
    riding: VecDeque<Action>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    changes: Changes,
    rejected: BTreeMap<&'static str, u64>,
}

impl Out {
    /// The first picture counts as a change.
    pub(super) fn new() -> Self {
        Self {
            riding: VecDeque::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            changes: Changes {
                shape: 1,
                figures: 0,
            },
            rejected: BTreeMap::new(),
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn send(&mut self, conn: ConnId, message: Message) {
        self.act(Action::Send(conn, message));
    }

    /// The same, if a probe to that peer leaves at the same moment.
    pub(super) fn send_with_probe(&mut self, conn: ConnId, message: Message) {
        self.riding.push_back(Action::Send(conn, message));
    }

    pub(super) fn close(&mut self, conn: ConnId, code: CloseCode) {
        self.act(Action::Close(conn, code, Vec::new()));
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn tell_links(&mut self, news: Option<LinkNews>) {
        self.events
            .extend(news.map(|news| Event::Links(Box::new(news))));
    }

    /// Something that a peer sent is turned away: counted under a name, and told.
    pub(super) fn reject(&mut self, what: &'static str, peer: NodeId, why: String) {
        *self.rejected.entry(what).or_default() += 1;
        self.changes.figures += 1;
        self.tell(Event::Rejected { what, peer, why });
    }

    /// The same for several things at once, told once.
    pub(super) fn reject_many(&mut self, what: &'static str, count: u64, peer: NodeId, why: &str) {
        *self.rejected.entry(what).or_default() += count;
        self.changes.figures += 1;
        let why = format!("{count} {why}");
        self.tell(Event::Rejected { what, peer, why });
    }

    /// Something that follows from what peers say is not done: counted under a name. It may happen often, so the log has nothing of it.
    pub(super) fn refrain(&mut self, what: &'static str) {
        *self.rejected.entry(what).or_default() += 1;
        self.changes.figures += 1;
    }

    /// Nodes or links came, went, or changed their state.
    pub(super) fn shape_changed(&mut self) {
        self.changes.shape += 1;
    }

    /// Nothing but measurements changed.
    pub(super) fn figures_changed(&mut self) {
        self.changes.figures += 1;
    }

    pub(super) fn changes(&self) -> Changes {
        self.changes
    }

    pub(super) fn rejected(&self) -> Rejected {
        let counts = self.rejected.iter();
        Rejected(
            counts
                .map(|(name, count)| ((*name).into(), *count))
                .collect(),
        )
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        pop(&mut self.riding).or_else(|| pop(&mut self.actions))
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        pop(&mut self.events)
    }
}

/// Takes the first entry out of a queue, and gives the room of a large one back once it is empty: when a network comes into view there
/// is an event for every node, and never again as many.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if first.is_none() && queue.capacity() > ROOM_KEPT {
        *queue = VecDeque::new();
    }
    first
}
