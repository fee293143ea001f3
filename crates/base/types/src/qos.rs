//! Quality-of-service classes (Kubernetes: "Pod Quality of Service Classes").

use std::fmt;

use crate::corev1::ResourceRequirements;
use crate::resources::{CPU, Half, MEMORY, amount, has_pod_level};
use crate::{Pod, pod};

/// A pod's QoS class: which cgroup it is under, and how soon it goes when the node runs short.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum QosClass {
    /// Every container has equal requests and limits of CPU and memory.
    Guaranteed,
    /// Some container asks for something.
    Burstable,
    /// No container asks for anything.
    BestEffort,
}

impl QosClass {
    /// The class of `pod`, from its spec. Ephemeral containers do not count.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let spec = pod::spec(pod);
        if has_pod_level(pod) {
            return Self::of_requirements(std::iter::once(spec.resources.as_ref()));
        }
        let containers = pod::init_containers(pod).iter().chain(pod::regular_containers(pod));
        Self::of_requirements(containers.map(|container| container.resources.as_ref()))
    }

    fn of_requirements<'a>(all: impl Iterator<Item = Option<&'a ResourceRequirements>>) -> Self {
        let mut guaranteed = true;
        let mut best_effort = true;
        for resources in all {
            for name in [CPU, MEMORY] {
                let positive = |half| amount(resources, half, name).filter(|q| !q.is_zero());
                let (request, limit) = (positive(Half::Requests), positive(Half::Limits));
                best_effort &= request.is_none() && limit.is_none();
                // The API server copies a limit to a request that is missing.
                guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
            }
        }
        match (best_effort, guaranteed) {
            (true, _) => Self::BestEffort,
            (false, true) => Self::Guaranteed,
            (false, false) => Self::Burstable,
        }
    }

    /// The API's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes() {
        let both = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
        for (containers, expected) in [
            (json!([{"name": "a"}]), QosClass::BestEffort),
            (json!([{"name": "a", "resources": {"limits": both("1", "1Gi")}}]), QosClass::Guaranteed),
            (
                json!([{"name": "a", "resources": {"limits": both("1", "1Gi"), "requests": both("1000m", "1024Mi")}}]),
                QosClass::Guaranteed,
            ),
            (
                json!([{"name": "a", "resources": {"limits": both("1", "1Gi"), "requests": both("500m", "1Gi")}}]),
                QosClass::Burstable,
            ),
            (
                json!([{"name": "a", "resources": {"limits": both("1", "1Gi")}}, {"name": "b"}]),
                QosClass::Burstable,
            ),
            (json!([{"name": "a", "resources": {"requests": {"cpu": "0"}}}]), QosClass::BestEffort),
            (json!([{"name": "a", "resources": {"limits": {"cpu": "1"}}}]), QosClass::Burstable),
        ] {
            let pod = serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap();
            assert_eq!(QosClass::of(&pod), expected, "{containers}");
        }
    }
}
