//! The Prometheus text format, version 0.0.4.

use std::collections::BTreeMap;

use super::float::write_float;
use super::{Declaration, Stability};

/// What the numbers of a family mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
}

impl MetricKind {
    /// The word behind `# TYPE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Gathers families during one scrape. They are written in the order of their names, whoever adds them.
#[derive(Default)]
pub struct Encoder {
    families: BTreeMap<String, String>,
}

impl Encoder {
    /// The family `name`. A family without samples is not written; asked for twice, it goes on where it was.
    pub fn family(
        &mut self,
        name: &str,
        help: &str,
        stability: Stability,
        kind: MetricKind,
    ) -> FamilyEncoder<'_> {
        let mut header = String::new();
        if !self.families.contains_key(name) {
            header.push_str("# HELP ");
            header.push_str(name);
            header.push(' ');
            if stability != Stability::Unstated {
                header.push('[');
                header.push_str(stability.as_str());
                header.push_str("] ");
            }
            escape(&mut header, help, false);
            header.push_str("\n# TYPE ");
            header.push_str(name);
            header.push(' ');
            header.push_str(kind.as_str());
            header.push('\n');
        }
        FamilyEncoder { families: &mut self.families, name: name.to_owned(), header }
    }

    /// The family that is declared so, as by [`Encoder::family`].
    pub fn declared(&mut self, declaration: &Declaration) -> FamilyEncoder<'_> {
        let Declaration { name, help, stability, kind, .. } = *declaration;
        self.family(name, help, stability, kind)
    }

    /// Everything in the Prometheus text format ([`super::TEXT_FORMAT`]).
    #[must_use]
    pub fn finish(self) -> String {
        let mut text = String::with_capacity(self.families.values().map(String::len).sum());
        self.families.values().for_each(|family| text.push_str(family));
        text
    }
}

/// Labels that many samples share, written once.
#[derive(Clone, Debug, Default)]
pub struct LabelSet(String);

impl LabelSet {
    /// `labels` are names with values, in the order to be written.
    #[must_use]
    pub fn new(labels: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        write_labels(&mut text, labels);
        Self(text)
    }
}

/// Writes the samples of one family.
pub struct FamilyEncoder<'a> {
    families: &'a mut BTreeMap<String, String>,
    name: String,
    /// Written before the first sample, then empty.
    header: String,
}

impl FamilyEncoder<'_> {
    /// One sample. `labels` are names with values, in the order to be written.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.write("", "", labels, None, value, None);
    }

    /// One sample that was taken at `at_ms` (milliseconds since 1970) rather than now.
    pub fn sample_at(&mut self, labels: &[(&str, &str)], value: f64, at_ms: i64) {
        self.write("", "", labels, None, value, Some(at_ms));
    }

    /// One sample with the labels of `set` and, behind them, `more`. `at_ms` is the time at which it was taken, if that
    /// was not now.
    pub fn sample_of(&mut self, set: &LabelSet, more: &[(&str, &str)], value: f64, at_ms: Option<i64>) {
        self.write("", &set.0, more, None, value, at_ms);
    }

    /// One series of a histogram: `buckets` are upper bounds with the number of observations up to each, without the
    /// bucket `+Inf`, which `count` stands for.
    pub fn histogram(&mut self, labels: &[(&str, &str)], buckets: &[(f64, u64)], sum: f64, count: u64) {
        for (bound, up_to) in buckets {
            self.write("_bucket", "", labels, Some(*bound), *up_to as f64, None);
        }
        self.write("_bucket", "", labels, Some(f64::INFINITY), count as f64, None);
        self.write("_sum", "", labels, None, sum, None);
        self.write("_count", "", labels, None, count as f64, None);
    }

    fn write(
        &mut self,
        suffix: &str,
        written: &str,
        labels: &[(&str, &str)],
        bound: Option<f64>,
        value: f64,
        at_ms: Option<i64>,
    ) {
        let out = match self.families.get_mut(&self.name) {
            Some(out) => out,
            None => self.families.entry(self.name.clone()).or_insert(std::mem::take(&mut self.header)),
        };
        out.push_str(&self.name);
        out.push_str(suffix);
        let begin = out.len();
        out.push('{');
        out.push_str(written);
        if !written.is_empty() && !labels.is_empty() {
            out.push(',');
        }
        write_labels(out, labels);
        if let Some(bound) = bound {
            if out.len() > begin + 1 {
                out.push(',');
            }
            out.push_str("le=\"");
            write_float(out, bound);
            out.push('"');
        }
        if out.len() > begin + 1 {
            out.push('}');
        } else {
            out.truncate(begin);
        }
        out.push(' ');
        write_float(out, value);
        if let Some(at_ms) = at_ms {
            out.push(' ');
            out.push_str(itoa::Buffer::new().format(at_ms));
        }
        out.push('\n');
    }
}

