//! The report as one HTML page with charts: no external resources, light and dark. The only script is that of the playback.

use std::fmt::Write as _;

use super::chart::{Chart, escaped, ticks, time_ticks};
use super::words::{bytes, percent, shortened, time};
use super::{Awareness, Report, SentReport, Times, graph};
use crate::web::page::standalone;

/// The most steps that are numbered in the charts; with more, none is.
const MOST_NUMBERS: usize = 24;
/// The most nodes of a run that is played back: the recording of a thousand takes some MB, and a browser draws 30 frames a second.
pub(in crate::sim) const MOST_PLAYED: usize = 1000;
/// The most steps that are listed.
const MOST_LISTED: usize = 60;

const STYLE: &str = include_str!("style.css");

/// The page, without the run.
#[must_use]
pub fn render(report: &Report) -> String {
    render_with(report, None)
}

/// The page; `run`: a recording of the run, packed with gzip.
#[must_use]
pub fn render_with(report: &Report, run: Option<&[u8]>) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<p>{}</p>\n</header>\n",
        escaped(&format!(
            "{} nodes, {} of virtual time, seed {}: the real core of every node, in a simulated network.",
            report.nodes,
            time(report.ran_ms),
            report.seed
        )),
        title = escaped(&report.title),
    );
    page.push_str(&trouble(report));
    page.push_str(&tiles(report));
    if let Some(playback) = playback(report, run) {
        section(&mut page, "The run", &playback);
    }
    section(&mut page, "Awareness", &awareness(report));
    section(&mut page, "What was done", &events(report));
    section(&mut page, "Traffic", &traffic(report));
    section(&mut page, "Links a node", &degree(report));
    section(&mut page, "The network at the end", &network(report));
    page.push_str("</body>\n</html>\n");
    page
}

fn section(page: &mut String, title: &str, body: &str) {
    write!(page, "<section>\n<h2>{title}</h2>\n{body}</section>\n").expect("a String takes all");
}

fn trouble(report: &Report) -> String {
    if let Some(violation) = &report.violation {
        return format!(
            "<p class=\"trouble\">After {}, what must never happen did: {} ({}).</p>\n",
            time(violation.at_ms),
            escaped(&violation.what),
            escaped(&violation.rule)
        );
    }
    if report.ended == "interrupted" {
        let lasts = time(report.lasts_ms);
        return format!(
            "<p class=\"trouble\">The run was ended early; it was to last {lasts}.</p>\n"
        );
    }
    String::new()
}

fn tiles(report: &Report) -> String {
    let traffic = &report.traffic;
    let first = report.events.first();
    let exact = first.and_then(|event| event.all_exact_after_ms);
    let known = first.and_then(|event| event.all_known_after_ms);
    let or_never = |ms: Option<f64>| ms.map_or("—".to_owned(), time);
    let mut tiles = vec![
        ("all know all, after the start", or_never(known)),
        ("all views exact, after the start", or_never(exact)),
    ];
    if report.gone.count > 0 {
        tiles.push((
            "worst: a node ended, nobody shows it",
            time(report.gone.max_ms),
        ));
    }
    tiles.push((
        "bytes a node a second, at rest",
        traffic
            .idle_bytes_per_s
            .map_or("no rest".to_owned(), |idle| idle.round().to_string()),
    ));
    tiles.push((
        "copies of a record a node receives",
        format!("{:.2}", traffic.copies),
    ));
    tiles.push((
        "views exact at the end",
        format!("{} %", percent(report.at_end.exact)),
    ));
    tiles.push((
        "times a living node was shown as down",
        report.false_downs.to_string(),
    ));
    let tile = |(what, value): &(&str, String)| {
        format!(
            "<div class=\"tile\"><b>{}</b><span>{what}</span></div>\n",
            escaped(value)
        )
    };
    let tiles: String = tiles.iter().map(tile).collect();
    format!("<div class=\"tiles\">\n{tiles}</div>\n")
}

/// Opens the page of the run in its frame. Links within it lead to fragments, which `srcdoc` would look for in the report.
const OPEN: &str = "const page = document.getElementById('run').value;\n\
                    document.querySelector('iframe.run').src = URL.createObjectURL(new Blob([page], { type: 'text/html' }));\n";

