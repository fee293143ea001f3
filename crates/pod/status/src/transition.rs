//! Changes that no status may make: a container that ended for good stays ended.

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use types::restart::{self, AfterExit};
use types::{ContainerKind, Pod, PodRef, RestartPolicy, pod};

/// A status that contradicts the one before it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the new status of pod {pod} has container {container} alive again, which ended with exit code {exit_code} and is not to be restarted: the new status is dropped"
)]
pub struct TransitionError {
    /// Whose status.
    pub pod: PodRef,
    /// Which container.
    pub container: String,
    /// How it had ended.
    pub exit_code: i32,
}

/// Checks that no container that ended for good in `from` is alive in `to`. Sidecars may always come back, and so may
/// all containers when one of them can restart the rest.
///
/// # Errors
/// If one is.
pub fn check(pod: &Pod, from: &PodStatus, to: &PodStatus) -> Result<(), TransitionError> {
    if RestartPolicy::of_pod(pod) == RestartPolicy::Always || restart::may_restart_all(pod) {
        return Ok(());
    }
    let before = all_statuses(from);
    let after: Vec<&ContainerStatus> = all_statuses(to).collect();
    for old in before {
        let Some((kind, container)) = pod::container(pod, &old.name) else { continue };
        if matches!(kind, ContainerKind::Sidecar | ContainerKind::Ephemeral) {
            continue;
        }
        let Some(end) = old.state.as_ref().and_then(|state| state.terminated.as_ref()) else { continue };
        if restart::after_exit(pod, kind, &container, end.exit_code) != AfterExit::Stay {
            continue;
        }
        let lives = after.iter().filter(|new| new.name == old.name).any(|new| is_alive(new));
        // An init container that succeeded runs again when the pod gets a new sandbox.
        let redone = kind == ContainerKind::Init && end.exit_code == 0;
        if lives && !redone {
            return Err(TransitionError {
                pod: PodRef::of(pod),
                container: old.name.clone(),
                exit_code: end.exit_code,
            });
        }
    }
    Ok(())
}

fn all_statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
}

fn is_alive(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_none_or(|state| state.terminated.is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(containers: &Value) -> PodStatus {
        serde_json::from_value(json!({"containerStatuses": containers})).unwrap()
    }

    #[test]
    fn the_dead_stay_dead() {
        let ended = |code: i32| {
            json!([{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code}}}])
        };
        let running = json!([{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 1,
                              "state": {"running": {}}}]);
        for (policy, code, allowed) in [
            ("Always", 1, true),
            ("Never", 0, false),
            ("Never", 1, false),
            ("OnFailure", 1, true),
            ("OnFailure", 0, false),
        ] {
            let pod = serde_json::from_value(
                json!({"spec": {"restartPolicy": policy, "containers": [{"name": "c"}]}}),
            )
            .unwrap();
            let checked = check(&pod, &status(&ended(code)), &status(&running));
            assert_eq!(checked.is_ok(), allowed, "{policy}, exit code {code}");
            assert!(check(&pod, &status(&running), &status(&ended(code))).is_ok());
        }
    }
}
