//! Having the file system of a volume fill what the volume has grown to (KEP-556; `NodeExpandVolume`).

use pluginapi::PluginErrorKind;
use pluginapi::csi::{AccessMode, AccessType, Capability, Expand, Secrets, VolumeAccess};
use types::PodUid;
use types::corev1::{PersistentVolume, Secret};
use volume::claim::VolumeMode;

use crate::error::VolumeError;
use crate::layout::{Site, VolumeId};
use crate::owner::carry;
use crate::plan::Target;
use crate::spec::{SecretName, SpecError, secrets};
use crate::volumes::Volumes;

/// How a volume has to grow.
#[derive(Clone, Debug)]
pub struct Growth {
    volume: VolumeId,
    target: Target,
    bytes: u64,
    access: VolumeAccess,
    secrets: Secrets,
}

/// A volume has not grown.
#[derive(Debug, thiserror::Error)]
pub enum ExpandError {
    /// The pod does not have it (any more). Nothing was asked.
    #[error("volume {0} is not there to grow")]
    NotThere(VolumeId),
    /// The driver has nothing to do for it on nodes. Nothing was asked.
    #[error("NodeExpand is not supported by the CSI driver {0}")]
    Unsupported(String),
    /// It did not work.
    #[error("Expander.NodeExpand failed to expand the volume : {0}")]
    Volume(#[source] VolumeError),
}

impl ExpandError {
    fn kind(&self) -> Option<PluginErrorKind> {
        match self {
            Self::Volume(VolumeError::Driver(error)) => Some(error.kind),
            _ => None,
        }
    }

    /// Whether the driver has said no, so that nothing of it is under way any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.kind().is_some_and(|kind| !kind.is_uncertain())
    }

    /// Whether the volume can never have this size.
    #[must_use]
    pub fn is_infeasible(&self) -> bool {
        self.kind().is_some_and(PluginErrorKind::is_infeasible)
    }

    /// Whether the driver does it only while nobody uses the volume.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.kind() == Some(PluginErrorKind::Precondition)
    }
}

/// The Secret that the driver of `volume` is given when it grows (`nodeExpandSecretRef`).
#[must_use]
pub fn expand_secret(volume: &PersistentVolume) -> Option<SecretName> {
    let reference = volume.spec.as_ref()?.csi.as_ref()?.node_expand_secret_ref.as_ref()?;
    Some(SecretName {
        namespace: reference.namespace.clone().unwrap_or_default(),
        name: reference.name.clone().unwrap_or_default(),
    })
}

impl Growth {
    /// The growth of `volume`, which `pod` has, to `bytes` at least. `secret` is that of [`expand_secret`].
    ///
    /// # Errors
    /// If it is no volume of a CSI driver, or the Secret is no text.
    pub fn of(
        volume: &PersistentVolume,
        pod: &PodUid,
        bytes: u64,
        secret: Option<&Secret>,
    ) -> Result<Self, SpecError> {
        let spec_name = volume.metadata.name.clone().unwrap_or_default();
        let spec = volume.spec.as_ref();
        let csi = spec.and_then(|spec| spec.csi.as_ref());
        let (Some(spec), Some(csi)) = (spec, csi) else { return Err(SpecError::NotCsi(spec_name)) };
        let mode = match spec.access_modes.iter().flatten().next() {
            None => AccessMode::ReadWriteOnce,
            Some(mode) => AccessMode::named(mode).ok_or_else(|| SpecError::AccessMode(mode.clone()))?,
        };
        let volume_mode = VolumeMode::of(volume);
        let as_type = match volume_mode {
            VolumeMode::Block => AccessType::Block,
            VolumeMode::Filesystem => AccessType::Mount {
                fs_type: csi.fs_type.clone().unwrap_or_default(),
                flags: spec.mount_options.clone().unwrap_or_default(),
                group: None,
            },
        };
        Ok(Self {
            volume: VolumeId { driver: csi.driver.clone(), handle: csi.volume_handle.clone() },
            target: Target { pod: pod.clone(), mode: volume_mode, spec_name },
            bytes,
            access: VolumeAccess { mode, as_type },
            secrets: secrets(secret)?,
        })
    }
}

impl Volumes {
    /// The volume that the pod calls `name`, if its driver has something to do on nodes when volumes grow. Asks nobody but, once,
    /// the driver what it can do.
    pub async fn expandable(&self, pod: &PodUid, name: &str) -> Option<VolumeId> {
        let volume = self.called(pod, name).await?;
        self.expands(&volume.driver).await.then_some(volume)
    }

    /// Whether the driver has something to do on nodes when volumes grow; not if it does not say.
    pub async fn expands(&self, driver: &str) -> bool {
        let Some(registered) = self.config.drivers.get(driver) else { return false };
        registered.capabilities().await.is_ok_and(|capabilities| capabilities.has(Capability::Expand))
    }

    /// Has the driver make the file system of a volume grow, which a pod has. Nobody stages, publishes or takes down the
    /// volume meanwhile. Doing it again is the same as once. May be dropped at any time.
    ///
    /// # Errors
    /// If it cannot, or it is not known whether it did.
    pub async fn expand(&self, growth: &Growth) -> Result<(), ExpandError> {
        let Growth { volume, target, bytes, access, secrets } = growth;
        let turn = self.turn_if_whole(volume, target).await.map_err(ExpandError::Volume)?;
        // A driver that is asked for a volume that was just taken away says that it does not exist, which would count for ever.
        let Some(turn) = turn else { return Err(ExpandError::NotThere(volume.clone())) };
        let (driver, capabilities) = self.config.driver(volume).await.map_err(ExpandError::Volume)?;
        if !capabilities.has(Capability::Expand) {
            return Err(ExpandError::Unsupported(volume.driver.clone()));
        }
        let stages = capabilities.has(Capability::StageUnstage);
        let expand = Expand {
            volume: volume.handle.clone(),
            volume_path: self.config.published_path(target).map_err(ExpandError::Volume)?,
            staging_path: stages.then(|| self.config.layout.staged_path(&Site::of(volume, target))),
            bytes: *bytes,
            access: access.clone(),
            secrets: secrets.clone(),
        };
        let (expanded, _turn) = carry(turn, async move { driver.expand(&expand, &capabilities).await }).await;
        expanded.map(|_| ()).map_err(|error| ExpandError::Volume(error.into()))
    }
}
