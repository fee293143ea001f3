//! What kind of driver it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use pluginapi::csi::Capability;

/// What the driver does when it stages and publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mounting {
    /// It bind-mounts. Takes root, and changes the mounts of the machine.
    Real,
    /// It makes and removes the directories that it should, and mounts nothing.
    Pretended,
}

/// What a driver can do.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// Its name.
    pub name: String,
    /// What it does when it stages and publishes.
    pub mounting: Mounting,
    /// What it says it can do.
    pub capabilities: BTreeSet<Capability>,
    /// The versions of CSI that it registers with.
    pub versions: Vec<String>,
    /// What it calls the node.
    pub node_id: String,
    /// The block device of the node that its volumes are when they are published as devices; none for an empty file.
    pub device: Option<PathBuf>,
    /// How many volumes it can have; 0 for not saying.
    pub max_volumes: i64,
    /// From where its volumes can be reached.
    pub topology: BTreeMap<String, String>,
}

impl DriverOptions {
    /// The driver `name`, which stages, and mounts as `mounting` says.
    #[must_use]
    pub fn new(name: &str, mounting: Mounting) -> Self {
        Self {
            name: name.to_owned(),
            mounting,
            capabilities: BTreeSet::from([
                Capability::StageUnstage,
                Capability::VolumeStats,
                Capability::Expand,
            ]),
            versions: vec!["1.0.0".to_owned()],
            node_id: "node-of-the-driver".to_owned(),
            device: None,
            max_volumes: 0,
            topology: BTreeMap::new(),
        }
    }

    /// The same with these capabilities alone.
    #[must_use]
    pub fn with_capabilities(self, all: impl IntoIterator<Item = Capability>) -> Self {
        Self { capabilities: all.into_iter().collect(), ..self }
    }
}