/// A page of its own inside of this one: the view of a node, to play back.
fn playback(report: &Report, run: Option<&[u8]>) -> Option<String> {
    let Some(run) = run else {
        let none = format!(
            "<p>No playback: it is there for up to {MOST_PLAYED} nodes, and this run has {}.</p>\n",
            report.nodes
        );
        return (report.nodes > MOST_PLAYED).then_some(none);
    };
    // The text of this element ends with its tag, and knows references.
    let page = standalone(run).replace('&', "&amp;").replace('<', "&lt;");
    Some(format!(
        "<p>What one node saw, to play back: the slider is time, and the space bar plays.</p>\n\
         <iframe class=\"run\" title=\"The run\" sandbox=\"allow-scripts allow-downloads\"></iframe>\n\
         <textarea id=\"run\" hidden readonly>{page}</textarea>\n<script>\n{OPEN}</script>\n"
    ))
}

fn span(report: &Report) -> (f64, f64) {
    (0.0, report.ran_ms)
}

fn curve(report: &Report, value: impl Fn(&Awareness) -> f64) -> Vec<(f64, f64)> {
    let points = report.awareness.iter();
    points.map(|point| (point.at_ms, value(point))).collect()
}

fn marks(chart: &mut Chart, report: &Report) {
    let numbered = report.events.len() <= MOST_NUMBERS;
    // The numbers of steps at about the same time would overlap: only the first one is drawn.
    let mut before = f64::NEG_INFINITY;
    for (number, event) in report.events.iter().enumerate().skip(1) {
        let near = chart.x(event.at_ms) - before < 22.0;
        let number = if numbered && !near {
            number.to_string()
        } else {
            String::new()
        };
        if !near {
            before = chart.x(event.at_ms);
        }
        chart.mark(
            event.at_ms,
            &number,
            &format!("{}: {}", time(event.at_ms), event.what),
        );
    }
}

fn clock(ms: f64) -> String {
    if ms >= 120_000.0 && (ms / 60_000.0).fract() == 0.0 {
        format!("{} min", ms / 60_000.0)
    } else {
        format!("{} s", (ms / 10.0).round() / 100.0)
    }
}

fn awareness(report: &Report) -> String {
    let mut chart = Chart::new("Awareness over time", 320.0, span(report), (0.0, 1.0));
    chart.y_axis(|share| format!("{:.0} %", share * 100.0));
    chart.x_axis(&time_ticks(span(report), 8), clock);
    marks(&mut chart, report);
    chart.curve("exact", &curve(report, |point| point.exact), true);
    chart.curve("known", &curve(report, |point| point.known), false);
    let most = report
        .awareness
        .iter()
        .map(|point| point.wrong)
        .max()
        .unwrap_or(0);
    let mut note = String::new();
    if most > 0 {
        let scale = most as f64;
        chart.curve(
            "wrong",
            &curve(report, |point| point.wrong as f64 / scale),
            false,
        );
        note = format!(
            "<span class=\"key wrong\"></span> pairs of which one shows the other and should not (the top is {most})"
        );
    }
    format!(
        "<p><span class=\"key known\"></span> pairs of nodes of which one shows the other, of those that should. \
         <span class=\"key exact\"></span> views that are exact: the right nodes, and all their links. {note}</p>\n{}",
        chart.finish()
    )
}

fn events(report: &Report) -> String {
    let after = |ms: Option<f64>| ms.map_or("—".to_owned(), time);
    let sent = |sent: Option<SentReport>, which: fn(SentReport) -> f64| {
        sent.map_or("—".to_owned(), |sent| bytes(which(sent)))
    };
    // This column appears only if a step has a value for it.
    let delays = report
        .events
        .iter()
        .any(|event| event.delays_shown_after_ms.is_some());
    let mut rows = String::new();
    for (number, event) in report.events.iter().enumerate().take(MOST_LISTED) {
        let numbered = number > 0 && report.events.len() <= MOST_NUMBERS;
        writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>{}<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            if numbered {
                number.to_string()
            } else {
                String::new()
            },
            time(event.at_ms),
            escaped(&shortened(&event.what, 80)),
            after(event.all_known_after_ms),
            after(event.all_exact_after_ms),
            after(event.stays_exact_after_ms),
            if delays {
                format!("<td>{}</td>", after(event.delays_shown_after_ms))
            } else {
                String::new()
            },
            bytes(event.lacked_bytes_a_node),
            sent(event.sent_until_exact, |sent| sent.mean),
            sent(event.sent_until_it_stays, |sent| sent.mean),
            sent(event.sent_until_it_stays, |sent| sent.most as f64),
        )
        .expect("a String takes every write");
    }
    let more = report.events.len().saturating_sub(MOST_LISTED);
    let more = if more > 0 {
        format!("<p>… and {more} more.</p>\n")
    } else {
        String::new()
    };
    format!(
        "<table>\n<thead><tr><th></th><th>at</th><th>what</th><th>all know all after</th><th>all views exact after</th><th>and stay so after</th>{}\
         <th>one copy of what a node lacked</th><th>sent a node until exact</th><th>until it stays so</th><th>at most</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n{more}{}{}",
        if delays {
            "<th>new delays shown after</th>"
        } else {
            ""
        },
        strip("From a node's end until nobody shows it", &report.gone),
        strip("From a node's start until all show it", &report.known),
    )
}

