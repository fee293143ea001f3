//! The answers of the local API.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use jiff::{SignedDuration, Timestamp};
use pleg::Pleg;
use probe::Prober;
use server::why::{Why, WhyFailure, advice};
use server::{Local, LogFile, LogQuery, MetricsPage, Pods, Problem, Refusal};
use source::ManifestProblem;
use stats::Stats;
use status::StatusStore;
use telemetry::metrics::Registry;
use tokio::sync::watch;
use types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::{ObservedPod, Pod, PodRef, SandboxState, corev1, pod, reason};
use worker::{Entry, Table};

use super::events::EventLog;
use super::podlogs::{self, PodLog};
use super::podobjects::ObjectTroubles;
use super::problem::ClusterTroubles;
use super::stats::UsageNeeds;

/// How long a look at a pod may take before `berth why` speaks of it.
const LOOK_PATIENCE: SignedDuration = SignedDuration::from_millis(200);
/// What a look consists of.
const LOOK_CALLS: &str =
    "CRI calls ListPodSandbox and ListContainers, then PodSandboxStatus and ContainerStatus";

/// What the local API answers from.
pub(super) struct LocalAnswers {
    pub(super) table: watch::Receiver<Arc<Table>>,
    pub(super) statuses: StatusStore,
    pub(super) problems: watch::Receiver<Arc<Vec<ManifestProblem>>>,
    /// `None` without an API server.
    pub(super) cluster: Option<ClusterTroubles>,
    /// `None` without an API server.
    pub(super) objects: Option<ObjectTroubles>,
    pub(super) pleg: Pleg,
    pub(super) events: EventLog,
    pub(super) prober: Prober,
    /// How full volumes of claims are.
    pub(super) usage: Stats<UsageNeeds>,
    pub(super) registry: Registry,
    pub(super) probe_registry: Registry,
}

impl LocalAnswers {
    fn why_of(&self, entry: &Entry) -> Why {
        let cell = &entry.cell;
        let progress = cell.progress.borrow().clone();
        let mut failures: Vec<WhyFailure> = cell
            .failures
            .borrow()
            .iter()
            .map(|(container, failure)| WhyFailure {
                container: Some(container.clone()),
                reason: failure.reason.clone(),
                message: failure.message.clone(),
                retry_at: None,
            })
            .collect();
        failures.extend(progress.failure.as_ref().map(|failure| WhyFailure {
            container: None,
            reason: failure.reason.clone(),
            message: failure.message.clone(),
            retry_at: failure.retry_at.map(|at| format!("{at:.0}")),
        }));
        let mut waiting_for = progress.waiting_for.clone();
        if let Some(look) = self.pleg.pending(&cell.pod.uid) {
            if Timestamp::now().duration_since(look.since) > LOOK_PATIENCE {
                waiting_for =
                    format!("the pod's state in the runtime, since {:.0}: {LOOK_CALLS}", look.since);
            }
            failures.extend(look.error.map(|message| WhyFailure {
                container: None,
                reason: reason::event::FAILED_SYNC.to_owned(),
                message,
                retry_at: None,
            }));
        }
        failures.extend(self.prober.troubles(&cell.pod.uid).into_iter().map(|trouble| WhyFailure {
            container: Some(trouble.container),
            reason: trouble.reason.to_owned(),
            message: trouble.message,
            retry_at: None,
        }));
        let unshown = self.objects.iter().flat_map(|objects| objects.of(&cell.pod));
        failures.extend(unshown.map(|failure| WhyFailure {
            container: None,
            reason: failure.reason,
            message: failure.message,
            retry_at: None,
        }));
        let phase = self.statuses.get(&cell.pod.uid).and_then(|status| status.phase.clone());
        Why {
            namespace: cell.pod.name.namespace.to_string(),
            name: cell.pod.name.name.to_string(),
            uid: cell.pod.uid.to_string(),
            phase: phase.unwrap_or_else(|| "Pending".to_owned()),
            step: progress.step.as_str().to_owned(),
            since: format!("{:.0}", progress.since),
            subject: progress.subject.as_deref().map(str::to_owned),
            waiting_for,
            advice: advice(&progress, &failures).to_owned(),
            failures,
            events: self.events.lines(&cell.pod.uid),
        }
    }
}

