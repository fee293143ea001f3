//! What signers of certificates give to pods: trust anchors out of ClusterTrustBundles, and certificates of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Gate, Loaded};
use futures::future::join_all;
use kubeapi::{
    CertificateError, CertificateHolder, Notice, Objects, PodCertificates, Selection, Store, bundles,
};
use task::events::Recorder;
use telemetry::metrics::Registry;
use tokio::sync::watch;
use tokio::time::timeout;
use types::corev1::Node;
use types::k8s::api::certificates::v1beta1::{ClusterTrustBundle, PodCertificateRequest};
use types::objects::{BundleRequest, CertificateRequest, Credential, Found, ObjectError};
use types::{Event, Pod, PodRef, PodUid, pod};

use super::cluster::{Cluster, DEADLINE};

/// Objects of a store that is followed.
pub(super) type Changes<K> = Option<watch::Receiver<Option<Arc<Objects<K>>>>>;

/// Waits for a change; for ever if nothing is followed (any more).
pub(super) async fn changed<K>(changes: &mut Changes<K>) {
    let told = match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending::<()>().await;
    }
}

/// What signers give, each kind if its gate is on.
pub(super) struct Signed {
    bundles: Option<Store<ClusterTrustBundle>>,
    certificates: Option<PodCertificates>,
    node: watch::Receiver<Option<Arc<Node>>>,
    recorder: Recorder,
}

impl Signed {
    /// Follows what is on. `node` is the node's name.
    pub(super) fn open(
        cluster: &Cluster,
        loaded: &Loaded,
        node: &str,
        recorder: Recorder,
        registry: &Registry,
    ) -> Self {
        let (client, gates) = (&cluster.client, &loaded.gates);
        let bundles = gates.enabled(Gate::ClusterTrustBundleProjection);
        let certificates = gates.enabled(Gate::PodCertificateRequest);
        let certificates = certificates.then(|| PodCertificates::new(client.clone(), node, DEADLINE));
        if let Some(certificates) = &certificates {
            certificates.expose(registry);
        }
        Self {
            bundles: bundles.then(|| Store::start(client, Selection::default())),
            certificates,
            node: cluster.node.clone(),
            recorder,
        }
    }

    /// The ClusterTrustBundles, if they are followed: wakes whenever one has changed.
    pub(super) fn bundle_changes(&self) -> Changes<ClusterTrustBundle> {
        self.bundles.as_ref().map(Store::subscribe)
    }

    /// The requests for certificates, if they are followed: wakes whenever one has changed.
    pub(super) fn request_changes(&self) -> Changes<PodCertificateRequest> {
        self.certificates.as_ref().map(|certificates| certificates.requests().subscribe())
    }

    /// The trust anchors that `asked` asks for.
    pub(super) async fn bundles(
        &self,
        asked: impl Iterator<Item = &BundleRequest>,
    ) -> BTreeMap<BundleRequest, Found<Arc<str>>> {
        let mut all = BTreeMap::new();
        for request in asked {
            all.insert(request.clone(), self.bundle(request).await);
        }
        all
    }

    async fn bundle(&self, request: &BundleRequest) -> Found<Arc<str>> {
        let Some(store) = &self.bundles else { return Err(off("ClusterTrustBundleProjection")) };
        if timeout(DEADLINE, store.synced()).await.is_err() {
            let message = "the API server has not told of any ClusterTrustBundle yet".to_owned();
            return Err(ObjectError::Unavailable { message });
        }
        let objects = store.objects().unwrap_or_default();
        let fit: Vec<_> = objects.values().filter(|bundle| bundles::is_asked(request, bundle)).collect();
        match request {
            _ if !fit.is_empty() => {
                Ok(bundles::trust_anchors(fit.into_iter().map(|bundle| &**bundle)).into())
            }
            BundleRequest::Named(name) => {
                Err(ObjectError::NotFound { kind: "clustertrustbundle", name: name.clone() })
            }
            BundleRequest::OfSigner { signer, .. } => Err(ObjectError::NotFound {
                kind: "clustertrustbundle with the wanted labels of signer",
                name: signer.clone(),
            }),
        }
    }

    /// The certificates of `pod` that `asked` asks for.
    pub(super) async fn certificates(
        &self,
        pod: &Pod,
        asked: impl Iterator<Item = &CertificateRequest>,
    ) -> BTreeMap<CertificateRequest, Found<Credential>> {
        let all = asked.map(async |request| (request.clone(), self.certificate(pod, request).await));
        join_all(all).await.into_iter().collect()
    }

    async fn certificate(&self, pod: &Pod, request: &CertificateRequest) -> Found<Credential> {
        let Some(certificates) = &self.certificates else { return Err(off("PodCertificateRequest")) };
        let node_uid = self.node.borrow().as_ref().and_then(|node| node.metadata.uid.clone());
        let Some(node_uid) = node_uid else {
            let message = "the API server has not shown this node's object yet".to_owned();
            return Err(ObjectError::Unavailable { message });
        };
        let account = pod::spec(pod).service_account_name.clone().unwrap_or_default();
        let holder = CertificateHolder { pod: PodRef::of(pod), service_account: account, node_uid };
        let (found, notices) = certificates.get(&holder, request).await;
        for notice in notices {
            let (reason, message) = match notice {
                Notice::Refused(how, message) => (how, message),
                Notice::Overdue => {
                    ("CertificateOverdueForRefresh", "PodCertificate refresh overdue".to_owned())
                }
                Notice::Expired => ("CertificateExpired", "PodCertificate expired".to_owned()),
            };
            self.recorder.record(Event::warning(&holder.pod, reason, message));
        }
        found.map_err(|error| match error {
            error @ (CertificateError::Api(_) | CertificateError::Late(_)) => {
                ObjectError::Unavailable { message: error.to_string() }
            }
            error => ObjectError::Withheld { message: telemetry::chain(&error) },
        })
    }

    /// Forgets what there is of a pod that is gone.
    pub(super) fn forget(&self, pod: &PodUid) {
        if let Some(certificates) = &self.certificates {
            certificates.forget(pod);
        }
    }
}

fn off(gate: &str) -> ObjectError {
    ObjectError::Withheld {
        message: format!("the feature gate {gate} is off: set it, or take the source out of the pod"),
    }
}
