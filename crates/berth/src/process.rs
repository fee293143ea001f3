//! The process: its threads, the signals that end it, and its exit status.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::FAILED;
use crate::console::tell_error;

/// Runs `life` on the threads of this process until it ends.
pub(crate) fn run<F: Future<Output = ExitCode>>(life: impl FnOnce(StopSignals) -> F) -> ExitCode {
    linux::memory::share_one_arena();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell_error(&format!("berth cannot start its threads: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let status = runtime.block_on(async {
        // First of all: also who is told to stop in its first moments ends well.
        match StopSignals::take() {
            Ok(stop) => life(stop).await,
            Err(error) => {
                tell_error(&format!("berth cannot take signals: {error}"));
                ExitCode::from(FAILED)
            }
        }
    });
    // A call into the kernel that hangs must not keep the process from ending.
    runtime.shutdown_background();
    status
}

/// SIGTERM and SIGINT. From the moment this is there, they no longer end the process by themselves.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes the signals over.
    fn take() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
