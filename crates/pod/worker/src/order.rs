//! What a pod's worker is asked for. A slot holds one order, and a newer one is merged into it.

use std::sync::Arc;

use types::Pod;

/// The latest wish for a pod.
#[derive(Clone, Debug)]
pub enum Order {
    /// Bring it to its spec, and keep it there.
    Run(Arc<Pod>),
    /// Stop it and clean up.
    Stop(Stop),
}

/// How a pod is to be stopped.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Stop {
    /// The pod as its source has it by now; `None`: as it was.
    pub pod: Option<Arc<Pod>>,
    /// Grace period in seconds; `None`: the pod's own.
    pub grace_seconds: Option<u64>,
    /// Whether the source has dropped the pod, so that nothing of it is to be kept.
    pub removed: bool,
}

impl Order {
    /// What holds after `newer` has come. A stop is never taken back: a pod that is wanted again under the same UID
    /// is started afresh once it is gone. A grace period only shrinks. A newer spec of a pod that is being stopped
    /// is not needed any more.
    #[must_use]
    pub fn merged(&self, newer: &Self) -> Self {
        match (self, newer) {
            (Self::Run(_), newer) => newer.clone(),
            (Self::Stop(stop), Self::Run(_)) => Self::Stop(stop.clone()),
            (Self::Stop(old), Self::Stop(new)) => Self::Stop(Stop {
                pod: new.pod.clone().or_else(|| old.pod.clone()),
                grace_seconds: match (old.grace_seconds, new.grace_seconds) {
                    (Some(old), Some(new)) => Some(old.min(new)),
                    (old, new) => old.or(new),
                },
                removed: old.removed || new.removed,
            }),
        }
    }
}

/// Whether going from `old` to `new` has to interrupt what the worker is doing: a pod that runs is to stop, or a
/// stop under way has to go faster. A new spec does not interrupt; it is looked at in the next round.
#[must_use]
pub fn interrupts(old: &Order, new: &Order) -> bool {
    match (old, new) {
        (Order::Run(_), Order::Stop(_)) => true,
        (Order::Stop(old), Order::Stop(new)) => match (old.grace_seconds, new.grace_seconds) {
            (Some(old), Some(new)) => new < old,
            (None, Some(_)) => true,
            (_, None) => false,
        },
        (_, Order::Run(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order() -> impl Strategy<Value = Order> {
        prop_oneof![
            Just(Order::Run(Arc::default())),
            (proptest::option::of(0u64..100), any::<bool>())
                .prop_map(|(grace_seconds, removed)| Order::Stop(Stop { pod: None, grace_seconds, removed })),
        ]
    }

    proptest! {
        #[test]
        fn a_stop_stays_and_its_grace_only_shrinks(first in order(), more in proptest::collection::vec(order(), 0..10)) {
            let mut now = first;
            for newer in more {
                let next = now.merged(&newer);
                if let (Order::Stop(old), next) = (&now, &next) {
                    let Order::Stop(new) = next else { panic!("a stop was taken back") };
                    prop_assert!(!old.removed || new.removed);
                    if let Some(old) = old.grace_seconds {
                        prop_assert!(new.grace_seconds.is_some_and(|new| new <= old));
                    }
                }
                now = next;
            }
        }

        #[test]
        fn only_a_change_interrupts(order in order()) {
            prop_assert!(!interrupts(&order, &order));
        }
    }
}
