//! What the preparation of a pod's volumes comes to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::VolumeFailure;

/// The volumes of a pod that its containers use, ready to be mounted.
#[derive(Debug, Default)]
pub struct Prepared {
    volumes: BTreeMap<String, Mounted>,
    /// Why some of them show what they showed before: what they should show now cannot be had.
    pub behind: Vec<VolumeFailure>,
}

impl Prepared {
    /// The volume `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Mounted> {
        self.volumes.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Mounted)> {
        self.volumes.iter().map(|(name, mounted)| (name.as_str(), mounted))
    }
}

impl FromIterator<(String, Mounted)> for Prepared {
    fn from_iter<I: IntoIterator<Item = (String, Mounted)>>(volumes: I) -> Self {
        Self { volumes: volumes.into_iter().collect(), behind: Vec::new() }
    }
}

/// One volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mounted {
    /// Where its content comes from.
    pub source: MountSource,
    /// Whether containers may never write to it, whatever their mounts say.
    pub read_only: bool,
    /// Whether the runtime may give its files the SELinux label of the containers: the volume is the pod's alone.
    pub selinux_relabel: bool,
}

/// Where a volume's content comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MountSource {
    /// A file or a directory of the node.
    HostPath(PathBuf),
    /// A block device of the node.
    Device(PathBuf),
    /// An image or artifact, which the runtime mounts.
    Image {
        /// Its reference.
        reference: String,
        /// `pullPolicy`: `Always`, `Never` or `IfNotPresent`.
        pull_policy: Option<String>,
    },
}

impl MountSource {
    /// The path on the node of what can be mounted, if it has one.
    #[must_use]
    pub fn host_path(&self) -> Option<&std::path::Path> {
        match self {
            Self::HostPath(path) => Some(path),
            Self::Device(_) | Self::Image { .. } => None,
        }
    }
}
