//! Removing images that nobody uses (Kubernetes: "Garbage collection", image collection).
//!
//! Decides: [`choose`](mod@choose). Acts: [`Collector`], one task that wakes every five minutes.

pub mod choose;
mod disk;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use cri::{CriError, Runtime};
use jiff::Timestamp;
use task::events::Recorder;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use types::reason::event;
use types::{Event, EventKind};

use crate::access::Access;
use crate::metrics::Metrics;
use crate::pulls::spec;
use choose::{Candidate, Ledger};
pub use choose::{Disk, Policy};
pub use disk::{DiskError, image_disk};

/// Time between two rounds.
const PERIOD: Duration = Duration::from_secs(300);

/// What the collector has to know of the node.
pub trait Needs: Send + Sync {
    /// Ids or names of the images that containers in the runtime, dead or alive, and image volumes use; `None` while
    /// that is not known.
    fn images_in_use(&self) -> impl Future<Output = Option<BTreeSet<String>>> + Send;

    /// How full the disk with the images is: [`image_disk`].
    fn disk(&self) -> impl Future<Output = Result<Disk, DiskError>> + Send;
}

/// Why a round did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// It is not known what is in use.
    #[error("images cannot be removed while it is not known which containers the runtime has")]
    InUseUnknown,
    /// The runtime does not tell its images.
    #[error("images cannot be removed because the runtime does not list them")]
    List(#[source] CriError),
    /// The runtime does not tell which image its sandboxes need.
    #[error("images cannot be removed because the runtime does not tell which one its sandboxes need")]
    SandboxImage(#[source] CriError),
    /// It is not known how full the disk is.
    #[error("images cannot be removed because it is not known how full their disk is")]
    Disk(#[source] DiskError),
    /// The disk has no size.
    #[error("invalid capacity 0 on image filesystem")]
    InvalidCapacity,
    /// Too little could be removed.
    #[error(
        "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
    )]
    NotEnough {
        /// What was to be freed, in bytes.
        wanted: u64,
        /// What could be freed, in bytes.
        freed: u64,
        /// Why an image could not be removed, if one could not.
        #[source]
        source: Option<CriError>,
    },
}

/// Removes images.
pub struct Collector {
    runtime: Runtime,
    access: Option<Access>,
    policy: Policy,
    recorder: Recorder,
    metrics: Metrics,
    ledger: Ledger,
    start: Instant,
    failed: bool,
    /// Marked as changed by each image that was removed.
    removed: watch::Sender<()>,
}

impl Collector {
    /// A collector of the images of `runtime`, and of the records that `access` has of those that are gone.
    #[must_use]
    pub fn new(
        runtime: Runtime,
        access: Option<Access>,
        policy: Policy,
        recorder: Recorder,
        metrics: Metrics,
    ) -> Self {
        Self {
            runtime,
            access,
            policy,
            recorder,
            metrics,
            ledger: Ledger::default(),
            start: Instant::now(),
            failed: false,
            removed: watch::Sender::default(),
        }
    }

    /// Changes whenever an image was removed.
    #[must_use]
    pub fn removed(&self) -> watch::Receiver<()> {
        self.removed.subscribe()
    }

    /// Collects every five minutes until the future is dropped; not at all if the policy is off.
    pub async fn run(mut self, needs: impl Needs) {
        if self.policy.is_off() {
            return std::future::pending().await;
        }
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.round(&needs).await;
        }
    }

    async fn round(&mut self, needs: &impl Needs) {
        let Err(error) = self.collect(needs).await else {
            self.failed = false;
            return;
        };
        let text = telemetry::chain(&error);
        tracing::warn!(error = text, "Image garbage collection failed");
        match error {
            GcError::InvalidCapacity => self.warn(event::INVALID_DISK_CAPACITY, &text),
            GcError::NotEnough { .. } => self.warn(event::FREE_DISK_SPACE_FAILED, &text),
            _ => {}
        }
        // The first failure is often just a start at which not everything is there yet.
        if std::mem::replace(&mut self.failed, true) {
            self.warn(event::IMAGE_GC_FAILED, &text);
        }
    }

    async fn collect(&mut self, needs: &impl Needs) -> Result<(), GcError> {
        // What is in use is asked after the list: an image that comes into use in between is seen as used.
        let since = Timestamp::now();
        let images = self.runtime.list_images().await.map_err(GcError::List)?;
        if let Some(access) = &self.access {
            access.forget_gone(images.iter().map(|image| image.id.clone()).collect(), since).await;
        }
        let mut used = needs.images_in_use().await.ok_or(GcError::InUseUnknown)?;
        // Not every runtime pins it, and without it no pod starts.
        used.extend(self.runtime.sandbox_image().await.map_err(GcError::SandboxImage)?);
        let now = Instant::now();
        let mut images = self.ledger.saw(images, &used, now);

        let old: Vec<_> =
            choose::expired(&images, &self.policy, self.start, now).into_iter().cloned().collect();
        for image in &old {
            // What cannot be removed is tried again in the next round.
            let _ = self.remove(image, "age").await;
        }
        images.retain(|image| !old.contains(image));

        let disk = needs.disk().await.map_err(GcError::Disk)?;
        if disk.capacity == 0 {
            return Err(GcError::InvalidCapacity);
        }
        let wanted = choose::excess(&self.policy, disk);
        self.free(images, wanted, now).await
    }

    async fn free(&self, mut images: Vec<Candidate>, wanted: u64, now: Instant) -> Result<(), GcError> {
        let (mut freed, mut source) = (0u64, None);
        while freed < wanted {
            let chosen: Vec<_> =
                choose::choose(&images, &self.policy, wanted - freed, now).into_iter().cloned().collect();
            if chosen.is_empty() {
                return Err(GcError::NotEnough { wanted, freed, source });
            }
            // One that cannot be removed has others take its place.
            for image in &chosen {
                match self.remove(image, "space").await {
                    Ok(()) => freed = freed.saturating_add(image.size),
                    Err(error) => source = Some(error),
                }
            }
            images.retain(|image| !chosen.contains(image));
        }
        Ok(())
    }

    async fn remove(&self, image: &Candidate, why: &str) -> Result<(), CriError> {
        let removed = self.runtime.remove_image(spec(&image.id)).await;
        match &removed {
            Ok(()) => {
                tracing::info!(image = image.id, bytes = image.size, why, "Removed an unused image");
                self.metrics.garbage_collected.inc(&[why]);
                self.removed.send_replace(());
            }
            Err(error) => {
                let error = telemetry::chain(error);
                tracing::warn!(image = image.id, error, "An unused image cannot be removed");
            }
        }
        removed
    }

    fn warn(&self, reason: &'static str, message: &str) {
        self.recorder.record(Event::node(EventKind::Warning, reason, message));
    }
}
