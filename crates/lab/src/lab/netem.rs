//! What the kernel's netem is told, and what that means for the judge.

use area_net::impair::Impairment;
use serde::{Deserialize, Serialize};

/// A qdisc's arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Netem {
    /// What `tc` is told, after the word `netem`.
    pub(crate) args: String,
    /// The mean delay, in ms.
    pub(crate) delay_ms: f64,
    /// The share of packets that are lost independently of each other, in percent; none where it isn't that simple.
    pub(crate) loss_percent: Option<f64>,
}

impl Netem {
    /// What `tc` is told so that the kernel does the same as the impairment says.
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

    /// Reads the words of `tc`.
    #[cfg(test)]
    pub(crate) fn parse(args: &str) -> Result<Self, String> {
        let impairment: Impairment = args.parse().map_err(|error| format!("{error}"))?;
        Self::new(&impairment)
    }
}

/// The commands (for `tc`) by which one qdisc takes another's place. A change keeps the packets that are on their way, but an option that isn't named
/// may keep its value: where one is to go, the whole qdisc goes first.
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
