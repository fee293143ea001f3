//! Commands of probes, run by the container runtime.

use std::time::Duration;

use cri::{CriErrorKind, Runtime};
use probe::{Exec, ExecError, Ran};
use types::ContainerId;

/// Runs commands in containers.
pub(super) struct Commands {
    pub(super) runtime: Runtime,
}

impl Exec for Commands {
    async fn exec(
        &self,
        container: &ContainerId,
        command: Vec<String>,
        limit: Duration,
    ) -> Result<Ran, ExecError> {
        match self.runtime.exec_sync(container, command, limit).await {
            Ok(output) => {
                Ok(Ran::Ended { code: output.exit_code, output: [output.stdout, output.stderr].concat() })
            }
            Err(error) if error.kind == CriErrorKind::CommandTimedOut => Ok(Ran::TimedOut),
            Err(error) => Err(ExecError(telemetry::chain(&error))),
        }
    }
}
