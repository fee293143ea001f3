//! The Prometheus text format, read strictly: what a lenient scraper lets pass is a failure here.

use std::collections::BTreeMap;

/// One family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    /// The word in brackets that opens the help; empty if there is none.
    pub(crate) stability: String,
    pub(crate) samples: Vec<Sample>,
}

/// One sample.
#[derive(Debug)]
pub(crate) struct Sample {
    /// What the sample's name has behind the family's.
    pub(crate) suffix: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    /// The labels' names, without that of a bucket.
    pub(crate) fn label_names(&self) -> Vec<&str> {
        self.labels.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "le").collect()
    }

    /// The value of a label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// All families by name.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    if !text.ends_with('\n') {
        return Err("the last line is not ended".to_owned());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current: Option<(String, Family)> = None;
    let mut help: Option<(String, String)> = None;
    for line in text.lines() {
        let wrong = |what: &str| format!("{what}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').ok_or_else(|| wrong("help without text"))?;
            finish(&mut families, current.take())?;
            let stability = text.strip_prefix('[').and_then(|text| text.split_once("] "));
            help = Some((name.to_owned(), stability.map(|(word, _)| word.to_owned()).unwrap_or_default()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("type without a word"))?;
            let (of, stability) = help.take().ok_or_else(|| wrong("type without help before it"))?;
            if of != name || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(wrong("no type of what the help is about"));
            }
            current =
                Some((name.to_owned(), Family { kind: kind.to_owned(), stability, samples: Vec::new() }));
        } else {
            let (name, family) = current.as_mut().ok_or_else(|| wrong("sample of no family"))?;
            let sample = sample(line, name).ok_or_else(|| wrong("no sample of the family"))?;
            let suffixes: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            if !suffixes.contains(&sample.suffix.as_str()) {
                return Err(wrong("no sample of such a type"));
            }
            family.samples.push(sample);
        }
    }
    finish(&mut families, current)?;
    Ok(families)
}

fn finish(families: &mut BTreeMap<String, Family>, done: Option<(String, Family)>) -> Result<(), String> {
    let Some((name, family)) = done else { return Ok(()) };
    if family.samples.is_empty() {
        return Err(format!("{name} has no samples"));
    }
    if family.kind == "counter" && family.samples.iter().any(|sample| sample.value < 0.0) {
        return Err(format!("the counter {name} is negative"));
    }
    buckets_ascend(&name, &family)?;
    match families.insert(name.clone(), family) {
        Some(_) => Err(format!("{name} occurs twice")),
        None => Ok(()),
    }
}

/// Buckets hold all that is up to their bounds, and the last of them everything.
fn buckets_ascend(name: &str, family: &Family) -> Result<(), String> {
    let mut last: (f64, f64) = (f64::NEG_INFINITY, 0.0);
    for sample in &family.samples {
        match sample.suffix.as_str() {
            "_bucket" => {
                let bound = sample.label("le").and_then(number).ok_or("a bucket without bound")?;
                if bound <= last.0 || sample.value < last.1 {
                    return Err(format!("the buckets of {name} do not ascend at {bound}"));
                }
                last = (bound, sample.value);
            }
            "_count" if last != (f64::INFINITY, sample.value) => {
                return Err(format!("the count of {name} is not that of its last bucket"));
            }
            "_count" => last = (f64::NEG_INFINITY, 0.0),
            _ => {}
        }
    }
    Ok(())
}

/// `name{label="value",…} number[ timestamp]`
fn sample(line: &str, family: &str) -> Option<Sample> {
    let rest = line.strip_prefix(family)?;
    let end = rest.find(['{', ' '])?;
    let (suffix, mut rest) = rest.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (name, after) = rest.split_once("=\"")?;
            let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(known) || name.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
            let (value, after) = quoted(after)?;
            labels.push((name.to_owned(), value));
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}')?;
                    break;
                }
            }
        }
    }
    let mut words = rest.strip_prefix(' ')?.split(' ');
    let value = number(words.next()?)?;
    if words.next().is_some_and(|at| at.parse::<i64>().is_err()) || words.next().is_some() {
        return None;
    }
    Some(Sample { suffix: suffix.to_owned(), labels, value })
}

/// The text up to the quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        digits => {
            digits.starts_with(|c: char| c.is_ascii_digit() || c == '-').then(|| digits.parse().ok())?
        }
    }
}

#[test]
fn what_is_not_exact_is_refused() {
    let right =
        "# HELP a [BETA] Say \\\\.\n# TYPE a counter\na{x=\"1\\\"\",y=\"\"} 2\na{x=\"2\",y=\"\"} 1e+06 17\n";
    let family = &parse(right).unwrap()["a"];
    assert_eq!(
        (family.kind.as_str(), family.stability.as_str(), family.samples.len()),
        ("counter", "BETA", 2)
    );
    assert_eq!(family.samples[0].label("x"), Some("1\""));
    for wrong in [
        "# HELP a A.\n# TYPE a counter\na 1",
        "# TYPE a counter\na 1\n",
        "# HELP a A.\n# TYPE a counter\n",
        "# HELP a A.\n# TYPE a untyped\na 1\n",
        "# HELP a A.\n# TYPE a counter\na -1\n",
        "# HELP a A.\n# TYPE a counter\na_total 1\n",
        "# HELP a A.\n# TYPE a counter\na{x=\"1} 1\n",
        "# HELP a A.\n# TYPE a counter\na{x=\"1\",} 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1\n# HELP a A.\n# TYPE a gauge\na 1\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
