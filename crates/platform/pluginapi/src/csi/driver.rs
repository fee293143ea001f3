//! A driver, and the calls to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::request::text;
use super::{Capabilities, Expand, Metrics, Publish, Stage, VolumeUsage};
use crate::call::call;
use crate::error::PluginError;
use crate::proto::csi::identity_client::IdentityClient;
use crate::proto::csi::node_client::NodeClient;
use crate::proto::csi::{
    GetPluginInfoRequest, NodeGetCapabilitiesRequest, NodeGetInfoRequest, NodeGetVolumeStatsRequest,
    NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, ProbeRequest,
};

/// How long a call may take: what other kubelets give it.
const DEADLINE: Duration = Duration::from_secs(120);

/// A CSI driver at its socket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Driver {
    name: String,
    socket: PathBuf,
    metrics: Metrics,
}

/// What a driver says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginInfo {
    /// Its name, such as `hostpath.csi.k8s.io`.
    pub name: String,
    /// Its own version.
    pub version: String,
}

/// What a driver calls the node, and what it can do there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// Its id of the node.
    pub id: String,
    /// How many volumes it can have on the node; `None` if it does not say.
    pub max_volumes: Option<u32>,
    /// From where volumes can be reached: labels of the node. Empty if the driver does not care.
    pub topology: BTreeMap<String, String>,
}

/// Which call is made, and for which volume.
#[derive(Clone, Copy)]
struct Named<'a> {
    service: &'static str,
    call: &'static str,
    volume: Option<&'a str>,
}

impl<'a> Named<'a> {
    fn node(call: &'static str, volume: Option<&'a str>) -> Self {
        Self { service: "Node", call, volume }
    }

    fn identity(call: &'static str) -> Self {
        Self { service: "Identity", call, volume: None }
    }
}

