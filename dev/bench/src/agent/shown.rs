//! What berth's local API shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::calls::Calls;

/// How long anything may take to be shown.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often one pod is asked for, and how often a hundred: asking takes time that the agent is measured by.
const ONE_EVERY: Duration = Duration::from_millis(5);
const MANY_EVERY: Duration = Duration::from_millis(500);

/// The local API.
pub(super) struct Shown {
    socket: PathBuf,
}

impl Shown {
    /// `None` if the agent has no such socket.
    pub(super) fn of(socket: &Path) -> Option<Self> {
        socket.exists().then(|| Self { socket: socket.to_path_buf() })
    }

    async fn get(&self, path: &str) -> Result<String> {
        let mut stream = UnixStream::connect(&self.socket).await.context("connect to the local API")?;
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.context("ask the local API")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.context("read the local API's answer")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the local API does not speak HTTP")?;
        if !head.lines().next().is_some_and(|line| line.contains(" 200 ")) {
            bail!("GET {path}: {body}");
        }
        Ok(body.to_owned())
    }

    async fn pods(&self) -> Result<Vec<Value>> {
        let list: Value = serde_json::from_str(&self.get("/pods").await?).context("read the pod list")?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until one pod is shown as wanted, and returns since when.
    pub(super) async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let pods = self.pods().await?;
            if pods.iter().any(&wanted) {
                return Ok(Instant::now());
            }
            sleep(ONE_EVERY).await;
        }
        bail!("no pod is shown as it should be within {} s", PATIENCE.as_secs())
    }

    /// When each of `count` pods was first shown ready.
    pub(super) async fn ready_times(&self, count: usize) -> Result<Vec<Instant>> {
        let deadline = Instant::now() + PATIENCE;
        let mut times = BTreeMap::new();
        while Instant::now() < deadline {
            let pods = self.pods().await?;
            let now = Instant::now();
            for pod in pods.iter().filter(|pod| is_ready(pod)) {
                times.entry(pod["metadata"]["name"].to_string()).or_insert(now);
            }
            if times.len() >= count {
                return Ok(times.into_values().collect());
            }
            sleep(MANY_EVERY).await;
        }
        bail!("{} of {count} pods are shown ready after {} s", times.len(), PATIENCE.as_secs())
    }

    /// How many calls the agent has made to the runtime.
    pub(super) async fn calls(&self) -> Result<Calls> {
        const NAME: &str = "kubelet_runtime_operations_total{operation_type=\"";
        let text = self.get("/metrics").await?;
        let series = text.lines().filter_map(|line| line.strip_prefix(NAME)?.split_once("\"} "));
        Ok(series
            .filter_map(|(operation, value)| Some((operation.to_owned(), value.parse().ok()?)))
            .collect())
    }
}

/// True if the pod's condition says that it is ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter(|c| c["type"] == "Ready").any(|c| c["status"] == "True")
}

/// True if its container has ended, or runs again after it had.
pub(super) fn has_ended(pod: &Value) -> bool {
    let status = &pod["status"]["containerStatuses"][0];
    status["restartCount"].as_u64() > Some(0)
        || status["state"]["terminated"].is_object()
        || status["lastState"]["terminated"].is_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_end_of_a_container_shows_in_its_status() {
        let pod = |status: Value| json!({"status": {"containerStatuses": [status]}});
        assert!(!has_ended(&pod(json!({"restartCount": 0, "state": {"running": {}}}))));
        assert!(has_ended(&pod(json!({"restartCount": 0, "state": {"terminated": {}}}))));
        assert!(has_ended(&pod(json!({"restartCount": 1, "state": {"running": {}}}))));
        assert!(!has_ended(&json!({})));
    }
}
