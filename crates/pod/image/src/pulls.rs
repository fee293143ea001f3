//! Pulls under way: one per image and credentials, bounded in number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::{CriError, Runtime, v1};
use task::slots::Slots;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::images::spec;
use crate::keyring::Credential;

/// How long a pull counts against the number of parallel ones. One that takes longer goes on, and lets others go on.
const HOLD: Duration = Duration::from_secs(60);

/// How a pull went: the image's reference and how long it took, or why it failed.
pub(crate) type Outcome = Result<(String, Duration), Arc<CriError>>;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    image: String,
    credentials: Vec<Credential>,
}

/// The pulls of the node.
#[derive(Clone)]
pub(crate) struct Pulls {
    runtime: Runtime,
    slots: Option<Slots>,
    under_way: Arc<Mutex<HashMap<Key, watch::Receiver<Option<Outcome>>>>>,
}

impl Pulls {
    /// At most `parallel` pulls at a time; `None`: any number.
    pub(crate) fn new(runtime: Runtime, parallel: Option<usize>) -> Self {
        Self { runtime, slots: parallel.map(|n| Slots::new(n, HOLD)), under_way: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Outcome>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pulls `image` with the first of `credentials` that works, or waits for a pull of it that is under way.
    pub(crate) async fn pull(
        &self,
        image: &str,
        credentials: Vec<Credential>,
        sandbox: Option<v1::PodSandboxConfig>,
    ) -> Outcome {
        let key = Key { image: image.to_owned(), credentials };
        let mut outcome = {
            let mut under_way = self.lock();
            match under_way.get(&key) {
                Some(outcome) => outcome.clone(),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    under_way.insert(key.clone(), receiver.clone());
                    let pulls = self.clone();
                    tokio::spawn(async move {
                        let forget = Forget { pulls: &pulls, key: &key };
                        let outcome = pulls.work(&key, sandbox).await;
                        drop(forget);
                        sender.send_replace(Some(outcome));
                    });
                    receiver
                }
            }
        };
        let done = outcome.wait_for(Option::is_some).await;
        match done.ok().and_then(|outcome| outcome.clone()) {
            Some(outcome) => outcome,
            None => Err(Arc::new(CriError {
                call: "PullImage",
                kind: cri::CriErrorKind::Other,
                message: "the pull ended without an answer".to_owned(),
            })),
        }
    }

    async fn work(&self, key: &Key, sandbox: Option<v1::PodSandboxConfig>) -> Outcome {
        let _slot = match &self.slots {
            Some(slots) => Some(slots.acquire().await),
            None => None,
        };
        let begun = Instant::now();
        let mut failure = None;
        let tries =
            key.credentials.iter().map(|c| Some(auth(c))).chain(key.credentials.is_empty().then_some(None));
        for auth in tries {
            match self.runtime.pull_image(spec(&key.image), auth, sandbox.clone()).await {
                Ok(reference) => return Ok((reference, begun.elapsed())),
                Err(error) => failure = Some(error),
            }
        }
        Err(Arc::new(failure.unwrap_or_else(|| CriError {
            call: "PullImage",
            kind: cri::CriErrorKind::Other,
            message: "no way to pull was left to try".to_owned(),
        })))
    }
}

/// Takes a pull off the list, also when its task panics.
struct Forget<'a> {
    pulls: &'a Pulls,
    key: &'a Key,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.pulls.lock().remove(self.key);
    }
}

fn auth(credential: &Credential) -> v1::AuthConfig {
    v1::AuthConfig {
        username: credential.username.clone(),
        password: credential.password.clone(),
        identity_token: credential.identity_token.clone(),
        registry_token: credential.registry_token.clone(),
        ..v1::AuthConfig::default()
    }
}
