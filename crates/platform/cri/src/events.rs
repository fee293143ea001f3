//! What the runtime tells unasked (KEP-3386).

use std::future::Future;
use std::pin::Pin;

use futures::stream::{self, Stream, StreamExt};
use jiff::Timestamp;
use tonic::{Response, Status, Streaming};
use types::{ContainerId, ObservedPod, PodRef};

use crate::{CriError, Operation, Runtime, convert, observe, v1};

/// Something happened to a container, or to a sandbox, whose events come as those of a container with its id.
#[derive(Clone, PartialEq, Debug)]
pub struct ContainerEvent {
    /// The pod.
    pub pod: PodRef,
    /// The container or sandbox.
    pub container_id: ContainerId,
    /// What happened.
    pub kind: ContainerEventKind,
    /// When the runtime made the event, if it tells.
    pub at: Option<Timestamp>,
    /// The sandbox and its containers as the runtime saw them when it made the event, if it says. Other sandboxes of
    /// the pod are not in it, and it may be older than what was observed since.
    pub observed: Option<ObservedPod>,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ContainerEventKind {
    /// It was created.
    Created,
    /// It was started.
    Started,
    /// It ended.
    Stopped,
    /// It was removed.
    Deleted,
    /// Something that this client has no word for.
    Unknown,
}

type Opening =
    Pin<Box<dyn Future<Output = Result<Response<Streaming<v1::ContainerEventResponse>>, Status>> + Send>>;

/// Where a subscription stands.
enum Feed {
    Opening(Opening),
    Open(Box<Streaming<v1::ContainerEventResponse>>),
    /// It failed; there is nothing more to come.
    Ended,
}

impl Runtime {
    /// Subscribes to events of all pods. The stream ends with an error when the connection breaks, and just ends when
    /// the runtime ends it. Events of what no kubelet made are left out. It can fall silent without an end, so a
    /// reader needs a relist beside it.
    ///
    /// A runtime need not answer before it has an event to tell. This returns when the runtime has been heard from
    /// over the same connection; one that has no events (`Unimplemented`) may say so only in the stream.
    pub async fn events(
        &self,
    ) -> Result<impl Stream<Item = Result<ContainerEvent, CriError>> + Send + Unpin + use<>, CriError> {
        let mut client = self.events_client();
        let mut opening: Opening =
            Box::pin(async move { client.get_container_events(v1::GetEventsRequest {}).await });
        let mut probe = self.events_client();
        let request = v1::VersionRequest::default();
        let heard = self.call(Operation::Version, request, |r| async move { probe.version(r).await });
        let measured = self.metrics().started(Operation::GetContainerEvents);
        let feed = tokio::select! {
            biased;
            opened = &mut opening => Feed::Open(Box::new(opened.map_err(|status| self.lost(&status))?.into_inner())),
            heard = heard => heard.map(|_| Feed::Opening(opening))?,
        };
        measured.finish(true);
        let runtime = self.clone();
        let responses = stream::unfold(feed, move |feed| runtime.clone().next_response(feed));
        Ok(Box::pin(responses.filter_map(|response| async move { response.map(event).transpose() })))
    }

    /// The next response and what is left of the subscription; `None` when there is nothing left.
    async fn next_response(
        self,
        mut feed: Feed,
    ) -> Option<(Result<v1::ContainerEventResponse, CriError>, Feed)> {
        loop {
            let answer = match &mut feed {
                Feed::Opening(opening) => match opening.await {
                    Ok(response) => {
                        feed = Feed::Open(Box::new(response.into_inner()));
                        continue;
                    }
                    Err(status) => Err(status),
                },
                Feed::Open(responses) => responses.message().await,
                Feed::Ended => return None,
            };
            return match answer {
                Ok(response) => response.map(|response| (Ok(response), feed)),
                Err(status) => Some((Err(self.lost(&status)), Feed::Ended)),
            };
        }
    }