fn write_labels(out: &mut String, labels: &[(&str, &str)]) {
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        escape(out, value, true);
        out.push('"');
    }
}

/// Help texts escape backslash and line feed, label values the quote as well.
fn escape(out: &mut String, text: &str, quote: bool) {
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quote => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn families_by_name_with_samples_as_given() {
        let mut encoder = Encoder::default();
        let mut memory =
            encoder.family("z_bytes", "Memory \"now\",\nin \\ bytes.", Stability::Stable, MetricKind::Gauge);
        memory.sample_at(&[("container", "a\"b\\c\nd"), ("pod", "")], 1024.0, 1_700_000_000_123);
        memory.sample(&[], -0.5);
        encoder.family("m_unused", "Never seen.", Stability::Alpha, MetricKind::Counter);
        encoder.family("a_seconds", "Time.", Stability::Alpha, MetricKind::Histogram).histogram(
            &[("op", "x")],
            &[(0.005, 1), (1.0, 3)],
            1.25,
            4,
        );
        encoder
            .family("z_bytes", "Memory again.", Stability::Stable, MetricKind::Gauge)
            .sample(&[("pod", "p")], 1.0);
        expect![[r#"
            # HELP a_seconds [ALPHA] Time.
            # TYPE a_seconds histogram
            a_seconds_bucket{op="x",le="0.005"} 1
            a_seconds_bucket{op="x",le="1"} 3
            a_seconds_bucket{op="x",le="+Inf"} 4
            a_seconds_sum{op="x"} 1.25
            a_seconds_count{op="x"} 4
            # HELP z_bytes [STABLE] Memory "now",\nin \\ bytes.
            # TYPE z_bytes gauge
            z_bytes{container="a\"b\\c\nd",pod=""} 1024 1700000000123
            z_bytes -0.5
            z_bytes{pod="p"} 1
        "#]]
        .assert_eq(&encoder.finish());
    }

    #[test]
    fn labels_written_once() {
        let mut encoder = Encoder::default();
        let (two, none) = (LabelSet::new(&[("a", "1"), ("b", "\"")]), LabelSet::default());
        let mut family = encoder.family("x", "X.", Stability::Unstated, MetricKind::Gauge);
        family.sample_of(&two, &[], 1.0, None);
        family.sample_of(&two, &[("c", "3"), ("d", "4")], 2.0, Some(-5));
        family.sample_of(&none, &[("c", "3")], 3.0, None);
        family.sample_of(&none, &[], 4.0, Some(6));
        expect![[r#"
            # HELP x X.
            # TYPE x gauge
            x{a="1",b="\""} 1
            x{a="1",b="\"",c="3",d="4"} 2 -5
            x{c="3"} 3
            x 4 6
        "#]]
        .assert_eq(&encoder.finish());
    }

    proptest! {
        /// Whatever a label holds, a sample stays one line with one closed pair of quotes.
        #[test]
        fn label_values_cannot_break_out(value in any::<String>()) {
            let mut escaped = String::new();
            escape(&mut escaped, &value, true);
            prop_assert!(!escaped.contains('\n'));
            let mut chars = escaped.chars();
            let mut back = String::new();
            while let Some(c) = chars.next() {
                prop_assert_ne!(c, '"');
                back.push(match c {
                    '\\' => match chars.next() { Some('n') => '\n', Some(c) => c, None => unreachable!() },
                    c => c,
                });
            }
            prop_assert_eq!(back, value);
        }
    }
}
