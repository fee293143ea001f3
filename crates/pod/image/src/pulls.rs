//! Pulls under way: one per image and credentials, bounded in number and in rate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::{CriError, CriErrorKind, Runtime, v1};
use task::rate::TokenBucket;
use task::slots::Slots;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::{Access, AccessError};
use crate::metrics::{Metrics, size_bucket};
use crate::records::SecretUser;
use crate::secrets::Offer;

/// How long a pull counts against the number of parallel ones. One that takes longer goes on, and lets others go on.
const HOLD: Duration = Duration::from_secs(60);

/// How long a pull that nobody waits for goes on. A pod's next round comes back for it well before; a pull that hangs
/// for a pod that is gone ends.
const UNWANTED: Duration = Duration::from_secs(60);

/// What was pulled.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) image: cri::Image,
    /// The Secret that it was pulled with; `None` if all pods of the node could have pulled it.
    pub(crate) secret: Option<SecretUser>,
    /// How long the pull itself took, without the wait for a place.
    pub(crate) took: Duration,
}

/// Why there is no image after a pull.
#[derive(Clone, Debug)]
pub(crate) enum PullError {
    /// There were too many pulls lately; this one was not tried.
    TooOften,
    /// It could not be recorded, and was not tried.
    Record(Arc<AccessError>),
    /// The runtime could not pull it.
    Pull(Arc<CriError>),
    /// It was pulled, and the runtime cannot tell what it is.
    Inspect(Arc<CriError>),
}

pub(crate) type Outcome = Result<Arc<Pulled>, PullError>;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    image: String,
    offers: Vec<Offer>,
}

/// The pulls of the node. Clones share them.
#[derive(Clone)]
pub(crate) struct Pulls {
    runtime: Runtime,
    access: Option<Access>,
    metrics: Metrics,
    slots: Option<Slots>,
    state: Arc<Mutex<State>>,
    /// Marked as changed by each pull that succeeds.
    done: watch::Sender<()>,
}

struct State {
    rate: TokenBucket,
    under_way: HashMap<Key, watch::Sender<Option<Outcome>>>,
}

impl Pulls {
    /// At most `parallel` pulls at a time; `None`: any number.
    pub(crate) fn new(
        runtime: Runtime,
        access: Option<Access>,
        parallel: Option<usize>,
        rate: TokenBucket,
        metrics: Metrics,
    ) -> Self {
        let state = State { rate, under_way: HashMap::new() };
        Self {
            runtime,
            access,
            metrics,
            slots: parallel.map(|n| Slots::new(n, HOLD)),
            state: Arc::new(Mutex::new(state)),
            done: watch::Sender::default(),
        }
    }

    /// Changes whenever an image was pulled.
    pub(crate) fn done(&self) -> watch::Receiver<()> {
        self.done.subscribe()
    }

