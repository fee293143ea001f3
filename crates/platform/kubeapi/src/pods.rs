//! Pods and nodes: what berth writes of them.

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use types::PodRef;

use crate::{ApiError, Client, Deletion};

impl Client {
    /// Reads a pod as it is now, whatever its UID.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get_pod(&self, pod: &PodRef) -> Result<Pod, ApiError> {
        self.get(Some(&pod.name.namespace), &pod.name.name).await
    }

    /// Creates a mirror pod. Its annotations are those of a mirror pod already.
    ///
    /// # Errors
    /// [`ApiError`]; `AlreadyExists` if there is a pod of that name.
    pub async fn create_pod(&self, pod: &Pod) -> Result<Pod, ApiError> {
        self.create(pod.metadata.namespace.as_deref(), pod).await
    }

    /// Has `pod` deleted, and no other that took its name. A grace period of 0 removes the object at once.
    ///
    /// # Errors
    /// [`ApiError`]; `NotFound` if it is gone, `Conflict` if the name has another UID by now.
    pub async fn delete_pod(&self, pod: &PodRef, grace_period_seconds: Option<u32>) -> Result<(), ApiError> {
        let deletion = Deletion { uid: Some(pod.uid.as_str().to_owned()), grace_period_seconds };
        self.delete::<Pod>(Some(&pod.name.namespace), &pod.name.name, &deletion).await
    }

    /// Applies a strategic merge patch to the status of `pod`, and of no other that took its name. `patch` is the whole
    /// of it, as `{"status": …}`; the UID is added.
    ///
    /// # Errors
    /// [`ApiError`]; `NotFound` if it is gone, `Conflict` if the name has another UID by now.
    pub async fn patch_pod_status(&self, pod: &PodRef, mut patch: Value) -> Result<Pod, ApiError> {
        if let Some(patch) = patch.as_object_mut() {
            let metadata = patch.entry("metadata").or_insert_with(|| json!({}));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert("uid".to_owned(), pod.uid.as_str().into());
            }
        }
        self.patch(Some(&pod.name.namespace), &pod.name.name, Some("status"), &patch).await
    }

    /// Reads a node; with `cached`, as the server's cache has it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get_node(&self, name: &str, cached: bool) -> Result<Node, ApiError> {
        if cached { self.get_cached(None, name).await } else { self.get(None, name).await }
    }

    /// Creates a node.
    ///
    /// # Errors
    /// [`ApiError`]; `AlreadyExists` if there is one of that name.
    pub async fn create_node(&self, node: &Node) -> Result<Node, ApiError> {
        self.create(None, node).await
    }

    /// Applies a strategic merge patch to a node's metadata and spec.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn patch_node(&self, name: &str, patch: &Value) -> Result<Node, ApiError> {
        self.patch(None, name, None, patch).await
    }

    /// Applies a strategic merge patch to a node's status, and to what of its metadata may be written with it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn patch_node_status(&self, name: &str, patch: &Value) -> Result<Node, ApiError> {
        self.patch(None, name, Some("status"), patch).await
    }
}
