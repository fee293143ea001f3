//! Whether the container runtime works: asked every few seconds, and at once when somebody has doubts.

use std::sync::Arc;
use std::time::Duration;

use cri::{Condition, RuntimeStatus};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How often the runtime is asked. There is no event for a change of its conditions.
const EVERY: Duration = Duration::from_secs(5);
/// How long after its last answer the runtime counts as down.
const DOWN_AFTER: Duration = Duration::from_secs(30);

/// What is known of the runtime. Published anew only when something in it other than `last_seen` changes.
#[derive(Clone, PartialEq, Debug)]
pub struct RuntimeHealth {
    /// Whether it has answered, or has been silent for long enough to be down. Until then nothing is known.
    pub known: bool,
    /// Whether pods can be worked on.
    pub ready: bool,
    /// Whether pods get a network. Pods on the host's network do not need it.
    pub network: bool,
    /// Why it is not ready or has no network, in words; empty if all is well.
    pub reasons: Vec<String>,
    /// Since when `ready` and `network` are what they are.
    pub since: Timestamp,
    /// When it last answered.
    pub last_seen: Option<Instant>,
    /// Its latest answer, with what it can do.
    pub status: Option<Arc<RuntimeStatus>>,
    /// The latest call's error, if it failed.
    pub error: Option<String>,
}

impl RuntimeHealth {
    /// Before the first answer.
    #[must_use]
    pub fn unknown(now: Timestamp) -> Self {
        Self {
            known: false,
            ready: false,
            network: false,
            reasons: vec!["the container runtime has not answered yet".to_owned()],
            since: now,
            last_seen: None,
            status: None,
            error: None,
        }
    }

    /// After an answer, or an error in place of one. An error alone changes nothing else: the runtime may be starting
    /// anew, and is down only when it keeps failing.
    #[must_use]
    fn after(&self, answer: Result<RuntimeStatus, String>, now: Instant, wall: Timestamp) -> Self {
        let status = match answer {
            Ok(status) => status,
            Err(error) => return Self { error: Some(error), ..self.clone() },
        };
        let (ready, network) = (status.ready.status, status.network.status);
        let mut reasons = Vec::new();
        if !ready {
            reasons.push(format!("container runtime not ready: {}", describe("RuntimeReady", &status.ready)));
        }
        if !network {
            reasons.push(format!(
                "container runtime network not ready: {}",
                describe("NetworkReady", &status.network)
            ));
        }
        Self {
            known: true,
            ready,
            network,
            reasons,
            since: self.since_when(ready, network, wall),
            last_seen: Some(now),
            status: Some(Arc::new(status)),
            error: None,
        }
    }

    /// After too long without an answer.
    #[must_use]
    fn down(&self, wall: Timestamp) -> Self {
        let mut reason = "container runtime is down".to_owned();
        if let Some(error) = &self.error {
            reason = format!("{reason}: {error}");
        }
        let others = self.reasons.iter().filter(|reason| !reason.starts_with("container runtime is down"));
        let others = others.filter(|_| self.last_seen.is_some()).cloned();
        Self {
            known: true,
            ready: false,
            reasons: [reason].into_iter().chain(others).collect(),
            since: self.since_when(false, self.network, wall),
            ..self.clone()
        }
    }

    fn since_when(&self, ready: bool, network: bool, now: Timestamp) -> Timestamp {
        if (ready, network) == (self.ready, self.network) { self.since } else { now }
    }

    fn is_news(&self, other: &Self) -> bool {
        *self != Self { last_seen: self.last_seen, ..other.clone() }
    }
}

fn describe(name: &str, condition: &Condition) -> String {
    let Condition { status, reason, message } = condition;
    format!("{name}={status} reason:{reason} message:{message}")
}

/// What the watch needs of the runtime.
pub trait StatusCall: Send {
    /// CRI `Status`, with a deadline of its own. An error is what the operator is told.
    fn status(&self) -> impl Future<Output = Result<RuntimeStatus, String>> + Send;
}

impl StatusCall for cri::Runtime {
    async fn status(&self) -> Result<RuntimeStatus, String> {
        Self::status(self).await.map_err(|error| telemetry::chain(&error))
    }
}

/// The task that watches the runtime.
#[derive(Debug)]
pub struct RuntimeWatch<R> {
    runtime: R,
    health: watch::Sender<RuntimeHealth>,
    doubt: Arc<Notify>,
    started: Instant,
}

impl<R: StatusCall> RuntimeWatch<R> {
    /// A watch of `runtime`, which knows nothing yet.
    #[must_use]
    pub fn new(runtime: R) -> Self {
        let health = watch::Sender::new(RuntimeHealth::unknown(Timestamp::now()));
        Self { runtime, health, doubt: Arc::new(Notify::new()), started: Instant::now() }
    }

