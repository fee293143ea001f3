//! Where the demo's pods are, read from berth's pod list.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// What the demo wants to know of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    full_name: String,
    phase: String,
    ready: bool,
    address: String,
    /// The reason why its first container waits.
    waiting: String,
}

/// The pods by the name in their manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pods {
    states: BTreeMap<String, State>,
    /// berth's table names the manifest that is no pod.
    malformed_is_named: bool,
}

impl Pods {
    /// Reads a `PodList` and the table that was printed for people.
    pub(super) fn parse(list: &str, table: &str) -> Result<Self> {
        let list: Value = serde_json::from_str(list).context("read the pod list")?;
        let states = list["items"].as_array().into_iter().flatten().map(state).collect();
        Ok(Self { states, malformed_is_named: table.contains("malformed.yaml") })
    }

    /// The web server serves, the job is done, the crashing one waits, the malformed one is named.
    pub(super) fn are_settled(&self) -> bool {
        let state = |name: &str| self.states.get(name).cloned().unwrap_or_default();
        state("web").ready
            && state("job").phase == "Succeeded"
            && state("crash").waiting == "CrashLoopBackOff"
            && self.malformed_is_named
    }

    /// No pod is there any more.
    pub(super) fn are_gone(&self) -> bool {
        self.states.is_empty()
    }

    /// The pod's address, if it has one.
    pub(super) fn address(&self, name: &str) -> Option<String> {
        self.states.get(name).map(|state| state.address.clone()).filter(|address| !address.is_empty())
    }

    /// The name that the pod has on this node.
    pub(super) fn full_name(&self, name: &str) -> Result<&str> {
        let state = self.states.get(name).with_context(|| format!("there is no pod `{name}`"))?;
        Ok(&state.full_name)
    }
}

/// The manifest's name and what became of it. A static pod's name ends with the node's.
fn state(pod: &Value) -> (String, State) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let full_name = text(&pod["metadata"]["name"]);
    let name = full_name.split('-').next().unwrap_or_default().to_owned();
    let status = &pod["status"];
    let ready = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let waiting = text(&status["containerStatuses"][0]["state"]["waiting"]["reason"]);
    (
        name,
        State { phase: text(&status["phase"]), ready, address: text(&status["podIP"]), waiting, full_name },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"kind": "PodList", "items": [
        {"metadata": {"name": "web-n1"}, "status": {"phase": "Running", "podIP": "10.0.0.2", "conditions": [{"type": "Ready", "status": "True"}]}},
        {"metadata": {"name": "job-n1"}, "status": {"phase": "Succeeded"}},
        {"metadata": {"name": "crash-n1"}, "status": {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}
    ]}"#;

    #[test]
    fn the_pods_are_settled_when_each_is_where_its_manifest_says() {
        assert!(Pods::parse(LIST, "malformed.yaml:9: bad").unwrap().are_settled());
        assert!(!Pods::parse(LIST, "").unwrap().are_settled());
        assert!(!Pods::parse(&LIST.replace("Succeeded", "Running"), "malformed.yaml").unwrap().are_settled());
        assert!(!Pods::parse(&LIST.replace("True", "False"), "malformed.yaml").unwrap().are_settled());
    }

    #[test]
    fn names_and_addresses_are_found_by_the_manifests_name() {
        let pods = Pods::parse(LIST, "").unwrap();
        assert_eq!(pods.address("web").as_deref(), Some("10.0.0.2"));
        assert_eq!(pods.full_name("job").unwrap(), "job-n1");
        assert!(pods.full_name("none").is_err());
        assert!(Pods::parse(r#"{"items": []}"#, "").unwrap().are_gone());
    }
}
