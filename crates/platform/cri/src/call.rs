//! One call: its name, its deadline, its metrics.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::{CriError, Endpoint, Metrics};

macro_rules! operations {
    ($($variant:ident $label:literal)*) => {
        /// The calls of CRI that berth makes. Variants bear CRI's names.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Operation {
            $(
                #[doc = concat!("The call `", stringify!($variant), "`.")]
                $variant,
            )*
        }

        impl Operation {
            /// CRI's name of the call.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// The value of the metrics label `operation_type`.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

operations! {
    Version "version"
    Status "status"
    RuntimeConfig "runtime_config"
    UpdateRuntimeConfig "update_runtime_config"
    RunPodSandbox "run_podsandbox"
    StopPodSandbox "stop_podsandbox"
    RemovePodSandbox "remove_podsandbox"
    PodSandboxStatus "podsandbox_status"
    ListPodSandbox "list_podsandbox"
    UpdatePodSandboxResources "update_podsandbox_resources"
    CreateContainer "create_container"
    StartContainer "start_container"
    StopContainer "stop_container"
    RemoveContainer "remove_container"
    ContainerStatus "container_status"
    ListContainers "list_containers"
    UpdateContainerResources "update_container"
    ReopenContainerLog "reopen_container_log"
    CheckpointContainer "checkpoint_container"
    ExecSync "exec_sync"
    Exec "exec"
    Attach "attach"
    PortForward "port_forward"
    ContainerStats "container_stats"
    ListContainerStats "list_container_stats"
    PodSandboxStats "podsandbox_stats"
    ListPodSandboxStats "list_podsandbox_stats"
    ListMetricDescriptors "list_metric_descriptors"
    ListPodSandboxMetrics "list_podsandbox_metrics"
    GetContainerEvents "get_container_events"
    ListImages "list_images"
    ImageStatus "image_status"
    PullImage "pull_image"
    RemoveImage "remove_image"
    ImageFsInfo "image_fs_info"
}

/// Sends `message` with `send` and waits for the answer, no longer than `deadline`. The runtime is told the deadline
/// too, so that it can give up what nobody waits for. Dropping the future cancels the call.
pub(crate) fn call<Q, A, F>(
    metrics: &Metrics,
    endpoint: &Endpoint,
    operation: Operation,
    deadline: Option<Duration>,
    message: Q,
    send: impl FnOnce(Request<Q>) -> F,
) -> impl Future<Output = Result<A, CriError>>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    // Boxed, because messages and the state of sending them are large.
    let sending = Box::pin(send(request));
    async move {
        let measured = metrics.started(operation);
        let answer = match deadline {
            None => sending.await,
            Some(deadline) => match timeout(deadline, sending).await {
                Ok(answer) => answer,
                Err(_elapsed) => return Err(CriError::timeout(operation.name(), deadline)),
            },
        };
        measured.finish(answer.is_ok());
        answer
            .map(Response::into_inner)
            .map_err(|status| CriError::from_status(operation.name(), endpoint, &status))
    }
}
