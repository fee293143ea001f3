//! The node's lease: the sign of life that the control plane goes by. (Kubernetes: "Leases", node heartbeats.)

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use serde_json::json;

use crate::{ApiError, ApiErrorKind, Client};

/// The namespace of nodes' leases.
const NAMESPACE: &str = "kube-node-lease";

/// The lease of one node. It is patched, so that nobody else's fields are touched and no version is in the way.
pub struct NodeLease {
    client: Client,
    node: String,
    duration: Duration,
    /// Whether the lease is known to have this owner, by UID.
    owner: Option<String>,
}

impl NodeLease {
    /// The lease of `node`, which the control plane gives up after `duration` (`nodeLeaseDurationSeconds`).
    #[must_use]
    pub fn new(client: Client, node: &str, duration: Duration) -> Self {
        Self { client, node: node.to_owned(), duration, owner: None }
    }

    /// Renews the lease once, or creates it. `node_uid` is the UID of the Node object, which the lease is to belong to,
    /// so that it goes with it; `None` while it is not known.
    ///
    /// # Errors
    /// [`ApiError`]. `NotFound` while the namespace of leases does not exist yet.
    pub async fn renew(&mut self, node_uid: Option<&str>) -> Result<(), ApiError> {
        let owner = node_uid.filter(|uid| self.owner.as_deref() != Some(uid));
        let mut patch = json!({ "spec": self.spec(Timestamp::now()) });
        if let Some(uid) = owner {
            patch["metadata"] = json!({ "ownerReferences": [owner_reference(&self.node, uid)] });
        }
        let patched = self.client.patch::<Lease>(Some(NAMESPACE), &self.node, None, &patch).await;
        match patched {
            Ok(_) => {}
            Err(error) if error.kind == ApiErrorKind::NotFound => self.create(node_uid).await?,
            Err(error) => return Err(error),
        }
        if let Some(uid) = node_uid {
            self.owner = Some(uid.to_owned());
        }
        Ok(())
    }

    async fn create(&self, node_uid: Option<&str>) -> Result<(), ApiError> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.node.clone()),
                namespace: Some(NAMESPACE.to_owned()),
                owner_references: node_uid.map(|uid| vec![owner_reference(&self.node, uid)]),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec(Timestamp::now())),
        };
        self.client.create(Some(NAMESPACE), &lease).await.map(drop)
    }

    fn spec(&self, now: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.node.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }
    }
}

fn owner_reference(node: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}
