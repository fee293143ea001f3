//! Commands in containers, and streams to them.

use std::time::Duration;

use types::{ContainerId, SandboxId};

use crate::container::whole_seconds;
use crate::sandbox::non_empty;
use crate::{CriError, CriErrorKind, Operation, Runtime, v1};

/// What a command in a container wrote, and how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecOutput {
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
    /// Its exit code.
    pub exit_code: i32,
}

/// Which streams of a process to connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamOptions {
    /// Its standard input.
    pub stdin: bool,
    /// Its standard output.
    pub stdout: bool,
    /// Its standard error; not together with `tty`, which joins it to the output.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}

impl Runtime {
    /// Runs `command` in a container and waits for its end. A command that is still running after `timeout` (whole
    /// seconds, rounded up) is [`CriErrorKind::CommandTimedOut`]; a `timeout` of zero lets it run for ever. A runtime
    /// that itself hangs is [`CriErrorKind::Timeout`], once the usual deadline has passed on top of `timeout`.
    pub async fn exec_sync(
        &self,
        id: &ContainerId,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput, CriError> {
        let request = v1::ExecSyncRequest {
            container_id: id.to_string(),
            cmd: command,
            timeout: whole_seconds(timeout),
        };
        let deadline = (!timeout.is_zero()).then(|| self.request_timeout().saturating_add(timeout));
        let mut client = self.client();
        // The runtime's own word for a command that took too long is the code `DeadlineExceeded`.
        let mut answered_late = false;
        let result = self
            .call_within(Operation::ExecSync, deadline, request, |r| async {
                let answer = client.exec_sync(r).await;
                answered_late =
                    answer.as_ref().is_err_and(|status| status.code() == tonic::Code::DeadlineExceeded);
                answer
            })
            .await;
        match result {
            Ok(v1::ExecSyncResponse { stdout, stderr, exit_code }) => {
                Ok(ExecOutput { stdout, stderr, exit_code })
            }
            Err(error) if answered_late => Err(CriError { kind: CriErrorKind::CommandTimedOut, ..error }),
            Err(error) => Err(error),
        }
    }

    /// Prepares to run `command` in a container; the answer is the URL of the runtime's streaming server.
    pub async fn exec(
        &self,
        id: &ContainerId,
        command: Vec<String>,
        streams: StreamOptions,
    ) -> Result<String, CriError> {
        let StreamOptions { stdin, stdout, stderr, tty } = streams;
        let request =
            v1::ExecRequest { container_id: id.to_string(), cmd: command, tty, stdin, stdout, stderr };
        let mut client = self.client();
        let response = self.call(Operation::Exec, request, |r| async move { client.exec(r).await }).await?;
        non_empty(Operation::Exec, response.url, "URL")
    }

    /// Prepares to attach to a container's first process; the answer is the URL of the runtime's streaming server.
    pub async fn attach(&self, id: &ContainerId, streams: StreamOptions) -> Result<String, CriError> {
        let StreamOptions { stdin, stdout, stderr, tty } = streams;
        let request = v1::AttachRequest { container_id: id.to_string(), stdin, tty, stdout, stderr };
        let mut client = self.client();
        let response =
            self.call(Operation::Attach, request, |r| async move { client.attach(r).await }).await?;
        non_empty(Operation::Attach, response.url, "URL")
    }

    /// Prepares to forward `ports` of a sandbox; the answer is the URL of the runtime's streaming server.
    pub async fn port_forward(&self, id: &SandboxId, ports: &[u16]) -> Result<String, CriError> {
        let port = ports.iter().copied().map(i32::from).collect();
        let request = v1::PortForwardRequest { pod_sandbox_id: id.to_string(), port };
        let mut client = self.client();
        let response = self
            .call(Operation::PortForward, request, |r| async move { client.port_forward(r).await })
            .await?;
        non_empty(Operation::PortForward, response.url, "URL")
    }
}
