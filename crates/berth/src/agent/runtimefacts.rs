//! What the Node object shows of the runtime: who it is, and its images.

use std::sync::Arc;
use std::time::Duration;

use cri::{CriError, Runtime};
use node::{Facts, RuntimeHealth};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The time after which images are listed though berth neither pulled nor removed one: others may have.
const EVERY: Duration = Duration::from_secs(300);

/// Keeps the runtime's part of the facts up to date.
pub(super) struct RuntimeFacts {
    pub(super) runtime: Runtime,
    pub(super) health: watch::Receiver<RuntimeHealth>,
    /// Change when an image was pulled, and when one was removed.
    pub(super) images: [watch::Receiver<()>; 2],
    pub(super) facts: watch::Sender<Arc<Facts>>,
    /// The least time between two times of asking: what comes in between is told together.
    pub(super) least: Duration,
}

impl RuntimeFacts {
    /// Asks the runtime when it may have something new to tell, until dropped.
    pub(super) async fn run(mut self) {
        // The sender lives as long as the agent.
        while self.health.wait_for(|health| health.ready).await.is_ok() {
            for images in &mut self.images {
                images.mark_unchanged();
            }
            self.health.mark_unchanged();
            match self.ask().await {
                Ok((version, images)) => self.tell(version, images),
                // The runtime's health tells operators.
                Err(error) => {
                    tracing::debug!(error = %telemetry::chain(&error), "The runtime does not tell what it is and has");
                }
            }
            sleep(self.least).await;
            let [pulled, removed] = &mut self.images;
            let _ = timeout(EVERY, async {
                tokio::select! {
                    Ok(()) = self.health.changed() => {}
                    Ok(()) = pulled.changed() => {}
                    Ok(()) = removed.changed() => {}
                    else => std::future::pending().await,
                }
            })
            .await;
        }
    }

    async fn ask(&self) -> Result<(cri::Version, Vec<cri::Image>), CriError> {
        Ok((self.runtime.version().await?, self.runtime.list_images().await?))
    }

    fn tell(&self, version: cri::Version, mut images: Vec<cri::Image>) {
        // The runtime lists them in any order, and only what changed is news.
        images.sort_by(|a, b| a.id.cmp(&b.id));
        self.facts.send_if_modified(|facts| {
            let same = facts.runtime.as_ref() == Some(&version)
                && facts.images.as_ref().is_some_and(|known| **known == images);
            if !same {
                let facts = Arc::make_mut(facts);
                (facts.runtime, facts.images) = (Some(version), Some(Arc::new(images)));
            }
            !same
        });
    }
}
