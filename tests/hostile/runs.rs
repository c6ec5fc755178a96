//! Connections and runs of one identity, of which only one may stay.

use area_net::events::EventName;
use area_net::identity::Identity;
use area_net::wire::{CloseCode, Message};
use tokio::time::Instant;

use crate::processes::{PATIENCE, until};
use crate::scene::Scene;
use crate::stranger::code;

#[tokio::test]
async fn of_two_connections_of_one_run_the_later_dial_wins() {
    let scene = Scene::new().await;
    let stranger = scene.stranger("mallory");
    let first = stranger.join_silently(scene.victim(), 5).await;
    let second = stranger.join_silently(scene.victim(), 6).await;
    assert_eq!(code(&first.connection).await, Some(CloseCode::Duplicate));
    assert!(second.is_open());
    let third = stranger.join_silently(scene.victim(), 4).await;
    assert_eq!(code(&third.connection).await, Some(CloseCode::Duplicate));
    assert!(second.is_open());
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn of_two_runs_of_one_identity_the_one_that_answers_stays() {
    let scene = Scene::new().await;
    let (victim, since) = (scene.victim(), Instant::now());
    let first = scene.stranger("mallory");
    let mut second = scene.stranger("mallory");
    second.run_id = 2;
    let answers = first.join(victim).await;
    scene.alice_shows("mallory", "up").await;
    let twin = second
        .says(victim, &Message::Hello(second.hello(victim, 1)).to_frame())
        .await;
    assert_eq!(twin, Some(CloseCode::IdentityInUse));
    for at in 3..20 {
        let mut more = scene.stranger("mallory");
        more.run_id = at;
        let hello = Message::Hello(more.hello(victim, 1)).to_frame();
        let twin = more.says(victim, &hello).await;
        assert_eq!(twin, Some(CloseCode::IdentityInUse));
    }
    assert!(answers.is_open());
    until("alice says so loudly", || {
        let said = scene.alice.events(EventName::PeerIdentityDuplicated);
        said.iter().any(|line| line["level"] == "ERROR")
    })
    .await;

    let lines = scene.alice.events(EventName::PeerIdentityDuplicated).len();
    let windows = since.elapsed().as_secs() / 10 + 1;
    assert!(
        lines as u64 <= windows,
        "{lines} lines in {windows} times 10 s"
    );

    // A run that does not answer loses its link.
    let (first, mut second) = (scene.stranger("eve"), scene.stranger("eve"));
    second.run_id = 2;
    let silent = first.join_silently(victim, 1).await;
    let joined = tokio::time::timeout(PATIENCE, second.join(victim))
        .await
        .unwrap();
    assert_eq!(code(&silent.connection).await, Some(CloseCode::Duplicate));
    assert!(joined.is_open());
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn who_has_the_victims_own_key_is_no_neighbour() {
    let scene = Scene::new().await;
    let mut copy = scene.stranger("copy");
    copy.identity = Identity::load_or_create(&scene.desk.path("certs/alice")).unwrap();
    let hello = Message::Hello(copy.hello(scene.victim(), 1)).to_frame();
    let code = copy.says(scene.victim(), &hello).await;
    assert_eq!(code, Some(CloseCode::IdentityInUse));
    until("alice says so loudly", || {
        let said = scene.alice.events(EventName::OwnIdentityDuplicated);
        said.iter().any(|line| line["level"] == "ERROR")
    })
    .await;
    scene.nobody_noticed().await;
}
