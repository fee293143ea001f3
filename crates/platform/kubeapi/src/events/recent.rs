//! A map that keeps what was used last.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// At most so many entries; the one that was not used for longest goes first.
pub(super) struct Recent<K, V> {
    most: usize,
    entries: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    uses: u64,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), order: BTreeMap::new(), uses: 0 }
    }

    /// The entry of `key`, made if it is new. It counts as used.
    pub(super) fn entry(&mut self, key: &K, new: impl FnOnce() -> V) -> &mut V {
        self.uses += 1;
        if let Some((used, _)) = self.entries.get(key) {
            self.order.remove(used);
        } else if self.entries.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.order.insert(self.uses, key.clone());
        let entry = self.entries.entry(key.clone()).or_insert_with(|| (0, new()));
        entry.0 = self.uses;
        &mut entry.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_was_not_used_for_longest() {
        let mut recent = Recent::new(2);
        *recent.entry(&"a", || 1) += 1;
        recent.entry(&"b", || 1);
        assert_eq!(*recent.entry(&"a", || 7), 2);
        recent.entry(&"c", || 1);
        assert_eq!(*recent.entry(&"b", || 7), 7, "gone, and new");
        assert_eq!((recent.entries.len(), recent.order.len()), (2, 2));
    }
}
