//! A small Kubernetes API server with an embedded store: `kubectl` for one machine, without a control plane.
//!
//! Decides, purely: what a new or changed object becomes (`rules`), how patches apply, which objects a selector
//! means, how objects look as a table, what is used from counters at two times (`usage`), who may do what
//! (administrators everything, the node what Node authorization and NodeRestriction let it, service accounts nothing but
//! discovery).
//!
//! Tasks, all within [`Solo::serve`]: the listener, with one task per connection; the controllers, which wake on every commit
//! of the store, read its snapshot and write through it (the default objects of namespaces, their end, binding of pods to the
//! one node and of claims to volumes, claims that are made for pods, attaching of volumes, the end of claims and volumes in
//! use, dependants of deleted owners, certificate signing requests); and one that removes old events on a timer. The store
//! has a thread of its own: it takes writes from a bounded queue, commits those that wait together, and publishes snapshots.
//!
//! What nodes answer (logs, exec, attach, port-forward, the proxy to a node) is passed on to the node's API, which `node`
//! asks over a connection of its own for each request; a stream has a task until either end is done. What nodes and pods use
//! (`metrics.k8s.io`) is made of what the node's API counts, when somebody asks. A node is whoever has a certificate for its
//! name.
//!
//! Does not: know anything of the agent, which sees an API server like any other; run workload controllers (Deployments and
//! the like); make, attach or delete volumes, which drivers do for the objects that it writes; proxy to pods and services; do
//! server-side apply; know API versions other than `v1`, but for metrics; answer in protobuf, which it reads.

mod api;
mod auth;
mod authority;
mod claim;
mod control;
mod error;
mod kubeconfig;
mod listen;
mod node;
mod object;
mod patch;
mod printer;
mod protobuf;
mod random;
mod resource;
mod rest;
mod rules;
mod selector;
mod solo;
mod store;
mod time;
mod usage;

pub use auth::TokenError;
pub use authority::AuthorityError;
pub use error::ApiError;
pub use https::TlsError;
pub use node::NodeError;
pub use solo::{Settings, Solo, SoloError};
pub use store::DiskError;
