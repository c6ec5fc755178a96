//! Congestion control with a window of at least sixteen packets.
//!
//! At 30 % loss an ordinary controller shrinks its window to two packets. Probes would then wait behind lost packets, and a live
//! link would look dead. area-net sends so little that sixteen packets in flight harm no path. On a line that they would fill for
//! seconds, the [`Window`] of the stream allows fewer, and leaves room for probes.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::Connection;
use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, NewRenoConfig};
use quinn_proto::RttEstimator;

use crate::window::Window;

/// The least window, in packets. New Reno's own least window is two packets, which silences probes at 30 % loss.
const LEAST_PACKETS: u64 = 16;

/// Builds [`Floored`] controllers.
#[derive(Debug)]
pub(super) struct FlooredConfig {
    /// The most bytes of the stream that may be under way.
    pub(super) stream_window: usize,
}

impl ControllerFactory for FlooredConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = Arc::new(NewRenoConfig::default()).build(now, current_mtu);
        Box::new(Floored {
            inner,
            mtu: current_mtu,
            began: now,
            stream: Window::new(self.stream_window),
            acked: None,
        })
    }
}

/// How many bytes of the stream the line of a connection has room for; see [`Window::room`].
pub(super) fn room(connection: &Connection) -> usize {
    let controller = connection.congestion_state().into_any();
    let floored = controller.downcast::<Floored>();
    floored.expect("it is ours").stream.room()
}

/// New Reno (RFC 9002, section 7) with a least window.
struct Floored {
    inner: Box<dyn Controller>,
    mtu: u16,
    began: Instant,
    stream: Window,
    /// The acknowledgement that is being handled: when the last of its packets was sent, and how many bytes it covers.
    acked: Option<(Instant, u64)>,
}

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
        let (last, so_far) = self.acked.unwrap_or((sent, 0));
        self.acked = Some((last.max(sent), so_far + bytes));
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest: Option<u64>,
    ) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
        if let Some((sent, bytes)) = self.acked.take() {
            let since = |at: Instant| at.saturating_duration_since(self.began);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.stream.acknowledged(since(now), since(sent), bytes);
        }
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window().max(LEAST_PACKETS * u64::from(self.mtu))
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            mtu: self.mtu,
            began: self.began,
            stream: self.stream.clone(),
            acked: self.acked,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner
            .initial_window()
            .max(LEAST_PACKETS * u64::from(self.mtu))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
