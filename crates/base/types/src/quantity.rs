//! Kubernetes quantities (`resource.Quantity`): exact parsing, rounding up to whole units, canonical text.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use crate::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

const NANOS: i128 = 1_000_000_000;
/// 2^63-1, the largest value that Kubernetes keeps; larger ones are capped to it.
const MAX_NANOS: i128 = (i64::MAX as i128) * NANOS;

/// How a quantity is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// `m`, `k`, `M`, …
    DecimalSi,
    /// `Ki`, `Mi`, …
    BinarySi,
    /// `e3`, `E6`, …
    DecimalExponent,
}

/// An exact amount of a resource, in billionths of its unit (cores, bytes, pieces). Finer digits are rounded up, as
/// Kubernetes does.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} is not a quantity: expected a number with an optional suffix (n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent such as e3)"
)]
pub struct QuantityError {
    text: String,
}

const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: [(&str, u32); 6] =
    [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// `count` whole units, written in decimal.
    #[must_use]
    pub fn whole(count: i64) -> Self {
        Self { nanos: i128::from(count) * NANOS, format: Format::DecimalSi }
    }

    /// `count` bytes, written with binary suffixes.
    #[must_use]
    pub fn bytes(count: i64) -> Self {
        Self { nanos: i128::from(count) * NANOS, format: Format::BinarySi }
    }

    /// `count` thousandths of a unit, such as millicores.
    #[must_use]
    pub fn milli(count: i64) -> Self {
        Self { nanos: i128::from(count) * (NANOS / 1000), format: Format::DecimalSi }
    }

    /// `count` billionths of a unit, such as nanocores.
    #[must_use]
    pub fn nano(count: i64) -> Self {
        Self { nanos: i128::from(count), format: Format::DecimalSi }
    }

    /// The amount of an API object's quantity.
    ///
    /// # Errors
    /// If its text is no quantity.
    pub fn of(quantity: &ApiQuantity) -> Result<Self, QuantityError> {
        quantity.0.parse()
    }

    /// The amount in whole units, rounded up.
    #[must_use]
    pub fn value(self) -> i64 {
        ceil_div(self.nanos, NANOS)
    }

    /// The amount in thousandths, rounded up.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        ceil_div(self.nanos, NANOS / 1000)
    }

    /// The amount in billionths.
    #[must_use]
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The amount as an API object carries it, in canonical form.
    #[must_use]
    pub fn to_api(self) -> ApiQuantity {
        ApiQuantity(self.to_string())
    }

    /// How many times `divisor` goes into it, rounded up (`resourceFieldRef.divisor`). A zero divisor counts as 1.
    #[must_use]
    pub fn divided_by(self, divisor: Self) -> i64 {
        let divisor = if divisor.nanos == 0 { NANOS } else { divisor.nanos };
        ceil_div(self.nanos, divisor)
    }
}

fn ceil_div(nanos: i128, unit: i128) -> i64 {
    let whole = nanos.div_euclid(unit) + i128::from(nanos.rem_euclid(unit) != 0);
    i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}
/// The sum keeps the format of the left side, unless that is zero.
impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}
impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).ok_or_else(|| QuantityError { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let number_len = unsigned.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, suffix) = unsigned.split_at(number_len);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (format, ten, two) = parse_suffix(suffix)?;

    // digits * 10^(ten - fraction digits) * 2^two, in billionths, rounded away from zero.
    let digits: String = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let exponent = ten - i32::try_from(fraction.len()).ok()? + 9;
    let magnitude = if digits.is_empty() { 0 } else { scale(digits, exponent, two) };
    let nanos = if negative { -magnitude } else { magnitude };
    Some(Quantity { nanos, format })
}

fn parse_suffix(suffix: &str) -> Option<(Format, i32, u32)> {
    if let Some((_, ten)) = DECIMAL_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::DecimalSi, *ten, 0));
    }
    if let Some((_, two)) = BINARY_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::BinarySi, 0, *two));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ten: i32 = exponent.parse().ok()?;
    Some((Format::DecimalExponent, ten, 0))
}

