//! What containerd tells of processes that end, for its versions that have no CRI events (before 1.7): its own event
//! service, which it serves on the same socket.

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use types::ContainerId;

use crate::{CriError, Runtime};

/// The call's name in errors.
const SUBSCRIBE: &str = "containerd's Subscribe";
const PATH: &str = "/containerd.services.events.v1.Events/Subscribe";

/// The ends of processes in the namespace that containerd keeps the containers of CRI in.
const FILTER: &str = r#"namespace==k8s.io,topic=="/tasks/exit""#;

#[derive(Clone, PartialEq, Message)]
struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(message, optional, tag = "4")]
    event: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TaskExit {
    #[prost(string, tag = "1")]
    container_id: String,
    /// The container's own process has its container's id; others were executed in it.
    #[prost(string, tag = "2")]
    id: String,
}

impl Runtime {
    /// The containers and sandboxes whose process ends, as containerd tells it. The CRI's own view follows some
    /// milliseconds later. The stream ends with an error when the connection breaks, and at once if the runtime is
    /// not containerd (`Unimplemented`); before something ends it is not known which.
    pub fn exits(&self) -> impl Stream<Item = Result<ContainerId, CriError>> + Send + Unpin + use<> {
        let mut grpc = Grpc::new(self.events_channel());
        let endpoint = self.endpoint().clone();
        let subscribed = async move {
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let request = Request::new(SubscribeRequest { filters: vec![FILTER.to_owned()] });
            let path = PathAndQuery::from_static(PATH);
            let codec = ProstCodec::<SubscribeRequest, Envelope>::default();
            Ok::<_, Status>(grpc.server_streaming(request, path, codec).await?.into_inner())
        };
        let exits = stream::once(subscribed)
            .try_flatten()
            .map_err(move |status: Status| CriError::from_status(SUBSCRIBE, &endpoint, &status))
            .try_filter_map(|envelope| async move { Ok(ended(&envelope)) });
        exits.boxed()
    }
}

/// Whose own process ended; `None` for another process in it.
fn ended(envelope: &Envelope) -> Option<ContainerId> {
    let exit = TaskExit::decode(&*envelope.event.as_ref()?.value).ok()?;
    (exit.id == exit.container_id && !exit.id.is_empty()).then(|| exit.id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_executed_process_is_not_the_containers() {
        let of = |container: &str, id: &str| {
            let exit = TaskExit { container_id: container.to_owned(), id: id.to_owned() };
            ended(&Envelope { event: Some(Any { value: exit.encode_to_vec() }) })
        };
        assert_eq!(of("c", "c"), Some("c".into()));
        assert_eq!(of("c", "probe-1"), None);
        assert_eq!(of("", ""), None);
        assert_eq!(ended(&Envelope { event: Some(Any { value: vec![0xff] }) }), None);
        assert_eq!(ended(&Envelope::default()), None);
    }
}
