//! The answers of the local API.

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use logs::{LogOptions, LogReader};
use pleg::Pleg;
use probe::Prober;
use server::why::{Why, WhyFailure, advice};
use server::{Local, LogFile, LogQuery, MetricsPage, Problem};
use source::ManifestProblem;
use status::StatusStore;
use telemetry::metrics::Registry;
use tokio::sync::watch;
use types::{ContainerState, Pod, PodRef, corev1, pod, reason};
use worker::{Entry, Table};

use super::events::EventLog;
use super::podobjects::ObjectTroubles;
use super::problem::ClusterTroubles;

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

    fn log_file(&self, pod: &PodRef, container: &str, previous: bool) -> Result<(PathBuf, bool), String> {
        let observed =
            self.pleg.known(pod).ok_or_else(|| format!("the runtime has not told about pod {pod} yet"))?;
        let mut instances = observed.instances(container);
        let instance = if previous {
            // While a container waits to be started again, its newest instance is the previous one.
            let shown = self.statuses.get(&pod.uid).and_then(|status| last_ended(&status, container));
            let last = shown.and_then(|id| instances.find(|instance| id.ends_with(instance.id.as_str())));
            last.ok_or_else(|| {
                format!("previous terminated container {container:?} in pod {:?} not found", &*pod.name.name)
            })?
        } else {
            instances.next().ok_or_else(|| {
                format!("container {container:?} in pod {:?} is waiting to start", &*pod.name.name)
            })?
        };
        let ended = !matches!(instance.state, ContainerState::Running { .. } | ContainerState::Created);
        Ok((PathBuf::from(&instance.log_path), ended))
    }
}

/// The id of what `status` shows as the last instance of `container` that ended (`lastState`).
fn last_ended(status: &corev1::PodStatus, container: &str) -> Option<String> {
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let mut all = lists.into_iter().flatten().flatten();
    let last = all.find(|status| status.name == container)?.last_state.as_ref()?;
    last.terminated.as_ref()?.container_id.clone()
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

impl Local for LocalAnswers {
    fn pods(&self) -> Vec<Pod> {
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

    fn log(&self, namespace: &str, pod: &str, container: &str, query: &LogQuery) -> Result<LogFile, String> {
        let table = self.table.borrow().clone();
        let entry = table
            .pods
            .values()
            .find(|entry| *entry.cell.pod.name.namespace == *namespace && *entry.cell.pod.name.name == *pod)
            .ok_or_else(|| format!("pod {namespace}/{pod} does not exist"))?;
        if entry.target.pod().is_some_and(|pod| pod::container(pod, container).is_none()) {
            return Err(format!("container {container:?} is not in pod {namespace}/{pod}"));
        }
        let (path, ended) = self.log_file(&entry.cell.pod, container, query.previous)?;
        let since = query.since_seconds.and_then(|seconds| {
            Timestamp::now().checked_sub(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()
        });
        let options = LogOptions {
            tail: query.tail_lines,
            since,
            limit_bytes: query.limit_bytes,
            timestamps: query.timestamps,
            ..LogOptions::default()
        };
        let follow =
            (query.follow && !ended).then(|| ended_watch(self.pleg.observed(&entry.cell.pod), container));
        let stream = futures::stream::once(async move {
            let reader = match follow {
                Some(ended) => LogReader::follow(&path, options, ended).await?,
                None => LogReader::open(&path, options).await?,
            };
            Ok(reader.into_stream())
        });
        let flat = futures::TryStreamExt::try_flatten(stream);
        Ok(Box::pin(flat.map(|piece| {
            piece.map_err(|error: logs::ReadError| std::io::Error::other(telemetry::chain(&error)))
        })))
    }

    fn health(&self) -> Result<(), String> {
        // A runtime that is away is no fault of the agent's, and restarting the agent does not bring it back.
        match self.table.has_changed() {
            Ok(_) => Ok(()),
            Err(_) => Err("no task takes care of pods any more".to_owned()),
        }
    }

    fn metrics(&self, page: MetricsPage) -> String {
        match page {
            MetricsPage::Agent => self.registry.encode(),
            MetricsPage::Probes => self.probe_registry.encode(),
        }
    }
}

/// Becomes true when no instance of `container` runs any more.
fn ended_watch(
    mut observed: watch::Receiver<Arc<types::ObservedPod>>,
    container: &str,
) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let container = container.to_owned();
    tokio::spawn(async move {
        let ended =
            |pod: &Arc<types::ObservedPod>| pod.newest(&container).is_none_or(|c| !c.state.is_running());
        tokio::select! {
            _ = observed.wait_for(ended) => { sender.send_replace(true); }
            () = sender.closed() => {}
        }
    });
    receiver
}
