//! One attempt of a probe: asking the container.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use podhttp::{Caller, Get, GetError, Health, HealthError, ServingStatus, Target};
use telemetry::chain;
use tokio::time::{Instant, timeout, timeout_at};
use types::corev1::{ExecAction, GRPCAction, HTTPGetAction, Probe, TCPSocketAction};
use types::expand::expand;
use types::k8s::apimachinery::pkg::util::intstr::IntOrString;
use types::{Container, ContainerId, Pod, pod};

use crate::exec::{Exec, Ran};
use crate::key::Key;
use crate::kind::{Kind, Timing};
use crate::machine::{Answer, Run};

/// How often an attempt is made that cannot be made.
const TRIES: u32 = 3;
/// How much of an answer's body or a command's output is kept, in bytes.
const KEPT: usize = 10 << 10;

/// An attempt that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) key: Key,
    pub(crate) run: Run,
    /// When it ought to begin.
    pub(crate) due: Instant,
    pub(crate) pod: Arc<Pod>,
    /// The instance that is asked.
    pub(crate) id: ContainerId,
    /// The pod's primary IP, or the node's for host network.
    pub(crate) ip: Option<IpAddr>,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The container is well.
    Pass,
    /// It is, but somebody should look.
    Warning(String),
    /// It is not.
    Fail(String),
    /// It is not known: the attempt could not be made.
    Void(String),
}

impl Outcome {
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Pass | Self::Warning(_) => Answer::Pass,
            Self::Fail(_) => Answer::Fail,
            Self::Void(_) => Answer::Void,
        }
    }

    /// The message of the event `Unhealthy`, if it is one.
    pub(crate) fn failure(&self, kind: Kind) -> Option<String> {
        let kind = kind.as_str();
        match self {
            Self::Pass | Self::Warning(_) => None,
            Self::Fail(text) => Some(format!("{kind} probe failed: {text}")),
            Self::Void(text) => Some(format!("{kind} probe errored and resulted in unknown state: {text}")),
        }
    }
}

impl Errand {
    /// Whether a process is started in the container for it.
    pub(crate) fn is_command(&self) -> bool {
        let container = pod::container(&self.pod, &self.key.container);
        let probe = container.as_ref().and_then(|(_, container)| self.key.kind.of(container));
        probe.is_some_and(|probe| probe.exec.is_some())
    }

    /// Makes the attempt; another one at once if it could not be made, three in all.
    pub(crate) async fn run<E: Exec>(&self, exec: &E) -> Outcome {
        let kind = self.key.kind;
        let Some((_, container)) = pod::container(&self.pod, &self.key.container) else {
            return Outcome::Void("the pod has no such container".to_owned());
        };
        let Some(probe) = kind.of(&container) else {
            return Outcome::Void(format!("the container has no {} probe", kind.as_str()));
        };
        let mut outcome = self.try_once(probe, &container, exec).await;
        for _ in 1..TRIES {
            if !matches!(outcome, Outcome::Void(_)) {
                break;
            }
            outcome = self.try_once(probe, &container, exec).await;
        }
        outcome
    }

    async fn try_once<E: Exec>(&self, probe: &Probe, container: &Container, exec: &E) -> Outcome {
        let limit = Timing::of(probe).limit;
        if let Some(action) = &probe.exec {
            command(action, container, &self.id, limit, exec).await
        } else if let Some(action) = &probe.http_get {
            http(action, container, self.ip, limit).await
        } else if let Some(action) = &probe.tcp_socket {
            tcp(action, container, self.ip, limit).await
        } else if let Some(action) = &probe.grpc {
            // Boxed, because the state of a gRPC connection is large.
            Box::pin(grpc(action, container, self.ip, limit)).await
        } else {
            Outcome::Void("the probe does not say what to do".to_owned())
        }
    }
}

