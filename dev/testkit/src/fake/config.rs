//! Small configurations as a kubelet writes them, for tests of what reads them back.

use std::collections::HashMap;

use cri::v1;
use types::{PodRef, labels};

use super::FakeRuntime;

/// The image that containers of [`container_config`] run.
pub const IMAGE: &str = "registry.example/app:1";

/// A sandbox of `pod`, with a kubelet's labels.
#[must_use]
pub fn sandbox_config(pod: &PodRef, attempt: u32) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: pod.name.name.to_string(),
            uid: pod.uid.to_string(),
            namespace: pod.name.namespace.to_string(),
            attempt,
        }),
        labels: pod_labels(pod),
        ..Default::default()
    }
}

/// The container `name` of `pod`, with a kubelet's labels and annotations, running [`IMAGE`].
#[must_use]
pub fn container_config(pod: &PodRef, name: &str, attempt: u32) -> v1::ContainerConfig {
    let mut labels = pod_labels(pod);
    labels.insert(labels::CONTAINER_NAME.to_owned(), name.to_owned());
    let annotation = |key: &str, value: String| (key.to_owned(), value);
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: name.to_owned(), attempt }),
        image: Some(v1::ImageSpec {
            image: IMAGE.to_owned(),
            user_specified_image: IMAGE.to_owned(),
            ..Default::default()
        }),
        labels,
        annotations: HashMap::from([
            annotation(labels::CONTAINER_HASH, "1".to_owned()),
            annotation(labels::CONTAINER_RESTART_COUNT, attempt.to_string()),
        ]),
        log_path: format!("{name}/{attempt}.log"),
        ..Default::default()
    }
}

fn pod_labels(pod: &PodRef) -> HashMap<String, String> {
    HashMap::from([
        (labels::POD_NAME.to_owned(), pod.name.name.to_string()),
        (labels::POD_NAMESPACE.to_owned(), pod.name.namespace.to_string()),
        (labels::POD_UID.to_owned(), pod.uid.to_string()),
    ])
}

impl FakeRuntime {
    /// Puts a pod with a ready sandbox and running containers in the store, without any call. An error if the names
    /// are taken.
    pub fn run_pod(&self, pod: &PodRef, containers: &[&str]) -> anyhow::Result<()> {
        self.served.change(|store| {
            store.add_image(IMAGE, 10 << 20, false);
            let config = sandbox_config(pod, 0);
            let sandbox = store.run_pod_sandbox(config.clone(), String::new())?;
            for name in containers {
                let id = store.create_container(v1::CreateContainerRequest {
                    pod_sandbox_id: sandbox.clone(),
                    config: Some(container_config(pod, name, 0)),
                    sandbox_config: Some(config.clone()),
                })?;
                store.start_container(&id)?;
            }
            Ok(())
        })
    }
}
