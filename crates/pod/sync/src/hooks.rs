//! Lifecycle hooks (Kubernetes: "Container Lifecycle Hooks"): exec, httpGet, tcpSocket and sleep.

use std::time::Duration;

use cri::Runtime;
use podhttp::{Caller, DialError, Get, GetError, Target, TargetError};
use types::corev1::{Container, HTTPGetAction, LifecycleHandler};
use types::{ContainerId, Event, PodRef};

use crate::metrics::Metrics;

/// How much of a failed command's output is shown.
const SHOWN_OUTPUT: usize = 1024;

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// The command could not be run.
    #[error("Exec lifecycle hook ({command:?}) could not be run")]
    Exec {
        /// The command.
        command: Vec<String>,
        /// Why.
        source: cri::CriError,
    },
    /// The command failed.
    #[error("Exec lifecycle hook ({command:?}) exited with {code}: {output}")]
    Exit {
        /// The command.
        command: Vec<String>,
        /// Its exit code.
        code: i32,
        /// The beginning of what it wrote.
        output: String,
    },
    /// The request could not be made or was not answered.
    #[error("HTTP lifecycle hook ({url}) failed")]
    Http {
        /// Where it went.
        url: String,
        /// What happened.
        source: GetError,
    },
    /// The connection could not be made.
    #[error("TCP lifecycle hook failed")]
    Tcp(#[from] DialError),
    /// The hook names a port that the container does not have, or the pod has no address yet.
    #[error("lifecycle hook cannot be aimed")]
    Target(#[from] TargetError),
    /// The hook's URL cannot be made.
    #[error("HTTP lifecycle hook cannot be made")]
    Request(#[source] GetError),
    /// It did not end in time.
    #[error("lifecycle hook did not end within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// What a hook runs in.
pub(crate) struct HookContext<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) pod: &'a PodRef,
    pub(crate) container: &'a Container,
    pub(crate) id: &'a ContainerId,
    /// The pod's primary IP, or the node's for host network.
    pub(crate) ip: Option<std::net::IpAddr>,
    pub(crate) recorder: &'a task::events::Recorder,
    pub(crate) metrics: &'a Metrics,
}

/// Runs `handler` to its end.
///
/// # Errors
/// If it fails or has no end before `limit` (`None`: it may take as long as it wants).
pub(crate) async fn run(
    handler: &LifecycleHandler,
    context: &HookContext<'_>,
    limit: Option<Duration>,
) -> Result<(), HookError> {
    let hook = run_unbounded(handler, context, limit);
    match limit {
        Some(limit) => tokio::time::timeout(limit, hook).await.unwrap_or(Err(HookError::Timeout(limit))),
        None => hook.await,
    }
}

/// What is waited for while the hook `name` runs.
pub(crate) fn waits_for(name: &str, handler: &LifecycleHandler) -> String {
    let what = match handler {
        LifecycleHandler { exec: Some(_), .. } => "CRI call ExecSync",
        LifecycleHandler { http_get: Some(_), .. } => "the answer to its HTTP request",
        LifecycleHandler { tcp_socket: Some(_), .. } => "its TCP connection",
        _ => "the end of its sleep",
    };
    format!("{name} hook: {what}")
}

async fn run_unbounded(
    handler: &LifecycleHandler,
    context: &HookContext<'_>,
    limit: Option<Duration>,
) -> Result<(), HookError> {
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        let output = context
            .runtime
            .exec_sync(context.id, command.clone(), limit.unwrap_or(Duration::ZERO))
            .await
            .map_err(|source| HookError::Exec { command: command.clone(), source })?;
        if output.exit_code != 0 {
            let all = [output.stdout, output.stderr].concat();
            let shown = String::from_utf8_lossy(&all[..all.len().min(SHOWN_OUTPUT)]).trim().to_owned();
            return Err(HookError::Exit { command, code: output.exit_code, output: shown });
        }
        return Ok(());
    }
    if let Some(action) = &handler.http_get {
        return http_get(action, context).await;
    }
    if let Some(tcp) = &handler.tcp_socket {
        let target = Target::of(tcp.host.as_deref(), &tcp.port, context.container, context.ip)?;
        podhttp::connect(&target.to_string()).await?;
        return Ok(());
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
    }
    Ok(())
}

/// Makes the request. Any answer is a success, whatever its status: that is the contract of lifecycle hooks, unlike that of
/// probes. A server that answers a TLS handshake in HTTP is asked again in clear text.
async fn http_get(action: &HTTPGetAction, context: &HookContext<'_>) -> Result<(), HookError> {
    let get = Get::new(action, context.container, context.ip, Caller::Hook, 0).map_err(HookError::Request)?;
    let url = get.url();
    let source = match get.answer(None).await {
        Ok(_) => return Ok(()),
        Err(error @ GetError::SpeaksHttp) => error,
        Err(source) => return Err(HookError::Http { url, source }),
    };
    let address = get.address();
    // If that fails, too, the server was meant to be asked otherwise.
    get.in_clear().answer(None).await.map_err(|_| HookError::Http { url, source })?;
    context.metrics.http_fallbacks.inc(&[]);
    let text =
        format!("request to HTTPS lifecycle hook {address} got HTTP response, retry with HTTP succeeded");
    let event = Event::warning(context.pod, types::reason::event::LIFECYCLE_HTTP_FALLBACK, text);
    context.recorder.record(event);
    Ok(())
}

#[cfg(test)]
mod tests;
