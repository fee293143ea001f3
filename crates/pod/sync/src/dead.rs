//! Which dead containers are removed while their pods go on.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use types::{ContainerId, ObservedContainer, ObservedPod};

/// How many dead containers are kept, for their logs (Kubernetes: "Garbage Collection: Container garbage collection").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadContainers {
    /// Age below which none is removed (`--minimum-container-ttl-duration`).
    pub min_age: Duration,
    /// The most per container of a pod (`--maximum-dead-containers-per-container`); `None` for any number.
    pub per_container: Option<usize>,
    /// The most on the node (`--maximum-dead-containers`); `None` for any number.
    pub in_all: Option<usize>,
}

impl Default for DeadContainers {
    fn default() -> Self {
        Self { min_age: Duration::ZERO, per_container: Some(1), in_all: None }
    }
}

impl DeadContainers {
    /// The ones to be removed, given all pods of the runtime: of each container those beyond the newest; then, if there
    /// are too many on the node, evenly from all of them, and last the oldest.
    pub(crate) fn removable<'a>(
        &self,
        pods: impl IntoIterator<Item = &'a Arc<ObservedPod>>,
        now: Timestamp,
    ) -> HashSet<ContainerId> {
        let age = SignedDuration::try_from(self.min_age).unwrap_or(SignedDuration::MAX);
        let of_age =
            |c: &&ObservedContainer| c.state.exit().is_some() && now.duration_since(c.created_at) >= age;
        let mut kept: Vec<Vec<&ObservedContainer>> = Vec::new();
        for pod in pods {
            let mut of_pod: BTreeMap<&str, Vec<&ObservedContainer>> = BTreeMap::new();
            for container in pod.containers.iter().filter(of_age) {
                of_pod.entry(&container.name).or_default().push(container);
            }
            kept.extend(of_pod.into_values());
        }
        let mut removed = HashSet::new();
        for dead in &mut kept {
            dead.sort_by_key(|c| std::cmp::Reverse(c.created_at));
            cut(dead, self.per_container.unwrap_or(usize::MAX), &mut removed);
        }
        let Some(most) = self.in_all else { return removed };
        let count = |kept: &[Vec<&ObservedContainer>]| kept.iter().map(Vec::len).sum::<usize>();
        if count(&kept) > most {
            let share = (most / kept.len().max(1)).max(1);
            for dead in &mut kept {
                cut(dead, share, &mut removed);
            }
            let mut all: Vec<_> = kept.into_iter().flatten().collect();
            all.sort_by_key(|c| std::cmp::Reverse(c.created_at));
            cut(&mut all, most, &mut removed);
        }
        removed
    }
}

/// Moves what is beyond the first `keep` to `removed`.
fn cut(newest_first: &mut Vec<&ObservedContainer>, keep: usize, removed: &mut HashSet<ContainerId>) {
    let beyond = newest_first.drain(keep.min(newest_first.len())..);
    removed.extend(beyond.map(|container| container.id.clone()));
}

#[cfg(test)]
mod tests {
    use types::observed::Exit;
    use types::{ContainerState, PodName, PodRef};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn dead(name: &str, created: i64) -> ObservedContainer {
        let exit = Exit {
            code: 0,
            reason: String::new(),
            message: String::new(),
            started_at: None,
            finished_at: at(created + 1),
        };
        ObservedContainer {
            id: format!("{name}{created}").as_str().into(),
            name: name.into(),
            sandbox: "s".into(),
            state: ContainerState::Exited(exit),
            created_at: at(created),
            image: String::new(),
            image_ref: String::new(),
            image_id: String::new(),
            hash: String::new(),
            restart_count: 0,
            log_path: String::new(),
            mounts: Vec::new(),
            user: None,
            resources: None,
            annotations: Arc::default(),
        }
    }

    fn pod(containers: Vec<ObservedContainer>) -> Arc<ObservedPod> {
        let pod = PodRef { name: PodName::new("n", "p"), uid: "u".into() };
        Arc::new(ObservedPod { pod, sandboxes: Vec::new(), containers })
    }

    #[test]
    fn the_newest_the_young_and_a_number_in_all_are_kept() {
        let pods = [
            pod(vec![dead("a", 10), dead("a", 20), dead("a", 30), dead("b", 15)]),
            pod(vec![dead("c", 5), dead("c", 40)]),
        ];
        let removed = |policy: DeadContainers, now| {
            let mut removed: Vec<_> =
                policy.removable(&pods, at(now)).into_iter().map(|id| id.to_string()).collect();
            removed.sort();
            removed
        };
        let usual = DeadContainers::default();
        assert_eq!(removed(usual, 100), ["a10", "a20", "c5"]);
        // At 45 only those of 5, 10 and 15 are old enough; each is the newest of these.
        assert!(removed(DeadContainers { min_age: Duration::from_secs(30), ..usual }, 45).is_empty());
        let any = DeadContainers { per_container: None, ..usual };
        assert!(removed(any, 100).is_empty());
        assert_eq!(removed(DeadContainers { in_all: Some(6), ..any }, 100), [""; 0]);
        // A share of one each leaves three; then the oldest goes.
        assert_eq!(removed(DeadContainers { in_all: Some(3), ..any }, 100), ["a10", "a20", "c5"]);
        assert_eq!(removed(DeadContainers { in_all: Some(2), ..any }, 100), ["a10", "a20", "b15", "c5"]);
        assert_eq!(removed(DeadContainers { in_all: Some(0), ..any }, 100).len(), 6);
    }
}
