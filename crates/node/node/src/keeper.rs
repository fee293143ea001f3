//! The task that makes this machine a node of the cluster, and keeps it one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use task::events::Recorder;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use types::corev1::Node;

use crate::api::{ApiFailure, FailureKind, LeaseApi, NodeApi, within};
use crate::feeds::Feeds;
use crate::heartbeat;
use crate::metrics::Startup;
use crate::object::{self, Registration};
use crate::pace::{Pace, Reported, retry};
use crate::patch::{self, News, Unheard};
use crate::standing::{Calls, Standing};
use crate::{Metrics, events};

/// How long the runtime's first answers are waited for, so that a node which is ready says so, and all else that there is
/// to say, when it registers.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// How the node is to be kept.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Settings {
    /// How it registers.
    pub registration: Registration,
    /// How often it reports.
    pub pace: Pace,
}

/// Registers the node, and reports its status and that it lives.
pub struct Keeper<A> {
    api: A,
    name: String,
    settings: Settings,
    feeds: Feeds,
    recorder: Recorder,
    startup: Startup,
    standing: watch::Sender<Standing>,
    /// Whether the Node object was corrected since it was first seen.
    adopted: bool,
    reported: Option<Reported>,
    /// What was last reported and accepted.
    told: Option<Node>,
    unheard: Unheard,
    /// Whether the latest report may have been taken up or not: nothing is known of the object until it was asked for.
    unsure: bool,
}

impl<A: NodeApi> Keeper<A> {
    /// A keeper that has done nothing yet. The node's name is that of the first facts.
    #[must_use]
    pub fn new(api: A, settings: Settings, feeds: Feeds, recorder: Recorder, metrics: Metrics) -> Self {
        let name = feeds.facts.borrow().name.clone();
        Self {
            api,
            name,
            settings,
            feeds,
            recorder,
            startup: Startup::begin(metrics, Instant::now(), linux::proc::since_boot()),
            standing: watch::Sender::default(),
            adopted: false,
            reported: None,
            told: None,
            unheard: Unheard::default(),
            unsure: false,
        }
    }

    /// How the node stands, now and from now on.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Keeps the node, and its lease, until dropped. Neither waits for the other.
    pub async fn run(self, lease: impl LeaseApi) {
        let (standing, name, pace) = (self.standing.clone(), self.name.clone(), self.settings.pace);
        tokio::join!(self.keep(), heartbeat::renew(lease, &name, pace, &standing));
    }

