//! The pods that everybody is measured on: one container that ends at once when it is told to.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::pod::{PodBuilder, pod};
use types::Pod;

/// As PID 1 a program without a handler ignores SIGTERM, and every stop would take the whole grace period.
const SCRIPT: &str = "trap 'exit 0' TERM; while :; do sleep 100000 & wait; done";

/// The container's name.
pub(crate) const CONTAINER: &str = "main";

fn builder(name: &str) -> PodBuilder {
    pod(name).container(CONTAINER, &["sh", "-c", SCRIPT])
}

/// The name of a burst's pod.
pub(crate) fn name(number: usize) -> String {
    format!("bench-{number}")
}

/// The manifest of the pod.
pub(crate) fn manifest(name: &str) -> String {
    builder(name).manifest()
}

/// The pod as a client creates it for the node, with `volume`, if any, at `/volume`.
pub(crate) fn created(name: &str, node: &str, volume: Option<Value>) -> Result<Pod> {
    let mut builder = builder(name).with_metadata(&json!({"uid": null})).with_spec(
        // A token would be one more request per pod, and is not to be had without controllers.
        &json!({"nodeName": node, "automountServiceAccountToken": false}),
    );
    if let Some(volume) = volume {
        let mount = json!({"volumeMounts": [{"name": volume["name"], "mountPath": "/volume"}]});
        builder = builder.with_spec(&json!({"volumes": [volume]})).with_container(CONTAINER, &mount);
    }
    serde_json::from_str(&builder.manifest()).context("make a pod")
}

/// The pod itself.
pub(crate) fn built(name: &str) -> Arc<Pod> {
    builder(name).build()
}
