//! Chance that can be repeated.

/// A sequence of numbers that looks random and is the same for the same seed (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// A number below the number of `all`.
    pub(crate) fn index<T>(&mut self, all: &[T]) -> usize {
        usize::try_from(self.roll(all.len() as u64)).unwrap_or_default()
    }
}
