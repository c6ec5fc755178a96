//! `area-net explain` as text for people.

use super::show::Screen;
use super::table::{Column, Table, plain};
use super::text::{count, cut, rtt};
use crate::answers::Who;
use crate::answers::types::{Explain, Slow, SuspectKind};

/// The most detours, bridges and articulation points that are shown. `--json` has more. At double, the first ones scroll away.
const MOST: usize = 12;
/// The most nodes that are named on a line.
const NAMED: usize = 6;

/// The longest label in a sentence.
const LONGEST: usize = 24;

fn name(who: &Who) -> String {
    cut(&super::text::name(who), LONGEST)
}

impl Screen {
    pub(super) fn explain(self, answer: &Explain) -> String {
        let mut out = self.facts(&figures(answer));
        let points = answer.articulation_points.iter().map(|point| {
            let rest = names(&point.nodes, point.lost);
            let parts = if point.parts > 1 {
                format!(" in {} parts", point.parts)
            } else {
                String::new()
            };
            format!(
                "{}: {}{parts}: {rest}",
                name(&point.node),
                count(point.lost, "node")
            )
        });
        self.list(
            &mut out,
            "nodes that others depend on",
            answer.articulation_points_total,
            points,
        );
        let bridges = answer.bridges.iter().map(|bridge| {
            let rest = names(&bridge.nodes, bridge.lost);
            let ends = format!("{} -> {}", name(&bridge.dialer), name(&bridge.listener));
            format!("{ends}: {}: {rest}", count(bridge.lost, "node"))
        });
        self.list(
            &mut out,
            "links that nodes depend on",
            answer.bridges_total,
            bridges,
        );
        if let Some(causes) = &answer.slow {
            let causes = causes.iter().map(cause);
            self.list(&mut out, "slower than usual", causes.len(), causes);
        }
        self.detours(&mut out, answer);
        out
    }

    fn list(self, out: &mut String, what: &str, total: usize, lines: impl Iterator<Item = String>) {
        out.push_str(&format!(
            "\n{what}: {}\n",
            if total == 0 {
                "none".to_owned()
            } else {
                total.to_string()
            }
        ));
        let mut shown = 0;
        for line in lines.take(MOST) {
            shown += 1;
            for (nth, part) in self.wrapped(&line, 4).iter().enumerate() {
                out.push_str(if nth == 0 { "  " } else { "    " });
                out.push_str(part);
                out.push('\n');
            }
        }
        if total > shown {
            out.push_str(&format!("  … and {} more\n", total - shown));
        }
    }

    fn detours(self, out: &mut String, answer: &Explain) {
        const COLUMNS: [Column; 6] = [
            Column::text("FROM", 0),
            Column::text("TO", 0),
            Column::figures("DIRECT", 1),
            Column::text("VIA", 0),
            Column::figures("DETOUR", 0),
            Column::figures("SAVES", 2),
        ];
        if answer.detours.is_empty() {
            out.push_str("\nfaster detours: none\n");
            return;
        }
        out.push_str("\nfaster detours:\n");
        let mut table = Table::new(&COLUMNS);
        for detour in answer.detours.iter().take(MOST) {
            let predicted = if detour.linked { "" } else { "~ " };
            let saved = detour.direct_us.saturating_sub(detour.detour_us);
            table.row(vec![
                plain(name(&detour.from)),
                plain(name(&detour.to)),
                plain(format!("{predicted}{}", rtt(detour.direct_us.into()))),
                plain(name(&detour.via)),
                plain(rtt(detour.detour_us.into())),
                plain(rtt(saved.into())),
            ]);
        }
        out.push_str(&table.render(self.width, self.colours));
        if answer
            .detours
            .iter()
            .take(MOST)
            .any(|detour| !detour.linked)
        {
            out.push_str("~: no link; predicted\n");
        }
    }
}

fn figures(answer: &Explain) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(of) = &answer.rtt_us {
        let [min, half, most, max] = [of.min, of.p50, of.p90, of.max].map(|us| rtt(us.into()));
        facts.push((
            "rtt",
            format!("{min} to {max}; median {half}, 90 % up to {most}"),
        ));
    }
    if answer.unmeasured > 0 {
        facts.push(("unmeasured", count(answer.unmeasured, "link")));
    }
    if let Some(of) = &answer.degree {
        facts.push((
            "links",
            format!("{} to {} a node, median {}", of.min, of.max, of.p50),
        ));
    }
    if let Some(far) = &answer.diameter {
        let least = if far.exact { "" } else { "at least " };
        let (from, to) = (name(&far.from), name(&far.to));
        facts.push((
            "diameter",
            format!("{least}{}, between {from} and {to}", rtt(far.rtt_us)),
        ));
    }
    facts
}

fn cause(slow: &Slow) -> String {
    let links = count(slow.links, "link");
    let named: Vec<String> = slow.nodes.iter().map(name).collect();
    match (slow.suspect, &named[..], &slow.sizes[..]) {
        (SuspectKind::Network, ..) => format!(
            "nearly all: {links}; the machine that is asked, or all machines, rather than each link"
        ),
        (SuspectKind::Node, [node], _) if slow.me => {
            format!(
                "{node}, the node that answers: {links}; it is starved, or its access line is full"
            )
        }
        (SuspectKind::Node, [node], _) => format!("{node}: {links}"),
        (SuspectKind::Sites, [one, other], [size, other_size]) => format!(
            "between the site of {one} ({}) and that of {other} ({}): {links}",
            count(*size, "node"),
            count(*other_size, "node")
        ),
        (SuspectKind::Link, [one, other], _) => format!("{one} and {other}"),
        (SuspectKind::Node | SuspectKind::Sites | SuspectKind::Link, ..) => links,
    }
}

fn names(nodes: &[Who], total: usize) -> String {
    let shown: Vec<String> = nodes.iter().take(NAMED).map(name).collect();
    let rest = total - shown.len().min(total);
    let shown = shown.join(", ");
    if rest == 0 {
        shown
    } else {
        format!("{shown} and {rest} more")
    }
}
