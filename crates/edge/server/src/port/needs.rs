//! What the port answers from, and how it behaves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::process::Process;
use crate::{Containers, Local, Metrics, Usage};

/// Which of the routes there are, and how they behave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `enableDebuggingHandlers`: logs, exec and the like.
    pub debugging: bool,
    /// `enableSystemLogHandler`: files of the log directory.
    pub system_logs: bool,
    /// `enableSystemLogQuery`: logs of services.
    pub log_query: bool,
    /// `enableProfilingHandler`.
    pub profiling: bool,
    /// `enableDebugFlagsHandler`.
    pub debug_flags: bool,
    /// Gate `ContainerCheckpoint`.
    pub checkpoint: bool,
    /// Gate `ComponentFlagz`.
    pub flagz: bool,
    /// Gate `ComponentStatusz`.
    pub statusz: bool,
    /// Gate `PodLogsQuerySplitStreams`: one output of a container by itself.
    pub split_streams: bool,
    /// Gate `ExtendWebSocketsToKubelet`: WebSockets that the runtime does not know are translated.
    pub websockets: bool,
    /// `streamingConnectionIdleTimeout`: how long a stream to a container may be silent.
    pub stream_idle: Duration,
    /// The directory of the node's logs.
    pub log_dir: PathBuf,
    /// Where checkpoints of containers are put.
    pub checkpoint_dir: PathBuf,
}

/// What the port answers from.
pub struct Needs {
    /// Pods, health and metrics.
    pub local: Arc<dyn Local>,
    /// What is done inside of containers.
    pub containers: Arc<dyn Containers>,
    /// What is used.
    pub usage: Arc<dyn Usage>,
    /// What is told of this program.
    pub process: Process,
    /// What is counted.
    pub metrics: Metrics,
    /// Told each time that a request has been answered.
    pub answered: watch::Sender<()>,
    /// How it behaves.
    pub settings: Settings,
}

/// What handlers share.
pub(crate) struct Shared {
    pub(crate) needs: Needs,
}
