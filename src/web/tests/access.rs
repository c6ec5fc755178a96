//! Who may ask over TCP.

use super::*;

#[tokio::test(start_paused = true)]
async fn over_tcp_only_this_page_reads_and_beyond_loopback_only_with_the_token() {
    let scene = Scene::new();
    assert_eq!(
        scene
            .get_tcp("/v1/status", "Host: [::1]:8095\r\n")
            .await
            .status,
        200
    );
    for headers in [
        "Host: evil.example\r\n",
        "Host: [::1]:1\r\nOrigin: http://evil.example\r\n",
        "Host: [::1]:1\r\nSec-Fetch-Site: cross-site\r\n",
        "",
    ] {
        let reply = scene.get_tcp("/v1/status", headers).await;
        assert!(matches!(reply.status, 400 | 403), "{headers}: {reply:?}");
    }
    let guarded = Scene::with_token(Some("secret-secret-16"));
    let host = "Host: 192.0.2.7:8095\r\n";
    assert_eq!(guarded.get_tcp("/", host).await.status, 200);
    guarded
        .get_tcp("/v1/stream", host)
        .await
        .refused(401, "token");
    let told = format!("{host}Authorization: Bearer secret-secret-16\r\n");
    assert_eq!(guarded.get_tcp("/v1/status", &told).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_proxy_is_refused_over_tcp() {
    let scene = Scene::new();
    let request =
        "GET http://evil.example/v1/status HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n";
    scene.ask(request, false).await.refused(400, "proxy");
}
