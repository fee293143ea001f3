//! What was seen, counted.

use std::collections::HashMap;

/// How many stacks are told apart.
const MOST: usize = 1 << 16;
/// Values from here on are no addresses, but tell of what kind those behind them are (`enum perf_callchain_context`).
const MARKS: u64 = u64::MAX - 4095;

/// How often each stack was seen. The first address of a stack is that of the instruction that was executed; the others are
/// those to which its callers go back.
#[derive(Default, Debug)]
pub(crate) struct Stacks {
    seen: HashMap<Box<[u64]>, u64>,
    /// Samples that are in none of them.
    pub(crate) lost: u64,
}

impl Stacks {
    /// Takes one sample, as the kernel gives it.
    pub(crate) fn add(&mut self, chain: &[u64]) {
        let stack: Box<[u64]> = chain.iter().copied().filter(|address| *address < MARKS).collect();
        if stack.is_empty() || (self.seen.len() >= MOST && !self.seen.contains_key(&stack)) {
            self.lost += 1;
        } else {
            *self.seen.entry(stack).or_default() += 1;
        }
    }

    /// Each stack, and how often it was seen.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u64], u64)> {
        self.seen.iter().map(|(stack, times)| (&**stack, *times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_counted_without_marks() {
        let mut stacks = Stacks::default();
        for chain in [&[MARKS + 9, 10, 20][..], &[10, 20], &[11, 20], &[MARKS]] {
            stacks.add(chain);
        }
        let mut all: Vec<_> = stacks.iter().collect();
        all.sort_unstable();
        assert_eq!((all, stacks.lost), (vec![(&[10, 20][..], 2), (&[11, 20][..], 1)], 1));
    }

    #[test]
    fn there_is_an_end_to_them() {
        let mut stacks = Stacks::default();
        for address in 0..=MOST as u64 {
            stacks.add(&[address]);
        }
        stacks.add(&[0]);
        assert_eq!((stacks.iter().count(), stacks.lost), (MOST, 1));
        assert!(stacks.iter().any(|seen| seen == (&[0], 2)));
    }
}
