//! Translates steps, written in the simulator's language, to actions on hosts, links and processes.

use std::collections::BTreeSet;
use std::ops::Range as Span;
use std::time::Duration;

use area_net::sim::lines::Way;
use area_net::sim::parse::steps::{Deed, End, RawStep, Said};
use area_net::sim::parse::words::{Names, Wrong};
use area_net::sim::places::{Places, Who};
use area_net::sim::scenario::Group;
use toml::Spanned;

use crate::lab::action::{Action, Direction, NAMES, Step};
use crate::lab::netem::Netem;
use crate::lab::scenario::Topology;

/// Resolves the names in a scenario.
pub(crate) struct Place {
    /// The network between the nodes.
    pub(crate) topology: Topology,
    /// The number of nodes.
    pub(crate) nodes: usize,
    /// The nodes' names, and the groups that the file defines.
    pub(crate) groups: Vec<Group>,
}

/// An action with the byte range of the file that asks for it.
type Asked = (Span<usize>, Step);

impl Place {
    /// Knows the nodes' names, and no groups of the file.
    pub(crate) fn new(topology: Topology, nodes: usize) -> Self {
        let named = NAMES[..nodes].iter().enumerate().map(|(node, name)| Group {
            name: (*name).to_owned(),
            places: Places::Range(node, node + 1),
        });
        let mut groups: Vec<Group> = named.collect();
        if topology == Topology::Loopback {
            groups.push(Group {
                name: "lo".to_owned(),
                places: Places::All,
            });
        }
        Self {
            topology,
            nodes,
            groups,
        }
    }

