//! Plugins of a node, as servers on real sockets with a journal and faults on demand: before or after any call they
//! hang, fail, or crash.

mod fake;
mod fault;
mod journal;
mod served;

pub use crate::faults::FaultGuard;
pub use fake::FakePlugin;
pub use fault::{Fault, Moment, Strike};
pub use journal::{Call, NotSeen};
pub(crate) use served::Served;
pub use tonic::Code;
