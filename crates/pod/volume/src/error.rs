//! Why volumes could not be prepared.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use linux::PathError;
use linux::beneath::BeneathError;
use linux::fs::FileKind;
use linux::mount::MountError;
use task::blocking::Abandoned;
use types::PodRef;
use types::downward::DownwardError;
use types::objects::ObjectError;

use crate::atomic::PayloadError;
use crate::paths::UnusableUid;

/// Why a driver did not do it.
pub type DriverError = Box<dyn Error + Send + Sync>;

/// Some of a pod's volumes could not be prepared. The others were.
#[derive(Debug)]
pub struct VolumeError {
    /// The pod.
    pub pod: PodRef,
    /// Those that failed, in the order of the spec; at least one.
    pub failures: Vec<VolumeFailure>,
}

impl VolumeError {
    /// The reason of the event and of `berth why`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        types::reason::event::FAILED_MOUNT
    }

    /// Why the pod cannot run on this node at all, if it cannot: the reason and the message of its status.
    #[must_use]
    pub fn rejection(&self) -> Option<(&'static str, &str)> {
        self.failures.iter().find_map(|failure| match &failure.problem {
            Problem::Rejected { reason, message } => Some((*reason, message.as_str())),
            _ => None,
        })
    }

    /// When one of them is to be tried again; none if trying does not help.
    #[must_use]
    pub fn again_in(&self) -> Option<Duration> {
        self.failures.iter().filter_map(|failure| failure.again_in).min()
    }

    /// Whether the API server could not be asked for something that a volume shows: it may succeed soon, without
    /// anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let unavailable = |failure: &VolumeFailure| matches!(&failure.problem, Problem::Object(error) if error.is_transient());
        self.failures.iter().any(unavailable)
    }
}

/// Prints every failure with its causes: several errors have no single source.
impl fmt::Display for VolumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the volumes of pod {} are not ready", self.pod)?;
        for (index, failure) in self.failures.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            f.write_str(&telemetry::chain(failure))?;
        }
        Ok(())
    }
}

impl Error for VolumeError {}

/// One volume could not be prepared.
#[derive(Debug, thiserror::Error)]
#[error("volume {volume:?} ({kind})")]
pub struct VolumeFailure {
    /// The volume's name.
    pub volume: String,
    /// Its field in the spec, such as `hostPath`.
    pub kind: &'static str,
    /// What was done.
    pub operation: Operation,
    /// What is wrong.
    #[source]
    pub problem: Problem,
    /// When it is to be tried again; none if trying does not help, or nobody waits for it.
    pub again_in: Option<Duration>,
}

/// What is done to show a volume, as events call it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// What is done once for all pods that have the volume.
    MountDevice,
    /// What is done for one pod.
    SetUp,
    /// The first of these, for a volume that is a device of the pod.
    SetUpDevice,
    /// The second.
    MapPodDevice,
}

impl Operation {
    fn is_of_device(self) -> bool {
        matches!(self, Self::SetUpDevice | Self::MapPodDevice)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::MountDevice => "MountVolume.MountDevice",
            Self::SetUp => "MountVolume.SetUp",
            Self::SetUpDevice => "MapVolume.SetUpDevice",
            Self::MapPodDevice => "MapVolume.MapPodDevice",
        }
    }
}

impl VolumeFailure {
    /// Whether it was tried. If not, what is wrong was told when it was.
    #[must_use]
    pub fn was_tried(&self) -> bool {
        !matches!(self.problem, Problem::Resting(_))
    }

    /// The reason of the event.
    #[must_use]
    pub fn event_reason(&self) -> &'static str {
        match &self.problem {
            Problem::Rejected { reason, .. } => reason,
            _ if self.operation.is_of_device() => types::reason::event::FAILED_MAP_VOLUME,
            _ => types::reason::event::FAILED_MOUNT,
        }
    }

    /// The message of the event, which begins as those of other kubelets do.
    #[must_use]
    pub fn event_message(&self) -> String {
        match &self.problem {
            Problem::NotAttached { volume, why } => {
                let of = if self.operation.is_of_device() { "MapVolume" } else { "MountVolume" };
                format!("{of}.WaitForAttach failed for volume {volume:?} : {why}")
            }
            Problem::Rejected { message, .. } => message.clone(),
            problem => {
                let (operation, chain) = (self.operation.as_str(), telemetry::chain(problem));
                format!("{operation} failed for volume {:?} : {chain}", self.volume)
            }
        }
    }
}

