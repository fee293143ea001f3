//! Who works on a volume or a device: one at a time, whichever pod it is for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

/// The right to work on something. It goes along to threads that may outlive their caller, so that nobody else works on it
/// before they end.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// What is worked on.
#[derive(Clone, Debug)]
pub(crate) struct Owners<K>(Arc<Mutex<HashMap<K, Arc<Turns<()>>>>>);

impl<K> Default for Owners<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash> Owners<K> {
    /// Waits for the right to work on `what`.
    pub(crate) async fn turn(&self, what: &K) -> Turn {
        let turns = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody works on takes no memory.
            all.retain(|other, turns| other == what || Arc::strong_count(turns) > 1);
            Arc::clone(all.entry(what.clone()).or_default())
        };
        turns.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_after_the_other_and_nothing_left() {
        let owners = Owners::default();
        let first = owners.turn(&"a").await;
        let _other = owners.turn(&"b").await;
        let mut second = std::pin::pin!(owners.turn(&"a"));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        drop(owners.turn(&"b2").await);
        drop(owners.turn(&"c").await);
        assert_eq!(owners.0.lock().unwrap().len(), 2, "b and the last one");
    }
}
