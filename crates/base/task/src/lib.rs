//! What tasks are made of: supervision, back-off, rates, bounded starts, deadlines for calls that block, atomic
//! files and whether one has changed, and the cell in which a pod's worker says where it is.
//!
//! Decides: how delays double ([`doubling`]), when a key may be tried again ([`backoff`]), whether a rate allows one more
//! ([`rate`]).
//!
//! Tasks: [`supervisor::Supervisor`] runs those of the program and tells which one ended.
//!
//! Does not: know what the tasks do.

pub mod backoff;
pub mod blocking;
pub mod cell;
pub mod doubling;
pub mod events;
pub mod file;
pub mod rate;
pub mod slots;
pub mod stamp;
pub mod supervisor;
