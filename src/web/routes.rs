//! Which path is answered with what. `docs/api.md` describes them.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::timeout;

use super::body::{self, Answer, LINES, Problem};
use super::page;
use super::query::{Query, decode};
use super::site::Site;
use super::stream::{self, From, Wanted};
use crate::answers::types::{Events, History};
use crate::answers::{
    self, Event, ExplainExtras, FORMAT, LinkExtras, NodeExtras, StatusExtras, select, who_by_id,
};
use crate::chronicle::lines::{self, Header};
use crate::chronicle::{Chronicle, Entry, Picture, Point};
use crate::export::formats::Format;
use crate::layout::Kind;
use crate::metrics::{self, Exposition};
use crate::snapshot::{Ended, Snapshot};
use crate::wire::NodeId;

/// The most points of a link's series: about one for each pixel of a sparkline.
const POINTS: usize = 600;

/// How long the node may take to measure a path. It waits 3 s for echoes, and clients wait 5 s for an answer. At half, what came back is
/// lost whenever one echo is. Doubled, clients give up before.
const PING_PATIENCE: Duration = Duration::from_secs(4);

/// The most events about a node in its document.
const EVENTS_ABOUT: usize = 50;

/// The page's own files say nothing about the network; everything else does.
pub(super) fn needs_token(path: &str) -> bool {
    path.starts_with("/v1") || path.starts_with("/metrics")
}

/// Answers a request for that path.
pub(super) async fn answer(
    site: &Arc<Site>,
    path: &str,
    query: Option<&str>,
    accept: Option<&str>,
    is_unix: bool,
) -> Result<Answer, Problem> {
    if let Some(name) = page_file(path) {
        let asset = page::asset(name).ok_or_else(|| missing(path))?;
        return Ok(body::whole(asset.content_type, asset.bytes));
    }
    let query = Query::parse(query)?;
    if path == "/metrics" {
        return metrics_of(site, &query, accept).await;
    }
    let Some(path) = path.strip_prefix("/v1/") else {
        return Err(missing(path));
    };
    let mut words = path.split('/');
    let mut next = || words.next();
    match (next(), next(), next(), next()) {
        (Some("status"), None, ..) => status(site, &query).await,
        (Some("nodes"), None, ..) => Ok(body::json(&answers::nodes(
            &now_or_then(site, &query).await?,
        ))),
        (Some("links"), None, ..) => Ok(body::json(&answers::links(
            &now_or_then(site, &query).await?,
        ))),
        (Some("node"), Some(x), None, _) => node(site, &query, x).await,
        (Some("link"), Some(x), Some(y), None) => link(site, &query, [x, y]).await,
        (Some("ping"), Some(x), None, _) => ping(site, &query, x).await,
        (Some("path"), None, ..) => route(site, &query).await,
        (Some("explain"), None, ..) => explain(site, &query).await,
        (Some("graph"), None, ..) => graph(site, &query).await,
        (Some("history"), None, ..) => history(site, &query).await,
        (Some("stream"), None, ..) => follow(site, is_unix, &query).await,
        (Some("events"), None, ..) => events(site, is_unix, &query).await,
        _ => Err(missing(&format!("/v1/{path}"))),
    }
}

/// The name of the page's file at that path. Queries don't matter to it.
fn page_file(path: &str) -> Option<&str> {
    match path {
        "/" => Some("index.html"),
        "/favicon.ico" => Some("icon.svg"),
        _ => path.strip_prefix("/page/"),
    }
}

fn missing(path: &str) -> Problem {
    let what = format!("there is nothing at {path}");
    Problem::new(StatusCode::NOT_FOUND, what).hint("the API begins at /v1/status; see docs/api.md")
}

/// The view that a request asks for: now, or at a time.
struct View {
    picture: Picture,
    snapshot: Snapshot,
}

async fn view(site: &Arc<Site>, query: &Query) -> Result<View, Problem> {
    let at = query.time("at")?;
    if at.is_none() {
        site.feed.refresh().await?;
    }
    let picture = site.feed.archive().read(|chronicle| {
        let Some(unix_ms) = at else {
            return chronicle.newest().ok_or_else(no_history);
        };
        let origin = chronicle.last().ok_or_else(no_history)?.origin_ms;
        let past = chronicle.at(unix_ms.saturating_sub(origin));
        past.map(|(picture, _)| picture)
            .ok_or_else(|| stream::before(chronicle, origin))
    })?;
    let snapshot = picture.snapshot().map_err(|error| {
        let what = format!("the recording contradicts itself: {error}");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what)
    })?;
    Ok(View { picture, snapshot })
}

/// The same for a request that knows no other parameter.
async fn now_or_then(site: &Arc<Site>, query: &Query) -> Result<Snapshot, Problem> {
    query.only(&["at"])?;
    view(site, query).await.map(|view| view.snapshot)
}

fn no_history() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is no history yet")
}