/// `digits * 10^ten * 2^two`, rounded up, capped at [`MAX_NANOS`].
fn scale(digits: &str, ten: i32, two: u32) -> i128 {
    // 40 digits hold any number up to the cap; the rest only matters for rounding up.
    let keep = digits.len().min(28);
    let Ok(mut value) = digits[..keep].parse::<i128>() else { return MAX_NANOS };
    let mut rest = digits[keep..].bytes().any(|b| b != b'0');
    let mut ten = ten.saturating_add(i32::try_from(digits.len() - keep).unwrap_or(i32::MAX));
    for _ in 0..two {
        value = value.saturating_mul(2);
    }
    while ten > 0 {
        if value > MAX_NANOS {
            return MAX_NANOS;
        }
        value = value.saturating_mul(10);
        ten -= 1;
    }
    while ten < 0 && value > 0 {
        rest |= value % 10 != 0;
        value /= 10;
        ten += 1;
    }
    (value + i128::from(rest)).min(MAX_NANOS)
}

/// Canonical text: no fraction, the largest suffix that loses nothing.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi && self.nanos % NANOS == 0 {
            let mut value = self.nanos / NANOS;
            if value.abs() >= 1024 {
                let mut suffix = "";
                for (name, _) in BINARY_SUFFIXES {
                    if value % 1024 != 0 {
                        break;
                    }
                    value /= 1024;
                    suffix = name;
                }
                return write!(f, "{value}{suffix}");
            }
        }
        let mut value = self.nanos;
        let mut ten = -9;
        while value % 1000 == 0 && ten < 18 {
            value /= 1000;
            ten += 3;
        }
        if self.format == Format::DecimalExponent && ten != 0 {
            return write!(f, "{value}e{ten}");
        }
        let suffix = DECIMAL_SUFFIXES.iter().find(|(_, t)| *t == ten).map_or("", |(name, _)| name);
        write!(f, "{value}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn values() {
        for (text, value, milli) in [
            ("0", 0, 0),
            ("1", 1, 1000),
            ("100m", 1, 100),
            ("1.5", 2, 1500),
            (".5", 1, 500),
            ("5.", 5, 5000),
            ("1Ki", 1024, 1_024_000),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("2e3", 2000, 2_000_000),
            ("2E", 2_000_000_000_000_000_000, i64::MAX),
            ("1n", 1, 1),
            ("0.0000000001", 1, 1),
            ("-1500m", -1, -1500),
            ("9223372036854775808", i64::MAX, i64::MAX),
            ("1e999", i64::MAX, i64::MAX),
        ] {
            assert_eq!(quantity(text).value(), value, "{text}");
            assert_eq!(quantity(text).milli_value(), milli, "{text}");
        }
    }

    #[test]
    fn canonical_text() {
        for (text, canonical) in [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000", "1k"),
            ("0.1", "100m"),
            ("1000Ki", "1000Ki"),
            ("128974848", "128974848"),
            ("12e6", "12e6"),
            ("0.5Ki", "512"),
            ("0Mi", "0"),
            ("-2000", "-2k"),
        ] {
            assert_eq!(quantity(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in ["", "-", "1.2.3", "abc", "1 Gi", "1GiB", "1e", "0x10", ".", "1Kii", "1e+-3", "∞"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn divisor_rounds_up() {
        assert_eq!(quantity("1500m").divided_by(quantity("1")), 2);
        assert_eq!(quantity("1Gi").divided_by(quantity("1Mi")), 1024);
        assert_eq!(quantity("1500m").divided_by(Quantity::ZERO), 2);
    }

    proptest! {
        #[test]
        fn text_round_trips(nanos in -1_000_000_000_000_000_000i128..1_000_000_000_000_000_000, format in 0..3) {
            let format = [Format::DecimalSi, Format::BinarySi, Format::DecimalExponent][format as usize];
            let q = Quantity { nanos, format };
            prop_assert_eq!(quantity(&q.to_string()), q);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
