//! Sends events to the API server.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as ApiEvent, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use types::Event;

use super::correlate::{Correlator, Outgoing};
use super::queue::Queue;
use crate::{ApiError, ApiErrorKind, Client, jitter};

/// How long until an event is tried again, and how often; client-go's numbers. A server that is away is waited for.
const RETRY: Duration = Duration::from_secs(10);
const TRIES: u32 = 12;

/// Sends the events of this node.
pub struct EventPublisher {
    client: Client,
    node: String,
    dropped: Arc<AtomicU64>,
}

impl EventPublisher {
    /// A publisher for `node`. The rate is that of `client` (`eventRecordQPS`, `eventBurst`).
    #[must_use]
    pub fn new(client: Client, node: &str) -> Self {
        Self { client, node: node.to_owned(), dropped: Arc::default() }
    }

    /// How many events were dropped: too many waited, or the server did not want them. Goes on counting.
    #[must_use]
    pub fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Sends what comes out of `events` until its senders are gone. It is always read at once; what cannot be sent yet
    /// waits here, with repeats as one.
    pub async fn run(self, mut events: mpsc::Receiver<Event>) {
        let mut correlator = Correlator::new();
        let mut queue = Queue::default();
        let mut sending: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
        let mut open = true;
        while open || sending.is_some() {
            tokio::select! {
                event = events.recv(), if open => match event {
                    Some(event) => {
                        let other = event.storage.as_ref().map_or(self.node.as_str(), |of| &of.name);
                        let subject = event.pod.as_ref().map_or(other, |pod| &pod.name.name).to_owned();
                        let outgoing = correlator.correlate(event, &subject, Timestamp::now(), Instant::now());
                        if outgoing.is_some_and(|outgoing| queue.push(outgoing)) {
                            self.dropped.fetch_add(1, Relaxed);
                        }
                    }
                    None => open = false,
                },
                () = async { if let Some(sending) = &mut sending { sending.await } }, if sending.is_some() => {
                    sending = None;
                }
            }
            if sending.is_none() {
                sending = queue.pop().map(|outgoing| Box::pin(self.send(outgoing)) as Pin<Box<_>>);
            }
        }
    }

    async fn send(&self, outgoing: Outgoing) {
        let mut tries = 0;
        loop {
            let Err(error) = self.attempt(&outgoing).await else { return };
            let away = matches!(error.kind, ApiErrorKind::Unreachable | ApiErrorKind::Timeout);
            if !away {
                tries += 1;
            }
            if !error.is_transient() || tries >= TRIES {
                self.dropped.fetch_add(1, Relaxed);
                let reason = &outgoing.key.similar().reason;
                tracing::debug!(error = %error, %reason, message = outgoing.message, "an event is not told");
                return;
            }
            // All nodes that miss the same server do not come back together.
            let delay = (RETRY / 2 + jitter::up_to(RETRY / 2)).max(error.retry_after().unwrap_or_default());
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.client.recovered(), if away => {}
            }
        }
    }

    async fn attempt(&self, outgoing: &Outgoing) -> Result<(), ApiError> {
        let namespace = namespace(outgoing);
        if outgoing.again {
            let patch = json!({
                "count": outgoing.count, "lastTimestamp": Time(outgoing.last), "message": outgoing.message,
            });
            match self.client.patch::<ApiEvent>(Some(namespace), &outgoing.name, None, &patch).await {
                // The server forgets events after an hour.
                Err(error) if error.kind == ApiErrorKind::NotFound => {}
                result => return result.map(drop),
            }
        }
        match self.client.create(Some(namespace), &object(outgoing, &self.node)).await {
            // An attempt before was heard, and its answer was not.
            Err(error) if error.kind == ApiErrorKind::AlreadyExists => Ok(()),
            result => result.map(drop),
        }
    }
}

/// Events about nodes and PersistentVolumes, which are in no namespace, are in `default`.
fn namespace(outgoing: &Outgoing) -> &str {
    let similar = outgoing.key.similar();
    let of_claim = similar.storage.as_ref().and_then(|storage| storage.namespace.as_deref());
    similar.pod.as_ref().map_or(of_claim.unwrap_or("default"), |pod| &pod.name.namespace)
}

/// The object of the API, as the kubelet writes it.
fn object(outgoing: &Outgoing, node: &str) -> ApiEvent {
    const COMPONENT: &str = "kubelet";
    let similar = outgoing.key.similar();
    let involved = match (&similar.pod, &similar.storage) {
        (Some(pod), _) => ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.name.namespace.to_string()),
            name: Some(pod.name.name.to_string()),
            uid: Some(pod.uid.as_str().to_owned()),
            field_path: outgoing.field_path.clone(),
            ..ObjectReference::default()
        },
        (None, Some(storage)) => ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(storage.kind().to_owned()),
            namespace: storage.namespace.clone(),
            name: Some(storage.name.clone()),
            uid: Some(storage.uid.clone()),
            ..ObjectReference::default()
        },
        // Kubelets give a node its name for a UID here, and `kubectl describe node` looks for that.
        (None, None) => ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            uid: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    ApiEvent {
        metadata: ObjectMeta {
            name: Some(outgoing.name.clone()),
            namespace: Some(namespace(outgoing).to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: involved,
        type_: Some(similar.kind.as_str().to_owned()),
        reason: Some(similar.reason.clone().into_owned()),
        message: Some(outgoing.message.clone()),
        count: Some(outgoing.count),
        first_timestamp: Some(Time(outgoing.first)),
        last_timestamp: Some(Time(outgoing.last)),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: Some(node.to_owned()) }),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..ApiEvent::default()
    }
}
