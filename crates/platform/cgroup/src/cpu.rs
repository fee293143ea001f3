//! CPU in the kernel's units (Kubernetes: "Resource Management for Pods and Containers", KEP-2254 for the weights of
//! cgroup v2). Amounts of CPU are in millicores throughout.

/// The least `cpu.shares` the kernel takes, and what a cgroup gets that asks for no CPU.
pub const MIN_SHARES: u64 = 2;
/// The most `cpu.shares` the kernel takes.
pub const MAX_SHARES: u64 = 262_144;
/// `cpu.shares` of one core.
pub const SHARES_PER_CORE: u64 = 1024;
/// The usual CFS period, in µs.
pub const DEFAULT_PERIOD: u64 = 100_000;
/// The least CFS quota the kernel takes, in µs.
pub const MIN_QUOTA: u64 = 1000;

/// `cpu.shares` (cgroup v1) of a request of `milli` millicores. Nothing, or less, is [`MIN_SHARES`].
#[must_use]
pub fn shares(milli: i64) -> u64 {
    let milli = u64::try_from(milli).unwrap_or(0);
    (milli.saturating_mul(SHARES_PER_CORE) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// CFS quota of a limit of `milli` millicores, in µs per period of `period` µs; at least [`MIN_QUOTA`]. `None` if there
/// is no limit (0 or less).
#[must_use]
pub fn quota(milli: i64, period: u64) -> Option<u64> {
    let milli = u64::try_from(milli).ok().filter(|milli| *milli > 0)?;
    let quota = u128::from(milli) * u128::from(period) / 1000;
    Some(u64::try_from(quota).unwrap_or(u64::MAX).max(MIN_QUOTA))
}

/// `cpu.weight` (cgroup v2) of `shares` (cgroup v1): 2..262144 mapped linearly onto 1..10000, as for the cgroups of
/// pods and QoS classes. (Runtimes may map the shares of containers in another way.)
#[must_use]
pub fn weight(shares: u64) -> u64 {
    1 + ((shares.clamp(MIN_SHARES, MAX_SHARES) - 2) * 9999) / 262_142
}

/// `cpu.shares` (cgroup v1) that stand for `weight` (cgroup v2), rounded down.
#[must_use]
pub fn shares_of_weight(weight: u64) -> u64 {
    2 + (weight.clamp(1, 10_000) - 1) * 262_142 / 9999
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_of_requests() {
        for (milli, expected) in
            [(-1, 2), (0, 2), (1, 2), (2, 2), (100, 102), (250, 256), (1000, 1024), (i64::MAX, 262_144)]
        {
            assert_eq!(shares(milli), expected, "{milli}m");
        }
    }

    #[test]
    fn quota_of_limits() {
        for (milli, period, expected) in [
            (0, DEFAULT_PERIOD, None),
            (-5, DEFAULT_PERIOD, None),
            (1, DEFAULT_PERIOD, Some(1000)),
            (500, DEFAULT_PERIOD, Some(50_000)),
            (1500, 10_000, Some(15_000)),
        ] {
            assert_eq!(quota(milli, period), expected, "{milli}m per {period}");
        }
    }

    #[test]
    fn weight_of_shares() {
        for (shares, expected) in
            [(0, 1), (2, 1), (102, 4), (1024, 39), (262_144, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }

    #[test]
    fn shares_of_weights() {
        for (weight, expected) in [(0, 2), (1, 2), (39, 998), (10_000, 262_144), (u64::MAX, 262_144)] {
            assert_eq!(shares_of_weight(weight), expected, "{weight}");
        }
    }

    proptest! {
        #[test]
        fn weights_have_shares(of in 1..=10_000u64) {
            prop_assert!(of - weight(shares_of_weight(of)) <= 1);
        }

        #[test]
        fn more_cpu_is_never_less_weight(a in 0..1_000_000i64, b in 0..1_000_000i64) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(shares(low) <= shares(high));
            prop_assert!(weight(shares(low)) <= weight(shares(high)));
            prop_assert!((1..=10_000).contains(&weight(shares(a))));
        }
    }
}