    async fn keep(mut self) {
        // Whether they came in time or not, what is known then is what is reported.
        let _ = timeout(FIRST_ANSWER, self.feeds.complete()).await;
        let mut failures = 0;
        loop {
            match self.round().await {
                Ok(next) => {
                    failures = 0;
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = self.feeds.changed() => {}
                    }
                }
                Err(failure) => {
                    failures += 1;
                    Calls::Status.note(&self.standing, Some(&failure));
                    let next = Instant::now() + retry(failures, failure.retry_after);
                    tokio::select! {
                        () = sleep_until(next) => {}
                        // The server is back when its watch says something.
                        () = self.feeds.object_changed() => {}
                    }
                }
            }
        }
    }

    /// Does what is to be done now, and says when there will be something to do again.
    async fn round(&mut self) -> Result<Instant, ApiFailure> {
        self.look();
        let known = self.standing.borrow().node.clone();
        let Some(before) = known else {
            self.join().await?;
            return Ok(Instant::now());
        };
        let (after, in_use) = self.wanted(&before);
        let news = self.news(&before, &after);
        let (now, pace) = (Instant::now(), self.settings.pace);
        let due = pace.due(news, self.reported, &self.name, now);
        let answer = if due <= now {
            let body = patch::body(&before, &after);
            within(pace.deadline(), self.api.patch_status(&self.name, &body)).await
        } else if self.unsure || self.standing.borrow().status.is_some() {
            // What could not be told is no news any more. Whether the server is back, and what it took up, is to be known
            // all the same.
            within(pace.deadline(), self.api.get(&self.name)).await
        } else {
            self.adopted |= news == News::None;
            self.confirm(in_use, &before, &after);
            return Ok(due);
        };
        match answer {
            Ok(answer) if due <= now => {
                self.accepted(Some(&before), after, answer, in_use, news != News::None);
            }
            Ok(answer) => {
                self.unsure = false;
                self.learn(Arc::new(answer));
            }
            Err(failure) => {
                self.unsure |= due <= now;
                if failure.kind == FailureKind::NotFound {
                    self.forget();
                }
                return Err(failure);
            }
        }
        Ok(now)
    }

    /// Takes over what the watch shows, if it is newer than what is known.
    fn look(&mut self) {
        let Some(seen) = self.feeds.shown() else { return };
        let Some(known) = self.standing.borrow().node.clone() else { return };
        match seen {
            Some(seen) if seen.metadata.uid == known.metadata.uid => {
                if version(&seen) > version(&known) {
                    self.learn(seen);
                }
            }
            // Deleted, or made anew, if that is not old news: the server is asked.
            Some(_) | None => self.forget(),
        }
    }

    /// Finds the Node object, or creates it.
    async fn join(&mut self) -> Result<(), ApiFailure> {
        let deadline = self.settings.pace.deadline();
        self.startup.attempted(Instant::now());
        match within(deadline, self.api.get(&self.name)).await {
            Ok(node) => {
                self.reported = last_heartbeat(&node);
                self.adopted = !self.settings.registration.register;
                self.learn(Arc::new(node));
                return Ok(());
            }
            Err(failure) => {
                let create = failure.kind == FailureKind::NotFound && self.settings.registration.register;
                if !create {
                    return Err(failure);
                }
            }
        }
        let (node, in_use) = self.feeds.with_inputs(|inputs| {
            let now = whole_seconds(Timestamp::now());
            let node = object::initial(&self.settings.registration, inputs, now);
            (node, inputs.in_use.map(|in_use| in_use.generation))
        });
        let answer = within(deadline, self.api.create(&node)).await?;
        tracing::info!(node = self.name, "Registered the node");
        self.startup.registered(Instant::now());
        self.accepted(None, node, answer, in_use, true);
        Ok(())
    }

    /// The Node object as it should be, and the generation of the volumes in use that are in it.
    fn wanted(&self, before: &Node) -> (Node, Option<u64>) {
        let now = whole_seconds(Timestamp::now());
        self.feeds.with_inputs(|inputs| {
            let in_use = inputs.in_use.map(|in_use| in_use.generation);
            if self.adopted {
                return (object::kept(before, inputs, now), in_use);
            }
            let adopted = object::adopted(before, &self.settings.registration, inputs);
            (object::kept(&adopted, inputs, now), in_use)
        })
    }

    /// How much news there is. What was told already and was changed by somebody else is put right, but not at once:
    /// two that disagree would keep each other busy.
    fn news(&self, before: &Node, after: &Node) -> News {
        let news = patch::news(before, after, &self.unheard);
        let told = self.told.as_ref();
        let repeated = told.is_some_and(|told| patch::news(told, after, &self.unheard) != News::Urgent);
        if repeated { news.min(News::Some) } else { news }
    }

    /// The server took over `after`, and its `answer` is the Node object now.
    fn accepted(
        &mut self,
        before: Option<&Node>,
        after: Node,
        answer: Node,
        in_use: Option<u64>,
        news: bool,
    ) {
        for event in events::of_status(&self.name, before, &after) {
            self.recorder.record(event);
        }
        if object::is_ready(&after) {
            self.startup.ready(Instant::now());
        }
        self.unheard = Unheard::of(&answer, &after);
        self.reported = Some(Reported { at: Instant::now(), news });
        (self.adopted, self.unsure) = (true, false);
        let answer = Arc::new(answer);
        self.learn(Arc::clone(&answer));
        self.confirm(in_use, &answer, &after);
        self.told = Some(after);
    }

    /// The server has `known`. If the volumes in use are the same there as in `wanted`, those of this generation are told.
    fn confirm(&self, generation: Option<u64>, known: &Node, wanted: &Node) {
        let in_use = |node: &Node| node.status.as_ref().and_then(|status| status.volumes_in_use.clone());
        if generation.is_none() || in_use(known) != in_use(wanted) {
            return;
        }
        self.standing.send_if_modified(|standing| {
            let news = standing.in_use != generation;
            standing.in_use = generation;
            news
        });
    }

    /// Takes note of a newer Node object, which the server has shown.
    fn learn(&self, mut node: Arc<Node>) {
        Calls::Status.note(&self.standing, None);
        if node.metadata.managed_fields.is_some() {
            Arc::make_mut(&mut node).metadata.managed_fields = None;
        }
        self.standing.send_modify(|standing| {
            let cordon = standing.node.as_ref().and_then(|old| events::of_cordon(&self.name, old, &node));
            if let Some(event) = cordon {
                self.recorder.record(event);
            }
            standing.node = Some(node);
        });
    }

    /// The Node object may be gone: nothing that was said of it counts.
    fn forget(&mut self) {
        tracing::info!(node = self.name, "The Node object was deleted or made anew; looking for it again");
        self.standing.send_modify(|standing| (standing.node, standing.in_use) = (None, None));
        (self.adopted, self.reported, self.told) = (false, None, None);
    }
}

/// The version of an object; API servers count them up (KEP-5504).
fn version(node: &Node) -> u64 {
    node.metadata.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// When the node last reported, as its Ready condition says: a restart of the agent is no reason to report again.
fn last_heartbeat(node: &Node) -> Option<Reported> {
    let heartbeat = object::ready_condition(node)?.last_heartbeat_time.as_ref()?.0;
    let age = Duration::try_from(Timestamp::now().duration_since(heartbeat)).unwrap_or_default();
    Some(Reported { at: Instant::now().checked_sub(age)?, news: true })
}

/// The API keeps times without fractions of a second.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
