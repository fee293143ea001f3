//! An API server of one node, for the tests of the keeper.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use types::corev1::Node;

use crate::api::{ApiFailure, FailureKind, LeaseApi, NodeApi};
use crate::testing::merge;

/// How the server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Mode {
    #[default]
    Up,
    /// It cannot be reached.
    Away,
    /// It never answers.
    Hangs,
    /// It does what it is asked, and never answers.
    Mute,
    /// It asks to be left alone for so long.
    Busy(Duration),
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) mode: Mode,
    pub(super) node: Option<Node>,
    /// Whether its cache does not know the node yet.
    pub(super) lags: bool,
    /// Whether it drops fields that its version does not have.
    pub(super) is_old: bool,
    /// Somebody who sets this status of Ready after each write.
    pub(super) meddler: Option<&'static str>,
    /// So many patches are refused, as when too many write at the same time.
    pub(super) conflicts: u32,
    pub(super) calls: u32,
    pub(super) creates: u32,
    pub(super) patches: Vec<(Instant, Value)>,
    pub(super) renewals: Vec<(Instant, String)>,
    pub(super) versions: u32,
}

impl State {
    pub(super) fn uid(&self) -> Option<&str> {
        self.node.as_ref()?.metadata.uid.as_deref()
    }

    /// The status of the node's Ready condition.
    pub(super) fn ready(&self) -> Option<&str> {
        Some(&crate::object::ready_condition(self.node.as_ref()?)?.status)
    }

    /// The volumes in use.
    pub(super) fn in_use(&self) -> Vec<String> {
        let status = self.node.as_ref().and_then(|node| node.status.as_ref());
        status.and_then(|status| status.volumes_in_use.clone()).unwrap_or_default()
    }

    /// Stores the node as the server would.
    pub(super) fn store(&mut self, mut node: Node) {
        self.versions += 1;
        let made = format!("uid-{}", self.versions);
        node.metadata.uid.get_or_insert(made);
        node.metadata.resource_version = Some(self.versions.to_string());
        let status = node.status.get_or_insert_default();
        if self.is_old {
            status.declared_features = None;
        }
        if let Some(meddled) = self.meddler {
            let ready = status.conditions.iter_mut().flatten().find(|condition| condition.type_ == "Ready");
            ready.unwrap().status = meddled.to_owned();
        }
        self.node = Some(node);
    }
}

#[derive(Clone, Default)]
pub(super) struct FakeApi(pub(super) Arc<watch::Sender<State>>);

fn failure<T>(kind: FailureKind) -> Result<T, ApiFailure> {
    Err(ApiFailure { kind, message: format!("{kind:?}"), retry_after: None })
}

impl FakeApi {
    async fn answer<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, ApiFailure>,
    ) -> Result<T, ApiFailure> {
        let mode = self.0.borrow().mode;
        self.0.send_modify(|state| state.calls += 1);
        match mode {
            Mode::Up | Mode::Mute => {}
            Mode::Away => return failure(FailureKind::Other),
            Mode::Hangs => std::future::pending().await,
            Mode::Busy(time) => {
                return failure(FailureKind::Other).map_err(|f| ApiFailure { retry_after: Some(time), ..f });
            }
        }
        let mut answer = failure(FailureKind::Other);
        self.0.send_modify(|state| answer = work(state));
        if mode == Mode::Mute {
            std::future::pending::<()>().await;
        }
        answer
    }
}

impl NodeApi for FakeApi {
    async fn get(&self, _name: &str) -> Result<Node, ApiFailure> {
        let work = |state: &mut State| match (&state.node, std::mem::take(&mut state.lags)) {
            (Some(node), false) => Ok(node.clone()),
            _ => failure(FailureKind::NotFound),
        };
        self.answer(work).await
    }

    async fn create(&self, node: &Node) -> Result<Node, ApiFailure> {
        let work = |state: &mut State| {
            state.creates += 1;
            if state.node.is_some() {
                return failure(FailureKind::AlreadyExists);
            }
            state.store(node.clone());
            Ok(state.node.clone().unwrap())
        };
        self.answer(work).await
    }

    async fn patch_status(&self, _name: &str, patch: &Value) -> Result<Node, ApiFailure> {
        let work = |state: &mut State| {
            state.patches.push((Instant::now(), patch.clone()));
            if state.conflicts > 0 {
                state.conflicts -= 1;
                return failure(FailureKind::Other);
            }
            let Some(node) = &state.node else { return failure(FailureKind::NotFound) };
            state.store(merge(node, patch));
            Ok(state.node.clone().unwrap())
        };
        self.answer(work).await
    }
}

/// The lease is another connection: it answers whatever the mode is, unless the server is away.
impl LeaseApi for FakeApi {
    async fn renew(&mut self, node_uid: &str) -> Result<(), ApiFailure> {
        if self.0.borrow().mode == Mode::Away {
            return failure(FailureKind::Other);
        }
        self.0.send_modify(|state| state.renewals.push((Instant::now(), node_uid.to_owned())));
        Ok(())
    }
}
