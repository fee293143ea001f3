//! When a token is to be replaced.

use jiff::{SignedDuration, Timestamp};

/// No token is kept for longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// Each time is earlier by up to this, so that tokens that were asked for together are not replaced together.
const JITTER: SignedDuration = SignedDuration::from_secs(10);

/// How long a token is good for, as the server says, by a clock that may not be ours.
#[derive(Clone, Copy)]
pub(super) struct Age {
    pub(super) expires: Timestamp,
    /// From when it was issued until then.
    pub(super) seconds: Option<i64>,
}

impl Age {
    /// The same by our clock, if the token came `now`.
    pub(super) fn received(self, now: Timestamp) -> Self {
        let by_our_clock = |seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok();
        Self { expires: self.seconds.and_then(by_our_clock).unwrap_or(self.expires), ..self }
    }

    /// Whether the token was issued before `now`. Otherwise our clock does not tell how old it is.
    pub(super) fn is_of_before(&self, now: Timestamp) -> bool {
        let life = SignedDuration::from_secs(self.seconds.unwrap_or(0));
        self.expires.saturating_sub(life).is_ok_and(|issued| issued <= now)
    }

    /// When 80% of its life are over, or a day, each up to 10 s earlier. A token of unknown life is kept to its end.
    pub(super) fn refresh(&self, fraction: f64) -> Timestamp {
        let Some(seconds) = self.seconds.filter(|seconds| *seconds > 0) else { return self.expires };
        let life = SignedDuration::from_secs(seconds);
        let issued = self.expires.saturating_sub(life).unwrap_or(Timestamp::MIN);
        let kept = (life - life / 5).min(LONGEST) - JITTER.mul_f64(fraction);
        issued.saturating_add(kept).unwrap_or(self.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_four_fifths_or_after_a_day() {
        let issued: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (seconds, fraction, after) in [
            (3607, 0.0, 2885),
            (3600, 0.0, 2880),
            (3600, 0.5, 2875),
            (600, 1.0, 470),
            (100_000, 0.0, 80_000),
            (1_000_000, 0.0, 86_400),
            (1_000_000, 1.0, 86_390),
        ] {
            let expires = issued + SignedDuration::from_secs(seconds);
            let refresh = Age { expires, seconds: Some(seconds) }.refresh(fraction);
            assert_eq!(refresh.duration_since(issued).as_secs(), after, "{seconds} {fraction}");
        }
        assert_eq!(Age { expires: issued, seconds: None }.refresh(0.0), issued);
        // Whatever a server's clock says, a token is kept for as long.
        let now = issued + SignedDuration::from_hours(2);
        let age = Age { expires: issued + SignedDuration::from_hours(1), seconds: Some(3600) };
        assert_eq!(age.received(now).refresh(0.0).duration_since(now).as_secs(), 2880);
        assert!(age.is_of_before(now) && age.is_of_before(issued));
        assert!(!age.is_of_before(issued - SignedDuration::from_secs(1)));
        assert_eq!(Age { seconds: None, ..age }.received(now).expires, age.expires);
        // Whatever a server says, there is a time.
        assert_eq!(Age { seconds: Some(i64::MAX), ..age }.received(now).expires, age.expires);
        Age { expires: Timestamp::MIN, seconds: Some(i64::MAX) }.refresh(0.0);
        Age { expires: Timestamp::MAX, seconds: Some(1) }.refresh(0.0);
    }
}
