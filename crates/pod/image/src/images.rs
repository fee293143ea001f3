//! Making sure that a container's image is on the node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::{CriError, Runtime, v1};
use task::backoff::Backoff;
use task::events::Recorder;
use task::rate::TokenBucket;
use tokio::sync::watch;
use tokio::time::Instant;
use types::corev1::Secret;
use types::reason::{event, waiting};
use types::{ContainerKind, Event, PodRef, PodUid};

use crate::access::Access;
use crate::credentials::NodeCredentials;
use crate::metrics::Metrics;
use crate::policy::{Need, PullPolicy, need};
use crate::pulls::{PullError, Pulls, spec};
use crate::reference::ImageName;
use crate::secrets::{Offer, offers};

/// Bounds of pulling (the fields of `KubeletConfiguration` of these names).
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `registryPullQPS`: pulls per second; 0: any number.
    pub registry_pull_qps: u32,
    /// `registryBurst`: pulls at once above that rate.
    pub registry_burst: u32,
    /// Pulls at the same time; `None`: any number. 1 is `serializeImagePulls`.
    pub parallel: Option<usize>,
    /// Delay after the first failed pull; it doubles.
    pub back_off: Duration,
    /// The longest delay.
    pub max_back_off: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            registry_pull_qps: 5,
            registry_burst: 10,
            parallel: Some(1),
            back_off: Duration::from_secs(10),
            max_back_off: Duration::from_secs(300),
        }
    }
}

/// A container's need of an image.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The pod.
    pub pod: &'a PodRef,
    /// The kind of the container.
    pub kind: ContainerKind,
    /// The container's name.
    pub container: &'a str,
    /// The image as the spec names it.
    pub image: &'a str,
    /// Its pull policy.
    pub policy: PullPolicy,
    /// The Secrets of the pod's `imagePullSecrets`, those that could be had.
    pub pull_secrets: &'a [Arc<Secret>],
    /// The sandbox for which it is pulled.
    pub sandbox: Option<&'a v1::PodSandboxConfig>,
}

/// An image that is on the node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ensured {
    /// What the runtime is to be given in `ContainerConfig.image`.
    pub image_ref: String,
    /// The numeric user of the image, if it has one.
    pub uid: Option<i64>,
    /// The named user of the image; empty if it has none.
    pub username: String,
}

/// Why an image is not there. The reason is what the container's `waiting` state shows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// CamelCase reason, such as `ErrImagePull`.
    pub reason: &'static str,
    /// What happened and what to do.
    pub message: String,
    /// When it makes sense to try again; `None`: it is up to the caller.
    pub retry_in: Option<Duration>,
}

type Key = (PodUid, String);

/// The images of the node. Clones share it.
#[derive(Clone)]
pub struct Images {
    runtime: Runtime,
    access: Option<Access>,
    pulls: Pulls,
    credentials: NodeCredentials,
    recorder: Recorder,
    failures: Arc<Mutex<Failures>>,
    metrics: Metrics,
}

/// What went wrong lately, by pod and image.
struct Failures {
    back_off: Backoff<Key>,
    last: HashMap<Key, String>,
}

impl Failures {
    fn forget(&mut self, key: &Key) {
        self.back_off.reset(key);
        self.last.remove(key);
    }
}

impl Images {
    /// Images pulled through `runtime` with the node's own `credentials`. Without `access` anybody may use
    /// what is there.
    #[must_use]
    pub fn new(
        runtime: Runtime,
        credentials: NodeCredentials,
        access: Option<Access>,
        options: Options,
        recorder: Recorder,
        metrics: Metrics,
    ) -> Self {
        let rate = TokenBucket::new(f64::from(options.registry_pull_qps), options.registry_burst);
        let back_off = Backoff::new(options.back_off, options.max_back_off);
        Self {
            pulls: Pulls::new(runtime.clone(), access.clone(), options.parallel, rate, metrics.clone()),
            runtime,
            access,
            credentials,
            recorder,
            failures: Arc::new(Mutex::new(Failures { back_off, last: HashMap::new() })),
            metrics,
        }
    }

