//! What can go wrong with a cgroup.

use std::io;
use std::path::{Path, PathBuf};

use crate::systemd::SystemdError;
use crate::{CgroupName, NameError};

/// Why a cgroup could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A directory or file of a cgroup hierarchy.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried, such as `create`.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A value the kernel did not take.
    #[error("could not write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The text.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A controller could not be passed down to the cgroups below.
    #[error(
        "could not enable the controller {controller} for the cgroups below {}: processes may be living in that cgroup itself, which cgroup v2 does not allow together with controllers; move them into a cgroup of their own",
        path.display()
    )]
    Delegate {
        /// The controller.
        controller: String,
        /// The cgroup whose children want it.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit for something that the node does not control.
    #[error(
        "the cgroup controller {controller} is not mounted, so that {file} cannot be set: mount it or leave that limit out"
    )]
    ControllerMissing {
        /// The controller.
        controller: String,
        /// The file that wants it.
        file: String,
    },
    /// Controllers without which no pod can be run.
    #[error("the cgroup controllers {} are not mounted at {}: they are needed to run pods", controllers.join(", "), mount_point.display())]
    RequiredMissing {
        /// The controllers.
        controllers: Vec<&'static str>,
        /// Where they were looked for.
        mount_point: PathBuf,
    },
    /// A cgroup that the configuration names does not exist.
    #[error(
        "the cgroup {name} of the configuration ({field}) does not exist: create it, or correct the configuration"
    )]
    NoSuchCgroup {
        /// The cgroup.
        name: CgroupName,
        /// The field that names it, such as `cgroupRoot`.
        field: &'static str,
    },
    /// Processes that do not go away.
    #[error(
        "the cgroup {name} could not be removed: processes {pids:?} are still in it after being killed {rounds} times"
    )]
    Busy {
        /// The cgroup.
        name: CgroupName,
        /// Up to 16 of the processes; none if they were gone again when looked for.
        pids: Vec<u32>,
        /// How often they were killed.
        rounds: u32,
    },
    /// Something that cannot be a cgroup's name, such as a pod's UID with a slash.
    #[error(transparent)]
    Name(#[from] NameError),
    /// systemd did not do what it was asked for.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// The thread that worked on the files panicked, or the program is ending.
    #[error("the work on the cgroup {name} was given up")]
    Abandoned {
        /// The cgroup.
        name: CgroupName,
    },
}

impl CgroupError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
