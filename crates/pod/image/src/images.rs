//! Making sure that a container's image is on the node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cri::{CriError, Runtime, v1};
use task::backoff::Backoff;
use task::events::Recorder;
use task::rate::TokenBucket;
use tokio::time::Instant;
use types::reason::{event, waiting};
use types::{ContainerKind, Event, PodRef, PodUid};

use crate::keyring::Keyring;
use crate::metrics::{Metrics, size_bucket};
use crate::policy::{Need, PullPolicy, need};
use crate::pulls::Pulls;
use crate::reference::ImageName;

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
    pulls: Pulls,
    keyring: Arc<Keyring>,
    recorder: Recorder,
    rate: Arc<Mutex<TokenBucket>>,
    failures: Arc<Mutex<Failures>>,
    metrics: Metrics,
}

struct Failures {
    back_off: Backoff<Key>,
    last: HashMap<Key, String>,
}

impl Images {
    /// Images pulled through `runtime` with the node's own credentials in `keyring`.
    #[must_use]
    pub fn new(
        runtime: Runtime,
        keyring: Keyring,
        options: Options,
        recorder: Recorder,
        metrics: Metrics,
    ) -> Self {
        Self {
            pulls: Pulls::new(runtime.clone(), options.parallel),
            runtime,
            keyring: Arc::new(keyring),
            recorder,
            rate: Arc::new(Mutex::new(TokenBucket::new(
                f64::from(options.registry_pull_qps),
                options.registry_burst,
            ))),
            failures: Arc::new(Mutex::new(Failures {
                back_off: Backoff::new(options.back_off, options.max_back_off),
                last: HashMap::new(),
            })),
            metrics,
        }
    }

    /// Makes sure that the image is on the node, pulling it if the policy asks for it. May be dropped at any time;
    /// a pull under way goes on for those who still want it.
    ///
    /// # Errors
    /// With the reason and message of the container's `waiting` state.
    pub async fn ensure(&self, request: &Request<'_>) -> Result<Ensured, ImageError> {
        let name = ImageName::parse(request.image).map_err(|error| {
            self.warn(request, event::INSPECT_FAILED, format!("Failed to apply default image tag: {error}"));
            ImageError { reason: waiting::INVALID_IMAGE_NAME, message: error.to_string(), retry_in: None }
        })?;
        let full = name.to_string();
        // The inspection after a pull tells the rest; before it, only the presence matters.
        let present =
            if request.policy == PullPolicy::Always { None } else { self.inspect(request, &full).await? };
        let need = need(request.policy, present.is_some());
        self.metrics.ensure_requests.inc(&[
            match request.policy {
                PullPolicy::Always => "always",
                PullPolicy::IfNotPresent => "ifnotpresent",
                PullPolicy::Never => "never",
            },
            if request.policy == PullPolicy::Always { "unknown" } else { bool_label(present.is_some()) },
            bool_label(need == Need::Pull),
        ]);
        match (need, present) {
            (Need::Present, Some(image)) => {
                self.note(
                    request,
                    event::PULLED,
                    format!("Container image {full:?} already present on machine"),
                );
                Ok(ensured(image))
            }
            (Need::Refused, _) => {
                let message =
                    format!("Container image {:?} is not present with pull policy of Never", request.image);
                self.warn(request, event::ERR_IMAGE_NEVER_PULL, message.clone());
                Err(ImageError { reason: waiting::ERR_IMAGE_NEVER_PULL, message, retry_in: None })
            }
            (Need::Pull | Need::Present, _) => self.pull(request, &name, &full).await,
        }
    }

