//! The phase of a pod (Kubernetes: "Pod Lifecycle: Pod phase").

use k8s_openapi::api::core::v1::ContainerStatus;
use types::restart::{self, AfterExit};
use types::{Container, ContainerKind, Pod, pod};

use crate::Life;
use crate::container::{is_running, last_end, terminated_state};

/// `status.phase`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed]
            .into_iter()
            .find(|phase| phase.as_str() == text)
    }

    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// How many containers are in which state.
#[derive(Default)]
struct Count {
    /// Init containers and sidecars that those behind them wait for.
    init_pending: u32,
    sidecars_pending: u32,
    waiting: u32,
    running: u32,
    /// Ended, or waiting to be started again.
    stopped: u32,
    succeeded: u32,
    /// Of the stopped ones, those that will be started again.
    restarting: u32,
}

/// The phase that follows from the statuses of the containers.
pub(crate) fn of(pod: &Pod, statuses: &[(ContainerKind, ContainerStatus)], life: Life) -> Phase {
    let mut count = Count::default();
    let mut initialized = false;
    for (kind, status) in statuses {
        let Some((_, container)) = pod::container(pod, &status.name) else { continue };
        match kind {
            ContainerKind::Init => {
                if !count.init(pod, &container, status, life) {
                    return Phase::Failed;
                }
            }
            ContainerKind::Sidecar => count.sidecar(status),
            ContainerKind::Regular => {
                initialized |= is_running(status) || end(status).is_some();
                count.regular(pod, &container, status);
            }
            ContainerKind::Ephemeral => {}
        }
    }
    if count.init_pending > 0 || (count.sidecars_pending > 0 && !initialized) || count.waiting > 0 {
        Phase::Pending
    } else if count.running > 0 {
        Phase::Running
    } else if count.stopped == 0 {
        Phase::Pending
    } else if life != Life::Terminated && count.restarting > 0 {
        Phase::Running
    } else if count.stopped == count.succeeded {
        Phase::Succeeded
    } else {
        Phase::Failed
    }
}

fn end(status: &ContainerStatus) -> Option<i32> {
    terminated_state(status).or_else(|| last_end(status)).map(|end| end.exit_code)
}

impl Count {
    /// False when it failed for good.
    fn init(&mut self, pod: &Pod, container: &Container, status: &ContainerStatus, life: Life) -> bool {
        match end(status) {
            Some(code) if !is_running(status) => {
                let again = restart::after_exit(pod, ContainerKind::Init, container, code) != AfterExit::Stay;
                code == 0 || (again && life != Life::Terminated)
            }
            _ => {
                self.init_pending += 1;
                true
            }
        }
    }

    fn sidecar(&mut self, status: &ContainerStatus) {
        if is_running(status) {
            self.running += 1;
            self.sidecars_pending += u32::from(status.started != Some(true));
        } else if end(status).is_none() {
            self.sidecars_pending += 1;
            self.waiting += 1;
        }
    }

    fn regular(&mut self, pod: &Pod, container: &Container, status: &ContainerStatus) {
        if is_running(status) {
            self.running += 1;
        } else if let Some(code) = end(status) {
            let again = restart::after_exit(pod, ContainerKind::Regular, container, code) != AfterExit::Stay;
            self.stopped += 1;
            self.succeeded += u32::from(code == 0 && terminated_state(status).is_some());
            self.restarting += u32::from(again);
        } else {
            self.waiting += 1;
        }
    }
}
