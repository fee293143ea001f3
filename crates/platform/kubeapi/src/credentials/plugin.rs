//! Credentials that a plugin prints, kept until they expire. (Kubernetes: client-go credential plugins.)

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::run::{ClusterInfo, Printed, run};
use super::{CredentialsError, Proof};
use crate::kubeconfig::ExecPlugin;
use crate::metrics::HostMetrics;

/// How long a plugin may take. It may have to ask a slow server itself.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long after a failure others that wait fail the same way, so that a broken plugin is not run in a loop.
const FAILED: Duration = Duration::from_secs(2);

/// A plugin, and what it printed last.
pub(crate) struct Plugin {
    exec: ExecPlugin,
    cluster: Option<ClusterInfo>,
    metrics: Arc<HostMetrics>,
    /// One run at a time; whoever waited takes what that one printed.
    turn: Semaphore,
    last: Mutex<Last>,
}

#[derive(Default)]
enum Last {
    #[default]
    None,
    Printed {
        proof: Proof,
        expires: Option<Timestamp>,
    },
    Failed {
        error: Arc<CredentialsError>,
        at: Instant,
    },
}

impl Plugin {
    pub(super) fn new(exec: ExecPlugin, cluster: ClusterInfo, metrics: Arc<HostMetrics>) -> Self {
        let cluster = exec.cluster_info.then_some(cluster);
        Self { exec, cluster, metrics, turn: Semaphore::new(1), last: Mutex::default() }
    }

    pub(super) async fn proof(&self) -> Result<Proof, CredentialsError> {
        if let Some(known) = self.known() {
            return known;
        }
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await.ok();
        if let Some(known) = self.known() {
            return known;
        }
        let printed = match tokio::time::timeout(DEADLINE, run(&self.exec, self.cluster.as_ref())).await {
            Ok(printed) => printed,
            Err(_) => Err(CredentialsError::PluginTimeout {
                command: self.exec.command.clone(),
                deadline: DEADLINE,
            }),
        };
        self.count(&printed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match printed {
            Ok(Printed { proof, expires }) => {
                self.metrics.plugin_expires(expires);
                *last = Last::Printed { proof: proof.clone(), expires };
                Ok(proof)
            }
            Err(error) => {
                let error = Arc::new(error);
                *last = Last::Failed { error: Arc::clone(&error), at: Instant::now() };
                Err(CredentialsError::Shared(error))
            }
        }
    }

    fn known(&self) -> Option<Result<Proof, CredentialsError>> {
        match &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            Last::Printed { proof, expires } if expires.is_none_or(|at| at > Timestamp::now()) => {
                Some(Ok(proof.clone()))
            }
            Last::Failed { error, at } if at.elapsed() < FAILED => {
                Some(Err(CredentialsError::Shared(Arc::clone(error))))
            }
            _ => None,
        }
    }

    /// Forgets `proof`. Another one that came meanwhile stays.
    pub(super) fn refused(&self, refused: &Proof) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Last::Printed { proof, .. } = &*last
            && proof.authorization == refused.authorization
            && proof.identity == refused.identity
        {
            *last = Last::None;
        }
        true
    }

    fn count(&self, printed: &Result<Printed, CredentialsError>) {
        let (code, status) = match printed {
            Ok(_) => (0, "no_error"),
            Err(CredentialsError::PluginFailed { status, .. }) => {
                (status.code().unwrap_or(1), "plugin_execution_error")
            }
            Err(CredentialsError::PluginStart { .. }) => (1, "plugin_not_found_error"),
            Err(CredentialsError::PluginTimeout { .. }) => (1, "plugin_execution_error"),
            Err(_) => (1, "client_internal_error"),
        };
        self.metrics.plugin_called(&code.to_string(), status);
    }
}

#[cfg(test)]
mod tests;
