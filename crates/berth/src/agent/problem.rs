//! Problems as the local API shows them: of manifests, and with the API server.

use kubeapi::Health;
use node::Standing;
use server::Problem;
use source::{ManifestProblem, Severity};
use tokio::sync::watch;

use super::cluster::Cluster;

/// `problem` for the local API.
pub(super) fn shown(problem: &ManifestProblem) -> Problem {
    Problem {
        origin: problem.path.clone(),
        line: problem.location.map(|at| at.line),
        column: problem.location.map(|at| at.column),
        reason: problem.reason.as_str().to_owned(),
        message: problem.message.clone(),
        warning: problem.severity == Severity::Warning,
    }
}

/// What is wrong between this node and its API server.
pub(super) struct ClusterTroubles {
    server: String,
    health: watch::Receiver<Health>,
    standing: watch::Receiver<Standing>,
}

impl ClusterTroubles {
    pub(super) fn new(cluster: &Cluster, standing: watch::Receiver<Standing>) -> Self {
        Self { server: cluster.client.server().to_owned(), health: cluster.health.clone(), standing }
    }

    /// What is wrong now. Pods run all the same.
    pub(super) fn shown(&self) -> Vec<Problem> {
        let standing = self.standing.borrow();
        let trouble = |reason, what, trouble: &node::Trouble| {
            (reason, format!("{what} since {:.0}: {}", trouble.since, trouble.error))
        };
        let unheard = match &*self.health.borrow() {
            Health::Failing { since, error, .. } => Some((
                "APIServerNotHeard",
                format!("the Node object is not followed since {since:.0}: {error}"),
            )),
            Health::Starting { .. } | Health::Connected { .. } => None,
        };
        let status = standing.status.as_ref();
        let lease = standing.lease.as_ref();
        [
            status.map(|found| trouble("NodeStatusNotReported", "the node's status is not reported", found)),
            lease.map(|found| trouble("NodeLeaseNotRenewed", "the node's lease is not renewed", found)),
            unheard,
        ]
        .into_iter()
        .flatten()
        .map(|(reason, message)| Problem {
            origin: self.server.clone(),
            line: None,
            column: None,
            reason: reason.to_owned(),
            message,
            warning: true,
        })
        .collect()
    }
}
