//! What is known of a container instance from before berth was started.

use types::ContainerId;
use types::corev1::PodStatus;

/// What was said of an instance before it is first seen here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Past {
    /// It is new.
    New,
    /// The last status says so.
    Known {
        /// Whether it was started.
        started: bool,
        /// Whether it was ready.
        ready: bool,
    },
    /// It ran before berth did, and no status says more.
    Unknown,
}

impl Past {
    /// What `status` says of the instance `id` of the container `name`; if that is nothing, then by whether it `ran_before`
    /// berth did.
    pub(crate) fn of(status: Option<&PodStatus>, name: &str, id: &ContainerId, ran_before: bool) -> Self {
        let statuses = status.into_iter().flat_map(|status| {
            [&status.container_statuses, &status.init_container_statuses].into_iter().flatten().flatten()
        });
        // The API puts the runtime's name before the id.
        let is_this = |full: &String| full.split_once("://").is_some_and(|(_, own)| own == id.as_str());
        let mut same = statuses
            .filter(|status| status.name == name && status.container_id.as_ref().is_some_and(is_this));
        match same.next() {
            Some(status) => Self::Known { started: status.started == Some(true), ready: status.ready },
            None if ran_before => Self::Unknown,
            None => Self::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_statuses_say() {
        let status: PodStatus = serde_json::from_value(json!({
            "containerStatuses": [{
                "name": "web", "containerID": "containerd://1", "started": true, "ready": true,
                "image": "", "imageID": "", "restartCount": 0,
            }],
            "initContainerStatuses": [{
                "name": "side", "containerID": "containerd://2", "started": true, "ready": false,
                "image": "", "imageID": "", "restartCount": 0,
            }],
        }))
        .unwrap();
        let known = |ready| Past::Known { started: true, ready };
        for (name, id, ran_before, past) in [
            ("web", "1", true, known(true)),
            // Clocks are set, and statuses are not wrong about ids.
            ("web", "1", false, known(true)),
            ("web", "11", true, Past::Unknown),
            ("side", "2", true, known(false)),
            ("side", "1", true, Past::Unknown),
            ("other", "3", true, Past::Unknown),
            ("other", "3", false, Past::New),
        ] {
            assert_eq!(
                Past::of(Some(&status), name, &id.into(), ran_before),
                past,
                "{name} {id} {ran_before}"
            );
        }
        assert_eq!(Past::of(None, "web", &"1".into(), true), Past::Unknown);
    }
}
