//! Images: whether one has to be pulled, with which credentials, how many at once, and when to try again.
//!
//! Decides: the pull policy ([`policy`]), which credentials fit a registry ([`keyring`]), what a name means
//! ([`reference`]), and which images go when the disk fills up ([`gc`]).
//!
//! Tasks: one per pull under way, however many pods wait for it. It ends with the pull, or when nobody has waited for
//! it for a minute. And [`gc::Collector::run`], which wakes every five minutes: how full a disk is comes with no event.
//!
//! Does not: fetch secrets, run credential providers, or verify that a pod may use what another one pulled.

pub mod gc;
pub mod keyring;
mod metrics;
pub mod policy;
pub mod reference;

mod images;
mod pulls;

pub use images::{Ensured, ImageError, Images, Options, Request};
pub use metrics::Metrics;
