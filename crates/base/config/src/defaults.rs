//! Defaults that depend on something, and values that mean "not set".

use serde_json::{Map, Value, json};

use crate::duration::Duration;
use crate::layer::{get, put};

/// Hard eviction thresholds on Linux, where a configuration file is given that names none.
pub(crate) const EVICTION_HARD: [(&str, &str); 5] = [
    ("memory.available", "100Mi"),
    ("nodefs.available", "10%"),
    ("nodefs.inodesFree", "5%"),
    ("imagefs.available", "15%"),
    ("imagefs.inodesFree", "5%"),
];

/// Fields whose zero (0, "", 0s) cannot be told from "not set" in Kubernetes' Go type, and so means the default.
pub(crate) const ZERO_IS_UNSET: &[&str] = &[
    "syncFrequency",
    "fileCheckFrequency",
    "httpCheckFrequency",
    "address",
    "port",
    "authentication.webhook.cacheTTL",
    "authorization.mode",
    "authorization.webhook.cacheAuthorizedTTL",
    "authorization.webhook.cacheUnauthorizedTTL",
    "registryBurst",
    "imagePullCredentialsVerificationPolicy",
    "eventBurst",
    "healthzBindAddress",
    "streamingConnectionIdleTimeout",
    "nodeStatusUpdateFrequency",
    "nodeStatusReportFrequency",
    "nodeLeaseDurationSeconds",
    "imageMinimumGCAge",
    "volumeStatsAggPeriod",
    "cgroupDriver",
    "cpuManagerPolicy",
    "cpuManagerReconcilePeriod",
    "memoryManagerPolicy",
    "topologyManagerPolicy",
    "topologyManagerScope",
    "runtimeRequestTimeout",
    "hairpinMode",
    "maxPods",
    "maxOpenFiles",
    "contentType",
    "kubeAPIBurst",
    "containerLogMaxSize",
    "configMapAndSecretChangeDetectionStrategy",
    "volumePluginDir",
    "podLogsDir",
    "evictionPressureTransitionPeriod",
    "memoryReservationPolicy",
    "containerRuntimeEndpoint",
    "logging.format",
    "logging.flushFrequency",
];

/// Whether `value` is its type's zero.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text.parse().is_ok_and(Duration::is_zero),
        _ => false,
    }
}

/// Removes what means "not set" from what files say.
pub(crate) fn remove_unset(settings: &mut Value) {
    for path in ZERO_IS_UNSET {
        let (parent, key) = path.rsplit_once('.').map_or(("", *path), |(parent, key)| (parent, key));
        let holder = if parent.is_empty() {
            Some(&mut *settings)
        } else {
            parent.split('.').try_fold(&mut *settings, |value, key| value.get_mut(key))
        };
        if let Some(Value::Object(fields)) = holder
            && fields.get(key).is_some_and(is_zero)
        {
            fields.remove(key);
        }
    }
}

/// The thresholds that the file does not say, to lie under what drop-ins say.
pub(crate) fn eviction_hard(file: &Value) -> Map<String, Value> {
    let given = file.get("evictionHard").and_then(Value::as_object);
    let fill_in = file.get("mergeDefaultEvictionSettings") == Some(&Value::Bool(true));
    EVICTION_HARD
        .iter()
        .filter(|(signal, _)| given.is_none_or(|given| fill_in && !given.contains_key(*signal)))
        .map(|(signal, threshold)| ((*signal).to_owned(), json!(threshold)))
        .collect()
}

/// Defaults that follow from other fields.
pub(crate) fn derive(settings: &mut Value) {
    if get(settings, "nodeStatusReportFrequency").is_none()
        && let Some(update) = get(settings, "nodeStatusUpdateFrequency").cloned()
    {
        put(settings, "nodeStatusReportFrequency", update);
    }
    let parallel = get(settings, "maxParallelImagePulls").and_then(Value::as_i64);
    if get(settings, "serializeImagePulls").is_none() && parallel.is_some_and(|pulls| pulls >= 2) {
        put(settings, "serializeImagePulls", json!(false));
    }
    if get(settings, "podPidsLimit").and_then(Value::as_i64).is_some_and(|limit| limit < 0) {
        put(settings, "podPidsLimit", json!(-1));
    }
}

/// Defaults from the time before configuration files, which hold where none is given.
pub(crate) fn without_file() -> Value {
    json!({
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "readOnlyPort": 10255,
    })
}
