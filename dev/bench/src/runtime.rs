//! The runtime: a client of it, and its processes, containerd and its shims, with what they use.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::containerd::Containerd;
use telemetry::metrics::Registry;

use crate::process;

/// A client that calls it as berth does.
pub(crate) fn client(containerd: &Containerd) -> Result<cri::Runtime> {
    let endpoint = containerd.endpoint().parse().context("containerd's endpoint")?;
    let metrics = cri::Metrics::register(&Registry::new());
    Ok(cri::Runtime::new(&endpoint, None, cri::Options::default(), metrics))
}

/// The processes of a runtime in which no pod comes or goes.
pub(crate) struct Runtime {
    pids: Vec<u32>,
}

impl Runtime {
    /// Looks for them.
    pub(crate) fn of(containerd: &Containerd) -> Self {
        let processes = containerd.leftovers().processes.into_iter();
        let runtime = processes.filter(|process| is_runtime(&process.command));
        Self { pids: runtime.filter_map(|process| process.pid.try_into().ok()).collect() }
    }

    /// The CPU time of all of them, with that of the commands that they have run and waited for.
    pub(crate) fn cpu_time(&self) -> Duration {
        // What has ended meanwhile is not of the runtime any more.
        self.pids.iter().filter_map(|pid| process::cpu_time_with_children(*pid).ok()).sum()
    }
}

/// True of `/usr/bin/containerd --config …` and `/usr/bin/containerd-shim-runc-v2 -namespace …`.
fn is_runtime(command: &str) -> bool {
    let program = command.split(' ').next().and_then(|program| Path::new(program).file_name());
    program.and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("containerd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shims_are_of_the_runtime_and_containers_are_not() {
        assert!(is_runtime("/usr/bin/containerd --config /x/config.toml"));
        assert!(is_runtime("/usr/bin/containerd-shim-runc-v2 -namespace k8s.io"));
        assert!(!is_runtime("sh -c containerd"));
        assert!(!is_runtime("/x/kubelet --config=/x/containerd"));
    }
}
