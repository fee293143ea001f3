//! How a call is served: recorded, delayed, struck by a fault, done, answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::v1;
use tokio::sync::{broadcast, watch};
use tonic::{Response, Status};

use super::fault::{Fault, Match};
use super::store::{Store, Subject};
use crate::faults::Faults;

/// Events that a slow subscriber may be behind; older ones are lost to it, as with containerd.
const EVENT_BACKLOG: usize = 4096;

/// What the runtime does about events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EventsMode {
    /// It sends them.
    On,
    /// Streams stay open and say nothing.
    Silent,
    /// It does not know the call.
    Unimplemented,
}

/// What server and handle share.
#[derive(Clone, Debug)]
pub(super) struct Served(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    changed: watch::Sender<()>,
    faults: Faults<Match, Fault>,
    latency: Mutex<HashMap<&'static str, Duration>>,
    events: broadcast::Sender<Arc<v1::ContainerEventResponse>>,
    events_mode: watch::Sender<EventsMode>,
    /// Counts how often event streams were made to die.
    deaths: watch::Sender<u64>,
    authority: Mutex<Option<String>>,
}

impl Served {
    pub(super) fn new(store: Store) -> Self {
        Self(Arc::new(Shared {
            store: Mutex::new(store),
            changed: watch::Sender::new(()),
            faults: Faults::default(),
            latency: Mutex::default(),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            events_mode: watch::Sender::new(EventsMode::On),
            deaths: watch::Sender::new(0),
            authority: Mutex::default(),
        }))
    }

    /// Reads the store.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Store) -> T) -> T {
        read(&lock(&self.0.store))
    }

    /// Changes the store, and tells those who wait for it and those who listen to events.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let (value, events) = {
            let mut store = lock(&self.0.store);
            let value = change(&mut store);
            (value, store.take_events())
        };
        self.0.changed.send_replace(());
        if *self.0.events_mode.borrow() == EventsMode::On {
            for event in events {
                // An error only tells that nobody listens.
                let _ = self.0.events.send(Arc::new(event));
            }
        }
        value
    }

    /// Serves one call: `act` does it.
    pub(super) async fn serve<T>(
        &self,
        call: &'static str,
        subject: Subject,
        act: impl FnOnce(&mut Store) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        self.serve_with(call, subject, || async { self.change(act) }).await
    }

    /// Serves one call: the future of `act` does it, in its own time.
    pub(super) async fn serve_with<T, F>(
        &self,
        call: &'static str,
        subject: Subject,
        act: impl FnOnce() -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.change(|store| store.record(call, &subject));
        let latency = lock(&self.0.latency).get(call).copied();
        if let Some(latency) = latency {
            tokio::time::sleep(latency).await;
        }
        let Some(mut struck) = self.0.faults.strike(|matches| matches.covers(call, &subject)) else {
            return act().await.map(Response::new);
        };
        match struck.fault.clone() {
            Fault::Fail(code, message) => return Err(Status::new(code, message)),
            Fault::Hang => struck.lifted().await,
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::LoseAnswer => {
                act().await?;
                struck.lifted().await;
                return Err(Status::unavailable("the answer was lost"));
            }
            Fault::DoThenFail(code, message) => {
                act().await?;
                return Err(Status::new(code, message));
            }
        }
        act().await.map(Response::new)
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    pub(super) fn faults(&self) -> &Faults<Match, Fault> {
        &self.0.faults
    }

    pub(super) fn set_latency(&self, call: &'static str, latency: Duration) {
        lock(&self.0.latency).insert(call, latency);
    }

    pub(super) fn events(&self) -> broadcast::Receiver<Arc<v1::ContainerEventResponse>> {
        self.0.events.subscribe()
    }

    pub(super) fn event_subscribers(&self) -> usize {
        self.0.events.receiver_count()
    }

    pub(super) fn events_mode(&self) -> &watch::Sender<EventsMode> {
        &self.0.events_mode
    }

    pub(super) fn deaths(&self) -> &watch::Sender<u64> {
        &self.0.deaths
    }

    /// Notes who the client says it wants to talk to.
    pub(super) fn heard(&self, uri: &http::Uri) {
        *lock(&self.0.authority) = uri.authority().map(ToString::to_string);
    }

    pub(super) fn authority(&self) -> Option<String> {
        lock(&self.0.authority).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
