//! Faults on demand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tonic::Code;

use super::store::Subject;

/// Which calls a fault strikes.
#[derive(Clone, Debug)]
pub struct Match {
    call: &'static str,
    pod: Option<String>,
    container: Option<String>,
    times: Option<u64>,
}

impl Match {
    /// All calls of CRI's name `call`, such as `RunPodSandbox`.
    #[must_use]
    pub fn call(call: &'static str) -> Self {
        Self { call, pod: None, container: None, times: None }
    }

    /// Only those about the pod `name` (its name alone, in whatever namespace).
    #[must_use]
    pub fn pod(self, name: &str) -> Self {
        Self { pod: Some(name.to_owned()), ..self }
    }

    /// Only those about the container `name` (its name in the spec). For calls about images: the image's name.
    #[must_use]
    pub fn container(self, name: &str) -> Self {
        Self { container: Some(name.to_owned()), ..self }
    }

    /// Only the next `times` of them.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    fn covers(&self, call: &str, subject: &Subject) -> bool {
        let same = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        self.call == call
            && self.times != Some(0)
            && same(&self.pod, &subject.pod)
            && same(&self.container, &subject.container)
    }
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It waits until the fault is lifted, and is then served.
    Hang,
    /// It fails, and nothing is done.
    Fail(Code, String),
    /// It is served after this time.
    Delay(Duration),
    /// It is served, but there is no answer until the fault is lifted, and then an error.
    LoseAnswer,
    /// It is served, and the answer is this error.
    DoThenFail(Code, String),
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
        self.faults.lock().active.retain(|active| active.id != self.id);
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
    matches: Match,
    fault: Fault,
    up: watch::Receiver<()>,
}

impl Faults {
    pub(super) fn raise(&self, matches: Match, fault: Fault) -> FaultGuard {
        let (sender, up) = watch::channel(());
        let mut faults = self.lock();
        faults.next += 1;
        let id = faults.next;
        faults.active.push(One { id, matches, fault, up });
        drop(faults);
        FaultGuard { id, faults: self.clone(), _up: sender }
    }

    /// The fault that strikes a call: the one raised last of those that match.
    pub(super) fn strike(&self, call: &str, subject: &Subject) -> Option<Struck> {
        let mut faults = self.lock();
        let one = faults.active.iter_mut().rev().find(|one| one.matches.covers(call, subject))?;
        if let Some(times) = &mut one.matches.times {
            *times -= 1;
        }
        Some(Struck { fault: one.fault.clone(), up: one.up.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Active> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
