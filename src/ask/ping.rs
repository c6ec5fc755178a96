//! `area-net ping`: measures the path to a node now.

use std::io::Write as _;
use std::time::Duration;

use super::args::PingArgs;
use super::error::AskError;
use super::show::Screen;
use super::table::{Column, Table, plain};
use super::text::{count, label, name, rtt};
use super::{Desk, encoded, one_line, read, times};
use crate::answers::{Ping, PingHop};

/// The time between two measurements, as of `ping`; twice that if more than [`MANY`] nodes are asked. At half, a path of six links
/// loses echoes. Doubled, people wait twice as long for the same.
const EVERY: Duration = Duration::from_secs(1);
/// A neighbour passes on so many echoes a second in the long run. The core has that number (`echo.brought_per_s`).
const MANY: u32 = 8;

const COLUMNS: [Column; 6] = [
    Column::text("NODE", 0),
    Column::figures("ANSWERED", 0),
    Column::figures("LOSS", 0),
    Column::figures("LEAST", 2),
    Column::figures("MEAN", 0),
    Column::figures("MOST", 1),
];

/// What several measurements say of a node.
#[derive(Debug, Default)]
struct Tally {
    id: String,
    label: String,
    asked: u32,
    totals_us: Vec<u32>,
}

impl Desk {
    pub(super) fn ping(&mut self, args: &PingArgs) -> Result<(), AskError> {
        let target = format!("/v1/ping/{}", encoded(&args.x));
        let (mut last, mut answered) = (None, false);
        let mut tallies: Vec<Tally> = Vec::new();
        let mut pause = EVERY;
        for nth in 0..args.count {
            if nth > 0 {
                (self.wait)(pause)?;
            }
            let body = self.get(args.profile.as_deref(), &target)?;
            let answer: Ping = read(&body)?;
            let missing = missing(&answer);
            note(&mut tallies, &answer);
            pause = if answer.asked > MANY {
                EVERY * 2
            } else {
                EVERY
            };
            if args.json {
                writeln!(self.out, "{}", one_line(&body)?)?;
            } else if missing.is_none() {
                self.out.write_all(self.screen.ping(&answer).as_bytes())?;
            } else if nth + 1 < args.count {
                writeln!(self.out, "{}", missing.as_deref().unwrap_or_default())?;
            }
            self.out.flush()?;
            answered |= missing.is_none();
            last = missing;
        }
        if args.count > 1 && !args.json && !tallies.is_empty() {
            let summary = self.screen.tallies(&tallies);
            self.out.write_all(summary.as_bytes())?;
            self.out.flush()?;
        }
        match last {
            Some(what) if !answered => Err(AskError::False { what }),
            _ => Ok(()),
        }
    }
}

/// Counts what each node that was asked said.
fn note(tallies: &mut Vec<Tally>, answer: &Ping) {
    for hop in asked(answer) {
        let known = tallies.iter_mut().find(|tally| tally.id == hop.id);
        let tally = match known {
            Some(tally) => tally,
            None => {
                tallies.push(Tally {
                    id: hop.id.clone(),
                    ..Tally::default()
                });
                tallies.last_mut().expect("it was pushed")
            }
        };
        tally.label.clone_from(&hop.label);
        tally.asked += 1;
        tally.totals_us.extend(hop.total_us);
    }
}

/// The nodes to which an echo was sent.
fn asked(answer: &Ping) -> &[PingHop] {
    let count = usize::try_from(answer.asked).unwrap_or(usize::MAX);
    &answer.hops[..count.min(answer.hops.len())]
}

/// Why there is no round-trip time.
fn missing(answer: &Ping) -> Option<String> {
    let to = name(&answer.to);
    if !answer.reachable {
        return Some(format!("no path leads to {to}"));
    }
    if answer.answered {
        return None;
    }
    let asked = asked(answer);
    let named = |hop: &PingHop| label(&hop.label, &hop.id);
    let reached = asked.iter().rposition(|hop| hop.total_us.is_some());
    let silent = asked.get(reached.map_or(0, |at| at + 1));
    Some(match (reached.map(|at| &asked[at]), silent) {
        (_, None) => format!(
            "no echo was sent to {to}: the node that answers shows a recording, or is about to stop"
        ),
        (None, Some(first)) => format!(
            "{}, the first node on the path to {to}, did not answer in time",
            named(first)
        ),
        (Some(near), Some(next)) => format!(
            "{}, on the path to {to}, did not answer in time; {}, the node before it, answered after {}",
            named(next),
            named(near),
            rtt(near.total_us.unwrap_or_default().into())
        ),
    })
}

