//! A slow path to a listener that first validates addresses: a handshake takes two round trips, which is longer than a dial to a
//! silent address lasts.

use std::net::SocketAddr;
use std::sync::Arc;

use area_net::admission::Admission;
use area_net::identity::Identity;
use area_net::settings::Settings;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::switch::{SECOND, Shared, addr, bind, start};

/// Listens at an address. Returns the address of the first dialer whose handshake is complete.
fn listen(switch: &Shared, at: SocketAddr) -> oneshot::Receiver<SocketAddr> {
    let key = Identity::from_seed(&[77; 32]);
    let tls = key.server_config(&Admission::open(&Settings::default().network));
    let crypto = QuicServerConfig::try_from(tls).unwrap();
    let server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = Endpoint::new_with_abstract_socket(
        EndpointConfig::default(),
        Some(server),
        bind(switch, at),
        Arc::new(quinn::TokioRuntime),
    );
    let endpoint = endpoint.unwrap();
    let (done, first) = oneshot::channel();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            if !incoming.remote_address_validated() {
                incoming.retry().unwrap();
                continue;
            }
            let remote = incoming.remote_address();
            if incoming.await.is_ok() {
                done.send(remote).unwrap();
                return;
            }
        }
    });
    first
}

#[tokio::test(start_paused = true)]
async fn a_dial_from_a_spare_port_gets_the_time_of_a_slow_path_beside_one_that_is_silent() {
    let switch = Shared::default();
    let (home, outside) = (addr("203.0.113.9:8083"), addr("198.51.100.1:8083"));
    // The flow of the listening port leads nowhere. A round trip takes two seconds.
    switch.lock().unwrap().block(home, outside);
    switch.lock().unwrap().delay = SECOND;
    let dialed = listen(&switch, outside);
    let _node = start(&switch, 1, home, &[outside]);
    let from = timeout(SECOND * 60, dialed)
        .await
        .expect("no dial gets through");
    assert_eq!(from.unwrap().ip(), home.ip());
}
