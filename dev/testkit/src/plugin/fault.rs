//! Faults on demand.

use tonic::Code;

/// When in a call a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Before anything was done.
    Before,
    /// When all is done and only the answer is missing.
    After,
}

/// What happens to a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It waits until the fault is lifted, and goes on.
    Hang,
    /// It fails.
    Fail(Code, String),
    /// The plugin crashes: all connections break, its sockets are there and nobody listens.
    Crash,
}

/// Which calls a fault strikes, when, and how.
#[derive(Clone, Debug)]
pub struct Strike {
    call: &'static str,
    volume: Option<String>,
    moment: Moment,
    pub(super) fault: Fault,
    pub(super) times: Option<u64>,
}

impl Strike {
    /// `fault` at `moment` of all calls of the protocol's name `call`, such as `NodeStageVolume`.
    #[must_use]
    pub fn new(call: &'static str, moment: Moment, fault: Fault) -> Self {
        Self { call, volume: None, moment, fault, times: None }
    }

    /// Only of those about the volume `volume`.
    #[must_use]
    pub fn volume(self, volume: &str) -> Self {
        Self { volume: Some(volume.to_owned()), ..self }
    }

    /// Only of the next `times` of them.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    pub(super) fn covers(&self, call: &str, volume: Option<&str>, moment: Moment) -> bool {
        self.call == call
            && self.moment == moment
            && (self.volume.is_none() || self.volume.as_deref() == volume)
    }
}