    /// What is known of the runtime, now and from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<RuntimeHealth> {
        self.health.subscribe()
    }

    /// Notified, it has the runtime asked at once: for those whose calls fail.
    #[must_use]
    pub fn doubt(&self) -> Arc<Notify> {
        Arc::clone(&self.doubt)
    }

    /// Watches until dropped.
    pub async fn run(self) {
        loop {
            let answer = self.or_down(self.runtime.status()).await;
            let next = self.health.borrow().after(answer, Instant::now(), Timestamp::now());
            self.publish(next);
            self.or_down(async {
                tokio::select! {
                    () = sleep(EVERY) => {}
                    () = self.doubt.notified() => {}
                }
            })
            .await;
        }
    }

    /// Waits for `work`, and says meanwhile that the runtime is down when it becomes so: a call that hangs is no answer.
    async fn or_down<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let last = self.health.borrow().last_seen.unwrap_or(self.started);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep_until(last + DOWN_AFTER) => {}
        }
        let down = self.health.borrow().down(Timestamp::now());
        self.publish(down);
        work.await
    }

    fn publish(&self, next: RuntimeHealth) {
        self.health.send_if_modified(|health| {
            let news = health.is_news(&next);
            if health.ready && !next.ready {
                tracing::warn!(reasons = next.reasons.join("; "), "The container runtime is not ready");
            } else if next.ready && !health.ready {
                tracing::info!("The container runtime is ready");
            }
            *health = next;
            news
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A runtime that answers what it was last told to; `None` hangs.
    #[derive(Clone)]
    struct Fake(Arc<Mutex<Option<Result<RuntimeStatus, String>>>>);

    impl Fake {
        fn answers(answer: Option<Result<RuntimeStatus, String>>) -> Self {
            Self(Arc::new(Mutex::new(answer)))
        }

        fn set(&self, answer: Option<Result<RuntimeStatus, String>>) {
            *self.0.lock().unwrap() = answer;
        }
    }

    impl StatusCall for Fake {
        async fn status(&self) -> Result<RuntimeStatus, String> {
            let answer = self.0.lock().unwrap().clone();
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }

    fn status(ready: bool, network: bool) -> RuntimeStatus {
        let condition = |status| Condition { status, reason: "Why".into(), message: "because".into() };
        RuntimeStatus {
            ready: condition(ready),
            network: condition(network),
            handlers: Vec::new(),
            supplemental_groups_policy: false,
            user_namespaces_host_network: false,
            mount_options: false,
        }
    }

    struct Running {
        runtime: Fake,
        health: watch::Receiver<RuntimeHealth>,
        doubt: Arc<Notify>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Running {
        fn start(answer: Option<Result<RuntimeStatus, String>>) -> Self {
            let runtime = Fake::answers(answer);
            let watch = RuntimeWatch::new(runtime.clone());
            let (health, doubt) = (watch.subscribe(), watch.doubt());
            Self { runtime, health, doubt, task: tokio::spawn(watch.run()) }
        }

        async fn next(&mut self) -> RuntimeHealth {
            self.health.changed().await.unwrap();
            self.health.borrow_and_update().clone()
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn conditions_are_told_with_their_reasons() {
        let mut running = Running::start(Some(Ok(status(true, false))));
        let health = running.next().await;
        assert!(health.ready && !health.network);
        assert_eq!(
            health.reasons,
            ["container runtime network not ready: NetworkReady=false reason:Why message:because"]
        );
        running.runtime.set(Some(Ok(status(true, true))));
        let health = running.next().await;
        assert!(health.ready && health.network && health.reasons.is_empty());
        running.runtime.set(Some(Ok(status(false, true))));
        assert!(!running.next().await.ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_hangs_is_down_after_30_seconds() {
        let mut running = Running::start(Some(Ok(status(true, true))));
        assert!(running.next().await.ready);
        let seen = Instant::now();
        running.runtime.set(None);
        let health = running.next().await;
        assert_eq!((health.ready, seen.elapsed()), (false, DOWN_AFTER));
        assert_eq!(health.reasons, ["container runtime is down"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_is_gone_is_down_after_30_seconds_and_comes_back() {
        let mut running = Running::start(Some(Ok(status(true, true))));
        assert!(running.next().await.ready);
        let seen = Instant::now();
        running.runtime.set(Some(Err("connection refused".into())));
        let health = running.next().await;
        assert!(health.ready && health.error.is_some());
        let health = running.next().await;
        assert_eq!((health.ready, seen.elapsed()), (false, DOWN_AFTER));
        assert_eq!(health.reasons, ["container runtime is down: connection refused"]);
        running.runtime.set(Some(Ok(status(true, true))));
        assert!(running.next().await.ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_never_answered_is_down_as_well() {
        let mut running = Running::start(None);
        let started = Instant::now();
        let health = running.next().await;
        assert_eq!(
            (health.reasons, started.elapsed()),
            (vec!["container runtime is down".to_owned()], DOWN_AFTER)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn doubt_has_it_asked_at_once() {
        let mut running = Running::start(Some(Ok(status(true, true))));
        assert!(running.next().await.ready);
        let seen = Instant::now();
        running.runtime.set(Some(Ok(status(false, true))));
        running.doubt.notify_one();
        assert!(!running.next().await.ready);
        assert_eq!(seen.elapsed(), Duration::ZERO);
    }

    #[test]
    fn the_same_answer_is_no_news() {
        let (now, wall) = (Instant::now(), Timestamp::now());
        let first = RuntimeHealth::unknown(wall).after(Ok(status(true, true)), now, wall);
        let second = first.after(Ok(status(true, true)), now + EVERY, wall + EVERY);
        assert!(!first.is_news(&second));
        assert_eq!((second.since, second.last_seen), (first.since, Some(now + EVERY)));
    }
}
