//! Where the demo's pods are, read from the API server's pod list.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// What the demo wants to know of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    phase: String,
    ready: bool,
    address: String,
    /// The reason why its first container waits.
    waiting: String,
}

/// The pods by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pods {
    states: BTreeMap<String, State>,
}

impl Pods {
    /// Reads a `PodList`.
    pub(super) fn parse(list: &str) -> Result<Self> {
        let list: Value = serde_json::from_str(list).context("read the pod list")?;
        Ok(Self { states: list["items"].as_array().into_iter().flatten().map(state).collect() })
    }

    /// The web server serves, the job is done, the crashing one waits, and there is no malformed one.
    pub(super) fn are_settled(&self) -> bool {
        let state = |name: &str| self.states.get(name).cloned().unwrap_or_default();
        state("web").ready
            && state("job").phase == "Succeeded"
            && state("crash").waiting == "CrashLoopBackOff"
            && self.states.len() == 3
    }

    /// The pod's address, if it has one.
    pub(super) fn address(&self, name: &str) -> Option<String> {
        self.states.get(name).map(|state| state.address.clone()).filter(|address| !address.is_empty())
    }
}

/// The pod's name and what became of it.
fn state(pod: &Value) -> (String, State) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&pod["metadata"]["name"]);
    let status = &pod["status"];
    let ready = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let waiting = text(&status["containerStatuses"][0]["state"]["waiting"]["reason"]);
    (name, State { phase: text(&status["phase"]), ready, address: text(&status["podIP"]), waiting })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"kind": "PodList", "items": [
        {"metadata": {"name": "web"}, "status": {"phase": "Running", "podIP": "10.0.0.2", "conditions": [{"type": "Ready", "status": "True"}]}},
        {"metadata": {"name": "job"}, "status": {"phase": "Succeeded"}},
        {"metadata": {"name": "crash"}, "status": {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}
    ]}"#;

    #[test]
    fn the_pods_are_settled_when_each_is_where_its_manifest_says() {
        assert!(Pods::parse(LIST).unwrap().are_settled());
        for (is, other) in [("Succeeded", "Running"), ("True", "False"), ("crash", "malformed")] {
            assert!(!Pods::parse(&LIST.replace(is, other)).unwrap().are_settled(), "{other}");
        }
    }

    #[test]
    fn addresses_are_found_by_name() {
        let pods = Pods::parse(LIST).unwrap();
        assert_eq!(pods.address("web").as_deref(), Some("10.0.0.2"));
        assert_eq!(pods.address("none"), None);
    }
}
