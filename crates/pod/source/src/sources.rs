//! All sources together: what they read, merged into changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use types::{PodChange, SourceKind};

use crate::diff::{self, Found, Set};
use crate::http::{Endpoint, EndpointError};
use crate::manifest::Rules;
use crate::problem::{Finding, ManifestProblem, Reason, keep_since};
use crate::reading::Reading;
use crate::{file, http};

/// More problems than this are not published.
const MAX_PROBLEMS: usize = 1000;

/// Where static pods come from; fields of `KubeletConfiguration`.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// `staticPodPath`: a directory or file.
    pub static_pod_path: Option<PathBuf>,
    /// `fileCheckFrequency` (20 s).
    pub file_check_frequency: Duration,
    /// `staticPodURL`.
    pub static_pod_url: Option<String>,
    /// `staticPodURLHeader`: names and values, a name may be there more than once.
    pub static_pod_url_headers: Vec<(String, String)>,
    /// `httpCheckFrequency` (20 s).
    pub http_check_frequency: Duration,
    /// What feature gates say about manifests.
    pub rules: Rules,
}

/// Why the sources cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The URL or its headers cannot be used.
    #[error("the URL of static pods {url:?} cannot be used: check staticPodURL and staticPodURLHeader")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        #[source]
        source: EndpointError,
    },
}

/// The sources of static pods, ready to [run](Sources::run).
#[derive(Debug)]
pub struct Sources {
    config: SourceConfig,
    node_name: String,
    endpoint: Option<Endpoint>,
    problems: watch::Sender<Arc<Vec<ManifestProblem>>>,
}

impl Sources {
    /// Sources as configured, for the node `node_name`.
    ///
    /// # Errors
    /// If the URL or its headers are malformed, or the system's root certificates cannot be used for it.
    pub fn new(config: SourceConfig, node_name: &str) -> Result<Self, SourceError> {
        let endpoint = match &config.static_pod_url {
            Some(url) => Some(
                Endpoint::new(url, &config.static_pod_url_headers)
                    .map_err(|source| SourceError::Url { url: url.clone(), source })?,
            ),
            None => None,
        };
        let (problems, _) = watch::channel(Arc::default());
        Ok(Self { config, node_name: node_name.to_owned(), endpoint, problems })
    }

    /// The sources that have to be [seen](PodChange::Seen) before what is unknown may be deleted.
    #[must_use]
    pub fn configured(&self) -> Vec<SourceKind> {
        let file = self.config.static_pod_path.as_ref().map(|_| SourceKind::File);
        file.into_iter().chain(self.endpoint.as_ref().map(|_| SourceKind::Http)).collect()
    }

    /// What is wrong with manifests now. Ordered by source and path.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Arc<Vec<ManifestProblem>>> {
        self.problems.subscribe()
    }

    /// Reads all sources and sends what changes, until nobody listens or the future is dropped.
    pub async fn run(self, changes: mpsc::Sender<PodChange>) {
        let (readings, inbox) = mpsc::channel(1);
        let file = async {
            match self.config.static_pod_path.clone() {
                Some(path) => {
                    let (period, rules) = (self.config.file_check_frequency, self.config.rules.clone());
                    file::run(path, self.node_name.clone(), rules, period, readings.clone()).await;
                }
                None => std::future::pending().await,
            }
        };
        let http = async {
            match &self.endpoint {
                Some(endpoint) => {
                    let (period, rules) = (self.config.http_check_frequency, self.config.rules.clone());
                    http::run(endpoint, &self.node_name, rules, period, &readings).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = file => {}
            () = http => {}
            () = merge(inbox, &self.problems, &changes) => {}
            () = changes.closed() => {}
        }
    }
}

/// What is known of one source.
#[derive(Default)]
struct Source {
    /// Whether it was read at all, and then, whether that was the whole of it.
    seen: Option<bool>,
    found: Vec<Found>,
    problems: Vec<ManifestProblem>,
}

async fn merge(
    mut inbox: mpsc::Receiver<Reading>,
    published: &watch::Sender<Arc<Vec<ManifestProblem>>>,
    changes: &mpsc::Sender<PodChange>,
) {
    let (mut file, mut http) = (Source::default(), Source::default());
    let mut set = Set::new();
    while let Some(reading) = inbox.recv().await {
        let kind = reading.kind;
        let source = if kind == SourceKind::File { &mut file } else { &mut http };
        source.problems = reading.problems;
        let mut seen = None;
        if let Some(found) = reading.found {
            source.found = found;
            let whole = reading.whole;
            let news = source.seen.replace(whole) != Some(whole);
            seen = news.then_some(PodChange::Seen { source: kind, whole });
        }
        let all = file.found.iter().chain(&http.found).cloned().collect();
        let (pods, dropped) = diff::without_duplicates(all);
        let problems = file.problems.iter().chain(&http.problems).cloned();
        publish(published, problems.chain(dropped.into_iter().map(duplicate)).collect());
        let (new, news) = diff::diff(&set, pods, &format!("{:.9}", Timestamp::now()));
        set = new;
        for change in news.into_iter().chain(seen) {
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}

fn duplicate(dropped: diff::Dropped) -> ManifestProblem {
    let what = if dropped.same_uid { "UID" } else { "name" };
    let message = format!(
        "the pod {} is left out: {} has one of the same {what}; give it another one, or remove one of the two",
        dropped.pod, dropped.first
    );
    Finding::error(Reason::Duplicate, message).of(&dropped.place, Timestamp::now())
}

/// Publishes `problems` if they are others than before, and logs those that are new.
fn publish(published: &watch::Sender<Arc<Vec<ManifestProblem>>>, mut problems: Vec<ManifestProblem>) {
    problems.truncate(MAX_PROBLEMS);
    let old = Arc::clone(&published.borrow());
    let new = keep_since(&old, problems);
    if *old == new {
        return;
    }
    for problem in new.iter().filter(|problem| !old.contains(problem)) {
        tracing::warn!(reason = %problem.reason, "manifest: {problem}");
    }
    published.send_replace(Arc::new(new));
}

#[cfg(test)]
mod tests;
