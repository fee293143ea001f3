//! Admission with the facts of this node.

use std::sync::Arc;

use admit::{AdmitInput, Node};
use tokio::sync::watch;
use types::reason::event;
use types::{Event, Pod, PodRef, PodUid, Quantity};
use worker::Verdict;

use node::RuntimeHealth;
use node::status::is_extended;
use task::events::Recorder;

use super::nodeobject::NodeObject;

/// What admission goes by here.
pub(super) struct Admission {
    /// The node before anything is known of its Node object.
    pub(super) node: Node,
    /// The Node object, if there is an API server.
    pub(super) object: Option<NodeObject>,
    pub(super) health: watch::Receiver<RuntimeHealth>,
    pub(super) recorder: Recorder,
}

impl Admission {
    /// Whether `pod` may run beside `active`.
    pub(super) fn judge(&self, pod: &Arc<Pod>, active: &[Arc<Pod>]) -> Verdict {
        let node = self.node();
        let who = PodRef::of(pod);
        match admit::admit(&AdmitInput { pod, active, node: &node }) {
            admit::Verdict::Run => Verdict::Run,
            admit::Verdict::Preempt { victims, resource } => {
                let ended = admit::preempting();
                for victim in &victims {
                    let event = Event::warning(victim, event::PREEMPTING, ended.message.clone());
                    self.recorder.record(event);
                }
                tracing::info!(pod = %who, victims = victims.len(), resource, "Others have to make way for a critical pod");
                Verdict::Preempt { victims, ended, metric_label: resource }
            }
            admit::Verdict::Reject(reject) if self.is_unsure(&reject, &who.uid) => Verdict::Unsure,
            admit::Verdict::Reject(reject) => {
                self.recorder.record(Event::warning(&who, reject.reason.clone(), reject.message.clone()));
                Verdict::Reject { ended: reject.ended(), metric_label: reject.metric_label() }
            }
        }
    }

    /// Whether the refusal may be due to what is not known yet, or not any more.
    fn is_unsure(&self, reject: &admit::Reject, pod: &PodUid) -> bool {
        match &*reject.reason {
            "NodeAffinity" => self.object.as_ref().is_some_and(|object| object.is_first(pod)),
            "SupplementalGroupsPolicyNotSupported" => self.health.borrow().status.is_none(),
            _ => false,
        }
    }

    /// Looks at what a refusal may wrongly be due to: a runtime that has not said yet what it can do, and labels that the
    /// node was given just before the pod.
    pub(super) fn look(&self) -> impl Future<Output = ()> + Send + 'static {
        let (look, mut health) = (self.object.as_ref().map(NodeObject::look), self.health.clone());
        async move {
            // The sender lives as long as the agent.
            let _ = health.wait_for(|health| health.status.is_some()).await;
            if let Some(look) = look {
                look.await;
            }
        }
    }

    /// The pod is gone.
    pub(super) fn forget(&self, pod: &PodUid) {
        if let Some(object) = &self.object {
            object.forget(pod);
        }
    }

    /// The node as it is now. Once its Node object was seen, labels, taints, and what others than the agent advertise are as
    /// the cluster has them.
    fn node(&self) -> Node {
        let mut node = self.node.clone();
        node.supplemental_groups_policy =
            self.health.borrow().status.as_ref().is_some_and(|status| status.supplemental_groups_policy);
        let Some(object) = self.object.as_ref().and_then(NodeObject::newest) else {
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
