//! What differs between two looks at a pod.

use types::{ContainerId, ContainerState, ObservedPod, SandboxId, SandboxState};

/// The coarse state of a container, which a listing shows as well as an inspection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Coarse {
    Created,
    Running,
    Exited,
    Unknown,
}

impl Coarse {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 4] = [Self::Created, Self::Running, Self::Exited, Self::Unknown];

    /// The value of the label `container_state`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn of(state: &ContainerState) -> Self {
        match state {
            ContainerState::Created => Self::Created,
            ContainerState::Running { .. } => Self::Running,
            ContainerState::Exited(_) => Self::Exited,
            ContainerState::Unknown => Self::Unknown,
        }
    }
}

/// What a listing tells of a pod: enough to see that something happened, without asking for details.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outline {
    sandboxes: Vec<(SandboxId, SandboxState)>,
    containers: Vec<(ContainerId, Coarse)>,
}

impl Outline {
    pub(crate) fn of(pod: &ObservedPod) -> Self {
        let mut sandboxes: Vec<_> = pod.sandboxes.iter().map(|s| (s.id.clone(), s.state)).collect();
        let mut containers: Vec<_> =
            pod.containers.iter().map(|c| (c.id.clone(), Coarse::of(&c.state))).collect();
        sandboxes.sort_by(|a, b| a.0.cmp(&b.0));
        containers.sort();
        Self { sandboxes, containers }
    }

    /// Whether a container or sandbox of the pod has this id.
    pub(crate) fn has(&self, id: &ContainerId) -> bool {
        self.containers.iter().any(|(container, _)| container == id)
            || self.sandboxes.iter().any(|(sandbox, _)| sandbox.as_str() == id.as_str())
    }

    /// Whether the container or sandbox has this id and has ended.
    pub(crate) fn has_ended(&self, id: &ContainerId) -> bool {
        let ended = |(sandbox, state): &(SandboxId, SandboxState)| {
            sandbox.as_str() == id.as_str() && *state == SandboxState::NotReady
        };
        self.containers.iter().any(|(container, state)| container == id && *state == Coarse::Exited)
            || self.sandboxes.iter().any(ended)
    }

    /// Whether anything differs in `other` but what is `expected` to change.
    pub(crate) fn differs(&self, other: &Self, expected: impl Fn(&str) -> bool) -> bool {
        fn differ<T: PartialEq>(one: &[T], other: &[T], is_news: impl Fn(&T) -> bool) -> bool {
            let only_in = |a: &[T], b: &[T]| a.iter().any(|entry| !b.contains(entry) && is_news(entry));
            only_in(one, other) || only_in(other, one)
        }
        differ(&self.sandboxes, &other.sandboxes, |(id, _)| !expected(id.as_str()))
            || differ(&self.containers, &other.containers, |(id, _)| !expected(id.as_str()))
    }

    /// Containers that have come to run, or to an end, between `before` and `self`: the transitions that the
    /// runtime says an event about.
    pub(crate) fn transitions<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a ContainerId, Coarse)> {
        self.containers
            .iter()
            .filter(|(_, state)| matches!(state, Coarse::Running | Coarse::Exited))
            .filter(|entry| before.containers.binary_search(entry).is_err())
            .map(|(id, state)| (id, *state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(containers: &[(&str, Coarse)]) -> Outline {
        let mut containers: Vec<_> = containers.iter().map(|(id, s)| (ContainerId::from(*id), *s)).collect();
        containers.sort();
        Outline { sandboxes: Vec::new(), containers }
    }

    #[test]
    fn transitions_are_starts_and_exits_that_are_new() {
        let before = outline(&[("a", Coarse::Created), ("b", Coarse::Running), ("c", Coarse::Exited)]);
        let after = outline(&[
            ("a", Coarse::Running),
            ("b", Coarse::Exited),
            ("c", Coarse::Exited),
            ("d", Coarse::Created),
        ]);
        let found: Vec<_> = after.transitions(&before).map(|(id, s)| (id.as_str(), s)).collect();
        assert_eq!(found, [("a", Coarse::Running), ("b", Coarse::Exited)]);
    }

    #[test]
    fn what_is_expected_to_change_makes_no_difference() {
        let before = outline(&[("a", Coarse::Running), ("b", Coarse::Running)]);
        let exited = outline(&[("a", Coarse::Exited), ("b", Coarse::Running)]);
        let gone = outline(&[("b", Coarse::Running)]);
        assert!(before.differs(&exited, |_| false) && before.differs(&gone, |_| false));
        assert!(!before.differs(&exited, |id| id == "a") && !before.differs(&gone, |id| id == "a"));
        assert!(before.differs(&exited, |id| id == "b"));
        assert!(!before.differs(&before, |_| false));
    }
}
