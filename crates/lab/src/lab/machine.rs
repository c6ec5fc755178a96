//! Chooses the machine for a scenario.

use crate::lab::scenario::{Scenario, Topology};
use crate::shared::place::{Machine, Place};

/// The kind of machine that the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// This kernel if it can play the scenario, else User-Mode Linux.
    Any,
    /// Only this kernel.
    Kernel,
    /// User-Mode Linux for every scenario.
    Uml,
    /// An interface of this machine for loopback scenarios. Other scenarios are played as with `Any`.
    Interface,
}

/// The place to play the scenario, or the reason why no place can.
pub(crate) fn place(machine: &Machine, scenario: &Scenario, wish: Wish) -> Result<Place, String> {
    if wish == Wish::Uml {
        return machine.uml();
    }
    if scenario.needs_own_clock() {
        return match wish {
            Wish::Kernel => Err("this kernel's clock is not the lab's to set".into()),
            Wish::Any | Wish::Interface | Wish::Uml => machine.uml(),
        };
    }
    if wish == Wish::Interface && scenario.topology == Topology::Loopback {
        return Ok(Place::Here);
    }
    let able = machine.has_namespaces() && (machine.has_netem() || !scenario.needs_netem());
    match (able, wish) {
        (true, _) => Ok(Place::Kernel),
        (false, Wish::Kernel) => Err("this kernel has no sch_netem, or gives no namespaces".into()),
        (false, Wish::Any | Wish::Interface | Wish::Uml) => machine.uml(),
    }
}
