//! What is known of each pod: the state that every one of its watchers sees, and how new it is.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::watch;
use types::{ContainerId, ObservedPod, PodRef, PodUid, SandboxState};

use crate::changes::{Coarse, Outline};
use crate::trust::Turn;

/// The pods that somebody watches or the runtime has. No I/O, no waiting.
#[derive(Default)]
pub(crate) struct Pods {
    tracked: HashMap<PodUid, Tracked>,
    /// The turn of the latest list: what is not tracked was not there then.
    listed: Option<Turn>,
}

struct Tracked {
    state: watch::Sender<Arc<ObservedPod>>,
    outline: Outline,
    /// The turn of the look that is published. A look of an earlier turn is never published over it.
    looked: Option<Turn>,
    /// The latest turn in which the outline was seen to be so, in a look or in a list.
    confirmed: Option<Turn>,
}

/// What a look changed.
pub(crate) struct Published {
    /// Containers that were seen to start or to end.
    pub(crate) transitions: Vec<(ContainerId, Coarse)>,
    /// The latest turn in which that had not happened yet; `None`: nobody looked before.
    pub(crate) before: Option<Turn>,
}

/// What a list told.
pub(crate) struct Listed {
    /// Pods that are to be looked at.
    pub(crate) changed: Vec<PodRef>,
    /// Pods that the runtime has.
    pub(crate) all: BTreeSet<PodRef>,
}

/// How many sandboxes and containers there are.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) ready_pods: u32,
    pub(crate) containers: [u32; Coarse::ALL.len()],
}

impl Pods {
    fn tracked(&mut self, pod: &PodRef) -> &mut Tracked {
        let confirmed = self.listed;
        self.tracked.entry(pod.uid.clone()).or_insert_with(|| Tracked {
            state: watch::Sender::new(Arc::new(ObservedPod::absent(pod.clone()))),
            outline: Outline::default(),
            looked: None,
            confirmed,
        })
    }

    pub(crate) fn subscribe(&mut self, pod: &PodRef) -> watch::Receiver<Arc<ObservedPod>> {
        self.tracked(pod).state.subscribe()
    }

    /// What the last look found; `None` if there was none.
    pub(crate) fn looked_at(&self, pod: &PodUid) -> Option<Arc<ObservedPod>> {
        let tracked = self.tracked.get(pod).filter(|tracked| tracked.looked.is_some())?;
        Some(tracked.state.borrow().clone())
    }

    /// Takes what a look of `turn` found; `None` if it is older than what is known.
    pub(crate) fn publish(&mut self, turn: Turn, observed: &Arc<ObservedPod>) -> Option<Published> {
        let tracked = self.tracked(&observed.pod);
        if tracked.looked > Some(turn) {
            return None;
        }
        let outline = Outline::of(observed);
        let transitions = outline.transitions(&tracked.outline).map(|(id, state)| (id.clone(), state));
        let published = Published { transitions: transitions.collect(), before: tracked.confirmed };
        tracked.outline = outline;
        tracked.looked = Some(turn);
        tracked.confirmed = tracked.confirmed.max(Some(turn));
        tracked.state.send_if_modified(|state| {
            let news = **state != **observed;
            if news {
                *state = Arc::clone(observed);
            }
            news
        });
        Some(published)
    }

    /// Takes the list of `turn`: tells the pods of which it shows something new, and forgets those that are gone and
    /// that nobody watches. A look of a later turn knows better than the list. Whoever makes what is `expected` to change
    /// looks at the pod himself.
    pub(crate) fn listed(
        &mut self,
        turn: Turn,
        listed: &[ObservedPod],
        expected: impl Fn(&str) -> bool,
    ) -> Listed {
        let mut changed = Vec::new();
        let mut all = BTreeSet::new();
        for pod in listed {
            all.insert(pod.pod.clone());
            let tracked = self.tracked(&pod.pod);
            if tracked.looked > Some(turn) {
                continue;
            }
            let outline = Outline::of(pod);
            if tracked.looked.is_some() && tracked.outline == outline {
                tracked.confirmed = tracked.confirmed.max(Some(turn));
            } else if tracked.looked.is_none() || tracked.outline.differs(&outline, &expected) {
                changed.push(pod.pod.clone());
            }
        }
        let present: BTreeSet<&PodUid> = listed.iter().map(|pod| &pod.pod.uid).collect();
        self.tracked.retain(|uid, tracked| {
            if tracked.looked > Some(turn) {
                let state = tracked.state.borrow();
                if state.is_absent() {
                    all.remove(&state.pod);
                } else {
                    all.insert(state.pod.clone());
                }
                return true;
            }
            if present.contains(uid) {
                return true;
            }
            if tracked.outline != Outline::default() {
                if tracked.outline.differs(&Outline::default(), &expected) {
                    changed.push(tracked.state.borrow().pod.clone());
                }
                return true;
            }
            tracked.confirmed = tracked.confirmed.max(Some(turn));
            tracked.state.receiver_count() > 0
        });
        self.listed = self.listed.max(Some(turn));
        Listed { changed, all }
    }

