//! Lifecycle hooks (Kubernetes: "Container Lifecycle Hooks"): exec, httpGet, tcpSocket and sleep.

use std::time::Duration;

use cri::Runtime;
use tokio::net::TcpStream;
use types::corev1::{Container, LifecycleHandler};
use types::k8s::apimachinery::pkg::util::intstr::IntOrString;
use types::{ContainerId, PodRef};

use crate::metrics::Metrics;

mod http;

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
    #[error("HTTP lifecycle hook ({url}) failed: {problem}")]
    Http {
        /// Where it went.
        url: String,
        /// What happened.
        problem: String,
    },
    /// The connection could not be made.
    #[error("TCP lifecycle hook ({address}) failed")]
    Tcp {
        /// Where it went.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The hook names a port that the container does not have, or the pod has no address yet.
    #[error("lifecycle hook cannot be aimed: {0}")]
    Target(String),
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
    if let Some(get) = &handler.http_get {
        // Boxed, because the state of a TLS connection is large.
        return Box::pin(http::get(get, context)).await;
    }
    if let Some(tcp) = &handler.tcp_socket {
        let address = aim(tcp.host.as_deref(), &tcp.port, context)?;
        let connected = TcpStream::connect(&*address).await;
        return connected.map(drop).map_err(|source| HookError::Tcp { address, source });
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
    }
    Ok(())
}

/// `host:port` that a hook goes to.
fn aim(host: Option<&str>, port: &IntOrString, context: &HookContext<'_>) -> Result<String, HookError> {
    let port = match port {
        IntOrString::Int(port) => *port,
        IntOrString::String(name) => {
            let ports = context.container.ports.as_deref().unwrap_or_default();
            let named =
                ports.iter().find(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port);
            named.or_else(|| name.parse().ok()).ok_or_else(|| {
                HookError::Target(format!(
                    "container {:?} has no port named {name:?}",
                    context.container.name
                ))
            })?
        }
    };
    let host = match (host.filter(|host| !host.is_empty()), context.ip) {
        (Some(host), _) => host.to_owned(),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => return Err(HookError::Target("the pod has no IP".to_owned())),
    };
    let v6 = host.contains(':') && !host.starts_with('[');
    Ok(if v6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests;
