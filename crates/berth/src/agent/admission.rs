//! Admission with the facts of this node.

use std::sync::Arc;

use admit::{AdmitInput, Node};
use tokio::sync::watch;
use types::{Ended, Event, Pod, PodRef};
use worker::Verdict;

use node::RuntimeHealth;
use task::events::Recorder;

/// What admission goes by here.
pub(super) struct Admission {
    pub(super) node: Node,
    pub(super) health: watch::Receiver<RuntimeHealth>,
    pub(super) recorder: Recorder,
}

impl Admission {
    /// Whether `pod` may run beside `active`.
    pub(super) fn judge(&self, pod: &Arc<Pod>, active: &[Arc<Pod>]) -> Verdict {
        let mut node = self.node.clone();
        node.supplemental_groups_policy =
            self.health.borrow().status.as_ref().is_some_and(|status| status.supplemental_groups_policy);
        let (ended, metric_label) = match admit::admit(&AdmitInput { pod, active, node: &node }) {
            admit::Verdict::Run => return Verdict::Run,
            admit::Verdict::Reject(reject) => (reject.ended(), reject.metric_label()),
            // All static pods are critical, and critical pods make way for none: this is for pods of an API server.
            admit::Verdict::Preempt { victims } => {
                let message =
                    format!("Pod was rejected: {} other pods would have to make way for it", victims.len());
                let reason = "UnexpectedAdmissionError".to_owned();
                (Ended { reason, message, disruption: false }, "UnexpectedAdmissionError")
            }
        };
        let mut event = Event::warning(&PodRef::of(pod), "FailedAdmission", ended.message.clone());
        event.reason = static_reason(&ended.reason);
        self.recorder.record(event);
        Verdict::Reject { ended, metric_label }
    }
}

/// Events have reasons that live as long as the program; those of extended resources are not known beforehand.
fn static_reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 14] = [
        "AppArmor",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "NodeShutdown",
        "OutOfcpu",
        "OutOfephemeral-storage",
        "OutOfmemory",
        "OutOfpods",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "SupplementalGroupsPolicyNotSupported",
        "SysctlForbidden",
        "TaintToleration",
    ];
    KNOWN.into_iter().find(|known| *known == reason).unwrap_or("UnexpectedAdmissionError")
}
