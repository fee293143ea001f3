//! `berth why`: what holds a pod up, since when, and what to do about it.

use serde::{Deserialize, Serialize};
use types::{Progress, Step};

/// The answer for one pod.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID of the pod.
    pub uid: String,
    /// The phase of its status.
    pub phase: String,
    /// The step its worker is at (machine-readable).
    pub step: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// What the step is about: a container, a volume, an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What is being waited for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waiting_for: String,
    /// The latest failures that have not been got over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<WhyFailure>,
    /// What to do.
    pub advice: String,
    /// The latest events about the pod, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

/// One failure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyFailure {
    /// The container it is about; none for the pod as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// CamelCase reason.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// When it will be tried again, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<String>,
}

/// What an operator can do about a pod at this point.
#[must_use]
pub fn advice(progress: &Progress, failures: &[WhyFailure]) -> &'static str {
    if let Some(text) = failures.iter().find_map(|failure| advice_for(&failure.reason)) {
        return text;
    }
    match progress.step {
        Step::Running => "Nothing holds it up.",
        Step::Done => "It has ended. Remove its manifest, or change it, to have it run again.",
        Step::Queued => {
            "Wait: the older pod of this name must stop first. `berth why` of that one tells what holds it."
        }
        Step::Admission => "It does not fit on this node as it is: change the manifest or make room.",
        Step::Runtime => "Look at the container runtime: is it running, and is its network (CNI) configured?",
        Step::Cgroup => "Look at the cgroup named in the failure; the node's journal has the details.",
        Step::Volumes => {
            "Check what it waits for: an API server that is away, a volume that is not attached yet (its VolumeAttachment and the \
             driver's attacher say why), or a path on the node whose server is gone."
        }
        Step::StartSlot => {
            "Wait: other pods are being started. If this lasts, one of them hangs in the runtime."
        }
        Step::Sandbox => {
            "The runtime is making the sandbox. If this lasts, look at the CNI plugins and the runtime's log."
        }
        Step::Image => "The image is being pulled. If this lasts, check the registry from this node.",
        Step::Create | Step::Start => "The runtime is at work. If this lasts, look at the runtime's log.",
        Step::Hook => "A lifecycle hook runs; it ends with the hook or with the grace period.",
        Step::BackOff => "It is tried again after the delay. `berth logs --previous` shows why it ended.",
        Step::Init => {
            "An init container or a sidecar has to get ready first. `berth logs -c` shows what it does."
        }
        Step::Stopping => "Its containers are being stopped; they are killed when the grace period is over.",
        Step::Cleanup => {
            "Volumes and cgroup are being taken down. A mount that is busy can hold this up, and a volume's driver that does not \
             answer: look at the driver's log."
        }
    }
}

fn advice_for(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "CrashLoopBackOff" => {
            "Its container ends again and again. `berth logs --previous` shows its last words."
        }
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            "Check the image's name, the registry and the node's credentials (config.json in the root directory)."
        }
        "ErrImageNeverPull" => "Load the image onto the node, or change imagePullPolicy.",
        "InvalidImageName" => "Correct the image's name in the manifest.",
        "CreateContainerConfigError" => {
            "Create what the message misses, or correct the container's spec as it says."
        }
        "CreateContainerError" | "RunContainerError" => {
            "The runtime refused the container; its message says why. Check command, mounts and security context."
        }
        "PostStartHookError" => "Correct the postStart hook: the container is killed when it fails.",
        "Unhealthy" => {
            "A probe fails: the message says what the container answers. `berth logs` shows what it does; correct it, or the \
             probe."
        }
        "ProbeHangs" => "The runtime does not end the probe's command. Look at the runtime's log.",
        "ProbeLate" => {
            "The node has no time for its probes: look at its load, at the runtime's log, and at how many probes run commands."
        }
        "FailedAttachVolume" => {
            "Look at the volume's VolumeAttachment, and at the log of its driver's attacher."
        }
        "FailedMount" => "Create the object, or check the path on the node, that the message names.",
        "StatusNotWritten" => {
            "The pod is as `berth pods` shows it; only the API server does not show it so. Check the API server, and what it \
             lets this node do."
        }
        "MirrorPodNotUpToDate" => {
            "The pod runs; only `kubectl` does not show it. Create what the message misses, such as its namespace."
        }
        _ => return None,
    })
}
