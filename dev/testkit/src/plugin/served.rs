//! How a call is served: recorded, struck by a fault, done, answered.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

use super::fault::{Fault, Moment, Strike};
use super::journal::Journal;
use crate::faults::{FaultGuard, Faults};
use crate::listener::Listener;

/// What servers and handle of a plugin share. It outlives a crash.
#[derive(Clone, Default, Debug)]
pub(crate) struct Served(Arc<Shared>);

#[derive(Default, Debug)]
struct Shared {
    faults: Faults<Strike, Fault>,
    journal: Journal,
    /// The servers that run. A crash drops them.
    listeners: Mutex<Vec<Listener>>,
    /// Ends with the crash.
    crash: Mutex<CancellationToken>,
    /// The volumes that are being changed.
    changing: Mutex<HashSet<String>>,
    /// Whom clients said they wanted to talk to, last.
    authority: Mutex<Option<String>>,
}

impl Served {
    pub(crate) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    pub(crate) fn raise(&self, strike: Strike) -> FaultGuard {
        let (times, fault) = (strike.times, strike.fault.clone());
        self.0.faults.raise(strike, times, fault)
    }

    /// Takes note of who the client says it wants to talk to.
    pub(crate) fn heard(&self, uri: &http::Uri) {
        *lock(&self.0.authority) = uri.authority().map(ToString::to_string);
    }

    pub(crate) fn authority(&self) -> Option<String> {
        lock(&self.0.authority).clone()
    }

    pub(crate) fn listen(&self, listener: Listener) {
        lock(&self.0.listeners).push(listener);
    }

    /// Is cancelled by the next crash.
    pub(crate) fn crash_token(&self) -> CancellationToken {
        lock(&self.0.crash).clone()
    }

    /// Breaks all connections. The sockets stay, and nobody listens.
    pub(crate) fn crash(&self) {
        std::mem::take(&mut *lock(&self.0.crash)).cancel();
        let listeners = std::mem::take(&mut *lock(&self.0.listeners));
        drop(listeners);
    }

    /// Serves one call, about `volume` if it is about one: `act` does it.
    pub(crate) async fn serve<T>(
        &self,
        call: &'static str,
        volume: Option<&str>,
        detail: String,
        act: impl FnOnce() -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        self.0.journal.record(call, volume, detail);
        let _turn = match volume.filter(|_| call.ends_with("Volume")) {
            // As the specification has it: one call at a time changes a volume.
            Some(volume) => {
                Some(self.begin(volume).ok_or_else(|| Status::aborted("an operation is pending"))?)
            }
            None => None,
        };
        self.strike(call, volume, Moment::Before).await?;
        let answer = act()?;
        self.strike(call, volume, Moment::After).await?;
        Ok(Response::new(answer))
    }

    fn begin(&self, volume: &str) -> Option<Turn> {
        let begun = lock(&self.0.changing).insert(volume.to_owned());
        begun.then(|| Turn { shared: Arc::clone(&self.0), volume: volume.to_owned() })
    }

    async fn strike(&self, call: &str, volume: Option<&str>, moment: Moment) -> Result<(), Status> {
        let struck = self.0.faults.strike(|strike| strike.covers(call, volume, moment));
        let Some(mut struck) = struck else { return Ok(()) };
        match struck.fault.clone() {
            Fault::Hang => struck.lifted().await,
            Fault::Fail(code, message) => return Err(Status::new(code, message)),
            Fault::Crash => {
                self.crash();
                // The connection is gone, and this with it.
                std::future::pending::<()>().await;
            }
        }
        Ok(())
    }
}

/// The right to change a volume.
struct Turn {
    shared: Arc<Shared>,
    volume: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.shared.changing).remove(&self.volume);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
