//! What the node follows.

use std::sync::Arc;

use tokio::sync::watch;
use types::corev1::Node;

use crate::RuntimeHealth;
use crate::facts::{Facts, Inputs, Strain};
use crate::inuse::InUse;

/// What the node follows. A feed whose sender is gone stays as it is.
#[derive(Clone, Debug)]
pub struct Feeds {
    /// What the node is and has.
    pub facts: watch::Receiver<Arc<Facts>>,
    /// How the runtime is.
    pub runtime: watch::Receiver<RuntimeHealth>,
    /// What weighs on the node.
    pub strain: watch::Receiver<Strain>,
    /// The attached volumes that are used here; as long as that is not known, the status keeps what it says of them.
    pub in_use: watch::Receiver<Option<Arc<InUse>>>,
    /// The Node object as a watch on the API server shows it; `None` while there is none, or nothing is known. Without
    /// a watch, the node learns of changes by others with its next report.
    pub object: watch::Receiver<Option<Arc<Node>>>,
}

impl Feeds {
    /// Does `work` on what is known now.
    pub(crate) fn with_inputs<T>(&self, work: impl FnOnce(Inputs<'_>) -> T) -> T {
        let facts = self.facts.borrow().clone();
        let (runtime, strain) = (self.runtime.borrow().clone(), self.strain.borrow().clone());
        let in_use = self.in_use.borrow().clone();
        work(Inputs { facts: &facts, runtime: &runtime, strain: &strain, in_use: in_use.as_deref() })
    }

    /// Waits until the runtime has told all that is said of it.
    pub(crate) async fn complete(&mut self) {
        let _ = self.runtime.wait_for(|health| health.known).await;
        let _ = self.facts.wait_for(|facts| facts.runtime.is_some() && facts.images.is_some()).await;
    }

    /// Waits until something changes.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = changed(&mut self.facts) => {}
            () = changed(&mut self.runtime) => {}
            () = changed(&mut self.strain) => {}
            () = changed(&mut self.in_use) => {}
            () = changed(&mut self.object) => self.object.mark_changed(),
        }
    }

    /// Waits until the watch on the API server shows something that [`Feeds::shown`] has not given yet.
    pub(crate) async fn object_changed(&mut self) {
        changed(&mut self.object).await;
        self.object.mark_changed();
    }

    /// What the watch on the API server shows, if that is something new.
    pub(crate) fn shown(&mut self) -> Option<Option<Arc<Node>>> {
        let news = self.object.has_changed().unwrap_or(false);
        news.then(|| self.object.borrow_and_update().clone())
    }
}

/// Waits for a change of one feed.
async fn changed<T>(feed: &mut watch::Receiver<T>) {
    if feed.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
