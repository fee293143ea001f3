//! What a plugin was asked, in order.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its name in the protocol, such as `NodeStageVolume`.
    pub name: &'static str,
    /// The volume that it is about.
    pub volume: Option<String>,
    /// What else it said, in short: a path, or whether a plugin was registered.
    pub detail: String,
}

/// What a test waited for did not happen.
#[derive(Debug)]
pub struct NotSeen {
    deadline: Duration,
    calls: Vec<Call>,
}

impl std::fmt::Display for NotSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not seen within {:?}; the calls: {:#?}", self.deadline, self.calls)
    }
}

impl std::error::Error for NotSeen {}

/// All calls.
#[derive(Clone, Debug)]
pub(crate) struct Journal(watch::Sender<Vec<Call>>);

impl Default for Journal {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl Journal {
    pub(super) fn record(&self, name: &'static str, volume: Option<&str>, detail: String) {
        let call = Call { name, volume: volume.map(str::to_owned), detail };
        self.0.send_modify(|calls| calls.push(call));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.borrow().clone()
    }

    pub(crate) fn clear(&self) {
        self.0.send_modify(Vec::clear);
    }

    /// Waits until the calls so far are as `wanted` says.
    pub(crate) async fn wait(
        &self,
        deadline: Duration,
        mut wanted: impl FnMut(&[Call]) -> bool,
    ) -> Result<(), NotSeen> {
        let mut calls = self.0.subscribe();
        let seen = timeout(deadline, calls.wait_for(|calls| wanted(calls))).await;
        if matches!(seen, Ok(Ok(_))) { Ok(()) } else { Err(NotSeen { deadline, calls: self.calls() }) }
    }
}
