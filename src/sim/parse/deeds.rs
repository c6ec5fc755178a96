//! Converts the steps that the simulator shares with the lab into actions of the simulator.

use toml::Spanned;

use super::super::scenario::{Action, Step};
use super::steps::{Deed, End, RawStep};
use super::words::{Names, Wrong};

/// Adds the steps of a file to the present ones.
pub(super) fn add_steps(
    names: &Names<'_>,
    raw: &[Spanned<RawStep>],
    end: &End,
    steps: &mut Vec<Step>,
) -> Result<(), Wrong> {
    for said in names.steps(raw, end, steps.len())? {
        let action = action(said.deed).map_err(|word| {
            let what = format!("`{word}` works only in the lab: simulated nodes have no hosts");
            Wrong::new(said.span, what)
        })?;
        steps.push(Step {
            at: said.at,
            action,
            words: said.words,
        });
    }
    Ok(())
}

/// The action, or the word that only the lab understands.
fn action(deed: Deed) -> Result<Action, &'static str> {
    Ok(match deed {
        Deed::Kill(who) => Action::Kill(who),
        Deed::Start(who) => Action::Start(who),
        Deed::Leave(who) => Action::Leave(who),
        Deed::Restart(who, down) => Action::Restart(who, down),
        Deed::Stop(who) => Action::Stop(who),
        Deed::Continue(who) => Action::Continue(who),
        Deed::Lie(who) => Action::Lie(who),
        Deed::Honest(who) => Action::Honest(who),
        Deed::Partition(parts) => Action::Partition(parts),
        Deed::Heal => Action::Heal,
        Deed::Netem(ways, what) => Action::Netem(ways, what),
        Deed::Link(ways, up) => Action::Link(ways, up),
        Deed::Vanish(_) => return Err("vanish"),
        Deed::Address(_) => return Err("address"),
        Deed::Mtu(..) => return Err("mtu"),
        Deed::Clock(_) => return Err("clock"),
    })
}
