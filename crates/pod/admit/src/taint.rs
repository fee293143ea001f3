//! Taints that drive pods away (Kubernetes: "Taints and Tolerations").

use types::corev1::{Taint, Toleration};
use types::pod;

use crate::{AdmitInput, Reject};

/// Static pods run whatever the node's taints say.
pub(crate) fn check(input: &AdmitInput<'_>) -> Result<(), Reject> {
    if pod::is_static(input.pod) {
        return Ok(());
    }
    let tolerations = pod::spec(input.pod).tolerations.as_deref().unwrap_or_default();
    let untolerated = input
        .node
        .taints
        .iter()
        .filter(|taint| taint.effect == "NoExecute")
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)));
    match untolerated {
        Some(Taint { key, value, .. }) => {
            let value = value.as_deref().unwrap_or_default();
            let why = format!("the pod does not tolerate the node's taint {key}={value}:NoExecute");
            Err(Reject::predicate("TaintToleration", why))
        }
        None => Ok(()),
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_owned();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        Some(_) => false,
    }
}