    /// Makes sure that the image is on the node, pulling it if the policy asks for it. May be dropped at any time;
    /// a pull under way goes on for those who still want it.
    ///
    /// # Errors
    /// With the reason and message of the container's `waiting` state.
    pub async fn ensure(&self, request: &Request<'_>) -> Result<Ensured, ImageError> {
        let ensured = self.ensure_quietly(request).await;
        if let Err(error) = &ensured {
            self.warn(request, event::FAILED, format!("Error: {}", error.reason));
        }
        ensured
    }

    async fn ensure_quietly(&self, request: &Request<'_>) -> Result<Ensured, ImageError> {
        let name = ImageName::parse(request.image).map_err(|error| {
            let message = format!("Failed to apply default image tag {:?}: {error}", request.image);
            self.warn(request, event::INSPECT_FAILED, message.clone());
            ImageError { reason: waiting::INVALID_IMAGE_NAME, message, retry_in: None }
        })?;
        let tagged = name.tagged(request.image);
        // A pull asks the registry whatever is here.
        let present = match request.policy {
            PullPolicy::Always => None,
            PullPolicy::IfNotPresent | PullPolicy::Never => self.inspect(request, &tagged).await?,
        };
        let may_use = match (&self.access, &present) {
            (Some(access), Some(image)) => {
                let own = offers(request.pull_secrets, &name).into_iter().filter_map(|offer| offer.secret);
                access.may_use(&self.runtime, &tagged, &image.id, own.collect()).await
            }
            _ => true,
        };
        // An image that the pod may not use is to it as one that is not there.
        let need = need(request.policy, present.is_some() && may_use);
        self.count(request.policy, present.is_some(), need);
        match (need, present) {
            (Need::Present, Some(image)) => {
                let checked = if self.access.is_some() { " and can be accessed by the pod" } else { "" };
                let message =
                    format!("Container image {:?} already present on machine{checked}", request.image);
                self.note(request, event::PULLED, message);
                Ok(ensured(&image))
            }
            (Need::Refused, _) => {
                let message =
                    format!("Container image {:?} is not present with pull policy of Never", request.image);
                self.warn(request, event::ERR_IMAGE_NEVER_PULL, message.clone());
                Err(ImageError { reason: waiting::ERR_IMAGE_NEVER_PULL, message, retry_in: None })
            }
            (Need::Pull | Need::Present, _) => self.pull(request, &name, &tagged).await,
        }
    }

    /// Changes whenever an image was pulled.
    #[must_use]
    pub fn pulled(&self) -> watch::Receiver<()> {
        self.pulls.done()
    }

