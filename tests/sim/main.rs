//! `area-net sim`: what it reads and refuses, that it repeats, what it reports, and that its watch sees what must not be.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod command;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod reporting;
#[cfg(test)]
mod running;
#[cfg(test)]
mod watching;

use area_net::sim::parse::{Flags, read_text};
use area_net::sim::{Report, Scenario, run};

fn scenario(text: &str) -> Scenario {
    match read_text("test.toml", text) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{error:?}"),
    }
}

fn play(text: &str) -> Report {
    let report = run(&scenario(text), |_| true);
    assert_eq!(report.violation, None);
    assert_eq!(report.ended, "done");
    report
}

fn flags(give: impl FnOnce(&mut Flags)) -> Flags {
    let mut flags = Flags::default();
    give(&mut flags);
    flags
}
