//! Whether a container that ended is started again (Kubernetes: "Pod Lifecycle: Container restarts"; KEP-753
//! sidecars; KEP-5307 restart policies and rules of single containers; KEP-5532 restart of all containers).
//!
//! `sync` asks what to start, `status` which phase the pod is in; both must come to the same answer.

use crate::corev1::{Container, ContainerRestartRuleOnExitCodes};
use crate::{ContainerKind, Pod, pod};

/// `restartPolicy` of a pod or of one container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RestartPolicy {
    /// After every end.
    Always,
    /// After an end with an exit code other than 0.
    OnFailure,
    /// Not at all.
    Never,
}

impl RestartPolicy {
    /// The policy of the API's spelling. What is missing or unknown counts as `Always`, the API's default.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    /// The policy of the pod as a whole.
    #[must_use]
    pub fn of_pod(pod: &Pod) -> Self {
        Self::parse(pod::spec(pod).restart_policy.as_deref())
    }

    /// The policy that one container is under. A container's own policy goes before its pod's; a sidecar is always
    /// restarted and an ephemeral container never; an init container that succeeded has done its part, so that
    /// `Always` means `OnFailure` for it.
    #[must_use]
    pub fn of_container(pod: &Pod, kind: ContainerKind, container: &Container) -> Self {
        let own = container.restart_policy.as_deref().map(|text| Self::parse(Some(text)));
        match kind {
            ContainerKind::Sidecar => Self::Always,
            ContainerKind::Ephemeral => Self::Never,
            ContainerKind::Regular => own.unwrap_or_else(|| Self::of_pod(pod)),
            ContainerKind::Init => match own.unwrap_or_else(|| Self::of_pod(pod)) {
                Self::Always => Self::OnFailure,
                other => other,
            },
        }
    }

    fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

/// What follows the end of a container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AfterExit {
    /// It stays as it is.
    Stay,
    /// It is started again.
    Restart,
    /// All containers of the pod are started anew, init containers included.
    RestartAll,
}

/// What follows when `container` ends with `exit_code`. The first of its `restartPolicyRules` that matches decides,
/// else its policy. Rules only count beside a policy of the container's own, as the API demands.
#[must_use]
pub fn after_exit(pod: &Pod, kind: ContainerKind, container: &Container, exit_code: i32) -> AfterExit {
    if let Some(action) = matching_rule(kind, container, exit_code) {
        match action {
            "RestartAllContainers" => return AfterExit::RestartAll,
            // An init container that succeeded makes way for the next one whatever the rules say.
            "Restart" if kind != ContainerKind::Init || exit_code != 0 => return AfterExit::Restart,
            _ => {}
        }
    }
    if RestartPolicy::of_container(pod, kind, container).restarts(exit_code) {
        AfterExit::Restart
    } else {
        AfterExit::Stay
    }
}

/// Whether `container` may be started again after some failure. It is what decides for a container that is killed
/// because a probe failed, before its exit code is known.
#[must_use]
pub fn is_restartable(pod: &Pod, kind: ContainerKind, container: &Container) -> bool {
    RestartPolicy::of_container(pod, kind, container) != RestartPolicy::Never || has_rules(kind, container)
}

/// Whether some container of the pod has a rule that restarts all of them (condition `AllContainersRestarting`).
#[must_use]
pub fn may_restart_all(pod: &Pod) -> bool {
    pod::init_containers(pod).iter().chain(pod::regular_containers(pod)).any(|container| {
        let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
        rules.iter().any(|rule| rule.action == "RestartAllContainers")
    })
}

fn has_rules(kind: ContainerKind, container: &Container) -> bool {
    kind != ContainerKind::Ephemeral
        && container.restart_policy.is_some()
        && container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty())
}

fn matching_rule(kind: ContainerKind, container: &Container, exit_code: i32) -> Option<&str> {
    if !has_rules(kind, container) {
        return None;
    }
    let mut rules = container.restart_policy_rules.iter().flatten();
    let rule = rules.find(|rule| rule.exit_codes.as_ref().is_some_and(|codes| matches(codes, exit_code)))?;
    Some(&rule.action)
}

fn matches(codes: &ContainerRestartRuleOnExitCodes, exit_code: i32) -> bool {
    let listed = codes.values.as_ref().is_some_and(|values| values.contains(&exit_code));
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(policy: Option<&str>, rules: serde_json::Value) -> Container {
        let mut json = json!({"name": "c", "restartPolicyRules": rules});
        if let Some(policy) = policy {
            json["restartPolicy"] = policy.into();
        }
        serde_json::from_value(json).unwrap()
    }

    fn pod(policy: &str) -> Pod {
        serde_json::from_value(json!({"spec": {"restartPolicy": policy, "containers": []}})).unwrap()
    }

    #[test]
    fn policies() {
        use AfterExit::{Restart, Stay};
        use ContainerKind::{Ephemeral, Init, Regular, Sidecar};
        for (pod_policy, own, kind, code, expected) in [
            ("Always", None, Regular, 0, Restart),
            ("OnFailure", None, Regular, 0, Stay),
            ("OnFailure", None, Regular, 1, Restart),
            ("Never", None, Regular, 1, Stay),
            ("Never", Some("Always"), Regular, 0, Restart),
            ("Always", Some("Never"), Regular, 1, Stay),
            ("Always", None, Init, 0, Stay),
            ("Always", None, Init, 1, Restart),
            ("Never", None, Init, 1, Stay),
            ("Never", Some("OnFailure"), Init, 1, Restart),
            ("Never", Some("Always"), Sidecar, 0, Restart),
            ("Always", None, Ephemeral, 1, Stay),
        ] {
            let container = container(own, json!([]));
            let actual = after_exit(&pod(pod_policy), kind, &container, code);
            assert_eq!(actual, expected, "pod {pod_policy}, own {own:?}, {kind:?}, exit code {code}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = json!([
            {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}},
            {"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0, 1]}},
        ]);
        let with_policy = container(Some("Never"), rules.clone());
        let pod = pod("Never");
        let after = |container: &Container, code| after_exit(&pod, ContainerKind::Regular, container, code);
        assert_eq!(after(&with_policy, 42), AfterExit::Restart);
        assert_eq!(after(&with_policy, 7), AfterExit::RestartAll);
        assert_eq!(after(&with_policy, 1), AfterExit::Stay);
        assert_eq!(after(&container(None, rules), 42), AfterExit::Stay, "rules need a policy beside them");
        assert!(is_restartable(&pod, ContainerKind::Regular, &with_policy));
    }
}
