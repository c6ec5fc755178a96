//! A link as text for people.

use super::{CLAIM, Screen};
use crate::answers::types::{EndKind, Link};
use crate::ask::text::{name, rtt, short};
use crate::ask::times;

/// The most points of a sparkline: it fits the narrowest terminal beside its key.
pub(super) const SPARKS: usize = 28;

impl Screen {
    pub(in crate::ask) fn link(self, link: &Link) -> String {
        let line = &link.line;
        let figure = match line.rtt_us {
            None => "not measured yet".to_owned(),
            Some(us) => {
                let stale = if line.stale { "; stale" } else { "" };
                format!(
                    "{}, measured {} ago{stale}",
                    rtt(us.into()),
                    times::ago(line.measured_ms, link.at_ms)
                )
            }
        };
        let [own, other] = match line.measured_by {
            EndKind::Dialer => [&line.dialer, &line.listener],
            EndKind::Listener => [&line.listener, &line.dialer],
        };
        let of_other = match &line.other {
            None => "it told nothing".to_owned(),
            Some(end) => format!(
                "{}, measured {} ago; loss {:.1} %",
                rtt(end.rtt_us.into()),
                times::ago(end.measured_ms, link.at_ms),
                end.loss_percent
            ),
        };
        let mut facts = vec![
            (
                "link",
                format!("{} dialed {}", name(&line.dialer), name(&line.listener)),
            ),
            (
                "ids",
                format!("{} -> {}", short(&line.dialer.id), short(&line.listener.id)),
            ),
            (
                "since",
                match link.since_ms {
                    Some(since) => format!(
                        "{}, {} ago",
                        times::show(since),
                        times::ago(since, link.at_ms)
                    ),
                    None => "before the history begins".to_owned(),
                },
            ),
            ("rtt", figure),
            ("loss", format!("{:.1} %", line.loss_percent)),
            ("told by", name(own)),
            ("other end", format!("{}: {of_other}", name(other))),
        ];
        if let Some(since) = line.disputed_since_ms {
            let for_how_long = times::ago(since, link.at_ms);
            let text = format!("the two ends disagree for {for_how_long}; each figure is {CLAIM}");
            facts.push(("disputed", text));
        }
        if line.suspect {
            facts.push((
                "suspect",
                "one end gets no answers, and the verdict is still open".into(),
            ));
        }
        let rtts: Vec<u32> = link.series.iter().filter_map(|point| point.1).collect();
        if let (Some(least), Some(most)) = (rtts.iter().min(), rtts.iter().max()) {
            let from = link.series.first().map_or(0, |point| point.0);
            let extent = times::ago(from, link.at_ms);
            let [least, most] = [*least, *most].map(|us| rtt(us.into()));
            facts.push(("history", format!("{least} to {most} in the last {extent}")));
            facts.push((
                "",
                sparks(&link.series.iter().map(|point| point.1).collect::<Vec<_>>()),
            ));
        }
        if link.other_series.len() > 1 {
            let told: Vec<_> = link.other_series.iter().map(|point| point.1).collect();
            facts.push(("other end", sparks(&told)));
        }
        self.facts(&facts)
    }
}

/// A line of small bars. Each is the longest of its part of the series, so that no peak is lost.
pub(super) fn sparks(series: &[Option<u32>]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let per_bar = series.len().div_ceil(SPARKS).max(1);
    let peaks: Vec<Option<u32>> = series
        .chunks(per_bar)
        .map(|part| part.iter().flatten().max().copied())
        .collect();
    let most = peaks.iter().flatten().max().copied().unwrap_or(0).max(1);
    let bar = |peak: &Option<u32>| match peak {
        // From zero, since a bar is read as an amount.
        Some(us) => BARS[(u64::from(*us) * 7 / u64::from(most)).min(7) as usize],
        None => ' ',
    };
    peaks.iter().map(bar).collect()
}
