//! The PodResources service, which tells of the pods in the table of workers.

use std::path::Path;
use std::sync::Arc;

use server::{Holder, Holders, PodResourcesMetrics, serve_pod_resources};
use task::supervisor::Supervisor;
use tokio::sync::watch;
use types::pod;
use worker::{Entry, Phase, Table};

/// Where below the root directory the socket is, as every client knows.
const SOCKET: &str = "pod-resources/kubelet.sock";

/// Begins to serve.
pub(super) fn serve(
    root_dir: &Path,
    table: watch::Receiver<Arc<Table>>,
    metrics: PodResourcesMetrics,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let socket = root_dir.join(SOCKET);
    if let Some(dir) = socket.parent() {
        linux::fs::create_dir_all(dir, 0o750)?;
    }
    let holders = Arc::new(TableHolders { table });
    supervisor.spawn_finishing("pod resources", move |shutdown| async move {
        let served = serve_pod_resources(&socket, holders, metrics, shutdown).await;
        served.map_err(|error| telemetry::chain(&error))
    });
    Ok(())
}

struct TableHolders {
    table: watch::Receiver<Arc<Table>>,
}

impl Holders for TableHolders {
    fn holders(&self) -> Vec<Holder> {
        let table = self.table.borrow().clone();
        let holder = |entry: &Entry| {
            let pod = Arc::clone(entry.target.pod()?);
            let lives = matches!(*entry.cell.phase.borrow(), Phase::Running | Phase::Terminating);
            Some(Holder { active: lives && !pod::is_terminal(&pod), pod })
        };
        // What no source has any more is not told of, as upstream.
        table.pods.values().filter(|entry| !entry.removed).filter_map(holder).collect()
    }
}
