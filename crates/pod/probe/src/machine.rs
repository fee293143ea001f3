//! One probe of one container instance: when it is due and what its answers come to. No clock, no I/O.

use std::time::Duration;

use tokio::time::Instant;

use crate::kind::Timing;

/// The longest that the first run after a restart of berth is put off where something waits for it.
const SOON: Duration = Duration::from_secs(1);

/// When a probe that is wanted runs first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// As soon as it may.
    Now,
    /// Within a second: berth was restarted, and many others do the same.
    Soon,
    /// Within a period: nobody waits for it, and those of other containers are to run at other instants.
    Spread,
}

/// What an attempt found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// All is well.
    Pass,
    /// It is not.
    Fail,
    /// The attempt could not be made: it says nothing about the container.
    Void,
}

/// An attempt's number, by which a late answer is told from the one that is waited for.
pub(crate) type Run = u64;

/// The probe.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) timing: Timing,
    /// Which part of a period its runs are put off by where they are spread: from 0 to 1.
    phase: f64,
    /// What the answers come to so far.
    pub(crate) result: Option<bool>,
    /// The latest answers that are the same, and how many.
    streak: (bool, u32),
    /// Whether its result is not known though the instance may have had one.
    pub(crate) awaited: bool,
    /// The initial delay ends then.
    not_before: Option<Instant>,
    state: State,
    runs: Run,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It does not ask.
    Idle,
    /// It asks then.
    Due(Instant),
    /// It was due then, and an attempt is to be made, or has begun.
    Busy { due: Instant, begun: Option<Instant> },
}

impl Machine {
    pub(crate) fn new(timing: Timing, phase: f64) -> Self {
        Self {
            timing,
            phase,
            result: None,
            streak: (false, 0),
            awaited: false,
            not_before: None,
            state: State::Idle,
            runs: 0,
        }
    }

    /// Begins anew with another instance, of which `result` is known.
    pub(crate) fn renew(&mut self, result: Option<bool>) {
        self.result = result;
        self.streak = (false, 0);
        self.awaited = false;
        self.not_before = None;
        self.state = State::Idle;
    }

    /// The instance runs, for `running_for` by now. With `unknown`, it ran before berth did and nothing is known of it.
    pub(crate) fn running(&mut self, running_for: Duration, unknown: bool, now: Instant) {
        if self.not_before.is_none() {
            let left = self.timing.initial_delay.saturating_sub(running_for);
            self.not_before = Some(now + left);
            self.awaited = unknown && self.result.is_none() && left.is_zero();
        }
    }

    /// Has it ask, or not.
    pub(crate) fn arrange(&mut self, wanted: bool, pace: Pace, now: Instant) {
        if !wanted {
            self.state = State::Idle;
        } else if self.state == State::Idle {
            let longest = match pace {
                Pace::Now => Duration::ZERO,
                Pace::Soon => SOON.min(self.timing.period),
                Pace::Spread => self.timing.period,
            };
            let earliest = self.not_before.map_or(now, |at| at.max(now));
            self.state = State::Due(earliest + longest.mul_f64(self.phase));
        }
    }

    /// Has it ask at once, if it waits for its next run.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let State::Due(at) = self.state
            && at > now
            && self.not_before.is_none_or(|at| at <= now)
        {
            self.state = State::Due(now);
        }
    }

    /// When it asks next.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) => Some(at),
            State::Idle | State::Busy { .. } => None,
        }
    }

    /// Since when an attempt ought to be under way that has not begun.
    pub(crate) fn overdue(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) | State::Busy { due: at, begun: None } => Some(at),
            State::Idle | State::Busy { .. } => None,
        }
    }

    /// Since when an attempt has been under way that ought to have ended by `now`.
    pub(crate) fn hanging(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Busy { begun, .. } => begun.filter(|begun| *begun + self.timing.limit < now),
            State::Idle | State::Due(_) => None,
        }
    }

    /// It is due: an attempt is to be made. `None` if it is not.
    pub(crate) fn start(&mut self, now: Instant) -> Option<(Run, Instant)> {
        let due = self.due().filter(|due| *due <= now)?;
        self.state = State::Busy { due, begun: None };
        self.runs += 1;
        Some((self.runs, due))
    }

    /// The attempt begins now. False if it is no longer wanted.
    pub(crate) fn begun(&mut self, run: Run, now: Instant) -> bool {
        match &mut self.state {
            State::Busy { begun, .. } if self.runs == run => {
                *begun = Some(now);
                true
            }
            _ => false,
        }
    }

    /// The attempt has ended. False if nobody waits for it any more. The next one is due a whole number of periods after
    /// this one was, so that slow answers do not shift it.
    pub(crate) fn finish(&mut self, run: Run, answer: Answer, now: Instant) -> bool {
        let State::Busy { due, .. } = self.state else { return false };
        if run != self.runs {
            return false;
        }
        self.awaited = false;
        let passed = match answer {
            Answer::Pass => Some(true),
            Answer::Fail => Some(false),
            Answer::Void => None,
        };
        if let Some(passed) = passed {
            let (last, times) = self.streak;
            let times = if last == passed { times.saturating_add(1) } else { 1 };
            self.streak = (passed, times);
            let Timing { success_threshold, failure_threshold, .. } = self.timing;
            if times >= if passed { success_threshold } else { failure_threshold } {
                self.result = Some(passed);
            }
        }
        let period = self.timing.period;
        let missed = now.duration_since(due).as_nanos() / period.as_nanos().max(1);
        let periods = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
        self.state = State::Due(due + period.saturating_mul(periods));
        true
    }
}
