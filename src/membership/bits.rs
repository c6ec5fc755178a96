//! A set of places, a bit each.

use super::ids::Index;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Makes room for so many places, and not for more.
    pub(super) fn reach(&mut self, places: usize) {
        let words = places.div_ceil(64);
        if self.0.len() < words {
            self.0.reserve_exact(words - self.0.len());
            self.0.resize(words, 0);
        }
    }

    pub(super) fn has(&self, index: Index) -> bool {
        let word = self.0.get(index.at() / 64);
        word.is_some_and(|word| word >> (index.0 % 64) & 1 == 1)
    }

    /// Puts a place in for which there is room.
    pub(super) fn insert(&mut self, index: Index) {
        self.0[index.at() / 64] |= 1 << (index.0 % 64);
    }

    pub(super) fn remove(&mut self, index: Index) {
        if let Some(word) = self.0.get_mut(index.at() / 64) {
            *word &= !(1 << (index.0 % 64));
        }
    }

    /// The places that are in, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Index> + '_ {
        ones(self.0.iter().copied())
    }

    /// The places that are in one of the two and not in the other, in their order.
    pub(super) fn differences(&self, other: &Self) -> impl Iterator<Item = Index> {
        let words = self.0.len().max(other.0.len());
        let word = |bits: &Self, at: usize| bits.0.get(at).copied().unwrap_or(0);
        ones((0..words).map(move |at| word(self, at) ^ word(other, at)))
    }
}

fn ones(words: impl Iterator<Item = u64>) -> impl Iterator<Item = Index> {
    words.enumerate().flat_map(|(at, mut word)| {
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros())?;
            word &= word - 1;
            Some(Index::from_place(at * 64 + bit as usize))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_tell_what_is_in_them_and_how_they_differ() {
        let places = [Index(0), Index(63), Index(64), Index(199)];
        let mut bits = Bits::default();
        bits.reach(200);
        for place in places {
            bits.insert(place);
        }
        assert!(bits.iter().eq(places) && bits.has(Index(64)) && !bits.has(Index(5000)));
        let mut other = Bits::default();
        assert!(other.differences(&bits).eq(places));
        other.reach(70);
        other.insert(Index(5));
        other.insert(Index(63));
        bits.remove(Index(0));
        bits.remove(Index(5000));
        assert!(
            bits.differences(&other)
                .eq([Index(5), Index(64), Index(199)])
        );
    }
}
