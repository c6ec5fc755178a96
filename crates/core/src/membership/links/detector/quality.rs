//! The loss that the exchanges of a link have shown, and how patient it makes the verdict.

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

    /// The same share, as far as enough exchanges have shown it, for publication. (Two lost of the first eight are a quarter,
    /// mostly by chance. In a thousand nodes with 10 % loss, each node published such a quarter, and once more when it had
    /// passed.)
    #[must_use]
    pub(crate) fn known_loss_250(&self, tuning: &Tuning) -> u8 {
        let shown = self.evidence(tuning.long_sample).1 / f64::from(tuning.short_sample);
        (f64::from(self.loss_250(tuning)) * shown.min(1.0)).round() as u8
    }

    /// How many consecutive misses make the link down.
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
            .fold(tuning.least_misses, u32::max)
            .min(self.most_misses(tuning));
        if self.icmp_hints >= tuning.icmp_hints {
            misses.min(tuning.icmp_misses)
        } else {
            misses
        }
    }

    /// A run lasts no longer than the longest one at the full pace, however far apart its probes are.
    fn most_misses(&self, tuning: &Tuning) -> u32 {
        let longest = tuning.fast_probes * tuning.most_misses;
        let most = longest.as_millis() / self.fast_pace(tuning).as_millis().max(1);
        u32::try_from(most)
            .unwrap_or(u32::MAX)
            .max(tuning.least_misses)
    }

    /// Losses and exchanges: our own, and for the passive end, which sees few, also those that the active end told it.
    fn evidence(&self, size: u32) -> (f64, f64) {
        let (lost, of) = self.outcomes.last(size);
        let told = self.told.map_or(0.0, |(_, loss)| f64::from(loss) / 250.0);
        let heard = f64::from(self.probes_heard.min(size - of));
        (f64::from(lost) + told * heard, f64::from(of) + heard)
    }

    /// Whether this link lost nothing, or next to nothing, recently. The long sample counts too: a link with 10 % loss has a
    /// lucky streak now and then, and would be published as suspect whenever the streak ends. While the long sample is short, one
    /// loss makes the link unclean. Otherwise ten thousand nodes with 10 % loss would publish hundreds of suspicions a second
    /// until they know their links.
    pub(super) fn is_clean(&self, tuning: &Tuning) -> bool {
        self.evidence(tuning.short_sample).0 < tuning.clean_losses && !self.is_lossy(tuning)
    }

    /// Whether this link has had too few exchanges to show its own loss. (Of a hundred links with 10 % loss, one has lost at most
    /// one of its first sixty.)
    pub(crate) fn is_young(&self, tuning: &Tuning) -> bool {
        self.evidence(tuning.long_sample).1 < f64::from(tuning.long_sample)
    }

    /// Whether the loss to publish differs from `told` by more than `by`, both in 1/250, beyond random variation: three standard
    /// deviations of the present sample. (Of a hundred links with 10 % loss, one seems to lose a fifth of its first 64. When each
    /// of ten thousand nodes published one such, every node received 28 kB a second.)
    pub(crate) fn loss_moved(&self, tuning: &Tuning, told: u8, by: u32) -> bool {
        let of = self.evidence(tuning.long_sample).1.max(1.0);
        let [is, was] = [self.known_loss_250(tuning), told].map(|share| f64::from(share) / 250.0);
        let by = f64::from(by) / 250.0;
        let variance = |share: f64| share * (1.0 - share) / of;
        let chance = tuning.loss_deviations * variance(is).max(variance(was)).sqrt();
        (is - was).abs() - chance > by
    }

    /// Whether this link lost too much recently to be a clean one.
    pub(crate) fn is_lossy(&self, tuning: &Tuning) -> bool {
        let (lost, of) = self.evidence(tuning.long_sample);
        lost > 0.0 && lost >= tuning.clean_share * of
    }
}
