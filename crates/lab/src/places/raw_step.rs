//! Steps as written.

use std::ops::Range as Span;

use area_net::sim::parse::words::Wrong;
use serde::Deserialize;

use crate::places::names::{Known, Names, seconds};
use crate::places::scenario::{Deed, Step, Who};

/// The most repetitions of a step.
const MAX_TIMES: u32 = 1000;

/// A step as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [[step]]")]
pub(super) struct RawStep {
    at: String,
    times: Option<u32>,
    every: Option<String>,
    start: Option<Names>,
    forget: Option<Names>,
    kill: Option<Names>,
    leave: Option<Names>,
    address: Option<Names>,
    drop_address: Option<Names>,
    restore_address: Option<Names>,
    unplug: Option<Names>,
    plug: Option<Names>,
    reboot: Option<Names>,
    renumber: Option<Names>,
    cut: Option<Names>,
    mend: Option<Names>,
    run: Option<String>,
    resolve: Option<String>,
    on: Option<Names>,
    net: Option<String>,
    down: Option<String>,
    to: Option<Names>,
    keep: Option<bool>,
    flush: Option<bool>,
}

impl RawStep {
    /// The step, once for each time that it happens.
    pub(super) fn steps(
        self,
        known: &Known,
        span: &Span<usize>,
        lasts_s: f64,
    ) -> Result<Vec<Step>, Wrong> {
        let wrong = |what: &str| Wrong::new(span.clone(), what);
        let first = seconds(&self.at, span)?;
        let (times, every) = match (self.times, &self.every) {
            (None, None) => (1, 0.0),
            (Some(times @ 1..=MAX_TIMES), Some(every)) => (times, seconds(every, span)?),
            _ => return Err(wrong("`times` (up to 1000) and `every` belong together")),
        };
        let deed = self.deed(known, span)?;
        let mut steps = Vec::new();
        for time in 0..times {
            let at_s = first + every * f64::from(time);
            if at_s >= lasts_s {
                return Err(wrong("this happens when the run has ended"));
            }
            steps.push(Step {
                at_s,
                deed: deed.clone(),
            });
        }
        Ok(steps)
    }

    fn deed(self, known: &Known, span: &Span<usize>) -> Result<Deed, Wrong> {
        let wrong = |what: &str| Wrong::new(span.clone(), what);
        let who = |names: Names| known.who(names, span);
        let net = self.net.clone();
        if let Some(net) = &net {
            known.net(net, span)?;
        }
        let needed = || {
            net.clone()
                .ok_or_else(|| wrong("`net` must say which network"))
        };
        let mut deeds = Vec::new();
        type Make = fn(Who, Option<String>) -> Deed;
        let simple: [(Option<Names>, Make); 7] = [
            (self.forget, |who, _| Deed::Forget(who)),
            (self.kill, |who, _| Deed::Kill(who)),
            (self.leave, |who, _| Deed::Leave(who)),
            (self.drop_address, Deed::DropAddress),
            (self.restore_address, Deed::RestoreAddress),
            (self.cut, Deed::Cut),
            (self.mend, Deed::Mend),
        ];
        for (names, deed) in simple {
            if let Some(names) = names {
                deeds.push(deed(who(names)?, net.clone()));
            }
        }
        if let Some(names) = self.start {
            deeds.push(Deed::Start {
                who: who(names)?,
                targets: self.to.as_ref().map(Names::list),
            });
        }
        if let Some(names) = self.address {
            deeds.push(Deed::Address {
                who: who(names)?,
                net: net.clone(),
                keep: self.keep.unwrap_or(false),
            });
        }
        if let Some(names) = self.unplug {
            deeds.push(Deed::Unplug(who(names)?, needed()?));
        }
        if let Some(names) = self.plug {
            deeds.push(Deed::Plug(who(names)?, needed()?));
        }
        if let Some(names) = self.reboot {
            let down = self.down.as_deref().unwrap_or("0s");
            deeds.push(Deed::Reboot {
                who: who(names)?,
                down_s: seconds(down, span)?,
            });
        }
        if let Some(names) = self.renumber {
            deeds.push(Deed::Renumber {
                who: who(names)?,
                flush: self.flush.unwrap_or(true),
            });
        }
        if let Some(name) = self.resolve {
            let to = self.to.ok_or_else(|| wrong("`to` must list addresses"))?;
            deeds.push(Deed::Name {
                name,
                is: to.list(),
            });
        }
        if let Some(command) = self.run {
            let on = self.on.ok_or_else(|| wrong("`on` must say where"))?;
            deeds.push(Deed::Run {
                who: who(on)?,
                command,
            });
        }
        match (deeds.pop(), deeds.pop()) {
            (Some(deed), None) => Ok(deed),
            (None, _) => Err(wrong("a step must have an action")),
            (Some(_), Some(_)) => Err(wrong("a step has exactly one action")),
        }
    }
}