    fn lost(&self, status: &Status) -> CriError {
        CriError::from_status(Operation::GetContainerEvents.name(), self.endpoint(), status)
    }
}

/// A response as an event; `None` if it tells of nothing that a kubelet made.
fn event(response: v1::ContainerEventResponse) -> Option<ContainerEvent> {
    let kind = match v1::ContainerEventType::try_from(response.container_event_type) {
        Ok(v1::ContainerEventType::ContainerCreatedEvent) => ContainerEventKind::Created,
        Ok(v1::ContainerEventType::ContainerStartedEvent) => ContainerEventKind::Started,
        Ok(v1::ContainerEventType::ContainerStoppedEvent) => ContainerEventKind::Stopped,
        Ok(v1::ContainerEventType::ContainerDeletedEvent) => ContainerEventKind::Deleted,
        Err(_) => ContainerEventKind::Unknown,
    };
    let sandbox = response.pod_sandbox_status;
    let of_containers =
        || response.containers_statuses.iter().find_map(|status| convert::pod_ref(&status.labels));
    let pod = sandbox.as_ref().and_then(|status| convert::pod_ref(&status.labels)).or_else(of_containers)?;
    let observed = sandbox.map(|sandbox| {
        let containers = response.containers_statuses.into_iter();
        let mut observed = ObservedPod {
            pod: pod.clone(),
            containers: containers
                .map(|status| convert::container_status(status, sandbox.id.as_str().into()))
                .collect(),
            sandboxes: vec![convert::sandbox_status(&sandbox)],
        };
        observe::newest_first(&mut observed);
        observed
    });
    Some(ContainerEvent {
        pod,
        container_id: response.container_id.into(),
        kind,
        at: convert::timestamp(response.created_at),
        observed,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use types::labels;

    use super::*;

    fn kubelet_labels() -> HashMap<String, String> {
        [(labels::POD_NAME, "web"), (labels::POD_NAMESPACE, "shop"), (labels::POD_UID, "u-1")]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn response() -> v1::ContainerEventResponse {
        let container = |id: &str, created_at| v1::ContainerStatus {
            id: id.to_owned(),
            created_at,
            labels: kubelet_labels(),
            ..Default::default()
        };
        v1::ContainerEventResponse {
            container_id: "c2".into(),
            container_event_type: v1::ContainerEventType::ContainerStoppedEvent as i32,
            created_at: 9,
            pod_sandbox_status: Some(v1::PodSandboxStatus {
                id: "s1".into(),
                labels: kubelet_labels(),
                ..Default::default()
            }),
            containers_statuses: vec![container("c1", 1), container("c2", 2)],
        }
    }

    #[test]
    fn an_event_tells_the_sandbox_and_its_containers() {
        let event = event(response()).unwrap();
        assert_eq!(event.kind, ContainerEventKind::Stopped);
        assert_eq!(event.pod.to_string(), "shop/web");
        let observed = event.observed.unwrap();
        assert_eq!(observed.sandboxes[0].id.as_str(), "s1");
        let ids: Vec<_> = observed.containers.iter().map(|container| container.id.as_str()).collect();
        assert_eq!(ids, ["c2", "c1"]);
        assert!(observed.containers.iter().all(|container| container.sandbox.as_str() == "s1"));
    }

    #[test]
    fn without_a_sandbox_the_containers_tell_the_pod() {
        let told = event(v1::ContainerEventResponse { pod_sandbox_status: None, ..response() }).unwrap();
        assert_eq!((told.pod.uid.as_str(), told.observed), ("u-1", None));
        assert_eq!(event(v1::ContainerEventResponse::default()), None);
    }

    #[test]
    fn kinds_may_be_unknown() {
        let told = event(v1::ContainerEventResponse { container_event_type: 12, ..response() }).unwrap();
        assert_eq!(told.kind, ContainerEventKind::Unknown);
    }
}