    /// Forgets what is known of failed pulls for a pod that is gone.
    pub fn forget(&self, pod: &PodUid) {
        let mut failures = self.failures();
        let keys: Vec<_> = failures.last.keys().filter(|(uid, _)| uid == pod).cloned().collect();
        for key in keys {
            failures.forget(&key);
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, policy: PullPolicy, present: bool, need: Need) {
        let bool_label = |yes| if yes { "true" } else { "false" };
        let (policy, present) = match policy {
            PullPolicy::Always => ("always", "unknown"),
            PullPolicy::IfNotPresent => ("ifnotpresent", bool_label(present)),
            PullPolicy::Never => ("never", bool_label(present)),
        };
        self.metrics.ensure_requests.inc(&[policy, present, bool_label(need == Need::Pull)]);
    }

    async fn inspect(&self, request: &Request<'_>, tagged: &str) -> Result<Option<cri::Image>, ImageError> {
        let inspected = self.runtime.image_status(spec(tagged)).await;
        inspected.map_err(|error| self.inspect_failed(request, &error))
    }

    fn inspect_failed(&self, request: &Request<'_>, error: &CriError) -> ImageError {
        let message = format!("Failed to inspect image {:?}: {}", request.image, telemetry::chain(error));
        self.warn(request, event::INSPECT_FAILED, message.clone());
        ImageError { reason: waiting::IMAGE_INSPECT_ERROR, message, retry_in: None }
    }

    async fn pull(
        &self,
        request: &Request<'_>,
        name: &ImageName,
        tagged: &str,
    ) -> Result<Ensured, ImageError> {
        let key: Key = (request.pod.uid.clone(), tagged.to_owned());
        self.check_back_off(request, &key)?;
        self.note(request, event::PULLING, format!("Pulling image {:?}", request.image));
        let mut offered = offers(request.pull_secrets, name);
        let nodes = self.credentials.keyring().await;
        offered.extend(nodes.lookup(name).map(|own| Offer { credential: own.clone(), secret: None }));
        let asked = Instant::now();
        match self.pulls.pull(tagged, offered, request.sandbox).await {
            Ok(pulled) => {
                self.failures().forget(&key);
                let message = format!(
                    "Successfully pulled image {:?} in {} ({} including waiting). Image size: {} bytes.",
                    request.image,
                    shown(pulled.took),
                    shown(asked.elapsed()),
                    pulled.image.size,
                );
                self.note(request, event::PULLED, message);
                Ok(ensured(&pulled.image))
            }
            Err(PullError::Inspect(error)) => Err(self.inspect_failed(request, &error)),
            Err(PullError::Record(error)) => {
                let text = format!("Failed to record image pull intent: {}", telemetry::chain(&*error));
                Err(self.pull_failed(request, key, waiting::ERR_IMAGE_PULL, text))
            }
            Err(PullError::TooOften) => {
                let text = "pull QPS exceeded".to_owned();
                Err(self.pull_failed(request, key, waiting::ERR_IMAGE_PULL, text))
            }
            Err(PullError::Pull(error)) => {
                let reason = reason(&error);
                Err(self.pull_failed(request, key, reason, error.message.clone()))
            }
        }
    }

    fn check_back_off(&self, request: &Request<'_>, key: &Key) -> Result<(), ImageError> {
        let (remaining, last) = {
            let failures = self.failures();
            let Some(remaining) = failures.back_off.remaining(key, Instant::now()) else { return Ok(()) };
            (remaining, failures.last.get(key).cloned())
        };
        let text = format!("Back-off pulling image {:?}", request.image);
        self.note(request, event::BACK_OFF, text.clone());
        let message = last.map_or_else(|| text.clone(), |last| format!("{text}: {last}"));
        Err(ImageError { reason: waiting::IMAGE_PULL_BACK_OFF, message, retry_in: Some(remaining) })
    }

    fn pull_failed(
        &self,
        request: &Request<'_>,
        key: Key,
        reason: &'static str,
        message: String,
    ) -> ImageError {
        let retry_in = {
            let mut failures = self.failures();
            let delay = failures.back_off.failed(&key, Instant::now());
            failures.last.insert(key, format!("{reason}: {message}"));
            Some(delay)
        };
        let text = format!("Failed to pull image {:?}: {message}", request.image);
        self.warn(request, event::FAILED, text);
        ImageError { reason, message, retry_in }
    }

    fn note(&self, request: &Request<'_>, reason: &'static str, message: String) {
        self.recorder
            .record(Event::normal(request.pod, reason, message).about(request.kind, request.container));
    }

    fn warn(&self, request: &Request<'_>, reason: &'static str, message: String) {
        self.recorder
            .record(Event::warning(request.pod, reason, message).about(request.kind, request.container));
    }
}

fn ensured(image: &cri::Image) -> Ensured {
    Ensured { image_ref: image.id.clone(), uid: image.uid, username: image.username.clone() }
}

/// The reason that a failed pull shows. Runtimes put two of them at the beginning of the error's text: that is how
/// CRI hands them over.
fn reason(error: &CriError) -> &'static str {
    [waiting::REGISTRY_UNAVAILABLE, waiting::SIGNATURE_VALIDATION_FAILED]
        .into_iter()
        .find(|reason| error.message.starts_with(reason))
        .unwrap_or(waiting::ERR_IMAGE_PULL)
}

/// A duration, cut to milliseconds, as Go prints it: `1m2.5s`.
fn shown(duration: Duration) -> String {
    let ms = duration.as_millis();
    if (1..1000).contains(&ms) {
        return format!("{ms}ms");
    }
    let (hours, minutes, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    let fraction = format!(".{:03}", ms % 1000);
    let seconds = format!("{}{}s", ms / 1000, fraction.trim_end_matches('0').trim_end_matches('.'));
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_in_go() {
        for (ms, text) in [
            (0, "0s"),
            (7, "7ms"),
            (999, "999ms"),
            (1000, "1s"),
            (1230, "1.23s"),
            (60_000, "1m0s"),
            (65_250, "1m5.25s"),
            (3_600_001, "1h0m0.001s"),
        ] {
            assert_eq!(shown(Duration::from_millis(ms)), text);
        }
    }
}
