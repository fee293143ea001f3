//! Fields that are behind a feature gate, and what comes of them while it is off.

use types::Pod;
use types::corev1::{Container, EnvVar};

use crate::field::Path;

/// A feature of pods whose gate can be off in Kubernetes 1.36, under its gate's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// `restartPolicy` of regular and init containers, and `restartPolicyRules` (KEP-5307). On by default.
    ContainerRestartRules,
    /// `lifecycle.stopSignal` (KEP-4960). Off by default.
    ContainerStopSignals,
    /// `env[].valueFrom.fileKeyRef` (KEP-3721). On by default.
    EnvFiles,
    /// `spec.hostnameOverride` (KEP-4762). On by default.
    HostnameOverride,
    /// `spec.resources` (KEP-2837). On by default.
    PodLevelResources,
    /// The action `RestartAllContainers` of restart rules, and rules of sidecars (KEP-5532). On by default.
    RestartAllContainersOnContainerExits,
}

/// A field that was taken out of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// The field, as in [`FieldError::path`](crate::FieldError::path).
    pub path: String,
    /// What it is for.
    pub feature: Feature,
    /// Whether a static pod with the field is refused, as the Go kubelet does it; if not, the pod runs without.
    pub refused: bool,
}

/// Takes the fields of the features `off` out of `pod`, as the API server does with new pods, so that nobody who
/// reads the pod has to ask for a gate. To be called before the pod is defaulted.
pub fn drop_disabled(pod: &mut Pod, off: &[Feature]) -> Vec<Dropped> {
    let Some(spec) = pod.spec.as_mut().filter(|_| !off.is_empty()) else { return Vec::new() };
    let mut drops = Drops { off, dropped: Vec::new() };
    let path = Path::root("spec");
    drops.whole(&path.key("hostnameOverride"), &mut spec.hostname_override, Feature::HostnameOverride, false);
    drops.whole(&path.key("resources"), &mut spec.resources, Feature::PodLevelResources, false);
    for (index, container) in spec.init_containers.iter_mut().flatten().enumerate() {
        drops.container(&path.key("initContainers").index(index), container, true);
    }
    for (index, container) in spec.containers.iter_mut().enumerate() {
        drops.container(&path.key("containers").index(index), container, false);
    }
    for (index, container) in spec.ephemeral_containers.iter_mut().flatten().enumerate() {
        let path = path.key("ephemeralContainers").index(index);
        drops.environment(&path, container.env.as_deref_mut().unwrap_or_default());
    }
    drops.dropped
}

struct Drops<'a> {
    off: &'a [Feature],
    dropped: Vec<Dropped>,
}

impl Drops<'_> {
    fn is_off(&self, feature: Feature) -> bool {
        self.off.contains(&feature)
    }

    fn note(&mut self, path: &Path, feature: Feature, refused: bool) {
        self.dropped.push(Dropped { path: path.as_str().to_owned(), feature, refused });
    }

    fn whole<T>(&mut self, path: &Path, field: &mut Option<T>, feature: Feature, refused: bool) {
        if self.is_off(feature) && field.take().is_some() {
            self.note(path, feature, refused);
        }
    }

    fn container(&mut self, path: &Path, container: &mut Container, init: bool) {
        self.environment(path, container.env.as_deref_mut().unwrap_or_default());
        if let Some(hooks) = &mut container.lifecycle {
            let path = path.key("lifecycle").key("stopSignal");
            self.whole(&path, &mut hooks.stop_signal, Feature::ContainerStopSignals, false);
        }
        self.restarts(path, container, init);
    }

    fn environment(&mut self, path: &Path, env: &mut [EnvVar]) {
        for (index, variable) in env.iter_mut().enumerate() {
            if let Some(from) = &mut variable.value_from {
                let path = path.key("env").index(index).key("valueFrom").key("fileKeyRef");
                self.whole(&path, &mut from.file_key_ref, Feature::EnvFiles, true);
            }
        }
    }

    fn restarts(&mut self, path: &Path, container: &mut Container, init: bool) {
        use Feature::{ContainerRestartRules, RestartAllContainersOnContainerExits};
        // `Always` makes an init container a sidecar, which is another feature.
        let sidecar = init && container.restart_policy.as_deref() == Some("Always");
        let rules = &mut container.restart_policy_rules;
        let path_rules = path.key("restartPolicyRules");
        if !sidecar {
            let path = path.key("restartPolicy");
            self.whole(&path, &mut container.restart_policy, ContainerRestartRules, true);
        }
        self.whole(&path_rules, rules, ContainerRestartRules, true);
        if sidecar {
            self.whole(&path_rules, rules, RestartAllContainersOnContainerExits, true);
        }
        if let Some(rules) = rules.as_mut().filter(|_| self.is_off(RestartAllContainersOnContainerExits)) {
            for (index, _) in rules.iter().enumerate().filter(|(_, rule)| rule.action == RESTART_ALL) {
                self.note(&path_rules.index(index), RestartAllContainersOnContainerExits, true);
            }
            rules.retain(|rule| rule.action != RESTART_ALL);
        }
    }
}

