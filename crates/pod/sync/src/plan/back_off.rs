//! The delay between the crashes of a container and its next starts.

use std::time::Duration;

use jiff::Timestamp;
use types::{ObservedContainer, Pod, PodRef};

/// The crash back-off of one container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackOff {
    /// The delay between its latest end and its next start.
    pub delay: Duration,
    /// When the delay is over: the latest end plus `delay`.
    pub until: Timestamp,
}

impl BackOff {
    /// The message beside the reason `CrashLoopBackOff`.
    pub(super) fn message(&self, container: &str, pod: &Pod) -> String {
        let delay = GoDuration(self.delay);
        format!(
            "back-off {delay} restarting failed container={container} pod={}",
            PodRef::of(pod).formatted()
        )
    }
}

/// The ladder of delays: `initial`, doubled up to `max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrashLoop {
    /// The first delay, after the second crash in a row: Kubernetes has 10 s.
    pub initial: Duration,
    /// The longest (`crashLoopBackOff.maxContainerRestartPeriod`): Kubernetes has 300 s.
    pub max: Duration,
}

impl CrashLoop {
    /// The delay that is due after the end of `latest`, guessed from what the runtime kept: for the first look at a
    /// container that another run of berth, or another kubelet, had been restarting. `previous` is the instance
    /// before it, if it is still there.
    ///
    /// The pause between the two was the delay of last time; the next one is twice that. Without `previous`, the
    /// restart count is taken for the number of crashes in a row if the latest run was short.
    #[must_use]
    pub fn recovered(
        &self,
        latest: &ObservedContainer,
        previous: Option<&ObservedContainer>,
    ) -> Option<Duration> {
        let exit = latest.state.exit()?;
        let ran = span(exit.started_at?, exit.finished_at);
        if latest.restart_count == 0 || ran >= self.max * 2 {
            return None;
        }
        let ended = previous.and_then(|previous| previous.state.exit());
        if let Some(ended) = ended {
            let pause = span(ended.finished_at, latest.created_at);
            let mut next = self.initial;
            while next <= pause && next < self.max {
                next *= 2;
            }
            return Some(next.min(self.max));
        }
        let doublings = latest.restart_count - 1;
        let delay = 2u32.checked_pow(doublings).and_then(|factor| self.initial.checked_mul(factor));
        (ran < self.max).then(|| delay.map_or(self.max, |delay| delay.min(self.max)))
    }
}

fn span(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

/// A duration as Go prints it, down to milliseconds: `1m20s`.
struct GoDuration(Duration);

impl std::fmt::Display for GoDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.as_millis();
        if (1..1000).contains(&millis) {
            return write!(f, "{millis}ms");
        }
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        let fraction = format!("{:03}", millis % 1000);
        let fraction = fraction.trim_end_matches('0');
        write!(f, "{}", millis / 1000 % 60)?;
        if !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        f.write_str("s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (10_000, "10s"),
            (1_500, "1.5s"),
            (80_000, "1m20s"),
            (300_000, "5m0s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(GoDuration(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
