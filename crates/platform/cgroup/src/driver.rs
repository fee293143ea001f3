//! Who makes cgroups: berth itself, or systemd for it. Runtime and node agent have to agree, for two owners of one tree
//! undo one another's work.

use std::fmt;
use std::str::FromStr;

use crate::CgroupName;

/// The cgroup driver (`cgroupDriver`; `RuntimeConfig` of CRI).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Driver {
    /// Directories made and files written by berth.
    Cgroupfs,
    /// Transient slices made by systemd.
    Systemd,
}

impl Driver {
    /// The driver to use: what the runtime says it uses, or else what is configured (runtimes before containerd 2.0
    /// do not say).
    #[must_use]
    pub fn choose(configured: Self, runtime: Option<Self>) -> Self {
        runtime.unwrap_or(configured)
    }

    /// The configuration's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }

    /// Where `name` is below the mount point of a hierarchy. This is also what a runtime takes as `cgroup_parent`.
    #[must_use]
    pub fn path(self, name: &CgroupName) -> String {
        match self {
            Self::Cgroupfs => name.cgroupfs_path(),
            Self::Systemd => name.slice_path(),
        }
    }

    /// The name of a directory found in the cgroup `parent`, if it can be one of ours.
    pub(crate) fn child(self, parent: &CgroupName, directory: &str) -> Option<CgroupName> {
        match self {
            Self::Cgroupfs => parent.child(directory).ok(),
            Self::Systemd => {
                let prefix = match parent.slice().strip_suffix(".slice")? {
                    "-" => String::new(),
                    stem => format!("{stem}-"),
                };
                let part = directory.strip_prefix(&prefix)?.strip_suffix(".slice")?;
                if part.contains('-') { None } else { parent.child(&part.replace('_', "-")).ok() }
            }
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no driver.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no cgroup driver: expected cgroupfs or systemd")]
pub struct UnknownDriver {
    text: String,
}

impl FromStr for Driver {
    type Err = UnknownDriver;

    fn from_str(text: &str) -> Result<Self, UnknownDriver> {
        match text {
            "cgroupfs" => Ok(Self::Cgroupfs),
            "systemd" => Ok(Self::Systemd),
            _ => Err(UnknownDriver { text: text.chars().take(64).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_wins() {
        assert_eq!(Driver::choose(Driver::Cgroupfs, Some(Driver::Systemd)), Driver::Systemd);
        assert_eq!(Driver::choose(Driver::Systemd, None), Driver::Systemd);
    }

    #[test]
    fn children_are_found_again() {
        let parent = CgroupName::new(["kubepods", "burstable"]).unwrap();
        let pod = parent.child("pod1-2").unwrap();
        assert_eq!(Driver::Cgroupfs.child(&parent, "pod1-2"), Some(pod.clone()));
        assert_eq!(Driver::Systemd.child(&parent, &pod.slice()), Some(pod));
        for other in
            ["kubepods-burstable.slice", "cri-containerd-abc.scope", "kubepods-burstable-a-b.slice", "x"]
        {
            assert_eq!(Driver::Systemd.child(&parent, other), None, "{other}");
        }
        assert_eq!(
            Driver::Systemd.child(&CgroupName::root(), "kubepods.slice").unwrap().leaf(),
            Some("kubepods")
        );
    }
}
