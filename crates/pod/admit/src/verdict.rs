//! What admission answers.

use std::borrow::Cow;

use types::{Ended, PodRef};

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may run.
    Run,
    /// It may run once these others are stopped (event and reason `Preempting`).
    Preempt {
        /// Who has to go, in no order.
        victims: Vec<PodRef>,
        /// The resource that is wanting first of all (label `preemption_signal` of `kubelet_preemptions`).
        resource: String,
    },
    /// It may not run: its phase is `Failed`.
    Reject(Reject),
}

/// The end of a pod that has to make way for another one, as its status has it.
#[must_use]
pub fn preempting() -> Ended {
    Ended {
        reason: types::reason::event::PREEMPTING.to_owned(),
        message: "Preempted in order to admit critical pod".to_owned(),
        disruption: true,
    }
}

/// Why a pod may not run here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// CamelCase reason of the pod's status and of the Warning event, such as `OutOfcpu`.
    pub reason: Cow<'static, str>,
    /// What is in the way.
    pub message: String,
}

/// Reasons that the metric `kubelet_admission_rejections_total` tells apart.
const METRIC_REASONS: [&str; 21] = [
    "AppArmor",
    "Evicted",
    "InvalidNodeInfo",
    "InitContainerRestartPolicyForbidden",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeShutdown",
    "OutOfcpu",
    "OutOfephemeral-storage",
    "OutOfmemory",
    "OutOfpods",
    "PodLevelResourcesNotSupported",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "SupplementalGroupsPolicyNotSupported",
    "SysctlForbidden",
    "TaintToleration",
    "TopologyAffinityError",
    "UnexpectedAdmissionError",
    "UnexpectedPredicateFailureType",
];

impl Reject {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }

    /// A check of the scheduler's that failed here; its name is the reason.
    pub(crate) fn predicate(name: &'static str, why: impl std::fmt::Display) -> Self {
        Self::new(name, format!("Predicate {name} failed: {why}"))
    }

    /// The end of the pod, as its status has it.
    #[must_use]
    pub fn ended(&self) -> Ended {
        Ended {
            reason: self.reason.clone().into_owned(),
            message: format!("Pod was rejected: {}", self.message),
            disruption: false,
        }
    }

    /// The label `reason` of the metric `kubelet_admission_rejections_total`: one of a fixed set, however many
    /// resources there are.
    #[must_use]
    pub fn metric_label(&self) -> &'static str {
        match METRIC_REASONS.iter().find(|known| **known == self.reason) {
            Some(known) => known,
            None if self.reason.starts_with("OutOf") => "OutOfExtendedResources",
            None => "Other",
        }
    }
}
