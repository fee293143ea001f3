//! How well the runtime's state is known.

use tokio::time::Instant;

/// How changes are learnt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// From the runtime's event stream, with a slow relist as the safety net.
    Events,
    /// From a relist every second: the runtime has no events, or they cannot be relied on now.
    Polling,
}

/// The state of the generator itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Health {
    /// How changes are learnt now.
    pub mode: Mode,
    /// When the runtime's list was last read whole; `None`: not yet.
    pub last_relist: Option<Instant>,
    /// Why the last relist failed, if it did.
    pub error: Option<String>,
}
