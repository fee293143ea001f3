//! Everything between berth and the Kubernetes API server. Nothing outside this crate knows the client library.
//!
//! Decides: what a kubeconfig means, when a request may be sent and what its failure is, when a watch goes on or begins
//! anew, when credentials and certificates are read again.
//!
//! Tasks: a [`Watch`] has one that reads from the server and writes a bounded channel of [`Change`]s and its
//! [`Health`]; a [`Store`] has one more that keeps all objects in a `watch` channel, and an [`ObjectCache`] one for each
//! object that pods refer to, which writes [`Changed`]. They end when their handle is dropped. They wake on what the
//! server sends, on its silence, on a delay after a failure, and when another request gets through after the server was
//! away. [`EventPublisher::run`] is one that the program starts: it reads events, and wakes on them and on a delay.
//!
//! Does not: decide what is written or why (`source`, `status`, `node`), apply defaults, keep anything over a restart,
//! serve HTTP (`server`).
//!
//! kube reads the kubeconfig file, builds paths and queries, and has the types of `k8s_openapi` as resources. Its
//! transport is not used: it neither renews certificates nor closes connections when they change, has no bound for the
//! rate, loses `Retry-After`, and would put all watches on one HTTP/2 connection, where the streams that a server allows
//! run out and the node's lease would wait behind them.
//!
//! ```no_run
//! use k8s_openapi::api::core::v1::{Pod, Secret, Service};
//! use kubeapi::{
//!     Change, Client, EventPublisher, Kubeconfig, Limits, Metrics, NodeLease, ObjectCache, ObjectKey, Options, Selection,
//!     Store, Strategy, Watch,
//! };
//!
//! # async fn example(registry: &telemetry::metrics::Registry) -> Result<(), Box<dyn std::error::Error>> {
//! let kubeconfig = Kubeconfig::read("/etc/kubernetes/kubelet.conf".as_ref())?;
//! let options = Options { user_agent: "berth/0.1.0".into(), limits: Limits::default() };
//! let client = Client::new(kubeconfig, options, &Metrics::register(registry))?;
//! // Heartbeats wait for nobody, and give up before the next one is due.
//! let heartbeat = client.with_limits(Limits { qps: 0.0, burst: 0, deadline: std::time::Duration::from_secs(10) });
//!
//! let mut lease = NodeLease::new(heartbeat, "worker-1", std::time::Duration::from_secs(40));
//! lease.renew(None).await?; // every ten seconds
//!
//! // Few objects that others look up: a store.
//! let services = Store::<Service>::start(&client, Selection::default());
//! services.synced().await;
//!
//! // Objects that make something happen: a watch, read by the task that acts.
//! let mut pods = Watch::<Pod>::start(&client, Selection::field("spec.nodeName", "worker-1"));
//! let health = pods.health(); // for `berth why`
//! while let Some(change) = pods.next().await {
//!     match change {
//!         Change::Listed(all) => { /* what is not among them is gone */ }
//!         Change::Applied(pod) => {}
//!         Change::Deleted(pod) => {}
//!     }
//! }
//!
//! // Objects that pods refer to: one watch each, and word to just the pods that a change concerns.
//! let (sender, mut changed) = tokio::sync::mpsc::channel(64);
//! let idle = std::time::Duration::from_secs(300);
//! let secrets = ObjectCache::<Secret>::new(&client, Strategy::Watch { idle }, sender);
//! secrets.register(&"uid of a pod".into(), [ObjectKey::new("default", "password")]);
//! let secret = secrets.get(&ObjectKey::new("default", "password")).await?;
//!
//! // Events: what is recorded anywhere comes out of one channel, at a rate of its own.
//! let (recorder, events) = task::events::Recorder::channel(1000);
//! let limits = Limits { qps: 50.0, burst: 100, ..Limits::default() };
//! tokio::spawn(EventPublisher::new(client.with_limits(limits), "worker-1").run(events));
//! # Ok(())
//! # }
//! ```
//!
//! A pod's tokens are [`Tokens`], its certificates [`PodCertificates`]; what is written of pods and nodes are methods of
//! [`Client`].

pub mod bundles;
mod certificates;
mod client;
mod credentials;
mod error;
mod events;
mod jitter;
mod kubeconfig;
mod lease;
mod limit;
mod metrics;
mod object;
mod objects;
mod pem;
mod pods;
mod presence;
mod tokens;
mod transport;
mod watch;

pub use certificates::{
    CertificateError, CertificateHolder, KeyError, Notice, POD_CERTIFICATE_STATES, PodCertificates,
};
pub use client::{Client, ClientError, Limits, Options};
pub use credentials::CredentialsError;
pub use error::{ApiError, ApiErrorKind};
pub use events::EventPublisher;
pub use kubeconfig::{Kubeconfig, KubeconfigError};
pub use lease::NodeLease;
pub use metrics::Metrics;
pub use object::{Deletion, Object};
pub use objects::{Changed, ObjectCache, Referenced, Strategy, ttl_of};
pub use tokens::{Token, TokenSpec, Tokens};
pub use transport::TlsError;
pub use watch::{Change, Health, ObjectKey, Objects, Selection, Store, Watch};