    /// Pulls `image` with the first of `offers` that works, or waits for a pull of it that is under way.
    pub(crate) async fn pull(
        &self,
        image: &str,
        offers: Vec<Offer>,
        sandbox: Option<&v1::PodSandboxConfig>,
    ) -> Outcome {
        let mut outcome = self.join(Key { image: image.to_owned(), offers }, sandbox)?;
        let done = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        done.unwrap_or_else(|| Err(PullError::Pull(Arc::new(no_answer()))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the outcome of a pull will be: of one under way, or of a new one. Only a new one counts against the rate.
    fn join(
        &self,
        key: Key,
        sandbox: Option<&v1::PodSandboxConfig>,
    ) -> Result<watch::Receiver<Option<Outcome>>, PullError> {
        let mut state = self.lock();
        if let Some(under_way) = state.under_way.get(&key) {
            return Ok(under_way.subscribe());
        }
        if !state.rate.try_take(Instant::now()) {
            return Err(PullError::TooOften);
        }
        let (sender, receiver) = watch::channel(None);
        state.under_way.insert(key.clone(), sender.clone());
        let forget = Forget { pulls: self.clone(), key };
        let sandbox = sandbox.cloned();
        tokio::spawn(async move {
            if let Some(outcome) = forget.pulls.recorded(&forget.key, sandbox, unwanted(&sender)).await {
                sender.send_replace(Some(outcome));
            } else {
                tracing::info!(
                    image = forget.key.image,
                    "An image is no longer pulled, since nobody waits for it"
                );
            }
        });
        Ok(receiver)
    }

    /// Pulls until `unwanted`, and records that it is done and what came of it. What is not recorded to the end,
    /// because berth ends, is settled by the next run.
    async fn recorded(
        &self,
        key: &Key,
        sandbox: Option<v1::PodSandboxConfig>,
        unwanted: impl Future<Output = ()>,
    ) -> Option<Outcome> {
        let Some(access) = &self.access else {
            return unless(unwanted, self.work(key, sandbox)).await;
        };
        if let Err(error) = access.begin(&self.runtime, &key.image).await {
            return Some(Err(PullError::Record(Arc::new(error))));
        }
        let outcome = unless(unwanted, self.work(key, sandbox)).await;
        let pulled = outcome.as_ref().and_then(|outcome| outcome.as_ref().ok());
        access.end(&key.image, pulled.map(|pulled| (pulled.image.id.clone(), pulled.secret.clone()))).await;
        outcome
    }

    async fn work(&self, key: &Key, sandbox: Option<v1::PodSandboxConfig>) -> Outcome {
        let _slot = match &self.slots {
            Some(slots) => Some(slots.acquire().await),
            None => None,
        };
        let begun = Instant::now();
        let (reference, secret) =
            self.try_each(key, sandbox.as_ref()).await.map_err(|error| PullError::Pull(Arc::new(error)))?;
        let took = begun.elapsed();
        let image = self
            .runtime
            .image_status(spec(&reference))
            .await
            .map_err(|error| PullError::Inspect(Arc::new(error)))?
            // Removed again in between: the start of the container will tell.
            .unwrap_or_else(|| cri::Image { id: reference, ..cri::Image::default() });
        self.metrics.pull_duration.observe(&[size_bucket(image.size)], took.as_secs_f64());
        self.done.send_replace(());
        Ok(Arc::new(Pulled { image, secret, took }))
    }

    /// Pulls with one credential after the other, or with none if there is none. Tells the Secret that it worked with.
    async fn try_each(
        &self,
        key: &Key,
        sandbox: Option<&v1::PodSandboxConfig>,
    ) -> Result<(String, Option<SecretUser>), CriError> {
        let pull = |auth| self.runtime.pull_image(spec(&key.image), auth, sandbox.cloned());
        let Some((last, others)) = key.offers.split_last() else {
            return Ok((pull(None).await?, None));
        };
        for offer in others {
            match pull(Some(auth(&offer.credential))).await {
                Ok(reference) => return Ok((reference, offer.secret.clone())),
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::debug!(image = key.image, error, "Pull failed; trying the next credentials");
                }
            }
        }
        Ok((pull(Some(auth(&last.credential))).await?, last.secret.clone()))
    }
}

/// What comes of `work`; `None` if `stop` comes before.
async fn unless<T>(stop: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = stop => None,
    }
}

/// Waits until nobody has waited for the outcome for a while.
async fn unwanted(outcome: &watch::Sender<Option<Outcome>>) {
    loop {
        outcome.closed().await;
        tokio::time::sleep(UNWANTED).await;
        if outcome.is_closed() {
            return;
        }
    }
}

/// Takes a pull off the list, also when its task panics.
struct Forget {
    pulls: Pulls,
    key: Key,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.pulls.lock().under_way.remove(&self.key);
    }
}

fn auth(credential: &crate::keyring::Credential) -> v1::AuthConfig {
    v1::AuthConfig {
        username: credential.username.clone(),
        password: credential.password.clone(),
        identity_token: credential.identity_token.clone(),
        registry_token: credential.registry_token.clone(),
        ..v1::AuthConfig::default()
    }
}

fn no_answer() -> CriError {
    let message = "the pull ended without an answer".to_owned();
    CriError { call: "PullImage", kind: CriErrorKind::Other, message }
}

/// The runtime's way to name an image.
pub(crate) fn spec(image: &str) -> v1::ImageSpec {
    v1::ImageSpec {
        image: image.to_owned(),
        user_specified_image: image.to_owned(),
        ..v1::ImageSpec::default()
    }
}
