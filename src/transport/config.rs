//! How quinn is configured.

use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, TransportConfig};
use quinn_proto::HashedConnectionIdGenerator;

use super::congestion;
use crate::identity::Identity;
use crate::wire::MAX_FRAME;

/// QUIC's own idle timeout: above our slowest verdict, so that it is the detector who decides (section "QUIC" of the protocol).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Never more than this in a UDP payload: with IPv6 and UDP headers it fits the least MTU of IPv6, so no discovery is needed.
const MTU: u16 = 1200;
/// What quinn may receive in one datagram; ours are smaller, a few bytes more are other QUIC versions' right.
const MAX_UDP_PAYLOAD: u16 = 1280;
/// Flow control of the one stream and of the connection: two frames.
const STREAM_WINDOW: u32 = 2 * MAX_FRAME as u32;
/// Datagrams that wait to be sent or read: a few probes.
const DATAGRAM_BUFFER: usize = 8 * 1024;

pub(super) fn endpoint_config(identity: &Identity, seed: Option<[u8; 32]>) -> EndpointConfig {
    let (reset_key, cid_key) = identity.quic_keys();
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)))
        .min_reset_interval(Duration::from_millis(1))
        .grease_quic_bit(false)
        .max_udp_payload_size(MAX_UDP_PAYLOAD)
        .expect("above 1200")
        .rng_seed(seed);
    config
}

pub(super) fn transport_config(initial_rtt: Duration) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("30 s fit")))
        .keep_alive_interval(None)
        .initial_rtt(initial_rtt)
        .initial_mtu(MTU)
        .min_mtu(MTU)
        .mtu_discovery_config(None)
        .max_concurrent_bidi_streams(1_u8.into())
        .max_concurrent_uni_streams(0_u8.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(STREAM_WINDOW.into())
        .send_window(u64::from(STREAM_WINDOW))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .allow_spin(false)
        .congestion_controller_factory(Arc::new(congestion::FlooredConfig));
    config
}
