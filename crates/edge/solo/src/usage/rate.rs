//! What is used, from counters at two times.

use super::reading::{Counters, CpuTime, whole};

/// What a node or a container uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Usage {
    /// Billionths of a core.
    pub(super) cpu: u64,
    /// Bytes.
    pub(super) memory: u64,
    /// The end of the time over which CPU was measured, in milliseconds since 1970.
    pub(super) at: i64,
    /// That time, in milliseconds.
    pub(super) window: i64,
}

impl Usage {
    /// What is used `now`, compared with `before`; none if that cannot be told. What began since then had used nothing
    /// when it began.
    pub(super) fn of(before: Option<&Counters>, now: &Counters) -> Option<Self> {
        let (cpu, memory) = (now.cpu?, now.memory?);
        let base = match before {
            Some(before) if before.began == now.began => before.cpu?,
            _ => CpuTime { seconds: 0.0, at: now.began? },
        };
        let (used, window) = (cpu.seconds - base.seconds, cpu.at - base.at);
        if window <= 0 || used < 0.0 {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "it is some seconds")]
        let rate = used * 1e12 / window as f64;
        Some(Self { cpu: whole(rate), memory, at: cpu.at, window })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(seconds: f64, at: i64, began: Option<i64>) -> Counters {
        Counters { cpu: Some(CpuTime { seconds, at }), memory: Some(7), began }
    }

    #[test]
    fn what_is_used_since() {
        let node = counters(100.0, 1000, None);
        let web = counters(5.0, 2000, Some(1000));
        for (before, now, expected) in [
            (Some(node), counters(101.5, 4000, None), Some((500_000_000, 3000))),
            // Its counters are no newer, or not what they were.
            (Some(node), node, None),
            (Some(node), counters(1.0, 4000, None), None),
            (Some(Counters::default()), node, None),
            // Nobody knows since when.
            (None, node, None),
            (None, counters(0.5, 1500, Some(1000)), Some((1_000_000_000, 500))),
            (Some(web), counters(5.001, 4000, Some(1000)), Some((500_000, 2000))),
            // Another instance of the container.
            (Some(web), counters(0.1, 4000, Some(3000)), Some((100_000_000, 1000))),
            (Some(web), Counters { memory: None, ..counters(6.0, 4000, Some(1000)) }, None),
        ] {
            let used = Usage::of(before.as_ref(), &now);
            let expected =
                expected.map(|(cpu, window)| Usage { cpu, memory: 7, at: now.cpu.unwrap().at, window });
            assert_eq!(used, expected, "{before:?} {now:?}");
        }
    }
}
