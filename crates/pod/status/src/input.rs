//! What a status is derived from.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use types::{Ended, Failures, ObservedPod, Pod, Probes};

/// Everything that [`crate::derive`] goes by. There is nothing else: equal inputs give equal statuses.
#[derive(Clone, Copy, Debug)]
pub struct DeriveInput<'a> {
    /// The pod's spec and metadata. Its own `status` is not looked at, give it as `previous`.
    pub pod: &'a Pod,
    /// What the runtime has of it.
    pub observed: &'a ObservedPod,
    /// What the probes found.
    pub probes: &'a Probes,
    /// Why the next start of a container fails or waits, by container name.
    pub failures: &'a Failures,
    /// The status before this one: transition times, phases that are final and containers that the runtime has lost
    /// come from it.
    pub previous: Option<&'a PodStatus>,
    /// The status as the API server has it, as far as it is known: what others write is taken from it, and without it
    /// from `previous`.
    pub server: Option<&'a PodStatus>,
    /// How far the pod's life has got.
    pub life: Life,
    /// Why the node ended the pod, if it did.
    pub ended: Option<&'a Ended>,
    /// The node's IPs, the one of its primary family first, at most one per family.
    pub host_ips: &'a [IpAddr],
    /// What the runtime calls itself: the scheme of `containerID`, as in `containerd://`.
    pub runtime_name: &'a str,
    /// The time of conditions that change.
    pub now: Timestamp,
}

/// How far the pod's life has got, as its worker sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Life {
    /// It ought to run.
    Running,
    /// Its containers are being stopped, and none is started any more.
    Terminating,
    /// Nothing of it runs, nor will.
    Terminated,
}
