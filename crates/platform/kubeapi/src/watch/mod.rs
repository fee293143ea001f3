//! Following what the API server has: a list, and then every change.
//! (Kubernetes: "Kubernetes API Concepts", efficient detection of changes.)

mod delays;
mod events;
mod health;
mod lines;
mod run;
mod store;
mod upstream;

pub use health::Health;
pub use store::{ObjectKey, Objects, Store};

pub(crate) use upstream::FromServer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::{ApiError, Client, Object};
use run::run;

/// Which objects of a type are followed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Selection {
    /// Those of one namespace; all if missing.
    pub namespace: Option<String>,
    /// `fieldSelector`, such as `spec.nodeName=worker-1`.
    pub fields: Option<String>,
    /// `labelSelector`.
    pub labels: Option<String>,
}

impl Selection {
    /// Objects whose field `path` is `value`, such as `spec.nodeName`.
    #[must_use]
    pub fn field(path: &str, value: &str) -> Self {
        Self { fields: Some(format!("{path}={value}")), ..Self::default() }
    }

    /// The one object `name`.
    #[must_use]
    pub fn object(namespace: Option<&str>, name: &str) -> Self {
        Self { namespace: namespace.map(Into::into), ..Self::field("metadata.name", name) }
    }
}

/// What has happened to the objects that are followed.
#[derive(Clone, PartialEq, Debug)]
pub enum Change<K> {
    /// These are all there are. What is not among them is gone. Comes first, and again whenever changes were missed.
    Listed(Vec<Arc<K>>),
    /// One is new, or has changed.
    Applied(Arc<K>),
    /// One is gone; this is its last state.
    Deleted(Arc<K>),
}

/// How many changes wait for whoever reads them. Then the server's connection waits.
const QUEUE: usize = 64;

/// Objects that are followed. Dropping it ends that.
#[derive(Debug)]
pub struct Watch<K> {
    changes: mpsc::Receiver<Change<K>>,
    health: watch::Receiver<Health>,
    _task: AbortOnDropHandle<()>,
}

impl<K: Object> Watch<K> {
    /// Begins to follow the objects of `selection`. It goes on whatever the server does, with
    /// [`Watch::health`] telling how it fares.
    #[must_use]
    pub fn start(client: &Client, selection: Selection) -> Self {
        Self::of(FromServer::new(client.clone(), selection))
    }

    /// The same, with one request in place of a list and a watch, where the server can do that (KEP-3157). For those of
    /// which there are many.
    #[must_use]
    pub(crate) fn streamed(client: &Client, selection: Selection) -> Self {
        Self::of(FromServer::new(client.clone(), selection).streamed())
    }

    fn of(upstream: FromServer<K>) -> Self {
        let (sender, changes) = mpsc::channel(QUEUE);
        let (told, health) = watch::channel(Health::starting());
        let task = tokio::spawn(run(upstream, sender, told));
        Self { changes, health, _task: AbortOnDropHandle::new(task) }
    }

    /// The next change. `None` only if the task behind it died.
    pub async fn next(&mut self) -> Option<Change<K>> {
        self.changes.recv().await
    }

    /// Whether the server is heard.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

/// What an API server does for a watch: the part that tests play.
pub(crate) trait Upstream: Send + Sync + 'static {
    /// The objects.
    type Object: Send + Sync + 'static;
    /// A watch that has begun.
    type Events: EventStream<Self::Object>;

    /// Everything, at a version that is as new as `at` asks for. It may go on as a watch, which the server ends after
    /// `timeout`.
    fn list(
        &self,
        at: At,
        timeout: Duration,
    ) -> impl Future<Output = Result<Listed<Self::Object, Self::Events>, ApiError>> + Send;

    /// Begins a watch after `version`, which the server ends after `timeout`.
    fn open(
        &self,
        version: &str,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Events, ApiError>> + Send;

    /// Returns when the server answers again to anybody after it was away.
    fn recovered(&self) -> impl Future<Output = ()> + Send;
}

/// The events of a watch that has begun.
pub(crate) trait EventStream<K>: Send {
    /// The next event; `None` at the end. May be dropped and called again.
    fn next(&mut self) -> impl Future<Output = Option<Result<Event<K>, ApiError>>> + Send;
}

/// How new a list must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    /// As the server's cache has it: cheap, and good enough to begin with.
    Any,
    /// The newest there is.
    Newest,
}

/// A whole list.
pub(crate) struct Listed<K, E> {
    pub(crate) objects: Vec<Arc<K>>,
    pub(crate) version: String,
    /// The watch that it goes on as.
    pub(crate) events: Option<E>,
}

/// An event of a watch, with the version from which the next watch goes on.
#[derive(Debug)]
pub(crate) enum Event<K> {
    Applied(Arc<K>, String),
    Deleted(Arc<K>, String),
    /// Nothing happened up to this version.
    Bookmark(String),
    /// All objects that there were at the beginning have come; this is the version.
    Synced(String),
    /// The server cannot go on.
    Failed(ApiError),
}