impl Screen {
    fn ping(self, answer: &Ping) -> String {
        let sum = answer
            .rtt_us
            .map_or_else(|| "not all measured".to_owned(), rtt);
        if answer.hops.is_empty() {
            return format!("{}  {sum}: the node that answers\n", name(&answer.to));
        }
        let asked = asked(answer).len();
        let hop = |(at, hop): (usize, &PingHop)| {
            let figure = hop
                .rtt_us
                .map_or_else(|| "not measured yet".to_owned(), |us| rtt(us.into()));
            let silent = if at < asked && hop.total_us.is_none() {
                "no answer; "
            } else {
                ""
            };
            let when = match hop.measured_ms {
                _ if hop.now => ", now".to_owned(),
                Some(told) => format!(", {} ago", times::ago(told, answer.at_ms)),
                None => String::new(),
            };
            format!("{} ({silent}{figure}{when})", label(&hop.label, &hop.id))
        };
        let hops: Vec<String> = answer.hops.iter().enumerate().map(hop).collect();
        let mut text = format!("{}  {sum}: {}", name(&answer.to), hops.join(" -> "));
        if let Some(last) = asked.checked_sub(1).filter(|_| asked < hops.len()) {
            let last = &answer.hops[last];
            text.push_str(&format!(
                "; an echo goes over {} at most, so the path was measured up to {}",
                count(asked, "link"),
                label(&last.label, &last.id)
            ));
        }
        self.wrapped(&text, 0).join("\n") + "\n"
    }

    /// What several measurements say of each node.
    fn tallies(self, tallies: &[Tally]) -> String {
        let mut table = Table::new(&COLUMNS);
        for tally in tallies {
            let answered = u32::try_from(tally.totals_us.len()).unwrap_or(tally.asked);
            let lost = f64::from(tally.asked - answered) / f64::from(tally.asked.max(1));
            let all = tally.totals_us.iter().copied().map(u64::from);
            let mean = all.clone().sum::<u64>().checked_div(answered.into());
            let figure = |us: Option<u64>| plain(us.map_or_else(|| "-".to_owned(), rtt));
            table.row(vec![
                plain(label(&tally.label, &tally.id)),
                plain(format!("{answered} of {}", tally.asked)),
                plain(format!("{:.0} %", lost * 100.0)),
                figure(all.clone().min()),
                figure(mean),
                figure(all.max()),
            ]);
        }
        table.render(self.width, self.colours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers;
    use crate::graph::example::snapshot;

    /// A chain of `nodes` nodes with links of 1 ms, pinged from end to end.
    fn chain(nodes: usize, totals_us: &[Option<u32>]) -> Ping {
        let links: Vec<_> = (1..nodes).map(|at| (at - 1, at, 1000)).collect();
        let mut view = snapshot(nodes, &links);
        view.at_ms = 7000;
        answers::ping(&view, nodes - 1, totals_us)
    }

    #[test]
    fn a_line_says_which_path_and_what_was_measured_of_it() {
        let screen = Screen::default();
        for (totals_us, line) in [
            (
                [Some(1100), Some(2300), Some(3300)],
                "n3  3.300 ms: n1 (1.100 ms, now) -> n2 (1.200 ms, now) -> n3 (1.000 ms, now)\n",
            ),
            (
                [Some(1100), None, Some(3300)],
                "n3  3.300 ms: n1 (1.100 ms, now) -> n2 (no answer; 1.000 ms, 5 s ago) -> n3 (1.000 ms, 5 s ago)\n",
            ),
        ] {
            let answer = chain(4, &totals_us);
            assert_eq!(missing(&answer), None);
            assert_eq!(screen.ping(&answer), line);
        }
    }

    #[test]
    fn where_a_path_ends_is_said() {
        for (totals_us, what) in [
            (
                [None, None, None],
                "n1, the first node on the path to n3, did not answer in time",
            ),
            (
                [Some(1100), Some(2300), None],
                "n3, on the path to n3, did not answer in time; n2, the node before it, answered after 2.300 ms",
            ),
            (
                [Some(1100), None, None],
                "n2, on the path to n3, did not answer in time; n1, the node before it, answered after 1.100 ms",
            ),
        ] {
            assert_eq!(missing(&chain(4, &totals_us)).as_deref(), Some(what));
        }
        let recorded = missing(&chain(4, &[])).unwrap();
        assert!(recorded.contains("shows a recording"), "{recorded}");
    }

    #[test]
    fn a_path_longer_than_an_echo_goes_is_said_to_be() {
        let totals_us: Vec<_> = (1..=15).map(|at| Some(at * 1000)).collect();
        let answer = chain(25, &totals_us);
        assert_eq!(missing(&answer), None);
        let line = Screen::default().ping(&answer);
        assert!(
            line.starts_with("n24  24.000 ms: n1 (1.000 ms, now)"),
            "{line}"
        );
        let end = "n24 (1.000 ms, 5 s ago); an echo goes over 15 links at most, so the path was measured up to n15\n";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn several_measurements_end_with_what_each_node_answered() {
        let mut tallies = Vec::new();
        for totals_us in [
            [Some(1000), Some(2000)],
            [Some(1200), None],
            [Some(1400), Some(2500)],
            [Some(1600), Some(3000)],
        ] {
            note(&mut tallies, &chain(3, &totals_us));
        }
        // Another path, over nobody.
        note(&mut tallies, &chain(2, &[None]));
        let expected = "\
NODE  ANSWERED  LOSS     LEAST      MEAN      MOST
n1      4 of 5  20 %  1.000 ms  1.300 ms  1.600 ms
n2      3 of 4  25 %  2.000 ms  2.500 ms  3.000 ms
";
        assert_eq!(Screen::default().tallies(&tallies), expected);
        let mut silent = Vec::new();
        note(&mut silent, &chain(2, &[None]));
        let table = Screen::default().tallies(&silent);
        assert!(
            table.ends_with("n1      0 of 1  100 %      -     -     -\n"),
            "{table}"
        );
    }
}
