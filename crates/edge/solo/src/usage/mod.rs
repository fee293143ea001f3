//! What nodes and pods use, in the words of the metrics API (Kubernetes: "Resource metrics pipeline"). There is no
//! metrics-server: whoever asks has the node asked, and its counters are compared with those of a little earlier.

mod history;
mod objects;
mod rate;
mod reading;
mod usages;

pub(crate) use objects::{node_metrics, pod_metrics};
pub(crate) use reading::Reading;
pub(crate) use usages::{Compared, Usages};
