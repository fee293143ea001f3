//! Certificates of pods: asked for with a key of the node's, awaited, renewed (Kubernetes: "Certificates", Pod Certificates;
//! KEP-4317). They are in memory only: after a restart each is asked for anew.

mod key;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1beta1::{PodCertificateRequest, PodCertificateRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use secrecy::ExposeSecret;
use telemetry::metrics::{Declaration, MetricKind, Registry, Stability};
use tokio::time::timeout;
use types::objects::{CertificateRequest, Credential};
use types::{PodRef, PodUid};

use crate::{ApiError, Client, ObjectKey, Selection, Store, jitter};
pub use key::KeyError;
pub use state::Notice;
use state::{Asked, Next, State};

/// Requests and renewals of many pods are spread over so long.
const JITTER: Duration = Duration::from_secs(300);

/// The family that says how it stands with certificates.
pub const POD_CERTIFICATE_STATES: Declaration = Declaration {
    name: "kubelet_podcertificate_states",
    help: "Certificates that pods are to have, by signer, and by how it stands with them.",
    stability: Stability::Alpha,
    kind: MetricKind::Gauge,
    labels: &["signer_name", "state"],
};

/// Whose certificate it is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateHolder {
    /// The pod.
    pub pod: PodRef,
    /// Its service account.
    pub service_account: String,
    /// The UID of the node's object.
    pub node_uid: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The signer has not answered yet.
    #[error("credential bundle is not issued yet")]
    NotYet,
    /// The signer does not want to.
    #[error("PodCertificateRequest was permanently denied: reason={reason:?} message={message:?}")]
    Denied {
        /// The signer's reason.
        reason: String,
        /// In more words.
        message: String,
    },
    /// The signer could not.
    #[error("PodCertificateRequest was permanently failed: reason={reason:?} message={message:?}")]
    Failed {
        /// The signer's reason.
        reason: String,
        /// In more words.
        message: String,
    },
    /// There is no key for it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The API server said nothing for so long.
    #[error("the API server did not answer within {0:?}")]
    Late(Duration),
    /// The API server refused, or is away.
    #[error(transparent)]
    Api(#[from] ApiError),
}

type Place = (PodUid, String, usize);
/// With the signer of each.
type States = HashMap<Place, (String, State)>;

/// The certificates of all pods.
pub struct PodCertificates {
    client: Client,
    node: String,
    deadline: Duration,
    requests: Store<PodCertificateRequest>,
    states: Arc<Mutex<States>>,
}

impl PodCertificates {
    /// None yet, of the pods on `node`. The API server has the time of `deadline` for each answer; a key takes as long as
    /// it takes.
    #[must_use]
    pub fn new(client: Client, node: &str, deadline: Duration) -> Self {
        let requests = Store::start(&client, Selection::field("spec.nodeName", node));
        Self { client, node: node.to_owned(), deadline, requests, states: Arc::default() }
    }

    /// The requests as the server shows them, which wakes whenever one has changed.
    #[must_use]
    pub fn requests(&self) -> &Store<PodCertificateRequest> {
        &self.requests
    }

    /// The certificate for `wanted`, and what is to be told of it. It is asked for when there is none, and when it is time
    /// for another one; until that is there, the one before is given. One at a time may ask for the same certificate.
    ///
    /// # Errors
    /// If there is none (yet).
    pub async fn get(
        &self,
        holder: &CertificateHolder,
        wanted: &CertificateRequest,
    ) -> (Result<Credential, CertificateError>, Vec<Notice>) {
        let place = (holder.pod.uid.clone(), wanted.volume.clone(), wanted.source);
        let mut state = self.lock().get(&place).map(|(_, state)| state.clone()).unwrap_or_default();
        let mut notices = Vec::new();
        let mut failed = None;
        // A request that was lost is made again, and one that was answered at once is seen.
        for _ in 0..3 {
            let shown = state.asked().and_then(|asked| {
                self.requests.get(&ObjectKey::new(&holder.pod.name.namespace, &asked.name))
            });
            match state.next(shown.as_deref(), Timestamp::now(), jitter::up_to(JITTER)) {
                Next::Nothing => break,
                Next::Is(next, notice) => {
                    state = next;
                    notices.extend(notice);
                }
                Next::Ask => match self.ask(holder, wanted).await {
                    Ok(asked) => state = state.with(asked),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                },
            }
        }
        if let Some(held) = state.held_mut() {
            notices.extend(held.news(Timestamp::now()));
        }
        self.lock().insert(place, (wanted.signer.clone(), state.clone()));
        (given(state, failed), notices)
    }