/// The node that a part of a path means.
fn find(snapshot: &Snapshot, word: &str) -> Result<usize, Problem> {
    find_decoded(snapshot, &decode(word, false)?)
}

fn find_decoded(snapshot: &Snapshot, text: &str) -> Result<usize, Problem> {
    select(snapshot, text).map_err(|error| error.failure(snapshot, text).into())
}

async fn status(site: &Arc<Site>, query: &Query) -> Result<Answer, Problem> {
    let snapshot = now_or_then(site, query).await?;
    let extras = StatusExtras {
        history: site.feed.archive().read(extent),
        readers: site.feed.lookers(),
        agreement: Some(answers::agreement(&snapshot)),
        notices: site.feed.archive().notices(),
    };
    Ok(body::json(&answers::status(&snapshot, extras)))
}

async fn node(site: &Arc<Site>, query: &Query, x: &str) -> Result<Answer, Problem> {
    query.only(&["at"])?;
    let View { picture, snapshot } = view(site, query).await?;
    let index = find(&snapshot, x)?;
    let shown = &snapshot.nodes[index];
    let told = picture.find(&shown.id).and_then(|node| node.told);
    let told = told.and_then(|told| picture.origin(told));
    let wanted = Wanted::about(&shown.label, &shown.id.short());
    let (mut events, _) = site
        .feed
        .archive()
        .read(|chronicle| wanted.of(chronicle, 0));
    let now_ms = snapshot.unix_ms(snapshot.at_ms);
    events.retain(|event| event.at_ms <= now_ms);
    let extras = NodeExtras {
        told: told.map(|(by, via)| answers::Told {
            by: who_by_id(&snapshot, &by),
            via: via.map(|via| who_by_id(&snapshot, &via)),
            at_ms: snapshot.unix_ms(shown.since_ms),
        }),
        events: events.split_off(events.len().saturating_sub(EVENTS_ABOUT)),
    };
    Ok(body::json(&answers::node(&snapshot, index, extras)))
}

async fn link(site: &Arc<Site>, query: &Query, [x, y]: [&str; 2]) -> Result<Answer, Problem> {
    let snapshot = now_or_then(site, query).await?;
    let ends = [find(&snapshot, x)?, find(&snapshot, y)?];
    let ids = ends.map(|end| snapshot.nodes[end].id);
    let series = site
        .feed
        .archive()
        .read(|chronicle| chronicle.series([&ids[0], &ids[1]], POINTS));
    let unix = |points: Vec<Point>| {
        let points = points.into_iter();
        points
            .map(|(at, rtt_us, loss)| (snapshot.unix_ms(at), rtt_us, loss))
            .collect()
    };
    let extras = LinkExtras {
        since_ms: series.since_ms.map(|since| snapshot.unix_ms(since)),
        other_series: unix(series.other),
        series: unix(series.points),
    };
    let link = answers::link(&snapshot, ends, extras).map_err(|failure| *failure)?;
    Ok(body::json(&link))
}

async fn route(site: &Arc<Site>, query: &Query) -> Result<Answer, Problem> {
    query.only(&["from", "to", "at"])?;
    let snapshot = view(site, query).await?.snapshot;
    let to = query.get("to").ok_or_else(|| {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "the end of the path is missing");
        problem.hint("write ?to=NODE, and &from=NODE if it is not to begin here")
    })?;
    let from = match query.get("from") {
        Some(from) => find_decoded(&snapshot, from)?,
        None => snapshot.me,
    };
    let to = find_decoded(&snapshot, to)?;
    Ok(body::json(&answers::path(&snapshot, from, to)))
}

/// Has the node send an echo to each node of the path. The core limits how many go to a neighbour.
async fn ping(site: &Arc<Site>, query: &Query, x: &str) -> Result<Answer, Problem> {
    query.only(&[])?;
    let snapshot = view(site, query).await?.snapshot;
    let to = find(&snapshot, x)?;
    let path = answers::ping_path(&snapshot, to);
    let count = path.len();
    let totals_us = match timeout(PING_PATIENCE, site.feed.ping(path)).await {
        Ok(Ok(Some(totals_us))) => totals_us,
        Ok(Ok(None)) => {
            let what = "more pings over that neighbour at once than the node sends";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, what);
            return Err(problem.hint("ask again in a second"));
        }
        // It shows a recording, or is about to stop.
        Ok(Err(Ended)) => Vec::new(),
        Err(_) => vec![None; count],
    };
    Ok(body::json(&answers::ping(&snapshot, to, &totals_us)))
}

async fn explain(site: &Arc<Site>, query: &Query) -> Result<Answer, Problem> {
    let snapshot = now_or_then(site, query).await?;
    let usual = site.feed.archive().read(Chronicle::usual);
    let usual_us = |link: usize| {
        let link = &snapshot.links[link];
        let id = |end: usize| -> NodeId { snapshot.nodes[end].id };
        usual.get(&(id(link.dialer), id(link.listener))).copied()
    };
    let extras = ExplainExtras {
        usual_us: Some(&usual_us),
        predicted_us: None,
    };
    Ok(body::json(&answers::explain(&snapshot, &extras)))
}

