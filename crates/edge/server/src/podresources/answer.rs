//! What is told of pods.

use localgrpc::podresources::{v1, v1alpha1};
use types::pod::{ContainerKind, containers};
use types::{Pod, PodName, PodRef};

use super::holder::Holder;

/// The active pods of `holders`, by namespace and name.
pub(super) fn list(holders: &[Holder]) -> Vec<v1::PodResources> {
    sorted(holders.iter().filter(|holder| holder.active)).map(resources).collect()
}

/// The active pod of that name.
pub(super) fn get(holders: &[Holder], namespace: &str, name: &str) -> Option<v1::PodResources> {
    let mut active = holders.iter().filter(|holder| holder.active);
    let holder = active.find(|holder| {
        let own = PodRef::of(&holder.pod).name;
        *own.namespace == *namespace && *own.name == *name
    })?;
    Some(resources(&holder.pod))
}

/// What the first version of the service says: all pods with their regular containers.
pub(super) fn old_list(holders: &[Holder]) -> Vec<v1alpha1::PodResources> {
    let of = |pod: &Pod| {
        let PodName { namespace, name } = PodRef::of(pod).name;
        let names = containers(pod).filter(|(kind, _)| *kind == ContainerKind::Regular);
        let containers = names.map(|(_, container)| v1alpha1::ContainerResources {
            name: container.name.clone(),
            devices: Vec::new(),
        });
        v1alpha1::PodResources {
            name: name.to_string(),
            namespace: namespace.to_string(),
            containers: containers.collect(),
        }
    };
    sorted(holders.iter()).map(of).collect()
}

fn sorted<'a>(holders: impl Iterator<Item = &'a Holder>) -> impl Iterator<Item = &'a Pod> {
    let mut pods: Vec<&Pod> = holders.map(|holder| &*holder.pod).collect();
    pods.sort_by(|a, b| {
        let key = |pod: &Pod| (pod.metadata.namespace.clone(), pod.metadata.name.clone());
        key(a).cmp(&key(b))
    });
    pods.into_iter()
}

/// What a pod has: its sidecars and regular containers, without anything that is theirs alone.
fn resources(pod: &Pod) -> v1::PodResources {
    let PodName { namespace, name } = PodRef::of(pod).name;
    let run_on = |kind: &ContainerKind| matches!(kind, ContainerKind::Sidecar | ContainerKind::Regular);
    let containers = containers(pod).filter(|(kind, _)| run_on(kind)).map(|(_, container)| {
        v1::ContainerResources { name: container.name.clone(), ..v1::ContainerResources::default() }
    });
    v1::PodResources {
        name: name.to_string(),
        namespace: namespace.to_string(),
        containers: containers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn holder(namespace: &str, name: &str, active: bool) -> Holder {
        let pod = json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                "initContainers": [
                    {"name": "first"},
                    {"name": "side", "restartPolicy": "Always"},
                    {"name": "never", "restartPolicy": "Never"},
                ],
                "containers": [{"name": "app"}, {"name": "more"}],
                "ephemeralContainers": [{"name": "debug"}],
            },
        });
        Holder { pod: Arc::new(serde_json::from_value(pod).unwrap()), active }
    }

    #[test]
    fn active_pods_are_told_in_order_with_what_goes_on_running() {
        let holders = [
            holder("b", "one", true),
            holder("a", "two", true),
            holder("a", "done", false),
            holder("a", "one", true),
        ];
        let told: Vec<String> = list(&holders)
            .into_iter()
            .map(|pod| {
                let names: Vec<_> = pod.containers.iter().map(|container| container.name.as_str()).collect();
                format!("{}/{}: {}", pod.namespace, pod.name, names.join(" "))
            })
            .collect();
        assert_eq!(told, ["a/one: side app more", "a/two: side app more", "b/one: side app more"]);
        assert!(list(&holders)[0].containers.iter().all(|c| c.cpu_ids.is_empty() && c.devices.is_empty()));
    }

    #[test]
    fn one_is_found_while_it_is_active() {
        let holders = [holder("a", "one", true), holder("a", "done", false)];
        assert_eq!(get(&holders, "a", "one").unwrap().name, "one");
        for (namespace, name) in [("a", "done"), ("b", "one"), ("a", "none")] {
            assert!(get(&holders, namespace, name).is_none(), "{namespace}/{name}");
        }
    }

    #[test]
    fn the_old_version_tells_all_pods_and_regular_containers() {
        let told = old_list(&[holder("a", "two", true), holder("a", "done", false)]);
        let names: Vec<_> = told.iter().map(|pod| pod.name.as_str()).collect();
        assert_eq!(names, ["done", "two"]);
        let containers: Vec<_> = told[0].containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(containers, ["app", "more"]);
    }
}
