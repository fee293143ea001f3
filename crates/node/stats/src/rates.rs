//! How much CPU time is used per second, from two readings.

use std::collections::HashMap;
use std::time::Duration;

use crate::reading::Measured;

/// Over this time a rate is steady. Scrapes that follow one another faster get the rate that is known.
const STEADY: Duration = Duration::from_secs(10);
/// Over less than this it says nothing.
const SHORTEST: Duration = Duration::from_secs(1);

/// CPU time used per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate {
    /// Billionths of a core.
    pub(crate) nano_cores: u64,
    /// The time over which it was measured.
    pub(crate) window: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: Duration,
    total_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The reading that the next one is compared with.
    base: Point,
    rate: Option<Rate>,
}

/// The rates of all cgroups of the latest reading.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    known: HashMap<String, Known>,
}

impl Rates {
    /// Takes note of a reading. Cgroups that it does not have are forgotten.
    pub(crate) fn update<'a>(&mut self, groups: impl Iterator<Item = &'a Measured>) {
        let mut before = std::mem::take(&mut self.known);
        for group in groups {
            let Some(cpu) = &group.usage.cpu else { continue };
            let point = Point { at: group.moment.since_boot, total_ns: cpu.total_ns };
            let known = before.remove(&group.path);
            self.known.insert(group.path.clone(), next(known, point));
        }
    }

    /// The rate of the cgroup at `path`.
    pub(crate) fn of(&self, path: &str) -> Option<Rate> {
        self.known.get(path)?.rate
    }

    /// Whether there is no rate at all, as after the first reading.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.values().all(|known| known.rate.is_none())
    }
}

fn next(known: Option<Known>, point: Point) -> Known {
    let Some(known) = known else { return Known { base: point, rate: None } };
    // A cgroup that was removed and made again counts from 0.
    let Some(used) = point.total_ns.checked_sub(known.base.total_ns) else {
        return if point.at > known.base.at { Known { base: point, rate: None } } else { known };
    };
    let window = point.at.saturating_sub(known.base.at);
    let rate = || Rate { nano_cores: per_second(used, window), window };
    if window >= STEADY {
        Known { base: point, rate: Some(rate()) }
    } else if known.rate.is_none() && window >= SHORTEST {
        Known { rate: Some(rate()), ..known }
    } else {
        known
    }
}

fn per_second(used_ns: u64, window: Duration) -> u64 {
    let rate = u128::from(used_ns) * 1_000_000_000 / window.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64, total_ns: u64) -> Point {
        Point { at: Duration::from_secs(secs), total_ns }
    }

    /// The rates after each of `points`.
    fn rates(points: &[Point]) -> Vec<Option<u64>> {
        let mut known = None;
        let mut rates = Vec::new();
        for point in points {
            known = Some(next(known, *point));
            rates.push(known.and_then(|known| known.rate).map(|rate| rate.nano_cores));
        }
        rates
    }

    #[test]
    fn two_readings_make_a_rate() {
        for (points, expected) in [
            (&[at(0, 0), at(10, 5_000_000_000)][..], &[None, Some(500_000_000)][..]),
            // The first rate may be one over a short time; the next waits until the time is long enough.
            (
                &[at(0, 0), at(2, 2_000_000_000), at(4, 4_000_000_000), at(12, 6_000_000_000)],
                &[None, Some(1_000_000_000), Some(1_000_000_000), Some(500_000_000)],
            ),
            (&[at(0, 0), at(0, 9)], &[None, None]),
            // Made anew: it starts over.
            (&[at(0, 50), at(20, 40), at(40, 20_000_000_040)], &[None, None, Some(1_000_000_000)]),
            // Two scrapes ended in the order in which they did not begin.
            (&[at(20, 50), at(10, 40), at(30, 10_000_000_050)], &[None, None, Some(1_000_000_000)]),
        ] {
            assert_eq!(rates(points), expected);
        }
    }

    proptest! {
        #[test]
        fn never_more_than_was_used(steps in prop::collection::vec((0..100u64, 0..1_000_000_000_000u64), 1..20)) {
            let (mut secs, mut total, mut known) = (0, 0, None);
            for (wait, used) in steps {
                secs += wait;
                total += used;
                known = Some(next(known, at(secs, total)));
            }
            if let Some(rate) = known.and_then(|known| known.rate) {
                let used = u128::from(rate.nano_cores) * rate.window.as_nanos() / 1_000_000_000;
                prop_assert!(used <= u128::from(total));
            }
        }
    }
}
