//! The driver's two services.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pluginapi::csi::Capability;
use pluginapi::proto::csi::identity_server::Identity;
use pluginapi::proto::csi::node_server::Node;
use pluginapi::proto::csi::node_service_capability::rpc::Type as Rpc;
use pluginapi::proto::csi::node_service_capability::{Rpc as RpcCapability, Type};
use pluginapi::proto::csi::volume_usage::Unit;
use pluginapi::proto::csi::{
    GetPluginInfoRequest, GetPluginInfoResponse, NodeExpandVolumeRequest, NodeExpandVolumeResponse,
    NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse,
    NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, NodePublishVolumeRequest,
    NodePublishVolumeResponse, NodeServiceCapability, NodeStageVolumeRequest, NodeStageVolumeResponse,
    NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse, NodeUnstageVolumeRequest,
    NodeUnstageVolumeResponse, ProbeRequest, ProbeResponse, Topology, VolumeCondition, VolumeUsage,
};
use tonic::{Request, Response, Status, async_trait};

use super::DriverOptions;
use super::volumes::Volumes;
use crate::plugin::Served;

/// What serves. Its state outlives a crash of the driver, as mounts do.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) served: Served,
    pub(super) options: Arc<DriverOptions>,
    pub(super) volumes: Arc<Mutex<Volumes>>,
    /// How many volumes it says it can have.
    pub(super) max_volumes: Arc<std::sync::atomic::AtomicI64>,
    /// The last requests to stage and to publish, with all that they said.
    pub(super) last: Arc<Mutex<Last>>,
}

#[derive(Clone, Default, Debug)]
pub(super) struct Last {
    pub(super) stage: Option<NodeStageVolumeRequest>,
    pub(super) publish: Option<NodePublishVolumeRequest>,
    pub(super) expand: Option<NodeExpandVolumeRequest>,
}

impl Serving {
    pub(super) fn volumes(&self) -> MutexGuard<'_, Volumes> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn can(&self, capability: Capability) -> Result<(), Status> {
        let can = self.options.capabilities.contains(&capability);
        if can { Ok(()) } else { Err(Status::unimplemented(format!("this driver lacks {capability:?}"))) }
    }
}

#[async_trait]
impl Identity for Serving {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        let answer = GetPluginInfoResponse {
            name: self.options.name.clone(),
            vendor_version: "0.1".to_owned(),
            ..Default::default()
        };
        self.served.serve("GetPluginInfo", None, String::new(), || Ok(answer)).await
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let answer = || Ok(ProbeResponse { ready: Some(true) });
        self.served.serve("Probe", None, String::new(), answer).await
    }
}

#[async_trait]
impl Node for Serving {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        let request = request.into_inner();
        self.last().stage = Some(request.clone());
        let (volume, path) = (request.volume_id, request.staging_target_path);
        let act = || {
            self.can(Capability::StageUnstage)?;
            self.volumes().stage(&volume, Path::new(&path))?;
            Ok(NodeStageVolumeResponse {})
        };
        self.served.serve("NodeStageVolume", Some(&volume), path.clone(), act).await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        let request = request.into_inner();
        let (volume, path) = (request.volume_id, request.staging_target_path);
        let act = || {
            self.can(Capability::StageUnstage)?;
            self.volumes().unstage(&volume, Path::new(&path))?;
            Ok(NodeUnstageVolumeResponse {})
        };
        self.served.serve("NodeUnstageVolume", Some(&volume), path.clone(), act).await
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let request = request.into_inner();
        self.last().publish = Some(request.clone());
        let (volume, target) = (request.volume_id, request.target_path);
        let staging = request.staging_target_path;
        let act = || {
            let staged = self.options.capabilities.contains(&Capability::StageUnstage);
            // An ephemeral volume is not staged, whatever the driver can do.
            let staging = (staged && !staging.is_empty()).then(|| Path::new(&staging));
            self.volumes().publish(&volume, staging, Path::new(&target), request.readonly)?;
            Ok(NodePublishVolumeResponse {})
        };
        self.served.serve("NodePublishVolume", Some(&volume), target.clone(), act).await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let (volume, target) = (request.volume_id, request.target_path);
        let act = || {
            self.volumes().unpublish(Path::new(&target))?;
            Ok(NodeUnpublishVolumeResponse {})
        };
        self.served.serve("NodeUnpublishVolume", Some(&volume), target.clone(), act).await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        let request = request.into_inner();
        let act = || {
            self.can(Capability::VolumeStats)?;
            let volumes = self.volumes();
            if !volumes.is_at(&request.volume_id, Path::new(&request.volume_path)) {
                return Err(Status::not_found("the volume is not there"));
            }
            let usage = |unit: Unit, total| VolumeUsage {
                available: total / 4 * 3,
                total,
                used: total / 4,
                unit: unit.into(),
            };
            let size = volumes.size(&request.volume_id);
            let usage = vec![usage(Unit::Bytes, size), usage(Unit::Inodes, 400)];
            let tells = self.options.capabilities.contains(&Capability::VolumeCondition);
            let abnormal = volumes.abnormal.get(&request.volume_id);
            let volume_condition = tells.then(|| VolumeCondition {
                abnormal: abnormal.is_some(),
                message: abnormal.cloned().unwrap_or_default(),
            });
            Ok(NodeGetVolumeStatsResponse { usage, volume_condition })
        };
        let (volume, path) = (request.volume_id.clone(), request.volume_path.clone());
        self.served.serve("NodeGetVolumeStats", Some(&volume), path, act).await
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        let request = request.into_inner();
        self.last().expand = Some(request.clone());
        let bytes = request.capacity_range.as_ref().map_or(0, |range| range.required_bytes);
        let act = || {
            self.can(Capability::Expand)?;
            let path = Path::new(&request.volume_path);
            let capacity_bytes = self.volumes().grow(&request.volume_id, path, bytes)?;
            Ok(NodeExpandVolumeResponse { capacity_bytes })
        };
        self.served.serve("NodeExpandVolume", Some(&request.volume_id), bytes.to_string(), act).await
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        let rpc = |capability: &Capability| match capability {
            Capability::StageUnstage => Rpc::StageUnstageVolume,
            Capability::VolumeStats => Rpc::GetVolumeStats,
            Capability::Expand => Rpc::ExpandVolume,
            Capability::VolumeCondition => Rpc::VolumeCondition,
            Capability::SingleNodeMultiWriter => Rpc::SingleNodeMultiWriter,
            Capability::VolumeMountGroup => Rpc::VolumeMountGroup,
        };
        let wire = |capability| NodeServiceCapability {
            r#type: Some(Type::Rpc(RpcCapability { r#type: rpc(capability).into() })),
        };
        let capabilities = self.options.capabilities.iter().map(wire).collect();
        let answer = NodeGetCapabilitiesResponse { capabilities };
        self.served.serve("NodeGetCapabilities", None, String::new(), || Ok(answer)).await
    }

    async fn node_get_info(
        &self,
        _: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        let segments = self.options.topology.clone().into_iter().collect();
        let answer = NodeGetInfoResponse {
            node_id: self.options.node_id.clone(),
            max_volumes_per_node: self.max_volumes.load(std::sync::atomic::Ordering::Relaxed),
            accessible_topology: Some(Topology { segments }),
        };
        self.served.serve("NodeGetInfo", None, String::new(), || Ok(answer)).await
    }
}
