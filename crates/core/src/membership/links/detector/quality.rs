//! What the exchanges of a link have shown of its losses, and how patient that makes the verdict.

use super::{Detector, HINTED_MISSES, HINTS};
use crate::membership::links::loss::{
    FALSE_CONSENT, FALSE_VERDICT, LEAST_MISSES, LONG, SHORT, Sample,
};

/// A clean link loses less than this part of the last 200 exchanges, or of those that there were.
const CLEAN: f64 = 0.02;

impl Detector {
    /// The share of lost exchanges, in 1/250.
    #[must_use]
    pub fn loss_250(&self) -> u8 {
        let own = (self.outcomes.share() * 250.0).round() as u8;
        match self.told {
            Some((_, loss)) if !self.active => loss.max(if self.outcomes.last(LONG.size).1 >= 10 {
                own
            } else {
                0
            }),
            _ => own,
        }
    }

    /// As much of that share as enough exchanges have shown, to be told to everybody. (Two of the first eight lost are a quarter, and most often
    /// chance: of a thousand nodes that lose one in ten, each told of such a quarter, and once more when it was none.)
    #[must_use]
    pub fn known_loss_250(&self) -> u8 {
        let shown = self.evidence(LONG).1 / f64::from(SHORT.size);
        (f64::from(self.loss_250()) * shown.min(1.0)).round() as u8
    }

    /// How many misses in a row it takes on this link.
    #[must_use]
    pub fn misses_needed(&self) -> u32 {
        let unlikely = if self.consent {
            FALSE_CONSENT
        } else {
            FALSE_VERDICT
        };
        let misses = [SHORT, LONG]
            .map(|sample| {
                let (lost, of) = self.evidence(sample);
                sample.misses_needed(lost, of, unlikely)
            })
            .into_iter()
            .fold(LEAST_MISSES, u32::max);
        if self.hints >= HINTS {
            misses.min(HINTED_MISSES)
        } else {
            misses
        }
    }

    /// Losses and exchanges: our own, and for the passive end, which sees few, those of which the active one told.
    fn evidence(&self, sample: Sample) -> (f64, f64) {
        let (lost, of) = self.outcomes.last(sample.size);
        let told = self.told.map_or(0.0, |(_, loss)| f64::from(loss) / 250.0);
        let heard = f64::from(self.probes_heard.min(sample.size - of));
        (f64::from(lost) + told * heard, f64::from(of) + heard)
    }

    /// Whether nothing, or next to nothing, was lost on this link of late. A link that loses one exchange in ten has a lucky streak now
    /// and then, and would be suspected, in words to the whole network, whenever that is over: so the long sample counts too. While that is
    /// short, one loss is enough: ten thousand nodes that lose one exchange in ten would tell of hundreds of suspicions a second until they
    /// know their links.
    pub(super) fn is_clean(&self) -> bool {
        self.evidence(SHORT).0 < 1.5 && !self.is_lossy()
    }

    /// Whether less has passed over this link than shows its own loss. (Of a hundred links that lose one exchange in ten, one has lost no more
    /// than one of its first sixty.)
    pub fn is_young(&self) -> bool {
        self.evidence(LONG).1 < f64::from(LONG.size)
    }

    /// Whether the loss to be told is further than that from what was told, both in 1/250, by more than chance would have it: three standard
    /// deviations of a sample as large as there is. (Of a hundred links that lose one exchange in ten, one seems to lose a fifth of its first 64.
    /// When each of ten thousand nodes told of one such, that came to 28 kB a second for everybody.)
    pub fn loss_moved(&self, told: u8, by: u8) -> bool {
        let of = self.evidence(LONG).1.max(1.0);
        let [is, was, by] = [self.known_loss_250(), told, by].map(|share| f64::from(share) / 250.0);
        let variance = |share: f64| share * (1.0 - share) / of;
        let chance = 3.0 * variance(is).max(variance(was)).sqrt();
        (is - was).abs() - chance > by
    }

    /// Whether so much was lost on this link lately that it is no clean one.
    pub fn is_lossy(&self) -> bool {
        let (lost, of) = self.evidence(LONG);
        lost > 0.0 && lost >= CLEAN * of
    }
}
