//! What is shown, and what keys do to it. Nothing here touches a terminal or a clock.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::chronicle::{BadFrame, Entry, EventLine};
use crate::layout::{Input, Kind, Layout};
use crate::snapshot::NodeState;

use super::past::{History, Sparks};
use super::rows::{self, List};
use super::text;
use super::view::View;

/// How far one press of an arrow goes into the past, in ms. Half of it needs many presses to get through an hour, and twice of it jumps
/// over what lasted a few seconds; `[` and `]` go from change to change.
const STEP_MS: i64 = 10_000;

/// A latency map is made anew at most this often, in ms: round-trip times change all the time. Half of it takes twice the processor
/// time; at double, a map lags behind a node that has come to rest.
const MAP_EVERY_MS: i64 = 5_000;

/// The views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Nodes,
    Links,
    Matrix,
    Map,
    Events,
}

impl Tab {
    pub(super) const ALL: [Self; 5] = [
        Self::Nodes,
        Self::Links,
        Self::Matrix,
        Self::Map,
        Self::Events,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Links => "links",
            Self::Matrix => "matrix",
            Self::Map => "map",
            Self::Events => "events",
        }
    }

    fn beside(self, by: usize) -> Self {
        let all = Self::ALL;
        let at = all.iter().position(|tab| *tab == self).unwrap_or_default();
        all[(at + by) % all.len()]
    }
}

/// Where nodes are on the map.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) kind: Kind,
    layout: Layout,
    /// By the indices of the view.
    pub(super) places: Vec<Option<(f64, f64)>>,
    /// What the map was made of: the view's nodes and links, and its time.
    made: Option<(Vec<u32>, Vec<u32>, i64)>,
}

impl Map {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            layout: Layout::new(kind, 1),
            places: Vec::new(),
            made: None,
        }
    }

    fn refresh(&mut self, view: &View) {
        let nodes: Vec<u32> = view.nodes.iter().map(|node| node.n).collect();
        let links: Vec<u32> = view.links.iter().map(|link| link.l).collect();
        let up = |node: &super::view::NodeRow| node.state == NodeState::Up;
        let placed = self.places.iter().filter(|place| place.is_some()).count();
        if let Some((old_nodes, old_links, at_ms)) = &self.made {
            let is_same = *old_nodes == nodes
                && *old_links == links
                && placed == view.nodes.iter().filter(|node| up(node)).count();
            let is_fresh =
                self.kind == Kind::Structure || (view.at_ms - at_ms).abs() < MAP_EVERY_MS;
            if is_same && is_fresh {
                return;
            }
        }
        let places = self.layout.update(&Input::from(&view.snapshot)).nodes;
        let mut places = places
            .iter()
            .map(|place| (f64::from(place.x), f64::from(place.y)));
        let nodes_up = view.nodes.iter();
        self.places = nodes_up
            .map(|node| up(node).then(|| places.next()).flatten())
            .collect();
        self.made = Some((nodes, links, view.at_ms));
    }
}

/// What a key asks of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Stay,
    Quit,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct App {
    pub(super) profile: String,
    pub(super) network: String,
    pub(super) colours: bool,
    history: Option<History>,
    /// Why there is no connection to the node.
    pub(super) lost: Option<String>,
    /// The time that is shown; `None`: the newest view.
    pub(super) past: Option<i64>,
    pub(super) tab: Tab,
    pub(super) nodes: List,
    pub(super) links: List,
    pub(super) map: Map,
    /// How many of the last events are below the screen.
    pub(super) events_up: usize,
    pub(super) filter: String,
    pub(super) typing: bool,
    pub(super) detail: bool,
    pub(super) help: bool,
    /// Rows of a page.
    page: usize,
    /// What is drawn. It is made by [`Self::refresh`].
    pub(super) view: Option<View>,
    pub(super) sparks: Sparks,
    pub(super) events: Vec<EventLine>,
}

impl App {
    pub(super) fn new(profile: &str, colours: bool) -> Self {
        Self {
            profile: text::clean(profile),
            network: String::new(),
            colours,
            history: None,
            lost: None,
            past: None,
            tab: Tab::Nodes,
            nodes: List::new(rows::NODE_RTT, false),
            links: List::new(rows::LINK_RTT, true),
            map: Map::new(Kind::Structure),
            events_up: 0,
            filter: String::new(),
            typing: false,
            detail: false,
            help: false,
            page: 10,
            view: None,
            sparks: Sparks::default(),
            events: Vec::new(),
        }
    }

    /// A stream begins: the first one, or that of a node that has returned.
    pub(super) fn begin(&mut self, network: &Arc<str>) {
        self.network = text::clean(network);
        self.history = Some(History::new(Arc::clone(network)));
        self.lost = None;
        self.past = None;
        self.nodes.selected = None;
        self.links.selected = None;
    }

    /// Adds an entry of the stream.
    pub(super) fn take(&mut self, entry: Entry) -> Result<(), BadFrame> {
        match &mut self.history {
            Some(history) => history.take(entry),
            None => Err(BadFrame::NoKeyframe),
        }
    }

    /// The stream has ended.
    pub(super) fn lose(&mut self, why: &str) {
        self.lost = Some(text::clean(why));
    }

    /// The height of the terminal.
    pub(super) fn resize(&mut self, height: u16) {
        self.page = usize::from(height.saturating_sub(4)).max(1);
    }

