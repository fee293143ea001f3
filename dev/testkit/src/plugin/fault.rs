//! Faults on demand.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
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
    fault: Fault,
    times: Option<u64>,
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

    fn covers(&self, call: &str, volume: Option<&str>, moment: Moment) -> bool {
        self.call == call
            && self.moment == moment
            && self.times != Some(0)
            && (self.volume.is_none() || self.volume.as_deref() == volume)
    }
}

/// Keeps a fault up; dropping it lifts the fault.
#[must_use = "the fault is lifted when this is dropped"]
#[derive(Debug)]
pub struct FaultGuard {
    id: u64,
    faults: Faults,
    _up: watch::Sender<()>,
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        self.faults.lock().active.retain(|one| one.id != self.id);
    }
}

/// A fault that struck a call.
pub(super) struct Struck {
    pub(super) fault: Fault,
    up: watch::Receiver<()>,
}

impl Struck {
    /// Waits until the fault is lifted.
    pub(super) async fn lifted(&mut self) {
        while self.up.changed().await.is_ok() {}
    }
}

/// All faults that are up.
#[derive(Clone, Default, Debug)]
pub(super) struct Faults(Arc<Mutex<Active>>);

#[derive(Default, Debug)]
struct Active {
    next: u64,
    active: Vec<One>,
}

#[derive(Debug)]
struct One {
    id: u64,
    strike: Strike,
    up: watch::Receiver<()>,
}

impl Faults {
    pub(super) fn raise(&self, strike: Strike) -> FaultGuard {
        let (sender, up) = watch::channel(());
        let mut faults = self.lock();
        faults.next += 1;
        let id = faults.next;
        faults.active.push(One { id, strike, up });
        drop(faults);
        FaultGuard { id, faults: self.clone(), _up: sender }
    }

    /// The fault that strikes a call now: the one raised last of those that match.
    pub(super) fn strike(&self, call: &str, volume: Option<&str>, moment: Moment) -> Option<Struck> {
        let mut faults = self.lock();
        let one = faults.active.iter_mut().rev().find(|one| one.strike.covers(call, volume, moment))?;
        if let Some(times) = &mut one.strike.times {
            *times -= 1;
        }
        Some(Struck { fault: one.strike.fault.clone(), up: one.up.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Active> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
