//! What others call: the local API on a unix socket (mode 0600), the healthz port, and the kubelet's own API on port 10250
//! (Kubernetes: "Kubelet authentication/authorization") with its sibling without authentication; and, over gRPC on a socket of
//! their own, which pod has which of the node's resources.
//!
//! Decides: what advice goes with a pod's state ([`why`]), who asks and what they may do ([`auth`]), what a request means.
//!
//! Tasks: one listener per address; each connection is a task of its own, and a slow one delays no other. A stream to a
//! container (exec, attach, port-forward) is a task that copies bytes between client and runtime; it wakes on either, on
//! silence that lasts too long, and on the end of the server.
//!
//! Does not: know pods itself. It asks [`Pods`], [`Local`], [`Containers`], [`Usage`] and [`Holders`], and [`auth::Reviews`]
//! about users.

pub mod auth;
mod listen;
mod local;
mod metrics;
mod nodelogs;
mod podresources;
mod pods;
mod port;
mod stream;
mod usage;
pub mod why;

pub use listen::{ListenError, serve_port, serve_unix};
pub use local::{Local, MetricsPage, Problem, healthz, local_api};
pub use metrics::Metrics;
pub use podresources::{Holder, Holders, Metrics as PodResourcesMetrics, serve_pod_resources};
pub use pods::{LogFile, LogQuery, LogStream, Pods, Refusal};
pub use port::{Needs, Process, Settings, port, read_only_port};
pub use stream::{Containers, Streams, Target};
pub use usage::{Usage, UsagePage};
