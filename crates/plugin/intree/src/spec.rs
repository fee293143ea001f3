//! From a PersistentVolume, or from a volume in a pod's spec, to what a pod is to have. Pure.

use types::corev1::{PersistentVolume, PersistentVolumeSpec, Volume};
use types::{Pod, PodRef, pod};
use volume::ownership::{self, ChangePolicy};

use crate::format;
use crate::layout::{Plugin, Target};
use crate::local::Local;
use crate::nfs::Nfs;
use crate::options;
use crate::wanted::{Group, Kind, Wanted};

/// Where a pod has a volume from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// From a PersistentVolume, by a claim.
    Persistent {
        /// The volume.
        volume: &'a PersistentVolume,
        /// Its name in the pod's spec.
        name: &'a str,
        /// Whether the pod wants to read only.
        read_only: bool,
    },
    /// From its own spec.
    Inline(&'a Volume),
}

/// Why it cannot be said what a pod is to have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// It is made by somebody else, or by nobody.
    #[error("volume {0:?} is of a kind that berth does not mount")]
    Foreign(String),
    /// It says nothing of where it is.
    #[error("LocalVolume volume {0:?} path is empty")]
    NoPath(String),
}

impl Source<'_> {
    /// Whether the volume is of a kind that is made here.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Persistent { volume, .. } => {
                volume.spec.as_ref().is_some_and(|spec| spec.local.is_some() || spec.nfs.is_some())
            }
            Self::Inline(volume) => volume.nfs.is_some(),
        }
    }

    /// The name of its directories.
    fn spec_name(&self) -> String {
        match self {
            Self::Persistent { volume, .. } => volume.metadata.name.clone().unwrap_or_default(),
            Self::Inline(volume) => volume.name.clone(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Persistent { name, .. } => (*name).to_owned(),
            Self::Inline(volume) => volume.name.clone(),
        }
    }

    fn persistent(&self) -> Option<&PersistentVolumeSpec> {
        match self {
            Self::Persistent { volume, .. } => volume.spec.as_ref(),
            Self::Inline(_) => None,
        }
    }

    fn inline(&self) -> Option<&Volume> {
        match self {
            Self::Persistent { .. } => None,
            Self::Inline(volume) => Some(volume),
        }
    }
}

/// What `pod` is to have from `source`.
///
/// # Errors
/// If that cannot be said.
pub fn wanted(pod: &Pod, source: Source<'_>) -> Result<Wanted, SpecError> {
    let spec_name = source.spec_name();
    let (plugin, kind) = kind(source, &spec_name)?;
    let (read_only, mount_options) = match source {
        Source::Persistent { volume, read_only, .. } => (read_only, options::of(volume)),
        Source::Inline(volume) => (is_read_only(volume), Vec::new()),
    };
    Ok(Wanted {
        pod: PodRef::of(pod),
        target: Target { pod: PodRef::of(pod).uid, plugin, spec_name },
        name: source.name(),
        read_only,
        mount_options,
        group: group(pod),
        kind,
    })
}

fn kind(source: Source<'_>, spec_name: &str) -> Result<(Plugin, Kind), SpecError> {
    let (persistent, inline) = (source.persistent(), source.inline());
    if let Some(local) = persistent.and_then(|spec| spec.local.as_ref()) {
        if local.path.is_empty() {
            return Err(SpecError::NoPath(spec_name.to_owned()));
        }
        let fs_type = local.fs_type.clone().unwrap_or_else(|| format::DEFAULT.to_owned());
        return Ok((Plugin::Local, Kind::Local(Local { path: local.path.clone().into(), fs_type })));
    }
    let nfs = persistent.and_then(|spec| spec.nfs.as_ref());
    if let Some(nfs) = nfs.or_else(|| inline.and_then(|volume| volume.nfs.as_ref())) {
        let (server, path) = (nfs.server.clone(), nfs.path.clone());
        return Ok((Plugin::Nfs, Kind::Nfs(Nfs { server, path })));
    }
    Err(SpecError::Foreign(spec_name.to_owned()))
}

/// Whether a volume in a pod's spec that is made here may only be read.
#[must_use]
pub fn is_read_only(volume: &Volume) -> bool {
    volume.nfs.as_ref().and_then(|nfs| nfs.read_only) == Some(true)
}

fn group(pod: &Pod) -> Option<Group> {
    let context = pod::spec(pod).security_context.as_ref();
    let policy = match context.and_then(|context| context.fs_group_change_policy.as_deref()) {
        Some("OnRootMismatch") => ChangePolicy::OnRootMismatch,
        _ => ChangePolicy::Always,
    };
    ownership::fs_group(pod).map(|id| Group { id, policy })
}

#[cfg(test)]
mod tests;
