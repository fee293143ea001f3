//! Where pods come from: manifest files, a URL and the API server, as one stream of pod changes.
//!
//! Decides which pods a manifest stands for, under which name and UID (`identity`); whether it may run (`manifest`,
//! with `schema`); and what changed between two readings (`diff`). A bad manifest never disturbs another one, and one
//! that turns bad while its pod runs leaves the pod as it was. Of the pods of the API server, which of their changes
//! matter to a worker (`api`).
//!
//! Two tasks. [`Sources::run`]:
//! - reads the manifest directory or file when inotify says that it changed, and every `fileCheckFrequency`; the URL
//!   every `httpCheckFrequency`, because a server cannot tell;
//! - writes [`types::PodChange`]s to a bounded channel (awaited), and [`ManifestProblem`]s to a watch channel.
//!
//! And [`ApiSource::run`], which wakes when the API server's pods change and writes to the same channel.
//!
//! Does not: keep anything on disk, know which pods run, talk to the API server (`kubeapi`), or tell it of static pods.

mod api;
mod diff;
mod file;
mod folder;
mod http;
mod identity;
mod manifest;
mod open;
mod problem;
mod reading;
mod sources;
mod target;

pub use api::ApiSource;
pub use http::EndpointError;
pub use manifest::Rules;
pub use problem::{ManifestProblem, Reason, Severity};
pub use sources::{SourceConfig, SourceError, Sources};

/// For fuzzing: reads `bytes` as a manifest file would be read. Never panics.
pub fn fuzz(bytes: &[u8]) {
    let origin = identity::Origin::file("/manifests/fuzz.yaml", "node");
    let _ = manifest::read_file(bytes, &origin, &Rules::default());
}
