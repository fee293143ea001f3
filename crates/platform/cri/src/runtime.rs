//! The client, and calls about the runtime itself.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::v1::image_service_client::ImageServiceClient;
use crate::v1::runtime_service_client::RuntimeServiceClient;
use crate::{CriError, CriErrorKind, Endpoint, Metrics, Operation, channel, convert, v1};

/// The version that is sent with `Version`: that of the kubelet's side, which has never been another.
const KUBELET_API_VERSION: &str = "0.1.0";

/// How calls are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The deadline of a call that has none of its own: `runtimeRequestTimeout` of `KubeletConfiguration`.
    pub request_timeout: Duration,
}

/// Two minutes, as in Kubernetes.
impl Default for Options {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(120) }
    }
}

/// A client of a container runtime. Clones share its connections.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    image_endpoint: Endpoint,
    runtime: RuntimeServiceClient<Channel>,
    events: Channel,
    images: ImageServiceClient<Channel>,
    options: Options,
    metrics: Metrics,
}

/// Who the runtime is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// Its name, such as `containerd`.
    pub name: String,
    /// Its version, such as `2.1.4`. Not always a semantic version.
    pub version: String,
    /// The version of CRI that it speaks, such as `v1`.
    pub api_version: String,
}

/// One condition of the runtime.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Whether it holds.
    pub status: bool,
    /// Why not, in one word.
    pub reason: String,
    /// Why not, for people.
    pub message: String,
}

/// One way in which the runtime runs pods, chosen by a RuntimeClass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuntimeHandler {
    /// Its name; empty for the default one.
    pub name: String,
    /// Whether read-only mounts can be read-only all the way down (KEP-3857).
    pub recursive_read_only_mounts: bool,
    /// Whether pods can have a user namespace (KEP-127).
    pub user_namespaces: bool,
}

/// The state of the runtime and what it can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuntimeStatus {
    /// `RuntimeReady`: whether it takes containers.
    pub ready: Condition,
    /// `NetworkReady`: whether pods get a network.
    pub network: Condition,
    /// Its handlers; empty if the runtime does not tell.
    pub handlers: Vec<RuntimeHandler>,
    /// Whether it honours `supplementalGroupsPolicy` (KEP-3619).
    pub supplemental_groups_policy: bool,
    /// Whether a pod on the node's network can have a user namespace.
    pub user_namespaces_host_network: bool,
    /// Whether it honours mount options of a container's mounts.
    pub mount_options: bool,
}

/// Who manages the cgroups of pods.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CgroupDriver {
    /// systemd, as slices and scopes.
    Systemd,
    /// The kubelet and the runtime themselves.
    Cgroupfs,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("endpoint", &self.shared.endpoint)
            .field("image_endpoint", &self.shared.image_endpoint)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// A client of the runtime at `endpoint`, with the image service at `image_endpoint`, or at the same one. It
    /// connects at the first call.
    #[must_use]
    pub fn new(
        endpoint: &Endpoint,
        image_endpoint: Option<&Endpoint>,
        options: Options,
        metrics: Metrics,
    ) -> Self {
        let calls = channel::channel(endpoint);
        let images = image_endpoint.map_or_else(|| calls.clone(), channel::channel);
        let shared = Shared {
            endpoint: endpoint.clone(),
            image_endpoint: image_endpoint.unwrap_or(endpoint).clone(),
            runtime: channel::runtime_client(calls),
            // A reader of events that falls behind must not use up the window that calls need.
            events: channel::channel(endpoint),
            images: channel::image_client(images),
            options,
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Where the runtime listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// Name and version of the runtime.
    pub async fn version(&self) -> Result<Version, CriError> {
        let request = v1::VersionRequest { version: KUBELET_API_VERSION.to_owned() };
        let mut client = self.client();
        self.call(Operation::Version, request, |r| async move { client.version(r).await })
            .await
            .map(convert::version)
    }

    /// Conditions and features of the runtime.
    pub async fn status(&self) -> Result<RuntimeStatus, CriError> {
        let mut client = self.client();
        let request = v1::StatusRequest { verbose: false };
        self.call(Operation::Status, request, |r| async move { client.status(r).await })
            .await
            .map(convert::runtime_status)
    }

    /// The image of sandboxes that the runtime's own configuration names; `None` if it does not tell it. containerd tells
    /// it, and before 2.0 does not mark that image as pinned.
    pub async fn sandbox_image(&self) -> Result<Option<String>, CriError> {
        let mut client = self.client();
        let request = v1::StatusRequest { verbose: true };
        self.call(Operation::Status, request, |r| async move { client.status(r).await })
            .await
            .map(|response| convert::sandbox_image(&response))
    }

    /// The cgroup driver that the runtime is set up for; `None` if it cannot tell (KEP-4033).
    pub async fn cgroup_driver(&self) -> Result<Option<CgroupDriver>, CriError> {
        let mut client = self.client();
        let request = v1::RuntimeConfigRequest {};
        match self
            .call(Operation::RuntimeConfig, request, |r| async move { client.runtime_config(r).await })
            .await
        {
            Ok(response) => Ok(convert::cgroup_driver(&response)),
            Err(error) if error.kind == CriErrorKind::Unimplemented => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells the runtime the CIDR that pods on this node get their IPs from.
    pub async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), CriError> {
        let network_config = Some(v1::NetworkConfig { pod_cidr: pod_cidr.to_owned() });
        let request =
            v1::UpdateRuntimeConfigRequest { runtime_config: Some(v1::RuntimeConfig { network_config }) };
        let mut client = self.client();
        self.call(Operation::UpdateRuntimeConfig, request, |r| async move {
            client.update_runtime_config(r).await
        })
        .await
        .map(drop)
    }

    pub(crate) fn client(&self) -> RuntimeServiceClient<Channel> {
        self.shared.runtime.clone()
    }

    pub(crate) fn events_client(&self) -> RuntimeServiceClient<Channel> {
        channel::runtime_client(self.events_channel())
    }

    pub(crate) fn events_channel(&self) -> Channel {
        self.shared.events.clone()
    }

    pub(crate) fn image_client(&self) -> ImageServiceClient<Channel> {
        self.shared.images.clone()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.options.request_timeout
    }

    /// A call to the runtime service with the usual deadline.
    pub(crate) fn call<Q, A, F>(
        &self,
        operation: Operation,
        message: Q,
        send: impl FnOnce(Request<Q>) -> F,
    ) -> impl Future<Output = Result<A, CriError>>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        self.call_within(operation, Some(self.request_timeout()), message, send)
    }

    /// A call to the runtime service with a deadline of its own, or with none.
    pub(crate) fn call_within<Q, A, F>(
        &self,
        operation: Operation,
        deadline: Option<Duration>,
        message: Q,
        send: impl FnOnce(Request<Q>) -> F,
    ) -> impl Future<Output = Result<A, CriError>>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        crate::call::call(self.metrics(), &self.shared.endpoint, operation, deadline, message, send)
    }

    /// A call to the image service.
    pub(crate) fn call_images<Q, A, F>(
        &self,
        operation: Operation,
        deadline: Option<Duration>,
        message: Q,
        send: impl FnOnce(Request<Q>) -> F,
    ) -> impl Future<Output = Result<A, CriError>>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        crate::call::call(self.metrics(), &self.shared.image_endpoint, operation, deadline, message, send)
    }
}
