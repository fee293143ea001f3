//! Crash back-off: how long a container that ended waits before it is started again (Kubernetes: "Pod Lifecycle:
//! Container restarts").
//!
//! The first restart is immediate; then the delay doubles up to a maximum, and starts over after a container ran, or
//! stayed ended, for twice the maximum. The delay is remembered in memory; what a restart of berth forgets is made up
//! from the container's restart count.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use types::hash::container_hash;
use types::observed::{Exit, ObservedContainer};
use types::{ObservedPod, PodUid};

use crate::plan::BackOff;

/// How long crash back-off is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrashDelays {
    /// Delay after the second end in a row.
    pub initial: Duration,
    /// The longest one.
    pub max: Duration,
}

impl Default for CrashDelays {
    fn default() -> Self {
        Self { initial: Duration::from_secs(10), max: Duration::from_secs(300) }
    }
}

/// What is remembered of one container.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Memory {
    /// The container's hash of name and image: a new image is a new start.
    hash: String,
    delay: Duration,
    /// When the container was last started with this delay behind it.
    since: Timestamp,
}

/// The back-off of all containers.
#[derive(Debug)]
pub struct CrashBackOff {
    delays: CrashDelays,
    memories: Mutex<HashMap<(PodUid, String), Memory>>,
}

impl CrashBackOff {
    /// With these delays.
    #[must_use]
    pub fn new(delays: CrashDelays) -> Self {
        Self { delays, memories: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(PodUid, String), Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The back-off of each container of `observed` whose newest instance has ended. An end that is still to come `now` is
    /// of before the clock was set back, and waits for nothing.
    #[must_use]
    pub fn of_pod(&self, observed: &ObservedPod, now: Timestamp) -> BTreeMap<String, BackOff> {
        let memories = self.lock();
        let mut all = BTreeMap::new();
        for container in &observed.containers {
            let name = &*container.name;
            let newest = observed.newest(name).is_some_and(|newest| newest.id == container.id);
            let Some(exit) = container.state.exit().filter(|exit| newest && exit.finished_at <= now) else {
                continue;
            };
            let memory = memories.get(&(observed.pod.uid.clone(), name.to_owned()));
            let delay = self.delay(memory, container, exit);
            if let Some(until) = later(exit.finished_at, delay) {
                all.insert(name.to_owned(), BackOff { delay, until });
            }
        }
        all
    }

    /// Notes that a container is started again, from `image`, after `ended`, its instance before.
    pub fn restarted(&self, pod: &PodUid, ended: &ObservedContainer, image: &str, now: Timestamp) {
        let Some(exit) = ended.state.exit() else { return };
        let key = (pod.clone(), ended.name.to_string());
        let mut memories = self.lock();
        let delay = self.delay(memories.get(&key), ended, exit);
        let next = if delay.is_zero() { self.delays.initial } else { delay * 2 }.min(self.delays.max);
        memories.insert(key, Memory { hash: container_hash(&ended.name, image), delay: next, since: now });
    }

    /// Forgets a pod that is gone.
    pub fn forget(&self, pod: &PodUid) {
        self.lock().retain(|(uid, _), _| uid != pod);
    }

    fn delay(&self, memory: Option<&Memory>, container: &ObservedContainer, exit: &Exit) -> Duration {
        let fresh = |since: Timestamp| {
            let limit = SignedDuration::try_from(self.delays.max * 2).unwrap_or(SignedDuration::MAX);
            exit.finished_at.duration_since(since) <= limit
        };
        match memory {
            Some(memory) if memory.hash == container.hash && fresh(memory.since) => memory.delay,
            Some(_) => Duration::ZERO,
            None => match exit.started_at {
                Some(started) if container.restart_count > 0 && fresh(started) => {
                    let doublings = (container.restart_count - 1).min(16);
                    (self.delays.initial * (1 << doublings)).min(self.delays.max)
                }
                _ => Duration::ZERO,
            },
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Option<Timestamp> {
    at.checked_add(SignedDuration::try_from(by).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use types::{ContainerState, PodName, PodRef};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn ended(started: i64, finished: i64, restart_count: u32) -> ObservedContainer {
        let exit = Exit {
            code: 1,
            reason: "Error".into(),
            message: String::new(),
            started_at: Some(at(started)),
            finished_at: at(finished),
        };
        ObservedContainer {
            id: format!("c{restart_count}").as_str().into(),
            name: "web".into(),
            sandbox: "s".into(),
            state: ContainerState::Exited(exit),
            created_at: at(started),
            image: "sha256:what-the-runtime-calls-it".into(),
            image_ref: String::new(),
            image_id: String::new(),
            hash: container_hash("web", "busybox"),
            restart_count,
            log_path: String::new(),
            mounts: Vec::new(),
            user: None,
            resources: None,
            annotations: Arc::default(),
        }
    }

    fn pod(container: ObservedContainer) -> ObservedPod {
        let pod = PodRef { name: PodName::new("default", "p"), uid: "u".into() };
        ObservedPod { pod, sandboxes: Vec::new(), containers: vec![container] }
    }

    fn delay(back_off: &CrashBackOff, container: ObservedContainer) -> u64 {
        let finished_at = container.state.exit().unwrap().finished_at;
        back_off.of_pod(&pod(container), finished_at)["web"].delay.as_secs()
    }

    #[test]
    fn doubles_up_to_the_maximum() {
        let (back_off, uid) = (CrashBackOff::new(CrashDelays::default()), PodUid::from("u"));
        let (mut now, mut delays) = (0, Vec::new());
        for restart in 0..8 {
            let container = ended(now, now + 1, restart);
            let wait = delay(&back_off, container.clone());
            delays.push(wait);
            now += 1 + i64::try_from(wait).unwrap();
            back_off.restarted(&uid, &container, "busybox", at(now));
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn an_end_by_a_clock_that_was_set_back_delays_nothing() {
        let back_off = CrashBackOff::new(CrashDelays::default());
        let crashed = pod(ended(7200, 7201, 3));
        assert!(back_off.of_pod(&crashed, at(1)).is_empty());
        assert_eq!(back_off.of_pod(&crashed, at(7201)).len(), 1);
    }

    #[test]
    fn a_long_run_or_a_new_image_starts_over() {
        let (back_off, uid) = (CrashBackOff::new(CrashDelays::default()), PodUid::from("u"));
        back_off.restarted(&uid, &ended(0, 1, 0), "busybox", at(1));
        assert_eq!(delay(&back_off, ended(1, 600, 1)), 10);
        assert_eq!(delay(&back_off, ended(1, 700, 1)), 0);
        back_off.restarted(&uid, &ended(0, 1, 0), "other", at(1));
        assert_eq!(delay(&back_off, ended(1, 2, 1)), 0);
    }

    #[test]
    fn what_a_restart_forgets_is_made_up_from_the_restart_count() {
        let back_off = CrashBackOff::new(CrashDelays::default());
        for (restarts, expected) in [(0, 0), (1, 10), (3, 40), (40, 300)] {
            assert_eq!(delay(&back_off, ended(0, 1, restarts)), expected, "{restarts} restarts");
        }
        assert_eq!(delay(&back_off, ended(0, 5000, 3)), 0, "it ran for long");
    }
}
