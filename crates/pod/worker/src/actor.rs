//! The life of one pod, as one task.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use types::{ObservedPod, PodRef, Step, StepFailure};

use crate::lifecycle::{Job, Lifecycle, Round, RoundError, Target};
use crate::metrics::Metrics;
use crate::order::{Order, interrupts};
use crate::{Phase, PodCell};

/// How long a failed round waits before it is tried again when it does not say itself.
pub(crate) const RETRY: Duration = Duration::from_secs(10);

/// What became of a pod whose actor ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It ended, and its source still has it.
    Finished,
    /// Nothing is left of it.
    Gone,
}

pub(crate) struct Actor<L> {
    pub(crate) lifecycle: Arc<L>,
    pub(crate) cell: Arc<PodCell>,
    pub(crate) orders: watch::Receiver<Order>,
    /// The spec to work with: from the latest order that has one.
    pub(crate) target: Target,
    pub(crate) resync: Duration,
    pub(crate) metrics: Metrics,
}

impl<L: Lifecycle> Actor<L> {
    /// Lives the pod's life to its end.
    pub(crate) async fn run(mut self) -> End {
        let mut observed = self.lifecycle.observed(&self.cell.pod);
        self.keep_running(&mut observed).await;
        self.until_done(Phase::Terminating, &mut observed).await;
        let removed = self.until_done(Phase::Terminated, &mut observed).await;
        self.cell.at(Step::Done, None, "");
        if !removed {
            self.cell.phase.send_replace(Phase::Finished);
            self.lifecycle.publish(&self.job());
            return End::Finished;
        }
        End::Gone
    }

    fn job(&self) -> Job {
        Job { target: self.target.clone(), cell: Arc::clone(&self.cell) }
    }

    /// Brings the pod towards its spec until it has ended or is to be stopped.
    async fn keep_running(&mut self, observed: &mut watch::Receiver<Arc<ObservedPod>>) {
        let mut operation = "create";
        let mut probes = self.cell.probes.subscribe();
        loop {
            let order = self.orders.borrow_and_update().clone();
            let Order::Run(pod) = &order else { return };
            self.target = Target::Configured(Arc::clone(pod));
            self.cell.phase.send_replace(Phase::Running);
            let job = self.job();
            observed.borrow_and_update();
            probes.borrow_and_update();
            self.lifecycle.publish(&job);

            let started = Instant::now();
            let outcome = {
                let round = self.lifecycle.sync(&job);
                accompany(&*self.lifecycle, &job, &order, &self.orders, observed, round).await
            };
            let Some(outcome) = outcome else { return };
            self.metrics.worker_duration.observe(&[operation], started.elapsed().as_secs_f64());
            let wake = match outcome {
                Ok(Round { ended: true, .. }) => return,
                Ok(Round { again_in, .. }) => {
                    self.cell.recovered();
                    again_in.map_or(self.resync, |again| again.min(self.resync))
                }
                Err(error) => self.note_failure(&error),
            };
            self.lifecycle.publish(&job);
            operation = tokio::select! {
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    "update"
                }
                _ = observed.changed() => "sync",
                Ok(()) = probes.changed() => "sync",
                () = self.cell.woken() => "sync",
                () = sleep_until(Instant::now() + wake) => "sync",
            };
        }
    }

    /// Repeats the step of `phase` until it succeeds. Orders that come meanwhile can only make it go faster. Returns
    /// whether the step was done for a pod that its source had dropped: one dropped meanwhile still has what is kept. A pod
    /// of which nothing runs any more stays at its phase: it takes up no room again because it is removed.
    async fn until_done(&mut self, phase: Phase, observed: &mut watch::Receiver<Arc<ObservedPod>>) -> bool {
        self.cell.phase.send_if_modified(|now| {
            let goes_on = *now < phase;
            *now = phase.max(*now);
            goes_on
        });
        loop {
            let order = self.orders.borrow_and_update().clone();
            let stop = match &order {
                Order::Stop(stop) => stop.clone(),
                Order::Run(pod) => crate::order::Stop { pod: Some(Arc::clone(pod)), ..Default::default() },
            };
            if let Some(pod) = &stop.pod {
                self.target = Target::Configured(Arc::clone(pod));
            }
            let job = self.job();
            self.lifecycle.publish(&job);
            let outcome = if phase == Phase::Terminating {
                let step = self.lifecycle.stop(&job, stop.grace_seconds);
                accompany(&*self.lifecycle, &job, &order, &self.orders, observed, step).await
            } else {
                let step = self.lifecycle.clean_up(&job, stop.removed);
                accompany(&*self.lifecycle, &job, &order, &self.orders, observed, step).await
            };
            let error = match outcome {
                Some(Ok(())) => {
                    self.cell.recovered();
                    return stop.removed;
                }
                Some(Err(error)) => error,
                None => continue,
            };
            let wake = self.note_failure(&error);
            tokio::select! {
                changed = self.orders.changed() => if changed.is_err() { return false },
                _ = observed.changed() => {}
                () = self.cell.woken() => {}
                () = sleep_until(Instant::now() + wake) => {}
            }
        }
    }

    fn note_failure(&self, error: &RoundError) -> Duration {
        let wait = error.again_in.unwrap_or(RETRY);
        let pod: &PodRef = &self.cell.pod;
        let (step, told) = {
            let progress = self.cell.progress.borrow();
            let told = progress.failure.as_ref().is_some_and(|last| last.message == error.message);
            (progress.step, told)
        };
        if !told {
            tracing::warn!(pod = %pod, error = %error.message, retry_seconds = wait.as_secs_f64(), "Round of work failed");
        }
        let now = jiff::Timestamp::now();
        let retry_at = i64::try_from(wait.as_millis())
            .ok()
            .and_then(|ms| now.checked_add(jiff::SignedDuration::from_millis(ms)).ok());
        self.cell.failed(StepFailure {
            step,
            reason: error.reason.to_owned(),
            message: error.message.clone(),
            at: now,
            retry_at,
        });
        wait
    }
}

/// Runs `step`, publishing the pod's status whenever its observed state, its failures or its probes' results change
/// meanwhile. `None` when an order came that interrupts it; the step is dropped then. The receivers are looked at through
/// clones: what they have seen here is still news to the caller.
async fn accompany<L: Lifecycle, T>(
    lifecycle: &L,
    job: &Job,
    order: &Order,
    orders: &watch::Receiver<Order>,
    observed: &watch::Receiver<Arc<ObservedPod>>,
    step: impl Future<Output = T>,
) -> Option<T> {
    let mut orders = orders.clone();
    let mut observed = observed.clone();
    let mut failures = job.cell.failures.subscribe();
    let mut probes = job.cell.probes.subscribe();
    let mut step = std::pin::pin!(step);
    loop {
        tokio::select! {
            biased;
            outcome = &mut step => return Some(outcome),
            Ok(()) = orders.changed() => {
                if interrupts(order, &orders.borrow_and_update()) {
                    return None;
                }
            }
            Ok(()) = observed.changed() => lifecycle.publish(job),
            Ok(()) = failures.changed() => lifecycle.publish(job),
            Ok(()) = probes.changed() => lifecycle.publish(job),
        }
    }
}
