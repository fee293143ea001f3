//! A little chance, so that a fleet of nodes does not do everything at the same time.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A number from 0 up to 1. Good for spreading, and for nothing secret.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn fraction() -> f64 {
    // Every `RandomState` has keys of its own.
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

/// A time from 0 up to `most`.
pub(crate) fn up_to(most: Duration) -> Duration {
    most.mul_f64(fraction())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_spread_over_its_range() {
        let all: Vec<_> = (0..1000).map(|_| fraction()).collect();
        assert!(all.iter().all(|one| (0.0..1.0).contains(one)));
        assert!(all.iter().any(|one| *one < 0.1) && all.iter().any(|one| *one > 0.9));
        assert!(up_to(Duration::from_secs(3)) < Duration::from_secs(3));
    }
}
