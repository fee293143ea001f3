//! Commands in containers and streams to them, over the runtime.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cri::{CriError, CriErrorKind, Runtime, StreamOptions};
use futures::future::{BoxFuture, FutureExt as _};
use http::StatusCode;
use pleg::Pleg;
use server::{Containers, Refusal, Streams, Target};
use tokio::sync::watch;
use types::{ContainerId, ObservedPod, Pod, PodRef, SandboxId, SandboxState, pod};
use worker::Table;

/// The pods of this node, for those who may do something in them.
pub(super) struct PodAccess {
    pub(super) table: watch::Receiver<Arc<Table>>,
    pub(super) pleg: Pleg,
    pub(super) runtime: Runtime,
}

impl PodAccess {
    /// The pod that a path means. Those that only the runtime has are not shown to anybody.
    fn pod(&self, target: &Target) -> Result<(Arc<Pod>, PodRef), Refusal> {
        let table = self.table.borrow().clone();
        let named = table.named(&target.namespace, &target.pod);
        let (pod, spec) = named.ok_or_else(|| Refusal::not_found("pod does not exist"))?;
        Ok((Arc::clone(spec), pod.clone()))
    }

    /// What the runtime has of the pod, if `found` finds there what it looks for; asked again if not, since a container
    /// may have been started just now.
    async fn look<T>(
        &self,
        pod: &PodRef,
        find: impl Fn(&ObservedPod) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        if let Some(found) = self.pleg.known(pod).and_then(|observed| find(&observed)) {
            return Ok(Some(found));
        }
        let observed = self.pleg.refresh(pod).await.map_err(|error| refused(&error))?;
        Ok(find(&observed))
    }

    /// The running instance of the container that a path means.
    async fn container(&self, target: &Target) -> Result<(Arc<Pod>, ContainerId), Refusal> {
        let (spec, pod) = self.pod(target)?;
        let named = target.uid.as_ref().is_none_or(|uid| *uid == pod.uid.as_str());
        let running = |observed: &ObservedPod| {
            let mut instances = observed.instances(&target.container);
            instances.find(|instance| instance.state.is_running()).map(|instance| instance.id.clone())
        };
        let found = if named { self.look(&pod, running).await? } else { None };
        let missing = || Refusal::failed(format!("container not found ({:?})", target.container));
        Ok((spec, found.ok_or_else(missing)?))
    }

    async fn sandbox(&self, target: &Target) -> Result<SandboxId, Refusal> {
        let (_, pod) = self.pod(target)?;
        if target.uid.as_ref().is_some_and(|uid| *uid != pod.uid.as_str()) {
            return Err(Refusal::not_found("pod not found"));
        }
        let ready = |observed: &ObservedPod| {
            let mut sandboxes = observed.sandboxes.iter();
            sandboxes.find(|sandbox| sandbox.state == SandboxState::Ready).map(|sandbox| sandbox.id.clone())
        };
        let missing = || Refusal::failed(format!("pod {pod} has no sandbox that is ready"));
        self.look(&pod, ready).await?.ok_or_else(missing)
    }
}

impl Containers for PodAccess {
    fn exec<'a>(
        &'a self,
        target: &'a Target,
        command: Vec<String>,
        streams: Streams,
    ) -> BoxFuture<'a, Result<String, Refusal>> {
        async move {
            let (_, id) = self.container(target).await?;
            let url = self.runtime.exec(&id, command, options(streams, streams.tty)).await;
            url.map_err(|error| refused(&error))
        }
        .boxed()
    }

    fn attach<'a>(&'a self, target: &'a Target, streams: Streams) -> BoxFuture<'a, Result<String, Refusal>> {
        async move {
            let (spec, id) = self.container(target).await?;
            let container = pod::container(&spec, &target.container);
            let tty = container.map_or(streams.tty, |(_, container)| container.tty == Some(true));
            self.runtime.attach(&id, options(streams, tty)).await.map_err(|error| refused(&error))
        }
        .boxed()
    }

    fn port_forward<'a>(
        &'a self,
        target: &'a Target,
        ports: Vec<u16>,
    ) -> BoxFuture<'a, Result<String, Refusal>> {
        async move {
            let id = self.sandbox(target).await?;
            self.runtime.port_forward(&id, &ports).await.map_err(|error| refused(&error))
        }
        .boxed()
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        command: Vec<String>,
    ) -> BoxFuture<'a, Result<Vec<u8>, Refusal>> {
        async move {
            let (_, id) = self.container(target).await?;
            let shown = command.join(" ");
            let ran = self.runtime.exec_sync(&id, command, Duration::ZERO).await;
            let output = ran.map_err(|error| Refusal::failed(telemetry::chain(&error)))?;
            if output.exit_code != 0 {
                let (code, stderr) = (output.exit_code, String::from_utf8_lossy(&output.stderr));
                return Err(Refusal::failed(format!("command '{shown}' exited with {code}: {stderr}")));
            }
            Ok([output.stdout, output.stderr].concat())
        }
        .boxed()
    }

    fn checkpoint<'a>(
        &'a self,
        target: &'a Target,
        location: &'a Path,
        timeout: u64,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        async move {
            let (spec, _) = self.pod(target)?;
            let Target { namespace, pod, container, .. } = target;
            if pod::container(&spec, container).is_none() {
                return Err(Refusal::not_found(format!("container {container} does not exist")));
            }
            let failed = |why: String| {
                Refusal::failed(format!("checkpointing of {namespace}/{pod}/{container} failed ({why})"))
            };
            let (_, id) = self.container(target).await.map_err(|refusal| failed(refusal.message))?;
            if let Some(dir) = location.parent() {
                linux::fs::create_dir_all(dir, 0o700).map_err(|error| failed(telemetry::chain(&error)))?;
            }
            let written =
                self.runtime.checkpoint_container(&id, location, Duration::from_secs(timeout)).await;
            written.map_err(|error| failed(telemetry::chain(&error)))
        }
        .boxed()
    }
}

/// A terminal has no standard error of its own.
fn options(streams: Streams, tty: bool) -> StreamOptions {
    let Streams { stdin, stdout, stderr, .. } = streams;
    StreamOptions { stdin, stdout, stderr: stderr && !tty, tty }
}

fn refused(error: &CriError) -> Refusal {
    let status = match error.kind {
        CriErrorKind::NotFound => StatusCode::NOT_FOUND,
        CriErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, telemetry::chain(error))
}