async fn graph(site: &Arc<Site>, query: &Query) -> Result<Answer, Problem> {
    query.only(&["format", "at"])?;
    let format = query.get("format").unwrap_or("json");
    if format == "stream" {
        let View { picture, snapshot } = view(site, query).await?;
        let me = &snapshot.nodes[snapshot.me];
        let header = Header::new(snapshot.network.clone(), &me.id, me.label.clone());
        let text = header.line() + &lines::line(&Entry::Frame(Box::new(picture.keyframe())));
        return Ok(body::whole(LINES, text));
    }
    let format: Format = format
        .parse()
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}")))?;
    let snapshot = view(site, query).await?.snapshot;
    Ok(body::whole(format.content_type(), format.render(&snapshot)))
}

/// The metrics, in the format that the reader accepts.
async fn metrics_of(
    site: &Arc<Site>,
    query: &Query,
    accept: Option<&str>,
) -> Result<Answer, Problem> {
    query.only(&["links", "limit"])?;
    let worst = match query.get("links") {
        None => None,
        Some("worst") => {
            let limit = query.number("limit", "a number of links")?;
            Some(limit.map_or(50, |limit| usize::try_from(limit).unwrap_or_default()))
        }
        Some(other) => {
            let what = format!("links is {other:?}, and must be worst");
            return Err(Problem::new(StatusCode::BAD_REQUEST, what));
        }
    };
    let View { picture, snapshot } = view(site, &Query::default()).await?;
    let figures = metrics::Figures {
        process: metrics::Process::read(),
        links_since_ms: picture.own_links_since(),
    };
    let exposition = Exposition::accepted(accept);
    let text = metrics::render(&snapshot, &figures, exposition, worst);
    Ok(body::whole(exposition.content_type(), text))
}

/// What the history covers, as the API tells it.
fn extent(chronicle: &Chronicle) -> Option<History> {
    let last = chronicle.last()?;
    chronicle.span().map(|span| History {
        from_ms: last.unix_ms(span.from_ms),
        to_ms: last.unix_ms(span.to_ms),
        frames: span.entries as u64,
        bytes: span.bytes as u64,
        limit_bytes: chronicle.limit().bytes as u64,
    })
}

async fn history(site: &Arc<Site>, query: &Query) -> Result<Answer, Problem> {
    query.only(&[])?;
    site.feed.refresh().await?;
    let extent = site.feed.archive().read(extent).ok_or_else(no_history)?;
    #[derive(serde::Serialize)]
    struct Document {
        format: u32,
        /// Whether it goes on: a recording doesn't.
        live: bool,
        #[serde(flatten)]
        extent: History,
    }
    Ok(body::json(&Document {
        format: FORMAT,
        live: site.feed.is_live(),
        extent,
    }))
}

async fn follow(site: &Arc<Site>, is_unix: bool, query: &Query) -> Result<Answer, Problem> {
    query.only(&["from", "to", "map"])?;
    let from = match query.get("from") {
        None | Some("live") => From::Live,
        Some("begin") => From::Begin,
        Some(_) => From::At(query.time("from")?.unwrap_or_default()),
    };
    let map = match query.get("map") {
        None | Some("none") => None,
        Some("latency") => Some(Kind::Latency),
        Some("structure") => Some(Kind::Structure),
        Some(other) => {
            let what = format!("there is no map {other:?}");
            let problem = Problem::new(StatusCode::BAD_REQUEST, what);
            return Err(problem.hint("there are: none, latency, structure"));
        }
    };
    stream::stream(site, is_unix, from, query.time("to")?, map).await
}

async fn events(site: &Arc<Site>, is_unix: bool, query: &Query) -> Result<Answer, Problem> {
    query.only(&["since", "name", "about", "follow"])?;
    let since_ms = query.time("since")?;
    let mut wanted = match query.get("about") {
        Some(text) => {
            let snapshot = view(site, &Query::default()).await?.snapshot;
            let node = &snapshot.nodes[find_decoded(&snapshot, text)?];
            Wanted::about(&node.label, &node.id.short())
        }
        None => Wanted::default(),
    };
    wanted.since_ms = since_ms.map(|since| since.max(0).unsigned_abs());
    wanted.name = query.get("name").map(str::to_owned);
    if query.get("follow").is_some_and(|it| it != "0") {
        return stream::events(site, is_unix, wanted);
    }
    let (events, _): (Vec<Event>, _) = site
        .feed
        .archive()
        .read(|chronicle| wanted.of(chronicle, 0));
    let format = FORMAT;
    Ok(body::json(&Events { format, events }))
}