    fn names(&self) -> Names<'_> {
        Names {
            nodes: self.nodes,
            groups: &self.groups,
        }
    }

    /// The steps in time order, with repeated steps expanded. The error says why a step is impossible.
    pub(crate) fn steps(
        &self,
        raw: &[Spanned<RawStep>],
        lasts: Duration,
    ) -> Result<Vec<Step>, Wrong> {
        let end = End {
            at: lasts,
            said: String::new(),
        };
        let mut steps: Vec<Asked> = Vec::new();
        for said in self.names().steps(raw, &end, 0)? {
            let done = self.actions(&said, lasts);
            let done = done.map_err(|what| Wrong::new(said.span.clone(), what))?;
            let asked = done.into_iter().map(|(at, action)| {
                let at_s = at.as_secs_f64();
                (said.span.clone(), Step { at_s, action })
            });
            steps.extend(asked);
        }
        steps.sort_by(|(_, one), (_, other)| one.at_s.total_cmp(&other.at_s));
        let mut lives = vec![Life::Runs; self.nodes];
        for (span, step) in &steps {
            live(&mut lives, step).map_err(|what| Wrong::new(span.clone(), what))?;
        }
        Ok(steps.into_iter().map(|(_, step)| step).collect())
    }

    /// The actions of one step with their times. A step about nodes becomes one action per node.
    fn actions(&self, said: &Said, lasts: Duration) -> Result<Vec<(Duration, Action)>, String> {
        type Make = fn(usize) -> Action;
        let each = |who: &Who, at: Duration, make: Make| -> Result<Vec<_>, String> {
            let nodes = self.known(who)?.into_iter();
            Ok(nodes.map(|node| (at, make(node))).collect())
        };
        let kill: Make = |node| Action::Kill { node };
        let start: Make = |node| Action::Start { node };
        let once = |action| Ok(vec![(said.at, action)]);
        match &said.deed {
            Deed::Kill(who) => each(who, said.at, kill),
            Deed::Start(who) => each(who, said.at, start),
            Deed::Leave(who) => each(who, said.at, |node| Action::Leave { node }),
            Deed::Stop(who) => each(who, said.at, |node| Action::Stop { node }),
            Deed::Continue(who) => each(who, said.at, |node| Action::Continue { node }),
            Deed::Restart(who, down) => {
                let again = said.at + *down;
                if again >= lasts {
                    return Err(format!(
                        "they start at {again:?}, but the run ends at {lasts:?}"
                    ));
                }
                let mut actions = each(who, said.at, kill)?;
                actions.extend(each(who, again, start)?);
                Ok(actions)
            }
            Deed::Vanish(who) => {
                self.needs_hosts()?;
                each(who, said.at, |node| Action::Vanish { node })
            }
            Deed::Address(who) => {
                self.needs_hosts()?;
                each(who, said.at, |node| Action::Address { node })
            }
            Deed::Partition(parts) => once(Action::LinkDown {
                on: self.partition(parts)?,
            }),
            Deed::Heal => once(Action::LinkUp {
                on: self.all().collect(),
            }),
            Deed::Netem(ways, netem) => {
                let netem = netem.as_deref().map(Netem::new).transpose()?;
                let on = self.directions(ways)?;
                once(Action::Netem { on, netem })
            }
            Deed::Link(ways, up) => {
                let on = self.directions(ways)?;
                once(match up {
                    true => Action::LinkUp { on },
                    false => Action::LinkDown { on },
                })
            }
            Deed::Mtu(ways, bytes) => once(Action::Mtu {
                on: self.directions(ways)?,
                bytes: *bytes,
            }),
            Deed::Clock(seconds) => once(Action::Clock { seconds: *seconds }),
            Deed::Lie(_) => Err("`lie` is the simulator's: the lab's nodes are as they are".into()),
            Deed::Honest(_) => Err("`honest` is the simulator's, as `lie` is".into()),
        }
    }

    /// The nodes. They must be known before the run, because promises refer to them.
    fn known(&self, who: &Who) -> Result<Vec<usize>, String> {
        match who {
            Who::Places(places) => Ok(self.of(places).collect()),
            Who::Share(_) | Who::Some(_) | Who::Hub | Who::Down => Err(format!(
                "`{who}` is drawn while a simulation runs; in the lab, name the nodes: alice, a range such as 0..2, a group"
            )),
        }
    }

    fn of(&self, places: &Places) -> impl Iterator<Item = usize> {
        (0..self.nodes).filter(move |node| places.contains(*node))
    }

    /// Refuses actions that need one host per node, which loopback doesn't have.
    fn needs_hosts(&self) -> Result<(), String> {
        match self.topology {
            Topology::Links => Ok(()),
            Topology::Loopback => {
                Err("on loopback all nodes have one host; use topology = \"links\"".into())
            }
        }
    }

    /// The directions between nodes of different parts. All nodes in no part form one more part.
    fn partition(&self, parts: &[Who]) -> Result<Vec<Direction>, String> {
        if self.topology == Topology::Loopback {
            return Err("loopback is one for all; use topology = \"links\"".into());
        }
        let mut part_of = vec![None; self.nodes];
        for (part, who) in parts.iter().enumerate() {
            for node in self.known(who)? {
                if part_of[node].replace(part).is_some() {
                    return Err(format!("`{}` is in two parts", NAMES[node]));
                }
            }
        }
        let apart = |(from, to): &Direction| part_of[*from] != part_of[*to];
        Ok(self.all().filter(apart).collect())
    }

    fn all(&self) -> impl Iterator<Item = Direction> {
        let nodes = self.nodes;
        (0..nodes).flat_map(move |from| {
            (0..nodes)
                .filter(move |to| *to != from)
                .map(move |to| (from, to))
        })
    }

    /// The directions that these patterns select.
    fn directions(&self, ways: &[Way]) -> Result<Vec<Direction>, String> {
        let everywhere = |way: &Way| way.from == Places::All && way.to == Places::All;
        if self.topology == Topology::Loopback && !ways.iter().all(everywhere) {
            return Err("loopback has one qdisc for all: leave `on` out, or write [\"lo\"]".into());
        }
        let mut selected = BTreeSet::new();
        for way in ways {
            let before = selected.len();
            let of_it: Vec<Direction> = self.all().filter(|one| way.contains(*one)).collect();
            let none = of_it.is_empty();
            selected.extend(of_it);
            if none && selected.len() == before {
                return Err("no link goes from a node to itself".into());
            }
        }
        Ok(selected.into_iter().collect())
    }

    /// Parses two nodes, as in `alice-bob`.
    pub(crate) fn pair(&self, pair: &Spanned<String>) -> Result<Direction, Wrong> {
        let wrong = |what: String| Wrong::new(pair.span(), what);
        let one = |name: &str| {
            let places = self.names().places(name).map_err(wrong)?;
            let mut nodes = self.of(&places);
            match (nodes.next(), nodes.next()) {
                (Some(node), None) => Ok(node),
                _ => Err(wrong(format!("`{name}` is more than one node"))),
            }
        };
        let two = pair.get_ref().split_once('-');
        let two = two.ok_or_else(|| wrong("ping is between two: \"alice-bob\"".into()))?;
        match (one(two.0)?, one(two.1)?) {
            (from, to) if from == to => Err(wrong("ping is between two: \"alice-bob\"".into())),
            pair => Ok(pair),
        }
    }
}

/// State of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Runs,
    Stopped,
    Ended,
}

/// Applies a step to the states of the processes. Refuses a step that the process's state doesn't allow.
fn live(lives: &mut [Life], step: &Step) -> Result<(), String> {
    let (node, can, then) = match step.action {
        Action::Kill { node } => (node, [Life::Runs, Life::Stopped], Life::Ended),
        Action::Leave { node } | Action::Vanish { node } => (node, [Life::Runs; 2], Life::Ended),
        Action::Start { node } => (node, [Life::Ended; 2], Life::Runs),
        Action::Stop { node } => (node, [Life::Runs; 2], Life::Stopped),
        Action::Continue { node } => (node, [Life::Stopped; 2], Life::Runs),
        Action::Netem { .. }
        | Action::LinkDown { .. }
        | Action::LinkUp { .. }
        | Action::Mtu { .. }
        | Action::Address { .. }
        | Action::Clock { .. } => return Ok(()),
    };
    let (name, at_s) = (NAMES[node], step.at_s);
    if step.at_s <= 0.0 {
        return Err(format!(
            "{name} doesn't run yet: all nodes are started at 0"
        ));
    }
    if !can.contains(&lives[node]) {
        let is = match lives[node] {
            Life::Runs => "runs",
            Life::Stopped => "is stopped",
            Life::Ended => "doesn't run",
        };
        return Err(format!(
            "at {at_s} s this can't be done, for {name} {is} then"
        ));
    }
    lives[node] = then;
    Ok(())
}