    /// Forgets the certificates of a pod that is gone.
    pub fn forget(&self, pod: &PodUid) {
        self.lock().retain(|(uid, ..), _| uid != pod);
    }

    /// Has `registry` show how many there are, by signer and by how it stands with them.
    pub fn expose(&self, registry: &Registry) {
        let states = Arc::clone(&self.states);
        registry.collector(Box::new(move |encoder| {
            let mut all: BTreeMap<(String, &str), u32> = BTreeMap::new();
            let now = Timestamp::now();
            for (signer, state) in states.lock().unwrap_or_else(PoisonError::into_inner).values() {
                *all.entry((signer.clone(), state.name(now))).or_default() += 1;
            }
            let mut family = encoder.declared(&POD_CERTIFICATE_STATES);
            for ((signer, state), count) in &all {
                family.sample(&[("signer_name", signer), ("state", state)], f64::from(*count));
            }
        }));
    }

    async fn ask(
        &self,
        holder: &CertificateHolder,
        wanted: &CertificateRequest,
    ) -> Result<Asked, CertificateError> {
        let (namespace, pod) = (&*holder.pod.name.namespace, &holder.pod);
        let account = self.client.get::<ServiceAccount>(Some(namespace), &holder.service_account);
        let account = self.answered(account).await?;
        let made = key::generate(&wanted.key_type).await?;
        let request = PodCertificateRequest {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                generate_name: Some("req-".to_owned()),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".to_owned(),
                    kind: "Pod".to_owned(),
                    name: pod.name.name.to_string(),
                    uid: pod.uid.as_str().to_owned(),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            spec: PodCertificateRequestSpec {
                signer_name: wanted.signer.clone(),
                pod_name: pod.name.name.to_string(),
                pod_uid: pod.uid.as_str().to_owned(),
                service_account_name: holder.service_account.clone(),
                service_account_uid: account.metadata.uid.unwrap_or_default(),
                node_name: self.node.clone(),
                node_uid: holder.node_uid.clone(),
                max_expiration_seconds: wanted.max_expiration_seconds,
                stub_pkc_s10_request: ByteString(made.proof),
                unverified_user_annotations: Some(wanted.annotations.clone()).filter(|all| !all.is_empty()),
                ..PodCertificateRequestSpec::default()
            },
            status: None,
        };
        let created = self.answered(self.client.create(Some(namespace), &request)).await?;
        let name = created.metadata.name.unwrap_or_default();
        Ok(Asked::new(name, made.pem, Timestamp::now(), jitter::up_to(JITTER)))
    }

    async fn answered<T>(
        &self,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, CertificateError> {
        let answer = timeout(self.deadline, call).await;
        Ok(answer.map_err(|_| CertificateError::Late(self.deadline))??)
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the pod gets. A certificate that is there is given whatever came in the way of the next one.
fn given(state: State, failed: Option<CertificateError>) -> Result<Credential, CertificateError> {
    match (state, failed) {
        (State::Has(held) | State::Renews(held, _), failed) => {
            if let Some(error) = failed {
                tracing::warn!(error = %telemetry::chain(&error), "No new certificate of a pod could be asked for");
            }
            Ok(Credential::new(held.key.expose_secret().to_owned(), held.chain, held.refresh))
        }
        (_, Some(error)) => Err(error),
        (State::Refused { how: "Denied", reason, message }, None) => {
            Err(CertificateError::Denied { reason, message })
        }
        (State::Refused { reason, message, .. }, None) => Err(CertificateError::Failed { reason, message }),
        (State::New | State::Waits(_), None) => Err(CertificateError::NotYet),
    }
}