/// A command is given the container's environment by its runtime; what is expanded here are literal values only.
async fn command<E: Exec>(
    action: &ExecAction,
    container: &Container,
    id: &ContainerId,
    limit: Duration,
    exec: &E,
) -> Outcome {
    let env = container.env.as_deref().unwrap_or_default();
    let literal = |name: &str| {
        let variable = env.iter().rev().find(|variable| variable.name == name)?;
        Some(variable.value.as_deref().unwrap_or_default())
    };
    let words = action.command.iter().flatten();
    let command: Vec<String> = words.map(|word| expand(word, literal).0).collect();
    match exec.exec(id, command.clone(), limit).await {
        Ok(Ran::Ended { code: 0, .. }) => Outcome::Pass,
        Ok(Ran::Ended { output, .. }) => {
            Outcome::Fail(String::from_utf8_lossy(&output[..output.len().min(KEPT)]).into_owned())
        }
        Ok(Ran::TimedOut) => {
            let command = command.join(" ");
            Outcome::Fail(format!("command timed out: {command:?} timed out after {limit:?}"))
        }
        Err(error) => Outcome::Void(chain(&error)),
    }
}

async fn http(action: &HTTPGetAction, container: &Container, ip: Option<IpAddr>, limit: Duration) -> Outcome {
    let get = match Get::new(action, container, ip, Caller::Probe, KEPT) {
        Ok(get) => get,
        Err(error) => return Outcome::Void(chain(&error)),
    };
    match get.answer(Some(limit)).await {
        Ok(answer) => match answer.status {
            200..300 => Outcome::Pass,
            300..400 => {
                let body = String::from_utf8_lossy(&answer.body);
                Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"))
            }
            status => Outcome::Fail(format!("HTTP probe failed with statuscode: {status}")),
        },
        Err(error @ (GetError::Body(_) | GetError::BodyTimeout)) => Outcome::Void(chain(&error)),
        Err(error) => Outcome::Fail(format!("Get {:?}: {}", get.url(), chain(&error))),
    }
}

async fn tcp(
    action: &TCPSocketAction,
    container: &Container,
    ip: Option<IpAddr>,
    limit: Duration,
) -> Outcome {
    let address = match Target::of(action.host.as_deref(), &action.port, container, ip) {
        Ok(target) => target.to_string(),
        Err(error) => return Outcome::Void(chain(&error)),
    };
    match timeout(limit, podhttp::connect(&address)).await {
        Ok(Ok(_)) => Outcome::Pass,
        Ok(Err(error)) => Outcome::Fail(chain(&error)),
        Err(_) => Outcome::Fail(format!("dial tcp {address}: i/o timeout")),
    }
}

async fn grpc(action: &GRPCAction, container: &Container, ip: Option<IpAddr>, limit: Duration) -> Outcome {
    let target = match Target::of(None, &IntOrString::Int(action.port), container, ip) {
        Ok(target) => target,
        Err(error) => return Outcome::Void(chain(&error)),
    };
    let deadline = Instant::now() + limit;
    let mut health = match timeout_at(deadline, Health::connect(&target)).await {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => return Outcome::Fail(format!("error: {}", chain(&error))),
        Err(_) => {
            let address = target.to_string();
            return Outcome::Fail(format!(
                "timeout: failed to connect service {address:?} within {limit:?}: context deadline exceeded"
            ));
        }
    };
    match timeout_at(deadline, health.check(action.service.as_deref().unwrap_or_default())).await {
        Ok(Ok(ServingStatus::Serving)) => Outcome::Pass,
        Ok(Ok(status)) => Outcome::Fail(format!("service unhealthy (responded with {:?})", status.as_str())),
        Ok(Err(
            error @ (HealthError::Connect { .. } | HealthError::Unimplemented(_) | HealthError::Call { .. }),
        )) => Outcome::Fail(format!("error: {}", chain(&error))),
        Err(_) => Outcome::Fail(format!("timeout: health rpc did not complete within {limit:?}")),
    }
}

#[cfg(test)]
mod tests;
