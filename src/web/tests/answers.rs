//! What the routes answer, about now and about the past.

use super::*;
use crate::export::formats::Format;
use crate::export::json;

#[tokio::test(start_paused = true)]
async fn every_question_has_an_answer() {
    let scene = Scene::new();
    for path in [
        "/v1/status",
        "/v1/nodes",
        "/v1/links",
        "/v1/node/bob",
        "/v1/node/carol%2F%C3%A4",
        "/v1/node/0202",
        "/v1/node/%5B::1%5D:8002",
        "/v1/link/alice/bob",
        "/v1/link/bob/alice",
        "/v1/path?to=bob",
        "/v1/path?from=bob&to=carol/%C3%A4",
        "/v1/explain",
        "/v1/ping/bob",
        "/v1/graph",
        "/v1/history",
        "/v1/events",
        "/v1/events?about=bob&since=0&name=node%20up",
    ] {
        let reply = scene.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(reply.json()["format"], 1, "{path}");
        for header in [
            "content-security-policy",
            "x-content-type-options: nosniff",
            "no-store",
        ] {
            assert!(reply.head.contains(header), "{path}: {}", reply.head);
        }
    }
    assert_eq!(scene.get("/v1/graph").await.body, json::network(&three()));
    for format in Format::ALL {
        let reply = scene.get(&format!("/v1/graph?format={format}")).await;
        assert_eq!(reply.status, 200, "{format}");
        assert!(reply.head.contains(format.content_type()), "{format}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_is_served_with_its_files() {
    let scene = Scene::new();
    let page = scene.get("/").await;
    assert!(page.head.contains("text/html"), "{page:?}");
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("<title>"));
    for name in ["main.js", "style.css", "icon.svg"] {
        assert_eq!(scene.get(&format!("/page/{name}")).await.status, 200);
    }
    scene
        .get("/page/../Cargo.toml")
        .await
        .refused(404, "nothing at");
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_says_why() {
    let scene = Scene::new();
    scene.get("/v1/nothing").await.refused(404, "/v1/nothing");
    scene.get("/else").await.refused(404, "/else");
    scene.get("/v1/node/zed").await.refused(404, "zed");
    scene
        .get("/v1/node/%ff")
        .await
        .refused(400, "percent-encoded");
    scene
        .get("/v1/link/alice/carol%2F%C3%A4")
        .await
        .refused(404, "no link");
    scene.get("/v1/path").await.refused(400, "missing");
    scene.get("/v1/graph?format=svg").await.refused(400, "svg");
    scene.get("/v1/status?att=5").await.refused(400, "att");
    scene
        .get("/v1/status?at=soon")
        .await
        .refused(400, "Unix ms");
    scene
        .get("/v1/status?at=5")
        .await
        .refused(410, "before the history");
    scene
        .view
        .send_modify(|view| view.nodes[1].label = "alice".into());
    sleep(Duration::from_secs(1)).await;
    let several = scene.get("/v1/node/alice").await;
    several.refused(409, "2 nodes");
    assert_eq!(several.json()["candidates"].as_array().unwrap().len(), 2);
    let post =
        "POST /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    scene.ask(post, true).await.refused(405, "only reads");
    let body =
        "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    scene.ask(body, true).await.refused(413, "body");
}

#[tokio::test(start_paused = true)]
async fn the_past_is_answered_as_the_present_was() {
    let scene = Scene::new();
    scene.get("/v1/status").await;
    sleep(Duration::from_secs(10)).await;
    scene.change(|view| {
        view.nodes[2].state = NodeState::Unreachable;
        view.links.pop();
    });
    assert_eq!(
        scene.get("/v1/links").await.json()["links"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let then = scene.get(&format!("/v1/links?at={}", ORIGIN + 5000)).await;
    assert_eq!(then.json()["links"].as_array().unwrap().len(), 2);
    let then = scene.get(&format!("/v1/graph?at={}", ORIGIN + 5000)).await;
    assert_eq!(then.body, json::network(&three()));
}

/// The description for programs names every route, and every field that it promises is in the answer.
#[tokio::test(start_paused = true)]
async fn the_answers_are_as_described() {
    let scene = Scene::new();
    let described: Value =
        serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    let text = include_str!("../../../docs/api.md");
    let paths = described["paths"].as_object().unwrap();
    for (path, about) in paths {
        let asked = path.replace("{x}", "bob").replace("{y}", "alice");
        let question = path.replace("{x}", "X").replace("{y}", "Y");
        assert!(text.contains(&format!("GET {question}")), "{question}");
        let content = about["get"]["responses"]["200"]["content"]
            .as_object()
            .unwrap();
        let Some(schema) = content.get("application/json") else {
            continue;
        };
        let asked = if path == "/v1/path" {
            "/v1/path?to=bob"
        } else {
            &asked
        };
        let reply = scene.get(asked).await;
        assert_eq!(reply.status, 200, "{asked}: {reply:?}");
        let name = schema["schema"]["$ref"].as_str().unwrap();
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        let promised = &described["components"]["schemas"][name]["required"];
        for field in promised.as_array().unwrap() {
            let field = field.as_str().unwrap();
            assert!(reply.json().get(field).is_some(), "{asked} lacks {field}");
        }
    }
    let questions = text.lines().filter(|line| line.starts_with("| `GET /v1/"));
    for question in questions {
        let path = question
            .trim_start_matches("| `GET ")
            .split(['?', '`'])
            .next()
            .unwrap();
        let path = path.replace("/X", "/{x}").replace("/Y", "/{y}");
        assert!(paths.contains_key(&path), "{path} is not described");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_simulation_that_begins_the_first_view_is_waited_for() {
    let limit = Limit {
        bytes: 1 << 20,
        age: Duration::from_secs(3600),
    };
    let archive = Arc::new(Archive::new(limit, Notes::default()));
    let mut scene = Scene::new();
    scene.site = Arc::new(Site::recorded(Arc::clone(&archive)));
    let begins = async {
        sleep(Duration::from_secs(1)).await;
        archive.record(&Arc::new(three()));
    };
    let (reply, ()) = tokio::join!(scene.get("/v1/status"), begins);
    assert_eq!(reply.status, 200, "{reply:?}");

    let limit_of_patience = Instant::now();
    scene.site = Arc::new(Site::recorded(Arc::new(Archive::new(
        limit,
        Notes::default(),
    ))));
    scene.get("/v1/status").await.refused(503, "no history yet");
    assert_eq!(limit_of_patience.elapsed(), Duration::from_secs(5));
}
