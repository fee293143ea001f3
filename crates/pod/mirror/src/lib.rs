//! Mirror pods: the images by which an API server shows static pods (Kubernetes: "Static Pods").
//!
//! Decides, purely: what the mirror of a static pod is ([`mirror_of`]), and which mirrors are to be created and deleted
//! ([`plan()`]): one for each static pod that is wanted, of its present manifest; those of pods that are gone go.
//!
//! One task, [`Mirrors::run`]: reads the static pods, the API server's pods and the Node object, creates and deletes
//! mirrors, and wakes on a change of any of them, on the end of a request, and when one that failed is due again.
//!
//! Does not: write the status of a mirror, which is its static pod's (`status`); stop or start anything.

mod mirrors;
mod object;
mod plan;

pub use mirrors::{Metrics, MirrorApi, Mirrors};
pub use object::mirror_of;
pub use plan::{Action, StaticPods, plan};