    /// Brings what is drawn up to date.
    pub(super) fn refresh(&mut self) -> Result<(), BadFrame> {
        let Some(history) = &self.history else {
            return Ok(());
        };
        let past = self.past.and_then(|at_ms| history.at(at_ms));
        match (past, history.live()) {
            (Some((picture, sparks)), _) => {
                self.view = Some(View::new(&picture)?);
                self.sparks = sparks;
            }
            (None, Some(live)) => {
                self.view = Some(View::new(live)?);
                self.sparks = history.sparks().clone();
            }
            // The view of the time before stays until the first frame.
            (None, None) => return Ok(()),
        }
        let Some(view) = &self.view else {
            return Ok(());
        };
        let until = self.past.unwrap_or(i64::MAX);
        let filter = self.filter.to_lowercase();
        let events = history.events(until);
        self.events = events
            .filter(|event| {
                filter.is_empty() || rows::event(event).1.to_lowercase().contains(&filter)
            })
            .cloned()
            .collect();
        rows::arrange_nodes(&mut self.nodes, view, &filter);
        rows::arrange_links(&mut self.links, view, &filter);
        if self.tab == Tab::Map {
            self.map.refresh(view);
        }
        Ok(())
    }

    /// Handles a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Wish {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c')) {
            return Wish::Quit;
        }
        if self.typing {
            self.type_filter(key.code);
            return Wish::Stay;
        }
        if self.help {
            self.help = false;
            return if key.code == KeyCode::Char('q') {
                Wish::Quit
            } else {
                Wish::Stay
            };
        }
        match key.code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = true,
            KeyCode::Esc => self.go_back(),
            KeyCode::Char(digit @ '1'..='5') => {
                let index = digit as usize - '1' as usize;
                self.show(Tab::ALL[index]);
            }
            KeyCode::Tab => self.show(self.tab.beside(1)),
            KeyCode::BackTab => self.show(self.tab.beside(Tab::ALL.len() - 1)),
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-(self.page as isize)),
            KeyCode::PageDown => self.go(self.page as isize),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX),
            KeyCode::Enter => self.detail = self.tab != Tab::Events,
            KeyCode::Char('/' | 'f') => self.typing = true,
            KeyCode::Char('s') => self.sort(1),
            KeyCode::Char('S') => self.sort(-1),
            KeyCode::Char('r') => {
                if let Some(list) = self.list() {
                    list.reverse = !list.reverse;
                }
            }
            KeyCode::Char('m') => {
                self.show(Tab::Map);
                self.map = Map::new(match self.map.kind {
                    Kind::Structure => Kind::Latency,
                    Kind::Latency => Kind::Structure,
                });
            }
            KeyCode::Left => self.rewind(|_, at_ms| Some(at_ms - STEP_MS)),
            KeyCode::Right => self.rewind(|_, at_ms| Some(at_ms + STEP_MS)),
            KeyCode::Char('[') => self.rewind(History::turn_before),
            KeyCode::Char(']') => self.rewind(History::turn_after),
            KeyCode::Char('l') => self.past = None,
            _ => {}
        }
        Wish::Stay
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            // A longer label can't exist.
            KeyCode::Char(letter) if self.filter.len() < 256 => self.filter.push(letter),
            _ => {}
        }
        self.events_up = 0;
    }

    fn show(&mut self, tab: Tab) {
        self.tab = tab;
        self.detail = false;
    }

    fn go_back(&mut self) {
        if self.detail {
            self.detail = false;
        } else if self.filter.is_empty() {
            self.past = None;
        } else {
            self.filter.clear();
        }
    }

    /// The list that the view shows: the matrix and the map select nodes too.
    fn list(&mut self) -> Option<&mut List> {
        match self.tab {
            Tab::Nodes | Tab::Matrix | Tab::Map => Some(&mut self.nodes),
            Tab::Links => Some(&mut self.links),
            Tab::Events => None,
        }
    }

    fn sort(&mut self, by: isize) {
        let columns = match self.tab {
            Tab::Links => rows::LINK_COLUMNS.len(),
            _ => rows::NODE_COLUMNS.len(),
        };
        if let Some(list) = self.list() {
            list.column = list.column.wrapping_add_signed(by + columns as isize) % columns;
            list.reverse = false;
        }
    }

    /// Moves the selection, or scrolls.
    fn go(&mut self, by: isize) {
        if self.tab == Tab::Events {
            let most = self.events.len().saturating_sub(1);
            let up = (self.events_up as isize).saturating_sub(by).max(0);
            self.events_up = (up as usize).min(most);
            return;
        }
        let (Some(view), tab) = (self.view.take(), self.tab) else {
            return;
        };
        if let Some(list) = self.list() {
            let number = |row: &usize| match tab {
                Tab::Links => view.links[*row].l,
                _ => view.nodes[*row].n,
            };
            let last = list.rows.len().saturating_sub(1);
            let at = list
                .rows
                .iter()
                .position(|row| Some(number(row)) == list.selected);
            let to = (at.unwrap_or_default() as isize).saturating_add(by).max(0) as usize;
            if let Some(row) = list.rows.get(to.min(last)) {
                list.selected = Some(number(row));
            }
        }
        self.view = Some(view);
    }

    /// Goes to a time that follows from the one shown.
    fn rewind(&mut self, to: impl Fn(&History, i64) -> Option<i64>) {
        let Some(history) = &self.history else { return };
        let Some(live_ms) = history.live().map(crate::chronicle::Picture::at_ms) else {
            return;
        };
        let at_ms = self.past.unwrap_or(live_ms);
        match to(history, at_ms) {
            Some(to) if to >= live_ms => self.past = None,
            Some(to) => self.past = Some(to.max(history.oldest_ms())),
            None if to(history, i64::MIN).is_some() => self.past = None,
            None => {}
        }
        self.events_up = 0;
    }
}
