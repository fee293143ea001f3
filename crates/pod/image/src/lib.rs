//! Images: whether one has to be pulled, with which credentials, how many at once, and when to try again.
//!
//! Decides: the pull policy ([`policy`]), which credentials fit a registry ([`keyring`]), what a name means
//! ([`reference`]).
//!
//! Tasks: one per pull under way, however many pods wait for it. It ends with the pull; a pod that stops waiting does
//! not end it.
//!
//! Does not: collect garbage, and fetch secrets (they come with the request).

pub mod keyring;
mod metrics;
pub mod policy;
pub mod reference;

mod images;
mod pulls;

pub use images::{Ensured, ImageError, Images, Options, Request};
pub use metrics::Metrics;
