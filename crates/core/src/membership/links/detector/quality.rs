//! What the exchanges of a link have shown of its losses, and how patient that makes the verdict.

use super::{Confirmation, Detector};
use crate::membership::tuning::links::Tuning;

impl Detector {
    /// The share of lost exchanges, in 1/250.
    #[must_use]
    pub(crate) fn loss_250(&self, tuning: &Tuning) -> u8 {
        let own = (self.outcomes.share(tuning) * 250.0).round() as u8;
        match self.told {
            Some((_, loss)) if !self.active => loss.max(
                if self.outcomes.last(tuning.long_sample).1 >= tuning.least_own {
                    own
                } else {
                    0
                },
            ),
            _ => own,
        }
    }

    /// As much of that share as enough exchanges have shown, to be told to everybody. (Two of the first eight lost are a quarter, and most often
    /// chance: of a thousand nodes that lose one in ten, each told of such a quarter, and once more when it was none.)
    #[must_use]
    pub(crate) fn known_loss_250(&self, tuning: &Tuning) -> u8 {
        let shown = self.evidence(tuning.long_sample).1 / f64::from(tuning.short_sample);
        (f64::from(self.loss_250(tuning)) * shown.min(1.0)).round() as u8
    }

    /// How many misses in a row it takes on this link.
    #[must_use]
    pub(crate) fn misses_needed(&self, tuning: &Tuning) -> u32 {
        let unlikely = if self.confirmation == Confirmation::Two {
            tuning.false_confirmed
        } else {
            tuning.false_verdict
        };
        let misses = [tuning.short(), tuning.long()]
            .map(|sample| {
                let (lost, of) = self.evidence(sample.size);
                sample.misses_needed(tuning, lost, of, unlikely)
            })
            .into_iter()
            .fold(tuning.least_misses, u32::max);
        if self.icmp_hints >= tuning.icmp_hints {
            misses.min(tuning.icmp_misses)
        } else {
            misses
        }
    }

    /// Losses and exchanges: our own, and for the passive end, which sees few, those of which the active one told.
    fn evidence(&self, size: u32) -> (f64, f64) {
        let (lost, of) = self.outcomes.last(size);
        let told = self.told.map_or(0.0, |(_, loss)| f64::from(loss) / 250.0);
        let heard = f64::from(self.probes_heard.min(size - of));
        (f64::from(lost) + told * heard, f64::from(of) + heard)
    }

    /// Whether nothing, or next to nothing, was lost on this link of late. A link that loses one exchange in ten has a lucky streak now
    /// and then, and would be suspected, in words to the whole network, whenever that is over: so the long sample counts too. While that is
    /// short, one loss is enough: ten thousand nodes that lose one exchange in ten would tell of hundreds of suspicions a second until they
    /// know their links.
    pub(super) fn is_clean(&self, tuning: &Tuning) -> bool {
        self.evidence(tuning.short_sample).0 < tuning.clean_losses && !self.is_lossy(tuning)
    }

    /// Whether less has passed over this link than shows its own loss. (Of a hundred links that lose one exchange in ten, one has lost no more
    /// than one of its first sixty.)
    pub(crate) fn is_young(&self, tuning: &Tuning) -> bool {
        self.evidence(tuning.long_sample).1 < f64::from(tuning.long_sample)
    }

    /// Whether the loss to be told is further than that from what was told, both in 1/250, by more than chance would have it: three standard
    /// deviations of a sample as large as there is. (Of a hundred links that lose one exchange in ten, one seems to lose a fifth of its first 64.
    /// When each of ten thousand nodes told of one such, that came to 28 kB a second for everybody.)
    pub(crate) fn loss_moved(&self, tuning: &Tuning, told: u8, by: u32) -> bool {
        let of = self.evidence(tuning.long_sample).1.max(1.0);
        let [is, was] = [self.known_loss_250(tuning), told].map(|share| f64::from(share) / 250.0);
        let by = f64::from(by) / 250.0;
        let variance = |share: f64| share * (1.0 - share) / of;
        let chance = tuning.loss_deviations * variance(is).max(variance(was)).sqrt();
        (is - was).abs() - chance > by
    }

    /// Whether so much was lost on this link lately that it is no clean one.
    pub(crate) fn is_lossy(&self, tuning: &Tuning) -> bool {
        let (lost, of) = self.evidence(tuning.long_sample);
        lost > 0.0 && lost >= tuning.clean_share * of
    }
}
