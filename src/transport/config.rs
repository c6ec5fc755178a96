//! The configuration of quinn.

use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, TransportConfig};
use quinn_proto::HashedConnectionIdGenerator;

use super::congestion;
use crate::identity::Identity;
use crate::membership::{LONGEST_INTERVAL, SLOWEST_VERDICT, Tuning};
use crate::wire::MAX_FRAME;

/// QUIC's own idle timeout. It is above the detector's slowest verdict, so that the detector decides whether a link is down.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The detector decides whether a link is down, and when a connection judged down is closed.
const _: () = {
    let idle = IDLE_TIMEOUT.as_millis();
    let links = Tuning::DEFAULT.links;
    assert!(
        LONGEST_INTERVAL.as_millis() + links.overdue.as_millis() < idle,
        "a connection lives until the next probe of either end"
    );
    assert!(
        SLOWEST_VERDICT.as_millis() + links.parked.as_millis() < idle,
        "a connection lives until its verdict, and as long as its link is parked"
    );
};
/// The largest UDP payload that we send. With the headers of UDP and IPv6 it takes 1248 bytes, and the least MTU of IPv6 is
/// 1280, so no MTU discovery is needed. QUIC requires 1200 (RFC 9000, section 14).
const MTU: u16 = 1200;
/// The largest UDP payload that quinn accepts. Ours are smaller; the margin is for other QUIC versions.
const MAX_UDP_PAYLOAD: u16 = 1280;
/// The flow-control window of the control stream and of the connection, and the most that may be under way: two frames of the
/// largest size.
pub(super) const STREAM_WINDOW: u32 = 2 * MAX_FRAME as u32;
/// The buffers for datagrams that are not sent or not read yet. Probes have a few bytes each, so this holds hundreds, or 29 echoes of the
/// longest way. A full one drops the oldest.
const DATAGRAM_BUFFER: usize = 8 * 1024;
/// So much of the buffer for sending is left to probes: an echo that finds less room is dropped. Halved or doubled: 3 echoes more or 7
/// fewer wait on a full line.
pub(super) const PROBES_ROOM: usize = 2 * 1024;

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
        .congestion_controller_factory(Arc::new(congestion::FlooredConfig {
            stream_window: STREAM_WINDOW as usize,
        }));
    config
}
