//! Volumes of CSI drivers on the node: staged once, published to each pod, and taken down again (Kubernetes: "Volumes,
//! CSI"; the CSI specification, "Node Service RPC").
//!
//! Decides: which drivers there are ([`Drivers`], the handler of plugins of the type `CSIPlugin`), what is to be done next
//! with a volume (pure, in [`plan`]: from who wants it and what is there), what is there (pure, in [`place`]: from the
//! disk, the mount table and what drivers answered), which volumes are on the node ([`Here`]), what the cluster is told of
//! the drivers (pure, in [`announce`]). All that outlives berth is on disk, in the files of the kubelet: a
//! note beside everything that was begun, and a mark beside what was made whole.
//!
//! Besides, [`Volumes`] asks drivers how full volumes are, and has them fill what they have grown to.
//!
//! Tasks: one that tells the pod while its volume is being given to its group, which ends with that, and one for each call by
//! which a driver does something, which ends with its answer. [`Volumes`] is called by the pod's worker. At one volume only one
//! of them works at a time (`work`); what it does may be dropped at any await, and a thread or a driver that hangs keeps its
//! volume, and no other.
//!
//! Does not: ask the API server or tell it anything (what a driver is told of a volume comes in as [`Wanted`], which [`wanted`]
//! makes of the objects; of what the cluster is told it says what is to be written), attach or detach, unmount a file system
//! itself, or remove anything but empty directories and its own files.

pub mod announce;
mod attachment;
mod calls;
mod config;
mod disk;
mod drivers;
mod error;
mod expand;
mod here;
mod layout;
mod note;
mod owner;
pub mod place;
pub mod plan;
mod policy;
mod spec;
mod usage;
mod version;
mod volumes;
mod wanted;
mod work;

pub use attachment::{AttachProblem, is_exhausted, publish_context, refusal};
pub use config::VolumesConfig;
pub use disk::DiskError;
pub use drivers::{Drivers, Registered, Table};
pub use error::{HereError, TakeDownError, VolumeError};
pub use expand::{ExpandError, Growth, expand_secret};
pub use here::Here;
pub use layout::{Layout, VolumeId, qualified_name};
pub use note::{Lifecycle, Note, NoteError, fuzz};
pub use policy::{FsGroupPolicy, Policy};
pub use spec::{Found, FoundToken, Needs, SecretName, Source, SpecError, wanted};
pub use usage::{Condition, Usage};
pub use volumes::Volumes;
pub use wanted::{Group, PodContext, Wanted};
