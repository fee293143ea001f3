//! Images: whether one has to be pulled, with which credentials, how many at once, and when to try again.
//!
//! Decides: the pull policy ([`policy`]), which credentials fit a registry ([`keyring`], `secrets`), what a name means
//! ([`reference`]), whether a pod may use what another one pulled (`verification`; `access` records what was pulled and
//! how), and which images go when the disk fills up ([`gc`]).
//!
//! Tasks: one per pull under way, however many pods wait for it. It ends with the pull, or when nobody has waited for
//! it for a minute. And [`gc::Collector::run`], which wakes every five minutes: how full a disk is comes with no event.
//!
//! Does not: fetch secrets, or run credential providers.

pub mod gc;
pub mod keyring;
mod metrics;
pub mod policy;
pub mod reference;

mod access;
mod credentials;
mod images;
mod pulls;
mod records;
mod secrets;
mod verification;

pub use access::Access;
pub use credentials::NodeCredentials;
pub use images::{Ensured, ImageError, Images, Options, Request};
pub use metrics::Metrics;
pub use verification::Verification;
