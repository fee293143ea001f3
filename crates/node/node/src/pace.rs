//! When the node speaks to the API server. Pure.

use std::time::Duration;

use task::doubling::Doubling;
use tokio::time::Instant;
use types::hash::fnv1a_64;

use crate::patch::News;

/// The waits after failures.
const RETRIES: Doubling = Doubling::new(Duration::from_millis(200), Duration::from_secs(7));
/// The least time between two reports, whatever is configured.
const LEAST: Duration = Duration::from_secs(1);
/// The longest that the server may send the node away for: less than its lease is good for.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// How often the node says what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// The least time between two reports that are not urgent (`nodeStatusUpdateFrequency`).
    pub update: Duration,
    /// The time after which it reports without news (`nodeStatusReportFrequency`).
    pub report: Duration,
    /// For how long its lease is good (`nodeLeaseDurationSeconds`).
    pub lease: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            update: Duration::from_secs(10),
            report: Duration::from_mins(5),
            lease: Duration::from_secs(40),
        }
    }
}

/// The latest report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reported {
    /// When it was made.
    pub at: Instant,
    /// Whether it told something new, and not only that the node lives.
    pub news: bool,
}

impl Pace {
    /// When `news` is to be reported: at once if it is urgent; else so that there are no two reports within `update`;
    /// without news `report` after the latest one. After a report of news that last time is from half to one and a half
    /// of `report`, by the node's `name`, so that nodes which changed at the same time do not stay in step.
    #[must_use]
    pub fn due(&self, news: News, latest: Option<Reported>, name: &str, now: Instant) -> Instant {
        match (news, latest) {
            (News::Urgent, _) | (_, None) => now,
            (News::Some, Some(latest)) => (latest.at + self.update.max(LEAST)).max(now),
            (News::None, Some(latest)) => {
                let part = if latest.news { 0.5 + share(name) } else { 1.0 };
                (latest.at + self.report.max(LEAST).mul_f64(part)).max(now)
            }
        }
    }

    /// The time between two renewals of the lease: a quarter of how long it is good, and up to 4 % more by the node's
    /// `name`.
    #[must_use]
    pub fn renewal(&self, name: &str) -> Duration {
        (self.lease / 4).mul_f64(1.0 + 0.04 * share(name))
    }

    /// The deadline of one call, so that a lease does not run out while another call hangs.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.update.min(self.lease)
    }
}

/// How long to wait after `failures` in a row, at least one, the latest of which said to stay away for `asked`.
pub(crate) fn retry(failures: u32, asked: Option<Duration>) -> Duration {
    RETRIES.after(failures).max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// A number from 0 up to 1 that is always the same for one name.
fn share(name: &str) -> f64 {
    // 32 bits of the hash fit into a float.
    #[allow(clippy::cast_precision_loss)]
    let share = (fnv1a_64(name.as_bytes()) >> 32) as f64 / (1u64 << 32) as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn reports() {
        let (pace, now) = (Pace::default(), Instant::now());
        let latest = |ago, news| Some(Reported { at: now - secs(ago), news });
        for (news, latest, after) in [
            (News::Urgent, latest(0, true), 0),
            (News::None, None, 0),
            (News::Some, latest(3, true), 7),
            (News::Some, latest(60, true), 0),
            (News::None, latest(100, false), 200),
            (News::None, latest(1000, true), 0),
        ] {
            assert_eq!(pace.due(news, latest, "n", now), now + secs(after), "{news:?} {latest:?}");
        }
    }

    #[test]
    fn names_spread() {
        let (pace, now) = (Pace::default(), Instant::now());
        let latest = Some(Reported { at: now, news: true });
        let due = |n| pace.due(News::None, latest, &format!("node-{n}"), now) - now;
        let waits: Vec<Duration> = (0..200).map(due).collect();
        assert!(waits.iter().all(|wait| (secs(150)..secs(450)).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < secs(180)) && waits.iter().any(|wait| *wait > secs(420)));
        assert!((0..200).all(|n| {
            let renewal = pace.renewal(&format!("node-{n}"));
            renewal >= secs(10) && renewal <= Duration::from_millis(10_400)
        }));
        assert_eq!(pace.deadline(), secs(10));
    }

    #[test]
    fn retries() {
        let waits: Vec<u128> = (1..9).map(|n| retry(n, None).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 7000, 7000]);
        assert_eq!(retry(u32::MAX, Some(secs(1))), RETRIES.longest());
        assert_eq!((retry(1, Some(secs(3))), retry(1, Some(secs(3600)))), (secs(3), LONGEST_ASKED));
    }
}
