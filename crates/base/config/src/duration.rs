//! Durations in Go's notation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time as a Go program writes it (`1m0s`, `1.5h`, `-1s`), to the nanosecond. Negative ones mean "off" in
/// some fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Duration {
    nanos: i64,
}

/// Why a text is no duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} is not a duration: expected numbers with units (ns, us, ms, s, m, h), such as 10s or 1h30m"
)]
pub struct DurationError {
    text: String,
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1000),
    ("µs", 1000),
    ("μs", 1000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3600 * NANOS_PER_SECOND),
];

impl Duration {
    /// No time.
    pub const ZERO: Self = Self { nanos: 0 };

    /// A number of seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self { nanos: seconds.saturating_mul(NANOS_PER_SECOND) }
    }

    /// A number of thousandths of a second.
    #[must_use]
    pub const fn millis(millis: i64) -> Self {
        Self { nanos: millis.saturating_mul(1_000_000) }
    }

    /// A number of billionths of a second.
    #[must_use]
    pub const fn nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// The number of billionths of a second.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.nanos
    }

    /// Whether it is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// As the standard library's type; zero if it is negative.
    #[must_use]
    pub fn get(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.nanos).unwrap_or(0))
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text)
            .map(|nanos| Self { nanos })
            .ok_or_else(|| DurationError { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, i128::from(*factor))?)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// `number` (digits with at most one point) times `factor`, cut to a whole.
fn scaled(number: &str, factor: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 20 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // 18 digits are finer than a nanosecond in any unit.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let denominator = 10i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole * factor + part * factor / denominator)
}

/// Go's form: `1h0m0s`, `2m0s`, `1.5s`, `100ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.nanos.unsigned_abs();
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        if all == 0 {
            return f.write_str("0s");
        }
        let second = NANOS_PER_SECOND.unsigned_abs();
        if all < second {
            let (unit, name) = match all {
                1_000_000.. => (1_000_000, "ms"),
                1000.. => (1000, "µs"),
                _ => (1, "ns"),
            };
            return write_decimal(f, all, unit, name);
        }
        let (hours, minutes) = (all / (3600 * second), all / (60 * second) % 60);
        if hours > 0 {
            write!(f, "{hours}h{minutes}m")?;
        } else if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write_decimal(f, all % (60 * second), second, "s")
    }
}

/// `value / unit` without trailing zeros, and the unit's name.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64, name: &str) -> fmt::Result {
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return write!(f, "{whole}{name}");
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    write!(f, "{whole}.{}{name}", digits.trim_end_matches('0'))
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// For the one field (`logging.flushFrequency`) that may also be a number of nanoseconds.
pub(crate) fn text_or_nanos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Nanos(i64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Nanos(nanos) => Ok(Duration { nanos }),
        Either::Text(text) => text.parse().map_err(de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ways() {
        for (text, nanos, canonical) in [
            ("0", 0, "0s"),
            ("10s", 10 * NANOS_PER_SECOND, "10s"),
            ("1m", 60 * NANOS_PER_SECOND, "1m0s"),
            ("1h30m", 5400 * NANOS_PER_SECOND, "1h30m0s"),
            ("1.5h", 5400 * NANOS_PER_SECOND, "1h30m0s"),
            (".5s", 500_000_000, "500ms"),
            ("100ms", 100_000_000, "100ms"),
            ("1.5ms", 1_500_000, "1.5ms"),
            ("-1s", -NANOS_PER_SECOND, "-1s"),
            ("1us", 1000, "1µs"),
            ("1m0.25s", 60_250_000_000, "1m0.25s"),
            ("0.1234567891s", 123_456_789, "123.456789ms"),
            ("+2s", 2 * NANOS_PER_SECOND, "2s"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.nanos, nanos, "{text}");
            assert_eq!(duration.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in ["", "1", "s", "1x", "1.2.3s", "-", ".s", "1 s", "99999999999h", "1d"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(nanos in any::<i64>()) {
            // The least i64 has no positive counterpart, and no configuration waits minus 292 years.
            prop_assume!(nanos != i64::MIN);
            let duration = Duration { nanos };
            prop_assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration);
        }

        #[test]
        fn never_panics(text in "\\PC{0,30}|[-+0-9.hmsuµn]{0,30}") {
            let _ = text.parse::<Duration>();
        }
    }
}
