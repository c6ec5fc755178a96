//! `area-net ping`: measures the round-trip time to a node now.

use std::io::Write as _;
use std::time::Duration;

use super::args::PingArgs;
use super::error::AskError;
use super::show::Screen;
use super::text::{label, name, rtt};
use super::{Desk, encoded, one_line, read, times};
use crate::answers::{Ping, PingHop};

/// The time between two measurements, as of `ping`. The node doesn't probe a neighbour more often than four times a second.
const EVERY: Duration = Duration::from_secs(1);

impl Desk {
    pub(super) fn ping(&mut self, args: &PingArgs) -> Result<(), AskError> {
        let target = format!("/v1/ping/{}", encoded(&args.x));
        let mut last = None;
        for nth in 0..args.count {
            if nth > 0 {
                (self.wait)(EVERY)?;
            }
            let body = self.get(args.profile.as_deref(), &target)?;
            let answer: Ping = read(&body)?;
            let missing = missing(&answer);
            if args.json {
                writeln!(self.out, "{}", one_line(&body)?)?;
            } else if missing.is_none() {
                self.out.write_all(self.screen.ping(&answer).as_bytes())?;
            } else if nth + 1 < args.count {
                writeln!(self.out, "{}", missing.as_deref().unwrap_or_default())?;
            }
            self.out.flush()?;
            last = missing;
        }
        last.map_or(Ok(()), |what| Err(AskError::False { what }))
    }
}

/// Why there is no round-trip time.
fn missing(answer: &Ping) -> Option<String> {
    let to = name(&answer.to);
    let first = answer.hops.first();
    if !answer.reachable {
        Some(format!("no path leads to {to}"))
    } else if !answer.answered {
        let first = first.map_or(to.clone(), |hop| label(&hop.label, &hop.id));
        Some(format!(
            "{first}, the first node on the path to {to}, did not answer in time"
        ))
    } else {
        None
    }
}

impl Screen {
    fn ping(self, answer: &Ping) -> String {
        let sum = answer
            .rtt_us
            .map_or_else(|| "not all measured".to_owned(), rtt);
        if answer.hops.is_empty() {
            return format!("{}  {sum}: the node that answers\n", name(&answer.to));
        }
        let hop = |hop: &PingHop| {
            let figure = hop
                .rtt_us
                .map_or_else(|| "not measured yet".to_owned(), |us| rtt(us.into()));
            let when = match hop.measured_ms {
                _ if hop.now => "now".to_owned(),
                Some(at) => format!("{} ago", times::ago(at, answer.at_ms)),
                None => return format!("{} ({figure})", label(&hop.label, &hop.id)),
            };
            format!("{} ({figure}, {when})", label(&hop.label, &hop.id))
        };
        let hops: Vec<String> = answer.hops.iter().map(hop).collect();
        let text = format!("{}  {sum}: {}", name(&answer.to), hops.join(" -> "));
        self.wrapped(&text, 0).join("\n") + "\n"
    }
}
