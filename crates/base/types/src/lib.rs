//! The words every other crate speaks: identifiers, views over a Kubernetes `Pod`, quantities and resource sums,
//! QoS classes, the runtime state as berth sees it, pod changes, events and progress.
//!
//! Decides: nothing that needs a clock, a lock or I/O. Everything here is a value or a pure function over values.
//!
//! Does not: read manifests (`source`), default or validate them (`schema`), talk to a runtime (`cri`).

pub mod change;
pub mod downward;
pub mod event;
pub mod expand;
pub mod hash;
pub mod ids;
pub mod labels;
pub mod objects;
pub mod observed;
pub mod pod;
pub mod probe;
pub mod progress;
pub mod qos;
pub mod quantity;
pub mod reason;
pub mod resources;
pub mod restart;

/// The Kubernetes API types. The API version is chosen once, in the workspace's `Cargo.toml`.
pub use k8s_openapi as k8s;
pub use k8s_openapi::api::core::v1 as corev1;
pub use k8s_openapi::api::core::v1::{Container, Pod};

pub use change::{PodChange, SourceKind};
pub use event::{Event, EventKind, StorageRef};
pub use ids::{ContainerId, PodName, PodRef, PodUid, SandboxId};
pub use observed::{ContainerState, ObservedContainer, ObservedPod, ObservedSandbox, SandboxState};
pub use pod::ContainerKind;
pub use probe::{Probes, Verdict};
pub use progress::{Ended, Failure, Failures, Progress, Step, StepFailure};
pub use qos::QosClass;
pub use quantity::Quantity;
pub use restart::{AfterExit, RestartPolicy};