/// A distribution in one line: median, 99th percentile and worst on one scale.
fn strip(what: &str, times: &Times) -> String {
    if times.count == 0 {
        return String::new();
    }
    let mut chart = Chart::new(what, 84.0, (0.0, times.max_ms * 1.05), (0.0, 1.0));
    chart.x_axis(&ticks((0.0, times.max_ms * 1.05), 8), |ms| {
        format!("{} ms", ms.round())
    });
    let (median, p99, max) = (
        chart.x(times.median_ms),
        chart.x(times.p99_ms),
        chart.x(times.max_ms),
    );
    let (left, y) = (chart.x(0.0), chart.y(0.6));
    chart.push(&format!(
        "<line class=\"rail\" x1=\"{left:.1}\" x2=\"{max:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
    ));
    for (x, class, word) in [
        (max, "worst", format!("worst {}", time(times.max_ms))),
        (p99, "p99", format!("p99 {}", time(times.p99_ms))),
        (
            median,
            "median",
            format!("median {}", time(times.median_ms)),
        ),
    ] {
        chart.push(&format!(
            "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\"><title>{word}</title></circle>"
        ));
    }
    format!(
        "<h3>{}</h3>\n<p>{} times: <span class=\"key median\"></span> median {}, <span class=\"key p99\"></span> p99 {}, \
         <span class=\"key worst\"></span> worst {}</p>\n{}",
        escaped(what),
        times.count,
        time(times.median_ms),
        time(times.p99_ms),
        time(times.max_ms),
        chart.finish()
    )
}

fn traffic(report: &Report) -> String {
    let points = curve(report, |point| point.bytes_per_s);
    let most = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let mut chart = Chart::new(
        "Bytes a node a second",
        240.0,
        span(report),
        (0.0, most * 1.05),
    );
    chart.y_axis(bytes);
    chart.x_axis(&time_ticks(span(report), 8), clock);
    marks(&mut chart, report);
    chart.curve("sent", &points, true);
    let sum = &report.traffic;
    format!(
        "<p><span class=\"key sent\"></span> bytes that a node sends a second, on average, with all headers. \
         {} in all; of every byte, {} % are records.</p>\n{}",
        escaped(&format!("{:.0} a node a second", sum.bytes_per_s)),
        percent(sum.record_share),
        chart.finish()
    )
}

fn degree(report: &Report) -> String {
    let degree = &report.degree;
    let most = degree.histogram.iter().max().copied().unwrap_or(0) as f64;
    let last = degree.histogram.len() as f64;
    let mut chart = Chart::new(
        "Links a node",
        220.0,
        (-0.6, last - 0.4),
        (0.0, most * 1.05),
    );
    chart.y_axis(|count| format!("{count}"));
    let step = (degree.histogram.len() / 24).max(1);
    let at: Vec<f64> = (0..degree.histogram.len())
        .step_by(step)
        .map(|links| links as f64)
        .collect();
    chart.x_axis(&at, |links| format!("{links}"));
    for (links, count) in degree
        .histogram
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
    {
        let x = links as f64;
        let word = format!("{count} nodes with {links} links");
        chart.bar("degree", (x - 0.42, x + 0.42), *count as f64, &word);
    }
    format!(
        "<p>How many nodes had how many links at the end: {} to {}, median {}, p99 {}.</p>\n{}",
        degree.min,
        degree.max,
        degree.median,
        degree.p99,
        chart.finish()
    )
}

fn network(report: &Report) -> String {
    let graph = &report.graph;
    match graph::draw(graph) {
        Some(svg) => format!(
            "<p>{} nodes, {} links. Colours of the links: <span class=\"key rtt0\"></span> the third with the shortest \
             round-trip times, <span class=\"key rtt1\"></span> the middle one, <span class=\"key rtt2\"></span> the longest.</p>\n\
             <div class=\"graph\">\n{svg}</div>\n",
            graph.up.len(),
            graph.links.len()
        ),
        None => format!(
            "<p>{} nodes and {} links: too many for a picture that shows anything (up to {} are drawn).</p>\n",
            graph.up.len(),
            graph.links.len(),
            graph::MOST
        ),
    }
}