const RESTART_ALL: &str = "RestartAllContainers";

#[cfg(test)]
mod tests {
    use Feature::{
        ContainerRestartRules, ContainerStopSignals, EnvFiles, HostnameOverride, PodLevelResources,
        RestartAllContainersOnContainerExits,
    };
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        let exits = json!({"operator": "In", "values": [1]});
        serde_json::from_value(json!({"spec": {
            "hostnameOverride": "h", "resources": {"limits": {"cpu": "1"}},
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "restartPolicyRules": [{"action": "Restart", "exitCodes": exits}]},
                {"name": "i", "restartPolicy": "Never"}],
            "containers": [{"name": "c", "restartPolicy": "OnFailure",
                "restartPolicyRules": [{"action": "Restart", "exitCodes": exits}, {"action": "RestartAllContainers", "exitCodes": exits}],
                "lifecycle": {"stopSignal": "SIGUSR1"},
                "env": [{"name": "A", "value": "a"}, {"name": "B", "valueFrom": {"fileKeyRef": {"key": "k", "path": "p", "volumeName": "v"}}}]}]
        }}))
        .unwrap()
    }

    #[test]
    fn each_feature_has_its_fields() {
        for (feature, paths) in [
            (HostnameOverride, &["spec.hostnameOverride"][..]),
            (PodLevelResources, &["spec.resources"]),
            (ContainerStopSignals, &["spec.containers[0].lifecycle.stopSignal"]),
            (EnvFiles, &["!spec.containers[0].env[1].valueFrom.fileKeyRef"]),
            (
                ContainerRestartRules,
                &[
                    "!spec.initContainers[0].restartPolicyRules",
                    "!spec.initContainers[1].restartPolicy",
                    "!spec.containers[0].restartPolicy",
                    "!spec.containers[0].restartPolicyRules",
                ],
            ),
            (
                RestartAllContainersOnContainerExits,
                &["!spec.initContainers[0].restartPolicyRules", "!spec.containers[0].restartPolicyRules[1]"],
            ),
        ] {
            let mut pod = pod();
            let dropped = drop_disabled(&mut pod, &[feature]);
            let shown =
                |dropped: &Dropped| format!("{}{}", if dropped.refused { "!" } else { "" }, dropped.path);
            assert_eq!(dropped.iter().map(shown).collect::<Vec<_>>(), paths, "{feature:?}");
            assert_eq!(drop_disabled(&mut pod, &[feature]), [], "{feature:?}: all of them are gone");
        }
    }

    #[test]
    fn a_sidecar_stays_one_and_what_is_on_stays() {
        let mut changed = pod();
        assert_eq!(drop_disabled(&mut changed, &[]), []);
        assert_eq!(changed, pod());
        drop_disabled(&mut changed, &[ContainerRestartRules]);
        let sidecar = &types::pod::init_containers(&changed)[0];
        assert_eq!(sidecar.restart_policy.as_deref(), Some("Always"));
        assert_eq!(types::pod::spec(&changed).hostname_override.as_deref(), Some("h"));
    }
}
