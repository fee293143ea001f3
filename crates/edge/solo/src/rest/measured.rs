//! GET of what nodes and pods use.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use futures::future::join_all;
use http::StatusCode;
use serde_json::{Map, Value};

use super::answer::{Answer, json, respond};
use super::call::Call;
use super::list;
use super::pass::place;
use crate::api::Api;
use crate::error::ApiError;
use crate::object::{self, text};
use crate::selector::Selector;
use crate::store::Snapshot;
use crate::usage::{Compared, node_metrics, pod_metrics};

/// Answers an authorized call.
pub(super) async fn run(
    api: &Api,
    verb: &str,
    call: &Call,
    selector: &Selector,
) -> Result<Response, ApiError> {
    let snapshot = api.store.snapshot();
    match verb {
        "get" => {
            let found = snapshot.get(of(call), call.namespace(), call.name());
            let found = Arc::clone(found.ok_or_else(|| call.not_found())?);
            let metrics = measure(api, call, &snapshot, vec![found]).await?.pop();
            let metrics = metrics.ok_or_else(|| call.not_found())?;
            Ok(respond(call, Answer::Object(StatusCode::OK, Arc::new(metrics))))
        }
        "list" => {
            let all = snapshot.list(of(call), call.objects.namespace.as_deref());
            let wanted = all.map(|(_, object)| object).filter(|object| selector.matches(object)).cloned();
            let metrics = measure(api, call, &snapshot, wanted.collect()).await?;
            Ok(json(StatusCode::OK, list::shape(call, metrics.iter(), Map::new())))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Where the objects are that are measured.
fn of(call: &Call) -> &'static str {
    // The plurals are the same.
    call.resource().plural
}

/// The metrics of those of the objects that there is something to say of. Refused if no node says anything.
async fn measure(
    api: &Api,
    call: &Call,
    snapshot: &Snapshot,
    objects: Vec<Arc<Value>>,
) -> Result<Vec<Value>, ApiError> {
    let is_node = of(call) == "nodes";
    let node_of = |object: &Value| {
        if is_node { object::name(object).to_owned() } else { text(object, "/spec/nodeName").to_owned() }
    };
    let mut nodes: Vec<String> = objects.iter().map(|object| node_of(object)).collect();
    nodes.retain(|node| !node.is_empty());
    nodes.sort_unstable();
    nodes.dedup();
    let asked = join_all(nodes.iter().map(async |node| {
        let told = match place(snapshot, node) {
            Ok(place) => api.usages.of(&api.nodes, node, &place).await,
            Err(error) => Err(error.message),
        };
        told.map_err(|why| {
            tracing::debug!(node, why, "A node does not tell what it uses");
            ApiError::unavailable(format!("node {node:?} does not tell what it uses: {why}"))
        })
    }));
    let mut told: BTreeMap<&str, Compared> = BTreeMap::new();
    let mut refused = None;
    for (node, answer) in nodes.iter().zip(asked.await) {
        match answer {
            Ok(compared) => {
                told.insert(node, compared);
            }
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = refused.filter(|_| told.is_empty()) {
        return Err(error);
    }
    let metrics = if is_node { node_metrics } else { pod_metrics };
    Ok(objects.iter().filter_map(|object| metrics(object, told.get(&*node_of(object))?)).collect())
}