    /// Forgets what is known of failed pulls for a pod that is gone.
    pub fn forget(&self, pod: &PodUid) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.last.retain(|(uid, _), _| uid != pod);
        failures.back_off.prune(Instant::now());
    }

    async fn inspect(&self, request: &Request<'_>, full: &str) -> Result<Option<cri::Image>, ImageError> {
        self.runtime.image_status(spec(full)).await.map_err(|error| {
            let message = format!("Failed to inspect image {full:?}: {}", telemetry::chain(&error));
            self.warn(request, event::INSPECT_FAILED, message.clone());
            ImageError { reason: waiting::IMAGE_INSPECT_ERROR, message, retry_in: None }
        })
    }

    async fn pull(&self, request: &Request<'_>, name: &ImageName, full: &str) -> Result<Ensured, ImageError> {
        let key: Key = (request.pod.uid.clone(), full.to_owned());
        self.check_back_off(request, full, &key)?;
        let credentials: Vec<_> = self.keyring.lookup(name).cloned().collect();
        self.note(request, event::PULLING, format!("Pulling image {full:?}"));
        let allowed = self.rate.lock().unwrap_or_else(PoisonError::into_inner).try_take(Instant::now());
        if !allowed {
            return Err(self.pull_failed(
                request,
                full,
                key,
                waiting::ERR_IMAGE_PULL,
                "pull QPS exceeded".to_owned(),
            ));
        }
        let asked = Instant::now();
        match self.pulls.pull(full, credentials, request.sandbox.cloned()).await {
            Ok((reference, took)) => {
                let waited = asked.elapsed();
                {
                    let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.back_off.reset(&key);
                    failures.last.remove(&key);
                }
                let image = self.inspect(request, &reference).await?.or(self.inspect(request, full).await?);
                let size = image.as_ref().map_or(0, |image| image.size);
                self.metrics.pull_duration.observe(&[size_bucket(size)], took.as_secs_f64());
                let message = format!(
                    "Successfully pulled image {full:?} in {} ({} including waiting). Image size: {size} bytes.",
                    milliseconds(took),
                    milliseconds(waited),
                );
                self.note(request, event::PULLED, message);
                Ok(image.map_or_else(|| Ensured { image_ref: reference, ..Ensured::default() }, ensured))
            }
            Err(error) => {
                let (reason, text) = classify(&error);
                Err(self.pull_failed(request, full, key, reason, text))
            }
        }
    }

    fn check_back_off(&self, request: &Request<'_>, full: &str, key: &Key) -> Result<(), ImageError> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(remaining) = failures.back_off.remaining(key, Instant::now()) else { return Ok(()) };
        let mut message = format!("Back-off pulling image {full:?}");
        if let Some(last) = failures.last.get(key) {
            message = format!("{message}: {last}");
        }
        drop(failures);
        self.note(request, event::BACK_OFF, message.clone());
        Err(ImageError { reason: waiting::IMAGE_PULL_BACK_OFF, message, retry_in: Some(remaining) })
    }

    fn pull_failed(
        &self,
        request: &Request<'_>,
        full: &str,
        key: Key,
        reason: &'static str,
        text: String,
    ) -> ImageError {
        let now = Instant::now();
        let retry_in = {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.back_off.failed(&key, now);
            failures.last.insert(key.clone(), format!("{reason}: {text}"));
            failures.back_off.remaining(&key, now)
        };
        let message = format!("Failed to pull image {full:?}: {text}");
        self.warn(request, event::FAILED, message);
        self.warn(request, event::FAILED, format!("Error: {reason}"));
        ImageError { reason, message: text, retry_in }
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

/// The runtime's way to name an image.
pub(crate) fn spec(image: &str) -> v1::ImageSpec {
    v1::ImageSpec {
        image: image.to_owned(),
        user_specified_image: image.to_owned(),
        ..v1::ImageSpec::default()
    }
}

fn ensured(image: cri::Image) -> Ensured {
    Ensured { image_ref: image.id, uid: image.uid, username: image.username }
}

/// The reason that a failed pull shows. Runtimes put two of them at the beginning of the error's text.
fn classify(error: &CriError) -> (&'static str, String) {
    let text = error.message.clone();
    for reason in [waiting::REGISTRY_UNAVAILABLE, waiting::SIGNATURE_VALIDATION_FAILED] {
        if text.starts_with(reason) {
            return (reason, text);
        }
    }
    (waiting::ERR_IMAGE_PULL, text)
}

fn bool_label(yes: bool) -> &'static str {
    if yes { "true" } else { "false" }
}

/// A duration as Go prints it after rounding to milliseconds.
fn milliseconds(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 {
        format!("{ms}ms")
    } else {
        format!("{}s", f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 1000.0)
    }
}
