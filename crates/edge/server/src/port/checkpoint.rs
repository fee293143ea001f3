//! `/checkpoint`: the state of a running container, written to the disk (Kubernetes: "Kubelet Checkpoint API").

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::needs::Shared;
use crate::{Refusal, Target};

pub(super) async fn checkpoint(
    State(shared): State<Arc<Shared>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let timeouts = query.iter().filter(|(name, _)| name == "timeout");
    let timeout: Option<i64> = timeouts
        .map(|(_, value)| {
            value.parse().map_err(|_| Refusal::not_found("cannot parse value of timeout parameter"))
        })
        .next_back()
        .transpose()?;
    let file = file_name(&namespace, &pod, &container, Timestamp::now());
    let location = shared.needs.settings.checkpoint_dir.join(file);
    let timeout = timeout.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    let target = Target { namespace, pod, uid: None, container };
    shared.needs.containers.checkpoint(&target, &location, timeout).await?;
    let answer = json!({"items": [location]}).to_string();
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

fn file_name(namespace: &str, pod: &str, container: &str, now: Timestamp) -> String {
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("checkpoint-{pod}_{namespace}-{container}-{time}.tar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_upstream() {
        let now = "2024-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(file_name("ns", "web", "app", now), "checkpoint-web_ns-app-2024-01-02T03:04:05Z.tar");
    }
}
