//! Broken and hostile peers against the real binary. The victim refuses each offender in the promised way, counts the offence and
//! logs it at a bounded rate. Its honest neighbours notice nothing.

#[cfg(test)]
mod processes;
#[cfg(test)]
#[path = "hostile/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "hostile/stranger.rs"]
mod stranger;

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::sync::Arc;
    use std::time::Duration;

    use area_net::events::EventName;
    use area_net::identity::Identity;
    use area_net::record::{Body, Direction, LinkState, Record, ShortRun};
    use area_net::wire::{
        Answer, CloseCode, Datagram, MAX_FRAME, Message, NodeId, PROTOCOL_VERSION, dialable,
    };
    use quinn::{ConnectionError, TransportConfig, TransportErrorCode};
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;
    use rustls::SignatureScheme;
    use rustls::client::ResolvesClientCert;
    use rustls::sign::{CertifiedKey, Signer, SigningKey};
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use serde_json::Value;
    use tokio::time::Instant;

    use crate::processes::{PATIENCE, until, until_exact};
    use crate::scene::{HONEST, Scene};
    use crate::stranger::{Stranger, answer_probes, code, frame, peer};

    #[tokio::test]
    async fn garbage_is_dropped() {
        let scene = Scene::new().await;
        let seed = 7;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        let garbage = |rng: &mut ChaCha8Rng, packets: usize| {
            for _ in 0..packets {
                let mut bytes = vec![0; rng.random_range(0..1500)];
                rng.fill(&mut bytes[..]);
                socket.send_to(&bytes, scene.victim()).ok();
            }
        };
        garbage(&mut rng, 5000);
        // QUIC long headers of known and unknown versions, followed by random bytes.
        for version in [0_u32, 1, 2, 0x6b33_43cf, u32::MAX] {
            for _ in 0..200 {
                let mut bytes = vec![0; 1200];
                rng.fill(&mut bytes[..]);
                bytes[0] |= 0xc0;
                bytes[1..5].copy_from_slice(&version.to_be_bytes());
                socket.send_to(&bytes, scene.victim()).ok();
            }
        }
        until("the victim has counted what was no QUIC", || {
            // A full buffer drops most of them, if the victim's processor is busy.
            garbage(&mut rng, 50);
            let rejected = scene.alice.picture().rejected;
            rejected.get("not_quic").is_some_and(|count| *count > 1000)
        })
        .await;
        // The victim still accepts a real node.
        let friend = scene.stranger("friend").join(scene.victim()).await;
        assert!(friend.is_open());
        scene.nobody_noticed().await;
    }

    /// Presents its certificate even if the other side does not accept that kind.
    #[derive(Debug)]
    struct Shows(Option<Arc<CertifiedKey>>);

    impl ResolvesClientCert for Shows {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            self.0.clone()
        }

        fn has_certs(&self) -> bool {
            self.0.is_some()
        }
    }

    #[derive(Debug)]
    struct Ecdsa(Arc<dyn SigningKey>);

    impl SigningKey for Ecdsa {
        fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            self.0
                .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
        }

        fn algorithm(&self) -> rustls::SignatureAlgorithm {
            self.0.algorithm()
        }
    }

    fn ecdsa() -> Arc<CertifiedKey> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = rcgen::CertificateParams::new(vec!["area-net".to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap().der().clone();
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = rustls::crypto::ring::sign::any_supported_type(&der).unwrap();
        Arc::new(CertifiedKey::new(vec![certificate], Arc::new(Ecdsa(key))))
    }

    /// The TLS error that the victim ends a handshake with, even if the client took the handshake for complete.
    async fn tls_error(
        stranger: &Stranger,
        victim: SocketAddr,
        tls: rustls::ClientConfig,
    ) -> TransportErrorCode {
        let connected = stranger
            .connect_with(victim, tls, TransportConfig::default())
            .await;
        let error = match connected {
            Err(error) => error,
            Ok(connection) => connection.closed().await,
        };
        match error {
            ConnectionError::ConnectionClosed(close) => close.error_code,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_client_that_is_not_ours_does_not_get_through_tls() {
        let scene = Scene::new().await;
        let stranger = scene.stranger("mallory");
        let ours = String::from_utf8(stranger.tls().alpn_protocols[0].clone()).unwrap();
        let network = scene.desk.network.clone();
        let no_application_protocol = TransportErrorCode::crypto(120);
        for alpn in [
            "h3".to_owned(),
            "area-net".to_owned(),
            format!("area-net/0/{network}"),
            format!("area-net/1/{network}"),
            format!("area-net/{PROTOCOL_VERSION}/another"),
            format!("{ours} "),
        ] {
            assert_ne!(alpn, ours);
            let mut tls = stranger.tls();
            tls.alpn_protocols = vec![alpn.clone().into_bytes()];
            let error = tls_error(&stranger, scene.victim(), tls).await;
            assert_eq!(error, no_application_protocol, "{alpn}");
        }
        let mut tls = stranger.tls();
        tls.alpn_protocols.clear();
        tls_error(&stranger, scene.victim(), tls).await;
        let mut tls = stranger.tls();
        tls.client_auth_cert_resolver = Arc::new(Shows(None));
        let certificate_required = TransportErrorCode::crypto(116);
        let error = tls_error(&stranger, scene.victim(), tls).await;
        assert_eq!(error, certificate_required);
        let mut tls = stranger.tls();
        tls.client_auth_cert_resolver = Arc::new(Shows(Some(ecdsa())));
        tls_error(&stranger, scene.victim(), tls).await;
        scene.counted("handshake_failed", 9).await;
        scene.nobody_noticed().await;
    }

    #[tokio::test]
    async fn who_never_says_hello_is_closed_after_five_seconds() {
        let scene = Scene::new().await;
        let stranger = scene.stranger("mallory");
        let since = Instant::now();
        let no_stream = stranger.connect(scene.victim()).await.unwrap();
        let half = stranger.connect(scene.victim()).await.unwrap();
        let (mut send, _recv) = half.open_bi().await.unwrap();
        let hello = Message::Hello(stranger.hello(scene.victim(), 1)).to_frame();
        send.write_all(&hello[..hello.len() / 2]).await.unwrap();
        assert_eq!(code(&no_stream).await, Some(CloseCode::HelloTimeout));
        assert_eq!(code(&half).await, Some(CloseCode::HelloTimeout));
        assert!(
            since.elapsed() >= Duration::from_millis(4900),
            "{:?}",
            since.elapsed()
        );
        scene.counted("hello_timeout", 2).await;
        scene.nobody_noticed().await;
    }

    /// A frame of this message with one bit flipped in its last byte, which belongs to the record's signature.
    fn flipped(message: &Message) -> Vec<u8> {
        let mut frame = message.to_frame();
        *frame.last_mut().unwrap() ^= 1;
        frame
    }

    /// A record over the limit of a label. Only a well-behaved sender refuses to make one.
    fn oversized(stranger: &Stranger) -> Arc<Record> {
        let label = "x".repeat(12_000).as_str().into();
        stranger.sign(Body {
            label,
            ..stranger.body(10, Vec::new(), Vec::new())
        })
    }

    #[tokio::test]
    async fn a_bad_hello_is_refused_with_its_code() {
        let scene = Scene::new().await;
        let stranger = scene.stranger("mallory");
        let victim = scene.victim();
        let honest = stranger.hello(victim, 1);
        let protocol = Some(CloseCode::Protocol);
        let limit = Some(CloseCode::Limit);

        let no_hello = Message::Request(Vec::new()).to_frame();
        assert_eq!(stranger.says(victim, &no_hello).await, protocol);
        assert_eq!(
            stranger
                .says(victim, &frame(b"\xff\xff\xff nonsense"))
                .await,
            protocol
        );
        assert_eq!(stranger.says(victim, &frame(b"")).await, protocol);
        assert_eq!(stranger.says(victim, &u32::MAX.to_be_bytes()).await, limit);
        assert_eq!(stranger.says(victim, &frame(&[0; 12_000])).await, limit);
        let mut longer = Message::Hello(honest.clone()).to_frame()[4..].to_vec();
        longer.push(0);
        assert_eq!(stranger.says(victim, &frame(&longer)).await, protocol);

        let mut hello = honest.clone();
        hello.record = scene.stranger("another").record(10);
        assert_eq!(
            stranger
                .says(victim, &Message::Hello(hello).to_frame())
                .await,
            protocol
        );
        let mut hello = honest.clone();
        hello.run_id += 1;
        assert_eq!(
            stranger
                .says(victim, &Message::Hello(hello).to_frame())
                .await,
            protocol
        );
        let forged = flipped(&Message::Hello(honest.clone()));
        assert_eq!(stranger.says(victim, &forged).await, protocol);
        let mut hello = honest.clone();
        let elsewhere = Stranger::new("another-network", "mallory");
        hello.record = elsewhere.record(10);
        assert_eq!(
            stranger
                .says(victim, &Message::Hello(hello).to_frame())
                .await,
            protocol
        );
        let mut hello = honest.clone();
        hello.record = oversized(&stranger);
        assert_eq!(
            stranger
                .says(victim, &Message::Hello(hello).to_frame())
                .await,
            limit
        );

        scene.counted("bad_hello", 11).await;
        assert_eq!(scene.alice.picture().state("mallory"), "unknown");
        scene.nobody_noticed().await;
    }

    #[tokio::test]
    async fn a_neighbour_that_breaks_the_protocol_is_closed_with_its_code() {
        let scene = Scene::new().await;
        let victim = scene.victim();
        let stranger = scene.stranger("mallory");
        let protocol = Some(CloseCode::Protocol);
        let limit = Some(CloseCode::Limit);
        let join = || stranger.join(victim);

        let hello = Message::Hello(stranger.hello(victim, 1)).to_frame();
        assert_eq!(join().await.says(&hello).await, protocol);
        let over = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
        assert_eq!(join().await.says(&over).await, limit);
        assert_eq!(join().await.says(&frame(b"\xff nonsense")).await, protocol);
        let too_large = Message::Records(vec![oversized(&stranger)]).to_frame();
        assert_eq!(join().await.says(&too_large).await, protocol);
        let mut ends = join().await;
        ends.send.finish().unwrap();
        assert_eq!(code(&ends.connection).await, protocol);
        let no_probe = join().await;
        no_probe
            .connection
            .send_datagram(b"nonsense".as_slice().into())
            .unwrap();
        assert_eq!(code(&no_probe.connection).await, protocol);
        scene.counted("protocol_violation", 5).await;
        scene.counted("over_limit", 1).await;

        // A record with a forged signature, and one that its owner did not sign.
        let another = scene.stranger("another");
        let forged = flipped(&Message::Records(vec![another.record(10)]));
        assert_eq!(join().await.says(&forged).await, protocol);
        let body = another.body(10, Vec::new(), Vec::new());
        let stolen = Message::Records(vec![stranger.sign(body)]).to_frame();
        assert_eq!(join().await.says(&stolen).await, protocol);
        scene.counted("forged_record", 2).await;
        assert_eq!(scene.alice.picture().state("another"), "unknown");

        let mut flood = Vec::new();
        for _ in 0..200 {
            flood.extend(Message::Superfluous(true).to_frame());
        }
        assert_eq!(join().await.says(&flood).await, limit);
        scene.counted("over_limit", 2).await;
        scene.nobody_noticed().await;
    }

    #[tokio::test]
    async fn an_older_record_is_ignored_and_the_link_stays() {
        let scene = Scene::new().await;
        let mut stranger = scene.stranger("mallory");
        let mut link = stranger.join(scene.victim()).await;
        scene.alice_shows("mallory", "up").await;
        stranger.label = "of old".to_owned();
        let old = stranger.record(9);
        for _ in 0..3 {
            link.say(&Message::Records(vec![old.clone(), old.clone()]))
                .await;
        }
        stranger.label = "of late".to_owned();
        link.say(&Message::Records(vec![stranger.record(11)])).await;
        scene.alice_shows("of late", "up").await;
        assert!(link.is_open());
        let of_old = |line: &Value| line["node"] == "of old" || line["peer"] == "of old";
        assert!(!scene.alice.logged().iter().any(of_old));
        scene.nobody_noticed().await;
    }

    /// A link in a record.
    fn link_to(peer: NodeId, direction: Direction) -> LinkState {
        LinkState {
            peer: peer.abbreviated(),
            run: ShortRun::of(1),
            direction,
            rtt_us: 100,
            rtt_age_s: 0,
            loss: 0,
            suspect: false,
        }
    }

    #[tokio::test]
    async fn addresses_that_are_nobodys_are_neither_dialed_nor_passed_on() {
        let scene = Scene::new().await;
        let mallory = scene.stranger("mallory");
        let mut link = mallory.join(scene.victim()).await;
        let alice = peer(&link.connection).unwrap();
        // Mallory claims to have links with four nodes. Alice will want links with them too.
        let trap = || {
            let trap = UdpSocket::bind("[::]:0").unwrap();
            trap.set_nonblocking(true).unwrap();
            let port = trap.local_addr().unwrap().port();
            (trap, port)
        };
        let ((good_trap, good_port), (bad_trap, bad_port)) = (trap(), trap());
        let good: SocketAddr = format!("[::1]:{good_port}").parse().unwrap();
        let bad = |hosts: [&str; 4]| -> Vec<SocketAddr> {
            let addrs = hosts.iter().map(|host| format!("{host}:{bad_port}"));
            addrs.map(|addr| addr.parse().unwrap()).collect()
        };
        let nodes = [
            ("good", vec![good]),
            (
                "bad1",
                bad(["[::]", "[ff02::1]", "[fe80::1]", "[::ffff:0.0.0.0]"]),
            ),
            (
                "bad2",
                bad(["0.0.0.0", "224.0.0.1", "169.254.0.1", "255.255.255.255"]),
            ),
            ("bad3", vec!["[::1]:0".parse().unwrap()]),
        ];
        let mut records = Vec::new();
        let mut links = vec![link_to(alice, Direction::Dialer)];
        for (name, addrs) in nodes {
            let node = scene.stranger(name);
            links.push(link_to(node.id(), Direction::Dialer));
            let back = link_to(mallory.id(), Direction::Listener);
            records.push(node.sign(node.body(10, addrs, vec![back])));
        }
        links.sort_by_key(|link| link.peer);
        records.push(mallory.sign(mallory.body(11, Vec::new(), links)));
        link.say(&Message::Records(records)).await;
        for name in ["good", "bad1", "bad2", "bad3"] {
            scene.alice_shows(name, "up").await;
        }
        let heard = |trap: &UdpSocket| trap.recv_from(&mut [0; 2000]).is_ok();
        until("alice dials the good one, twice", || heard(&good_trap)).await;
        until("alice dials the good one, twice", || heard(&good_trap)).await;
        assert!(!heard(&bad_trap), "nobody's address was dialed");
        until("peers.json has the good one", || {
            let peers = scene.alice.file("peers.json").unwrap_or_default();
            peers
                .as_array()
                .unwrap()
                .iter()
                .any(|peer| *peer == good.to_string())
        })
        .await;
        let peers: Vec<SocketAddr> =
            serde_json::from_value(scene.alice.file("peers.json").unwrap()).unwrap();
        for addr in peers {
            assert!(
                dialable(&addr, true),
                "peers.json has {addr}, which no target file may have"
            );
        }
        scene.nobody_noticed().await;
    }

    #[tokio::test]
    async fn who_stops_reading_is_closed_as_stalled() {
        let scene = Scene::new().await;
        let stranger = scene.stranger("mallory");
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(64_u8.into());
        let connected = stranger
            .connect_with(scene.victim(), stranger.tls(), transport)
            .await;
        let connection = connected.unwrap();
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        let hello = Message::Hello(stranger.hello(scene.victim(), 1)).to_frame();
        send.write_all(&hello).await.unwrap();
        let prober = connection.clone();
        tokio::spawn(answer_probes(prober));
        assert_eq!(code(&connection).await, Some(CloseCode::Stalled));
        scene.counted("stalled", 1).await;
        scene.nobody_noticed().await;
    }

    #[tokio::test]
    async fn who_floods_datagrams_only_loses_its_own() {
        let scene = Scene::new().await;
        let mut stranger = scene.stranger("mallory");
        let link = stranger.join(scene.victim()).await;
        let (connection, mut send) = link.read_on();
        let answer = Answer {
            seq: 77,
            hold_us: 0,
        };
        let bytes = Datagram::Answer(answer).to_bytes();
        for _ in 0..20_000 {
            connection
                .send_datagram_wait(bytes.clone().into())
                .await
                .unwrap();
        }
        // A message on its control stream still arrives afterwards.
        stranger.label = "flooder".to_owned();
        let news = Message::Records(vec![stranger.record(12)]).to_frame();
        send.write_all(&news).await.unwrap();
        scene.alice_shows("flooder", "up").await;
        assert!(connection.close_reason().is_none());
        scene.nobody_noticed().await;
    }

    #[tokio::test]
    async fn half_open_connections_are_bounded_and_pass() {
        let scene = Scene::new().await;
        let victim = scene.victim();
        let mut dials = tokio::task::JoinSet::new();
        for at in 0..200 {
            let stranger = scene.stranger(&format!("mallory{at}"));
            dials.spawn(async move { (stranger.connect(victim).await, stranger) });
        }
        let (mut open, mut refused) = (Vec::new(), 0);
        while let Some(dialed) = dials.join_next().await {
            match dialed.unwrap() {
                (Ok(connection), stranger) => open.push((connection, stranger)),
                (Err(ConnectionError::ConnectionClosed(_)), _) => refused += 1,
                (Err(other), _) => panic!("{other:?}"),
            }
        }
        assert!(refused > 0, "{} are open", open.len());
        scene.counted("handshakes_over_limit", 1).await;
        for (connection, _stranger) in &open {
            assert_eq!(code(connection).await, Some(CloseCode::HelloTimeout));
        }
        // Then an honest newcomer finds room again.
        let targets = scene.desk.targets("dave", &[victim]);
        let addr = crate::processes::ports(1)[0];
        let dave = scene.desk.start("dave", addr, &[&targets]);
        let [alice, bob, carol] = HONEST;
        until_exact(&[&scene.alice, &dave], &[alice, bob, carol, "dave"]).await;
        scene.nobody_noticed().await;
    }

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

    #[tokio::test]
    async fn a_hundred_offences_are_a_line_in_the_log() {
        let scene = Scene::new().await;
        let stranger = scene.stranger("mallory");
        for _ in 0..100 {
            let code = stranger.says(scene.victim(), &frame(b"\xff")).await;
            assert_eq!(code, Some(CloseCode::Protocol));
        }
        scene.counted("bad_hello", 100).await;
        scene.nobody_noticed().await;
    }
}
