//! Faults that are up, whatever they strike.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Keeps a fault up; dropping it lifts the fault.
#[must_use = "the fault is lifted when this is dropped"]
#[derive(Debug)]
pub struct FaultGuard {
    _up: watch::Sender<()>,
}

/// A fault that struck a call.
pub(crate) struct Struck<F> {
    pub(crate) fault: F,
    up: watch::Receiver<()>,
}

impl<F> Struck<F> {
    /// Waits until the fault is lifted.
    pub(crate) async fn lifted(&mut self) {
        while self.up.changed().await.is_ok() {}
    }
}

/// All faults that are up: each an `F` that strikes the calls that an `M` is about. Clones share them.
pub(crate) struct Faults<M, F>(Arc<Mutex<Vec<One<M, F>>>>);

struct One<M, F> {
    matches: M,
    /// How many calls it still strikes; `None` for any number.
    left: Option<u64>,
    fault: F,
    up: watch::Receiver<()>,
}

impl<M, F: Clone> Faults<M, F> {
    /// Puts up `fault` for the calls that `matches` is about, or only the next `times` of them.
    pub(crate) fn raise(&self, matches: M, times: Option<u64>, fault: F) -> FaultGuard {
        let (sender, up) = watch::channel(());
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push(One { matches, left: times, fault, up });
        FaultGuard { _up: sender }
    }

    /// The fault that strikes a call now: the one raised last of those that it `covers`.
    pub(crate) fn strike(&self, covers: impl Fn(&M) -> bool) -> Option<Struck<F>> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without its guard a fault is lifted.
        faults.retain(|one| one.up.has_changed().is_ok());
        let one = faults.iter_mut().rev().find(|one| one.left != Some(0) && covers(&one.matches))?;
        if let Some(left) = &mut one.left {
            *left -= 1;
        }
        Some(Struck { fault: one.fault.clone(), up: one.up.clone() })
    }
}

impl<M, F> Clone for Faults<M, F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M, F> Default for Faults<M, F> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M, F> fmt::Debug for Faults<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_strikes_as_often_as_it_may_while_its_guard_lives() {
        let faults = Faults::default();
        let struck = |call: &str| faults.strike(|matches| *matches == call).map(|struck| struck.fault);
        let always = faults.raise("stop", None, 1);
        let _once = faults.raise("stop", Some(1), 2);
        assert_eq!([struck("stop"), struck("stop"), struck("start")], [Some(2), Some(1), None]);
        drop(always);
        assert_eq!(struck("stop"), None);
    }
}
