//! Volumes that the kubelet mounts itself, without a driver of CSI: `local`, `nfs`, `iscsi`, `fc` and `flexVolume`
//! (Kubernetes: "Volumes"; other kubelets call them in-tree plugins).
//!
//! Decides: what a pod is to have (pure, in [`wanted`]: from a PersistentVolume or from the pod's spec), what is to be done
//! next (pure, in [`plan`]), with which commands and options (pure, one module per kind), and whether a disk is formatted
//! (pure, in `format`). All that outlives berth is on disk and in the mount table: a note beside everything that was begun,
//! a mark beside what was made whole, and a file with a lock for each command that runs, which goes on when berth is killed.
//!
//! Tasks: none of its own but one for each command, until that ends. [`Volumes`] is called by the pod's worker. At one volume
//! and at one device only one of them works at a time; what it does may be dropped at any await. A command or a thread that
//! hangs keeps its volume, and no other.
//!
//! Does not: ask the API server (what a volume needs of it comes in as values), touch what is mounted to find out whether it
//! is there, unmount lazily, remove anything but empty directories, links and its own files, or follow a link below the root
//! directory. Of a disk that a pod gets as a device nothing is read or written.

mod command;
mod disk;
mod error;
mod fc;
mod flexvolume;
mod format;
mod iscsi;
mod layout;
mod local;
mod machine;
mod nfs;
mod options;
mod owner;
pub mod plan;
mod portals;
mod refs;
mod run;
mod spec;
mod volumes;
mod wanted;

pub use command::Command;
pub use disk::{DiskError, Here};
pub use error::{TakeDownError, VolumeError};
pub use fc::{Disk as FcDisk, Naming, NoDisk};
pub use flexvolume::{Flex, FlexError, Secret};
pub use format::FormatError;
pub use iscsi::{Credentials, Disk as IscsiDisk, IscsiError};
pub use layout::{Device, Layout, Plugin, Target};
pub use local::{Local, LocalError};
pub use machine::Machine;
pub use nfs::Nfs;
pub use run::{CommandError, Said};
pub use spec::{SecretName, Source, SpecError, is_read_only, wanted};
pub use volumes::{Growth, Shown, Volumes, VolumesConfig};
pub use wanted::{Group, Kind, Wanted};
