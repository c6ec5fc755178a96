//! The arguments for the kernel's netem, and their effect for the judge.

use area_net::impair::Impairment;
use serde::{Deserialize, Serialize};

/// A netem qdisc: arguments and effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Netem {
    /// The arguments for `tc`, after the word `netem`.
    pub(crate) args: String,
    /// Mean delay in ms.
    pub(crate) delay_ms: f64,
    /// Percentage of independently lost packets. `None` if the losses depend on each other.
    pub(crate) loss_percent: Option<f64>,
}

impl Netem {
    /// The netem arguments that are equivalent to the impairment.
    pub(crate) fn new(impairment: &Impairment) -> Result<Self, String> {
        if impairment.mean_loss() >= 1.0 {
            return Err(
                "what loses everything is `link = \"down\"`: then the judge knows of it".into(),
            );
        }
        Ok(Self {
            args: impairment.to_string(),
            delay_ms: impairment.delay().as_secs_f64() * 1000.0,
            loss_percent: impairment.independent_loss().map(|part| part * 100.0),
        })
    }

    /// Parses the arguments of `tc`.
    #[cfg(test)]
    pub(crate) fn parse(args: &str) -> Result<Self, String> {
        let impairment: Impairment = args.parse().map_err(|error| format!("{error}"))?;
        Self::new(&impairment)
    }
}

/// The `tc` commands that replace one qdisc by another. `change` keeps the packets in flight, but an option that isn't named may
/// keep its value. So if an option must go, the whole qdisc is deleted first.
pub(crate) fn replace(interface: &str, before: Option<&str>, now: Option<&str>) -> Vec<String> {
    let add = |args| format!("qdisc add dev {interface} root netem {args}");
    let del = || format!("qdisc del dev {interface} root");
    match (before, now) {
        (None, None) => Vec::new(),
        (None, Some(args)) => vec![add(args)],
        (Some(_), None) => vec![del()],
        (Some(before), Some(args)) if before == args => Vec::new(),
        (Some(before), Some(args)) => {
            let is_option =
                |word: &&str| word.starts_with(|first: char| first.is_ascii_alphabetic());
            let mut options = before.split_whitespace().filter(is_option);
            if options.all(|option| args.split_whitespace().any(|word| word == option)) {
                vec![format!("qdisc change dev {interface} root netem {args}")]
            } else {
                vec![del(), add(args)]
            }
        }
    }
}
