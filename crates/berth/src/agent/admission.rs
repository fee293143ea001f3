//! Admission with the facts of this node.

use std::sync::Arc;

use admit::{AdmitInput, Node};
use tokio::sync::watch;
use types::{Ended, Event, Pod, PodRef, Quantity, corev1};
use worker::Verdict;

use node::RuntimeHealth;
use node::status::is_extended;
use task::events::Recorder;

/// What admission goes by here.
pub(super) struct Admission {
    /// The node before anything is known of its Node object.
    pub(super) node: Node,
    /// The Node object, if there is an API server.
    pub(super) object: Option<watch::Receiver<Option<Arc<corev1::Node>>>>,
    pub(super) health: watch::Receiver<RuntimeHealth>,
    pub(super) recorder: Recorder,
}

impl Admission {
    /// Whether `pod` may run beside `active`.
    pub(super) fn judge(&self, pod: &Arc<Pod>, active: &[Arc<Pod>]) -> Verdict {
        let node = self.node();
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

    /// The node as it is now. Once its Node object was seen, labels, taints, and what others than the agent advertise are as
    /// the cluster has them.
    fn node(&self) -> Node {
        let mut node = self.node.clone();
        node.supplemental_groups_policy =
            self.health.borrow().status.as_ref().is_some_and(|status| status.supplemental_groups_policy);
        let Some(object) = self.object.as_ref().and_then(|object| object.borrow().clone()) else {
            return node;
        };
        node.labels = object.metadata.labels.clone().unwrap_or_default();
        node.taints = object.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let allocatable = object.status.iter().filter_map(|status| status.allocatable.as_ref()).flatten();
        let extended = allocatable.filter(|(name, _)| is_extended(name));
        node.allocatable
            .extend(extended.filter_map(|(name, amount)| Some((name.clone(), Quantity::of(amount).ok()?))));
        node
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