impl LocalAnswers {
    /// The log that a request means, and the pod that it is of.
    fn log_of(
        &self,
        namespace: &str,
        name: &str,
        container: &str,
        previous: bool,
    ) -> Result<(PodLog, PodRef), Refusal> {
        let table = self.table.borrow().clone();
        let named = table.named(namespace, name);
        let (pod, spec) = named.ok_or_else(|| Refusal::not_found(format!("pod {name:?} does not exist")))?;
        if pod::container(spec, container).is_none() {
            return Err(Refusal::not_found(format!("container {container:?} not found in pod {name:?}")));
        }
        let unknown = || Refusal::bad_request(format!("the runtime has not told about pod {pod} yet"));
        let observed = self.pleg.known(pod).ok_or_else(unknown)?;
        let status = self.statuses.get(&pod.uid).ok_or_else(unknown)?;
        let id = podlogs::chosen(&status, name, container, previous).map_err(Refusal::bad_request)?;
        let gone = || Refusal::bad_request(format!("container {id} of pod {name:?} is not there any more"));
        Ok((PodLog::of(&observed, id).ok_or_else(gone)?, pod.clone()))
    }
}

/// Whether `name` (`[namespace/]name`) means the pod; a static pod is found by the name in its manifest too.
fn is_called(entry: &Entry, name: &str) -> bool {
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    };
    let own = &entry.cell.pod.name;
    let node = entry
        .target
        .pod()
        .and_then(|pod| pod::spec(pod).node_name.clone())
        .unwrap_or_default()
        .to_lowercase();
    let in_manifest = own.name.strip_suffix(&*node).and_then(|own| own.strip_suffix('-'));
    (&*own.name == name || in_manifest == Some(name))
        && namespace.is_none_or(|namespace| &*own.namespace == namespace)
}

impl Pods for LocalAnswers {
    fn desired(&self) -> Vec<Pod> {
        let table = self.table.borrow().clone();
        let mut pods: Vec<Pod> = table
            .pods
            .values()
            .filter_map(|entry| {
                let mut pod = Pod::clone(entry.target.pod()?);
                if let Some(status) = self.statuses.get(&entry.cell.pod.uid) {
                    pod.status = Some((*status).clone());
                }
                Some(pod)
            })
            .collect();
        pods.sort_by(|a, b| {
            (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name))
        });
        pods
    }

    fn running(&self) -> Vec<Pod> {
        let pods = self.pleg.pods().borrow().clone();
        let observed = pods.iter().flat_map(|pods| pods.iter()).filter_map(|pod| self.pleg.known(pod));
        observed.filter_map(|observed| running_pod(&observed)).collect()
    }

    fn log<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
        container: &'a str,
        query: &'a LogQuery,
    ) -> BoxFuture<'a, Result<LogFile, Refusal>> {
        async move {
            let found = self.log_of(namespace, pod, container, query.previous)?;
            found.0.open(query, self.pleg.observed(&found.1)).await
        }
        .boxed()
    }
}

/// The pod as the runtime has it, if anything of it runs.
fn running_pod(observed: &ObservedPod) -> Option<Pod> {
    let live: Vec<_> = observed.live().collect();
    let ready = observed.sandboxes.iter().any(|sandbox| sandbox.state == SandboxState::Ready);
    if live.is_empty() && !ready {
        return None;
    }
    let container = |container: &&types::ObservedContainer| corev1::Container {
        name: container.name.to_string(),
        image: Some(container.image.clone()),
        ..corev1::Container::default()
    };
    let PodRef { name, uid } = &observed.pod;
    Some(Pod {
        metadata: ObjectMeta {
            name: Some(name.name.to_string()),
            namespace: Some(name.namespace.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectMeta::default()
        },
        spec: Some(corev1::PodSpec {
            containers: live.iter().map(container).collect(),
            ..corev1::PodSpec::default()
        }),
        status: None,
    })
}

impl Local for LocalAnswers {
    fn why(&self, name: Option<&str>) -> Vec<Why> {
        let table = self.table.borrow().clone();
        let wanted = table.pods.values().filter(|entry| name.is_none_or(|name| is_called(entry, name)));
        wanted.map(|entry| self.why_of(entry)).collect()
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.problems.borrow().iter().map(super::problem::shown).collect();
        problems.extend(self.cluster.iter().flat_map(ClusterTroubles::shown));
        problems
    }

    fn health(&self) -> Result<(), String> {
        // A runtime that is away is no fault of the agent's, and restarting the agent does not bring it back.
        match self.table.has_changed() {
            Ok(_) => Ok(()),
            Err(_) => Err("no task takes care of pods any more".to_owned()),
        }
    }

    fn metrics(&self, page: MetricsPage) -> BoxFuture<'_, String> {
        async move {
            match page {
                MetricsPage::Agent => {
                    let claims = self.usage.claims().await;
                    self.registry.encode_with(|encoder| stats::claims::encode(encoder, &claims))
                }
                MetricsPage::Probes => self.probe_registry.encode(),
            }
        }
        .boxed()
    }
}