impl Driver {
    /// The driver `name` that listens at `socket`.
    #[must_use]
    pub fn new(name: String, socket: PathBuf, metrics: Metrics) -> Self {
        Self { name, socket, metrics }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks for its name and version (`GetPluginInfo`).
    ///
    /// # Errors
    /// If it does not answer, or with an error. So with every call.
    pub async fn plugin_info(&self) -> Result<PluginInfo, PluginError> {
        let send = async |channel, request| IdentityClient::new(channel).get_plugin_info(request).await;
        let answer = self.call(Named::identity("GetPluginInfo"), GetPluginInfoRequest {}, send).await?;
        Ok(PluginInfo { name: answer.name, version: answer.vendor_version })
    }

    /// Asks whether it is ready (`Probe`).
    ///
    /// # Errors
    /// If it is not well, and will not become so by waiting.
    pub async fn probe(&self) -> Result<bool, PluginError> {
        let send = async |channel, request| IdentityClient::new(channel).probe(request).await;
        let answer = self.call(Named::identity("Probe"), ProbeRequest {}, send).await?;
        Ok(answer.ready.unwrap_or(true))
    }

    /// Asks what it calls the node (`NodeGetInfo`).
    ///
    /// # Errors
    /// If it does not know.
    pub async fn node_info(&self) -> Result<NodeInfo, PluginError> {
        let send = async |channel, request| NodeClient::new(channel).node_get_info(request).await;
        let answer = self.call(Named::node("NodeGetInfo", None), NodeGetInfoRequest {}, send).await?;
        let max = u32::try_from(answer.max_volumes_per_node.clamp(0, i64::from(u32::MAX))).unwrap_or(0);
        Ok(NodeInfo {
            id: answer.node_id,
            max_volumes: (max > 0).then_some(max),
            topology: answer.accessible_topology.unwrap_or_default().segments.into_iter().collect(),
        })
    }

    /// Asks what it can do on the node (`NodeGetCapabilities`).
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn capabilities(&self) -> Result<Capabilities, PluginError> {
        let send = async |channel, request| NodeClient::new(channel).node_get_capabilities(request).await;
        let named = Named::node("NodeGetCapabilities", None);
        Ok(self.call(named, NodeGetCapabilitiesRequest {}, send).await?.into())
    }

    /// Makes a volume ready on the node (`NodeStageVolume`). Doing it again is the same as once. `capabilities` are the
    /// driver's, also below.
    ///
    /// # Errors
    /// If the driver cannot, or it is not known whether it did ([`PluginErrorKind::is_uncertain`](crate::PluginErrorKind)).
    pub async fn stage(&self, stage: &Stage, capabilities: &Capabilities) -> Result<(), PluginError> {
        let send = async |channel, request| NodeClient::new(channel).node_stage_volume(request).await;
        let named = Named::node("NodeStageVolume", Some(&stage.volume));
        self.call(named, stage.wire(capabilities), send).await.map(|_| ())
    }

    /// Undoes [`Driver::stage`] (`NodeUnstageVolume`). No pod may have the volume any more.
    ///
    /// # Errors
    /// As [`Driver::stage`].
    pub async fn unstage(&self, volume: &str, staging_path: &Path) -> Result<(), PluginError> {
        let send = async |channel, request| NodeClient::new(channel).node_unstage_volume(request).await;
        let request = NodeUnstageVolumeRequest {
            volume_id: volume.to_owned(),
            staging_target_path: text(staging_path),
        };
        self.call(Named::node("NodeUnstageVolume", Some(volume)), request, send).await.map(|_| ())
    }

    /// Shows a volume to a pod (`NodePublishVolume`). Doing it again is the same as once.
    ///
    /// # Errors
    /// As [`Driver::stage`].
    pub async fn publish(&self, publish: &Publish, capabilities: &Capabilities) -> Result<(), PluginError> {
        let send = async |channel, request| NodeClient::new(channel).node_publish_volume(request).await;
        let named = Named::node("NodePublishVolume", Some(&publish.volume));
        self.call(named, publish.wire(capabilities), send).await.map(|_| ())
    }

    /// Undoes [`Driver::publish`] (`NodeUnpublishVolume`). The pod's containers must be gone.
    ///
    /// # Errors
    /// As [`Driver::stage`].
    pub async fn unpublish(&self, volume: &str, target_path: &Path) -> Result<(), PluginError> {
        let send = async |channel, request| NodeClient::new(channel).node_unpublish_volume(request).await;
        let request =
            NodeUnpublishVolumeRequest { volume_id: volume.to_owned(), target_path: text(target_path) };
        self.call(Named::node("NodeUnpublishVolume", Some(volume)), request, send).await.map(|_| ())
    }

    /// Has a volume that has grown fill its new size (`NodeExpandVolume`). Returns the size, if the driver says it, in
    /// bytes.
    ///
    /// # Errors
    /// As [`Driver::stage`].
    pub async fn expand(
        &self,
        expand: &Expand,
        capabilities: &Capabilities,
    ) -> Result<Option<u64>, PluginError> {
        let send = async |channel, request| NodeClient::new(channel).node_expand_volume(request).await;
        let named = Named::node("NodeExpandVolume", Some(&expand.volume));
        let answer = self.call(named, expand.wire(capabilities), send).await?;
        Ok(u64::try_from(answer.capacity_bytes).ok().filter(|bytes| *bytes > 0))
    }

    /// Asks how full a volume is (`NodeGetVolumeStats`).
    ///
    /// # Errors
    /// If the driver does not answer.
    pub async fn usage(&self, volume: &str, volume_path: &Path) -> Result<VolumeUsage, PluginError> {
        let send = async |channel, request| NodeClient::new(channel).node_get_volume_stats(request).await;
        let request = NodeGetVolumeStatsRequest {
            volume_id: volume.to_owned(),
            volume_path: text(volume_path),
            staging_target_path: String::new(),
        };
        let named = Named::node("NodeGetVolumeStats", Some(volume));
        Ok(self.call(named, request, send).await?.into())
    }

    async fn call<Q, A>(
        &self,
        named: Named<'_>,
        message: Q,
        send: impl AsyncFnOnce(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, PluginError> {
        let start = Instant::now();
        let (answer, code) = call(&self.socket, DEADLINE, message, send).await;
        self.metrics.called(&self.name, named.service, named.call, code, start.elapsed());
        answer.map_err(|(kind, message)| PluginError {
            callee: format!("CSI driver {}", self.name),
            call: named.call,
            volume: named.volume.map(str::to_owned),
            kind,
            message,
        })
    }
}
