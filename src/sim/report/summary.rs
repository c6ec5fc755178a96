//! The report as text, for a terminal.

use super::toll;
use super::words::{bytes, percent, shortened, time};
use super::{FiguresReport, Report, SpreadReport, Times};

/// The summary.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |what: &str| {
        text.push_str(what.trim_end());
        text.push('\n');
    };
    line(&format!(
        "{} — {} {}, seed {}, {} of virtual time{}",
        report.title,
        report.nodes,
        if report.fidelity == "whole" {
            "whole nodes"
        } else {
            "nodes"
        },
        report.seed,
        time(report.ran_ms),
        if report.ended == "interrupted" {
            ", and then interrupted"
        } else {
            ""
        }
    ));
    line("");
    for row in events(report) {
        line(&row);
    }
    line("");
    for (what, times) in [
        ("a node ended: nobody shows it", &report.gone),
        ("a node started: all show it", &report.known),
    ] {
        if times.count > 0 {
            line(&format!("{what:<34} {}", spread(times)));
        }
    }
    let end = &report.at_end;
    line(&format!(
        "{:<34} {} of {} nodes up, {} % of pairs known, {} % of views exact",
        "at the end",
        end.up,
        report.nodes,
        percent(end.known),
        percent(end.exact),
    ));
    line(&format!(
        "{:<34} {} false, {} of the dead still shown; {} links lost",
        "shown as down", report.false_downs, report.still_shown, report.links_lost
    ));
    let traffic = &report.traffic;
    let idle = traffic.idle_bytes_per_s;
    line(&format!(
        "{:<34} {} in all, {}; p99 {} and the busiest {} times the median",
        "bytes a node a second",
        traffic.bytes_per_s.round(),
        idle.map_or("no rest".to_owned(), |idle| format!(
            "{} at rest",
            idle.round()
        )),
        traffic.p99_over_median,
        traffic.busiest_over_median,
    ));
    line(&format!(
        "{:<34} {} copies a node; {} % of all bytes",
        "records",
        traffic.copies,
        percent(traffic.record_share)
    ));
    line(&format!(
        "{:<34} {} messages, {} probes, {} dials",
        "sent", traffic.messages, traffic.probes, traffic.dials
    ));
    let degree = &report.degree;
    line(&format!(
        "{:<34} {} to {}, median {}, p99 {}",
        "links a node", degree.min, degree.max, degree.median, degree.p99
    ));
    more(report).iter().for_each(|row| line(row));
    text
}

/// The tables below the summary.
fn more(report: &Report) -> Vec<String> {
    let attacks = report.attacks.iter().flat_map(toll::rows);
    figures(&report.figures)
        .into_iter()
        .chain(attacks)
        .collect()
}

/// The table of round-trip times that views show, after an empty line.
fn figures(figures: &FiguresReport) -> Vec<String> {
    let [age, error] = ["age", "error"].map(|what| format!("{what}: median, p99, worst"));
    let head = format!(
        "{:<34} {age:<31} {error:<28} stale",
        "round-trip times in views"
    );
    let mut rows = vec![String::new(), head];
    let rest = figures.at_rest.iter().map(|sheet| ("at rest", sheet));
    for (when, sheet) in rest.chain([("at the end", &figures.at_end)]) {
        for (what, tally) in [
            ("a node's own links", &sheet.own),
            ("links of others", &sheet.others),
        ] {
            if tally.shown == 0 {
                continue;
            }
            let SpreadReport { median, p99, max } = tally.age_ms;
            let ages = [median, p99, max].map(time).join(", ");
            let SpreadReport { median, p99, max } = tally.error_percent;
            let errors = [median, p99, max].map(three_digits).join(" %, ");
            let stale = 100.0 * tally.stale as f64 / tally.shown as f64;
            let mut row = format!(
                "{:<34} {ages:<31} {:<28} {} %",
                format!("{what}, {when}"),
                format!("{errors} %"),
                three_digits(stale),
            );
            if tally.unmeasured > 0 {
                let share = 100.0 * tally.unmeasured as f64 / tally.shown as f64;
                row.push_str(&format!("; {} % not measured", three_digits(share)));
            }
            rows.push(row);
        }
    }
    rows
}

fn three_digits(number: f64) -> String {
    let decimals = match number {
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}

/// The table of steps, with the times that views took to follow.
fn events(report: &Report) -> Vec<String> {
    let head = "at          what was done                       all know all     all exact        stays so";
    let mut rows = vec![head.to_owned()];
    for event in &report.events {
        let after =
            |ms: Option<f64>| ms.map_or("—".to_owned(), |ms| format!("after {}", time(ms)));
        rows.push(format!(
            "{:<11} {:<35} {:<16} {:<16} {}",
            time(event.at_ms),
            shortened(&event.what, 35),
            after(event.all_known_after_ms),
            after(event.all_exact_after_ms),
            after(event.stays_exact_after_ms),
        ));
        if let Some((exact, stays)) = event.sent_until_exact.zip(event.sent_until_it_stays) {
            rows.push(format!(
                "{:<11} sent a node: {} until exact, {} until it stays so ({} at most); one copy of what it lacked: {}",
                "",
                bytes(exact.mean),
                bytes(stays.mean),
                bytes(stays.most as f64),
                bytes(event.lacked_bytes_a_node),
            ));
        }
        if let Some(shown) = event.delays_shown_after_ms {
            let shown = time(shown);
            rows.push(format!(
                "{:<11} all show the new round-trip times after {shown}",
                ""
            ));
        }
    }
    rows
}

fn spread(times: &Times) -> String {
    let Times {
        count,
        median_ms,
        p99_ms,
        max_ms,
    } = *times;
    format!(
        "median {}, p99 {}, worst {} ({count})",
        time(median_ms),
        time(p99_ms),
        time(max_ms)
    )
}
