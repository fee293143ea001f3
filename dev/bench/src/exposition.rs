//! The text in which programs show their metrics (Prometheus' text format), as far as counters and histograms go.

use std::collections::BTreeMap;

/// What a page of metrics said at one time.
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    /// The labels and values of all series of a name.
    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, rest) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None => ("", rest.strip_prefix(' ').map(|_| rest)?),
            };
            // A time may follow.
            Some((labels, rest.split_whitespace().next()?.parse().ok()?))
        })
    }

    /// The sum of all series of a counter whose label `label` has the value `value`.
    pub(crate) fn sum(&self, name: &str, label: &str, value: &str) -> f64 {
        let with = |(labels, _): &(&str, f64)| labelled(labels, label) == Some(value);
        self.series(name).filter(with).map(|(_, value)| value).sum()
    }

    /// How many series of a counter whose label `label` has the value `value` have counted anything.
    pub(crate) fn counting(&self, name: &str, label: &str, value: &str) -> usize {
        let counts = |&(labels, count): &(&str, f64)| labelled(labels, label) == Some(value) && count > 0.0;
        self.series(name).filter(counts).count()
    }

    /// All series of a histogram as one; `None` if there are none.
    pub(crate) fn histogram(&self, name: &str) -> Option<Histogram> {
        let mut buckets = BTreeMap::new();
        for (labels, count) in self.series(&format!("{name}_bucket")) {
            let bound = match labelled(labels, "le")? {
                "+Inf" => u64::MAX,
                bound => microseconds(bound.parse().ok()?),
            };
            *buckets.entry(bound).or_insert(0.0) += count;
        }
        (!buckets.is_empty()).then_some(Histogram { buckets })
    }
}

/// The value of a label; the text inside of the braces has quotes in values escaped.
fn labelled<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let begins = format!("{label}=\"");
    let at = labels.match_indices(&begins).map(|(at, _)| at);
    let mut at = at.filter(|at| *at == 0 || labels.as_bytes()[at - 1] == b',');
    labels[at.next()? + begins.len()..].split('"').next()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds of buckets are small")]
fn microseconds(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

/// A histogram of seconds: how many observations were at most so large, in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Histogram {
    buckets: BTreeMap<u64, f64>,
}

impl Histogram {
    /// What was observed since `before`.
    pub(crate) fn since(&self, before: Option<&Self>) -> Self {
        let earlier = |bound| before.and_then(|before| before.buckets.get(bound)).unwrap_or(&0.0);
        let more = self.buckets.iter().map(|(bound, count)| (*bound, count - earlier(bound)));
        Self { buckets: more.collect() }
    }

    /// The bound, in milliseconds, that the part `part` of all observations keeps: that of a bucket, so at most what is
    /// returned. Infinite beyond the last bucket; `None` of nothing.
    pub(crate) fn within_ms(&self, part: f64) -> Option<f64> {
        let all = self.buckets.values().next_back().copied().filter(|all| *all > 0.0)?;
        let (bound, _) = self.buckets.iter().find(|(_, count)| **count >= all * part)?;
        #[allow(clippy::cast_precision_loss, reason = "bounds of buckets are small")]
        Some(if *bound == u64::MAX { f64::INFINITY } else { *bound as f64 / 1000.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Exposition {
        let text = r#"# TYPE prober_probe_total counter
prober_probe_total{probe_type="Liveness",result="successful",pod="a"} 3
prober_probe_total{probe_type="Liveness",result="successful",pod="b,result=\"failed"} 4 1700000000000
prober_probe_total{probe_type="Liveness",result="failed",pod="a"} 0
prober_probe_total_more{result="failed"} 9
late_seconds_bucket{kind="a",le="0.001"} 1
late_seconds_bucket{kind="a",le="0.0025"} 1
late_seconds_bucket{kind="a",le="+Inf"} 2
late_seconds_bucket{kind="b",le="0.001"} 96
late_seconds_bucket{kind="b",le="0.0025"} 98
late_seconds_bucket{kind="b",le="+Inf"} 98
up 1
"#;
        Exposition::new(text.to_owned())
    }

    #[test]
    fn counters_are_summed_and_their_series_counted_by_a_label() {
        let (page, name) = (page(), "prober_probe_total");
        assert_eq!(page.sum(name, "result", "successful"), 7.0);
        assert_eq!(page.sum(name, "result", "failed"), 0.0);
        assert_eq!(page.counting(name, "result", "successful"), 2);
        assert_eq!(page.counting(name, "result", "failed"), 0);
        assert_eq!(page.series("up").collect::<Vec<_>>(), [("", 1.0)]);
    }

    #[test]
    fn a_quantile_is_the_bound_of_a_bucket() {
        let all = page().histogram("late_seconds").unwrap();
        let bounds = [0.5, 0.97, 0.98, 0.99, 1.0].map(|part| all.within_ms(part));
        assert_eq!(bounds, [1.0, 1.0, 2.5, 2.5, f64::INFINITY].map(Some));
        assert_eq!(all.since(None), all);
        assert_eq!(all.since(Some(&all)).within_ms(0.5), None);
        assert!(page().histogram("up").is_none());
    }
}
