//! The time of the next draw, counted in turns.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::membership::Time;

/// When the next draw is due.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    /// Turns until the next draw, as of `since`; `None` before the first look.
    left: Option<f64>,
    since: Time,
    /// The length of a turn, in seconds: the number of nodes that could be reached.
    turn_s: f64,
}

impl Wheel {
    /// Advances by the time that passed, then continues with turns of that length.
    pub(super) fn go_on(&mut self, now: Time, turn_s: f64, rng: &mut ChaCha8Rng) -> f64 {
        let turned = match self.left {
            Some(_) => now.saturating_sub(self.since).as_secs_f64() / self.turn_s,
            None => 0.0,
        };
        let left = match self.left {
            Some(left) => left - turned,
            None => rng.random_range(0.0..1.0),
        };
        (self.left, self.since, self.turn_s) = (Some(left), now, turn_s);
        left
    }

    /// Schedules the next draw; missed draws are skipped.
    pub(super) fn turn(&mut self) {
        self.left = self.left.map(|left| 1.0 - (-left).max(0.0).fract());
    }

    pub(super) fn due(&self) -> Time {
        let left = self.left.unwrap_or_default().max(0.0);
        // Rounded up, so that a check at that time finds the draw due.
        let wait_us = (left * self.turn_s * 1e6).ceil() as u64;
        self.since + Duration::from_micros(wait_us)
    }
}