    /// The pod that has the container, or whose sandbox it is, as far as the last look tells.
    pub(crate) fn having(&self, container: &ContainerId) -> Option<PodRef> {
        let tracked = self.tracked.values().find(|tracked| tracked.outline.has(container))?;
        Some(tracked.state.borrow().pod.clone())
    }

    /// Whether the last look at its pod saw that the container or sandbox had ended.
    pub(crate) fn has_ended(&self, container: &ContainerId) -> bool {
        self.tracked.values().any(|tracked| tracked.outline.has_ended(container))
    }

    pub(crate) fn count(&self) -> Count {
        let mut count = Count::default();
        for tracked in self.tracked.values() {
            let pod = tracked.state.borrow();
            count.ready_pods += u32::from(pod.sandboxes.iter().any(|s| s.state == SandboxState::Ready));
            for container in &pod.containers {
                count.containers[Coarse::of(&container.state) as usize] += 1;
            }
        }
        count
    }

    /// How many pods are remembered.
    pub(crate) fn len(&self) -> usize {
        self.tracked.len()
    }
}

#[cfg(test)]
mod tests {
    use types::{ObservedSandbox, PodName};

    use super::*;

    fn pod(name: &str) -> PodRef {
        PodRef { name: PodName::new("default", name), uid: name.into() }
    }

    fn with_sandbox(pod: &PodRef, state: SandboxState) -> ObservedPod {
        let sandbox = ObservedSandbox {
            id: "s".into(),
            attempt: 0,
            state,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            ips: Vec::new(),
            network: None,
            runtime_handler: "".into(),
        };
        ObservedPod { sandboxes: vec![sandbox], ..ObservedPod::absent(pod.clone()) }
    }

    #[test]
    fn an_older_look_changes_nothing() {
        let (mut pods, web) = (Pods::default(), pod("web"));
        let mut seen = pods.subscribe(&web);
        let ready = Arc::new(with_sandbox(&web, SandboxState::Ready));
        assert!(pods.publish(2, &ready).is_some());
        assert!(pods.publish(1, &Arc::new(ObservedPod::absent(web.clone()))).is_none());
        assert_eq!(*seen.borrow_and_update(), ready);
        assert!(pods.publish(3, &ready).is_some());
        assert!(!seen.has_changed().unwrap(), "nothing new");
    }

    #[test]
    fn a_list_knows_less_than_a_later_look() {
        let (mut pods, new, gone) = (Pods::default(), pod("new"), pod("gone"));
        pods.publish(5, &Arc::new(with_sandbox(&new, SandboxState::Ready)));
        pods.publish(6, &Arc::new(ObservedPod::absent(gone.clone())));
        let listed = pods.listed(4, &[with_sandbox(&gone, SandboxState::Ready)], |_| false);
        assert_eq!((listed.changed.len(), listed.all), (0, BTreeSet::from([new.clone()])));
        let listed = pods.listed(7, &[with_sandbox(&new, SandboxState::NotReady)], |_| false);
        assert_eq!((listed.changed, listed.all), (vec![new.clone()], BTreeSet::from([new])));
    }

    #[test]
    fn a_list_that_shows_what_is_expected_asks_for_no_look() {
        let (mut pods, web) = (Pods::default(), pod("web"));
        pods.publish(1, &Arc::new(with_sandbox(&web, SandboxState::Ready)));
        let stopped = [with_sandbox(&web, SandboxState::NotReady)];
        assert_eq!(pods.listed(2, &stopped, |id| id == "s").changed, []);
        assert_eq!(pods.listed(3, &[], |id| id == "s").changed, []);
        assert_eq!(pods.listed(4, &stopped, |_| false).changed, std::slice::from_ref(&web));
    }

    #[test]
    fn what_is_not_in_a_list_was_not_there() {
        let (mut pods, web) = (Pods::default(), pod("web"));
        let ready = Arc::new(with_sandbox(&web, SandboxState::Ready));
        assert_eq!(pods.publish(1, &ready).unwrap().before, None);
        let (mut pods, web) = (Pods::default(), pod("web"));
        pods.listed(1, &[], |_| false);
        assert_eq!(pods.publish(2, &ready).unwrap().before, Some(1));
        assert_eq!(pods.looked_at(&web.uid), Some(ready));
    }

    #[test]
    fn pods_that_are_gone_are_forgotten_when_nobody_watches() {
        let (mut pods, web) = (Pods::default(), pod("web"));
        let watching = pods.subscribe(&web);
        pods.publish(1, &Arc::new(with_sandbox(&web, SandboxState::Ready)));
        assert_eq!(pods.listed(2, &[], |_| false).changed, std::slice::from_ref(&web));
        pods.publish(3, &Arc::new(ObservedPod::absent(web.clone())));
        assert_eq!(pods.listed(4, &[], |_| false).changed, []);
        assert_eq!(pods.len(), 1);
        drop(watching);
        pods.listed(5, &[], |_| false);
        assert_eq!(pods.len(), 0);
    }
}
