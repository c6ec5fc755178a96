//! Which path is answered with what. `docs/api.md` describes them.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;

use super::body::{self, Answer, Problem};
use super::query::Query;
use super::serve::Site;
use super::stream::{self, From, Wanted};
use crate::chronicle::Picture;
use crate::export::{d2, json};
use crate::settings::Shows;
use crate::snapshot::Snapshot;

/// The version of the answers' format.
const FORMAT: u32 = 1;

/// The page's own files say nothing about the network; everything else does.
pub(super) fn needs_token(path: &str) -> bool {
    path.starts_with("/v1") || path.starts_with("/metrics")
}

/// Answers a request for that path.
pub(super) async fn answer(
    site: &Arc<Site>,
    path: &str,
    query: Option<&str>,
) -> Result<Answer, Problem> {
    let query = Query::parse(query)?;
    match path {
        "/v1/status" => {
            query.only(&["at"])?;
            status(site, &view(site, &query).await?)
        }
        "/v1/graph" => graph(site, &query).await,
        "/v1/history" => {
            query.only(&[])?;
            history(site).await
        }
        "/v1/stream" => {
            query.only(&["from", "to", "map"])?;
            let from = match query.get("from") {
                None | Some("live") => From::Live,
                Some("begin") => From::Begin,
                Some(_) => From::At(query.time("from")?.unwrap_or_default()),
            };
            stream::stream(site, from, query.time("to")?).await
        }
        "/v1/events" => events(site, &query).await,
        _ => Err(missing(path)),
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
        let empty = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is no history yet");
        let Some(unix_ms) = at else {
            return chronicle.newest().ok_or_else(empty);
        };
        let origin = chronicle.last().ok_or_else(empty)?.origin_ms;
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

fn status(site: &Arc<Site>, view: &View) -> Result<Answer, Problem> {
    use crate::snapshot::NodeState;
    let snapshot = &view.snapshot;
    let count = |state| {
        let nodes = snapshot.nodes.iter();
        nodes.filter(|node| node.state == state).count()
    };
    let me = &snapshot.nodes[snapshot.me];
    let own = snapshot.links.iter();
    let own = own.filter(|link| link.dialer == snapshot.me || link.listener == snapshot.me);
    let rejected: serde_json::Map<_, _> = snapshot
        .rejected
        .0
        .iter()
        .map(|(name, count)| (name.to_string(), (*count).into()))
        .collect();
    Ok(body::json(&json!({
        "format": FORMAT,
        "version": env!("CARGO_PKG_VERSION"),
        "profile": site.about.profile,
        "listen": site.about.listen,
        "network": snapshot.network,
        "node": me.id.to_string(),
        "label": me.label,
        "started_ms": snapshot.unix_ms(0),
        "now_ms": snapshot.unix_ms(view.picture.at_ms()),
        "nodes": {
            "up": count(NodeState::Up),
            "unreachable": count(NodeState::Unreachable),
            "left": count(NodeState::Left),
        },
        "links": snapshot.links.len(),
        "own_links": own.count(),
        "cut_off": snapshot.cut_off,
        "impaired": snapshot.impaired,
        "live": site.feed.is_live(),
        "readers": site.feed.lookers(),
        "history": span(site),
        "rejected": rejected,
    })))
}

fn span(site: &Arc<Site>) -> serde_json::Value {
    site.feed.archive().read(|chronicle| {
        let origin = chronicle.last().map_or(0, |last| last.origin_ms);
        let limit = chronicle.limit();
        chronicle.span().map_or(serde_json::Value::Null, |span| {
            json!({
                "from_ms": origin.saturating_add(span.from_ms),
                "to_ms": origin.saturating_add(span.to_ms),
                "entries": span.entries,
                "bytes": span.bytes,
                "limit_bytes": limit.bytes,
                "keep_s": limit.age.as_secs(),
            })
        })
    })
}

async fn history(site: &Arc<Site>) -> Result<Answer, Problem> {
    site.feed.refresh().await?;
    let mut answer = span(site);
    if let Some(object) = answer.as_object_mut() {
        object.insert("format".to_owned(), FORMAT.into());
        return Ok(body::json(&answer));
    }
    let what = "there is no history yet";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, what))
}

async fn graph(site: &Arc<Site>, query: &Query) -> Result<Answer, Problem> {
    query.only(&["format", "at"])?;
    let view = view(site, query).await?;
    let format = query.get("format").unwrap_or("json");
    match format {
        "json" => Ok(body::whole(body::JSON, json::network(&view.snapshot))),
        "d2" => {
            let text = d2::picture(&view.snapshot, Shows::Auto);
            Ok(body::whole("text/plain; charset=utf-8", text))
        }
        other => {
            let what = format!("there is no format {other:?}");
            Err(Problem::new(StatusCode::BAD_REQUEST, what))
        }
    }
}

async fn events(site: &Arc<Site>, query: &Query) -> Result<Answer, Problem> {
    query.only(&["since", "name", "about", "follow"])?;
    site.feed.refresh().await?;
    let since = query.time("since")?;
    let wanted = site.feed.archive().read(|chronicle| {
        let origin = chronicle.last().map_or(0, |last| last.origin_ms);
        Wanted {
            since_ms: since.map(|unix_ms| unix_ms.saturating_sub(origin)),
            name: query.get("name").map(str::to_owned),
            about: query
                .get("about")
                .map(|about| (about.to_owned(), about.to_owned())),
        }
    });
    if query.get("follow").is_some_and(|it| it != "0") {
        return stream::events(site, wanted);
    }
    let (events, _) = site
        .feed
        .archive()
        .read(|chronicle| wanted.of(chronicle, 0));
    Ok(body::json(&json!({ "format": FORMAT, "events": events })))
}
