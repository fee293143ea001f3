//! What a user may do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cache::Cache;
use super::{Access, ReviewError, Reviews};
use crate::Metrics;

/// So many decisions are remembered.
const MOST: usize = 8192;

/// Decides what users may do (`authorization.mode`).
pub enum Authorizer {
    /// `AlwaysAllow`: whoever is let in may do everything.
    AlwaysAllow,
    /// Nobody may do anything: it is the API server that should decide, and there is none.
    Nobody,
    /// `Webhook`: the API server decides.
    Webhook(Box<Webhook>),
}

/// Decisions of the API server.
pub struct Webhook {
    reviews: Arc<dyn Reviews>,
    allowed_ttl: Duration,
    refused_ttl: Duration,
    known: Cache<Access, bool, ReviewError>,
    metrics: Metrics,
}

impl Authorizer {
    /// The API server decides; a yes counts for `allowed_ttl`, a no for `refused_ttl`.
    #[must_use]
    pub fn webhook(
        reviews: Arc<dyn Reviews>,
        allowed_ttl: Duration,
        refused_ttl: Duration,
        metrics: Metrics,
    ) -> Self {
        let known = Cache::new(MOST);
        Self::Webhook(Box::new(Webhook { reviews, allowed_ttl, refused_ttl, known, metrics }))
    }

    /// Whether that is allowed.
    pub(super) async fn may(&self, access: &Access) -> Result<bool, ReviewError> {
        match self {
            Self::AlwaysAllow => Ok(true),
            Self::Nobody => Ok(false),
            Self::Webhook(webhook) => webhook.may(access).await,
        }
    }
}

impl Webhook {
    async fn may(&self, access: &Access) -> Result<bool, ReviewError> {
        let ask = || {
            let (review, metrics) = (self.reviews.access(access), self.metrics.clone());
            let reviewed = async move {
                let begun = Instant::now();
                let answer = review.await;
                metrics.access_reviewed(&answer, begun.elapsed());
                answer
            };
            Box::pin(reviewed) as _
        };
        let ttl = |allowed: &bool| if *allowed { self.allowed_ttl } else { self.refused_ttl };
        self.known.get(access, ask, ttl).await.0
    }
}