/// What is wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The kind, or one of its sources, cannot be had here.
    #[error("{what} needs {needs}")]
    Unsupported {
        /// The kind or source.
        what: String,
        /// What it would take.
        needs: &'static str,
    },
    /// The host path has `..` in it.
    #[error("the path {0:?} must not contain `..`: write out where it leads")]
    Backsteps(String),
    /// `hostPath.type` is none.
    #[error(
        "the type {0:?} is unknown: use DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice, BlockDevice or leave it empty"
    )]
    UnknownType(String),
    /// There is nothing at the host path.
    #[error("hostPath type check failed: there is nothing at {}, where the type {wanted} wants something: create it, or use another type", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
        /// `hostPath.type`.
        wanted: String,
    },
    /// Something else is at the host path.
    #[error("hostPath type check failed: {} is {}, not what the type {wanted} wants: correct the path or the type", path.display(), found.as_str())]
    WrongType {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: FileKind,
        /// `hostPath.type`.
        wanted: String,
    },
    /// The medium of an emptyDir is unknown.
    #[error("the medium {0:?} is unknown: use Memory, HugePages or HugePages-<size>, or leave it empty")]
    UnknownMedium(String),
    /// No container asks for the huge pages that the volume is made of.
    #[error("medium {medium} needs a container that requests {wanted}: add the request")]
    NoHugePages {
        /// The medium.
        medium: String,
        /// The resource that is missing.
        wanted: String,
    },
    /// Containers ask for huge pages of several sizes, and the medium does not say which.
    #[error(
        "medium HugePages does not say which, and containers request several sizes: use HugePages-<size>"
    )]
    SeveralHugePages,
    /// A directory could not be mounted on.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A path of the volume is in a bad state.
    #[error(transparent)]
    Beneath(#[from] BeneathError),
    /// A path could not be used.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An object that it shows cannot be had.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The object lacks a key that is to be shown.
    #[error("{what}: {key}")]
    Key {
        /// What is missing.
        what: &'static str,
        /// The key.
        key: String,
    },
    /// A field of the pod cannot be shown.
    #[error("file {file:?}")]
    Downward {
        /// The file in the volume.
        file: String,
        /// What is wrong with its field.
        #[source]
        source: DownwardError,
    },
    /// The files could not be written.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Whoever makes it did not.
    #[error(transparent)]
    Driver(DriverError),
    /// It is said to be attached to the node, and is not.
    #[error("PersistentVolume {volume:?} cannot be used on this node: {why}")]
    NotAttached {
        /// The PersistentVolume.
        volume: String,
        /// What is wrong, in the words of whoever attaches.
        why: String,
    },
    /// It cannot be had on this node, and the pod is to make way for one elsewhere.
    #[error("{message}")]
    Rejected {
        /// The reason of the pod's end.
        reason: &'static str,
        /// What is told of it.
        message: String,
    },
    /// It failed lately, as is said here, and is not tried again yet.
    #[error("{0}")]
    Resting(Arc<str>),
    /// Whoever makes it has not done so yet.
    #[error("its driver has not made it within {0:?}: look at the driver's log")]
    DriverLate(Duration),
    /// The pod's UID.
    #[error(transparent)]
    Uid(#[from] UnusableUid),
    /// The kernel does not answer.
    #[error("a file system does not answer: check {path} and the mounts above it")]
    Hung {
        /// The path that was asked about.
        path: String,
        /// For how long it was waited.
        #[source]
        source: Abandoned,
    },
    /// An earlier attempt still hangs.
    #[error(
        "an earlier attempt still waits for a file system that does not answer: check {path} and the mounts above it"
    )]
    StillHung {
        /// The path that was asked about.
        path: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_events_say() {
        let failure = |problem| VolumeFailure {
            volume: "data".into(),
            kind: "persistentVolumeClaim",
            operation: Operation::SetUp,
            problem,
            again_in: None,
        };
        let not_attached = failure(Problem::NotAttached { volume: "pv".into(), why: "no".into() });
        let rejected = failure(Problem::Rejected { reason: "NoRoom", message: "full".into() });
        let device = |operation, problem| VolumeFailure { operation, ..failure(problem) };
        let late = || Problem::DriverLate(Duration::from_secs(1));
        let (staged, mapped) =
            (device(Operation::MountDevice, late()), device(Operation::MapPodDevice, late()));
        let unattached =
            device(Operation::SetUpDevice, Problem::NotAttached { volume: "pv".into(), why: "no".into() });
        let why =
            "failed for volume \"data\" : its driver has not made it within 1s: look at the driver's log";
        for (failure, reason, message) in [
            (&staged, "FailedMount", &*format!("MountVolume.MountDevice {why}")),
            (&mapped, "FailedMapVolume", &*format!("MapVolume.MapPodDevice {why}")),
            (&unattached, "FailedMapVolume", "MapVolume.WaitForAttach failed for volume \"pv\" : no"),
            (&not_attached, "FailedMount", "MountVolume.WaitForAttach failed for volume \"pv\" : no"),
            (&rejected, "NoRoom", "full"),
        ] {
            assert_eq!((failure.event_reason(), failure.event_message().as_str()), (reason, message));
        }
        let pod = PodRef::of(&types::Pod::default());
        let only = VolumeError { pod: pod.clone(), failures: vec![not_attached] };
        assert_eq!(only.rejection(), None);
        let all = VolumeError { pod, failures: only.failures.into_iter().chain([rejected]).collect() };
        assert_eq!(all.rejection(), Some(("NoRoom", "full")));
    }
}
