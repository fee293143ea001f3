//! What is wrong with a field, in the form that `kubectl` users know: `spec.containers[0].name: Required value`.

use std::fmt;

/// At most so many errors of one pod are reported: a hostile manifest shall not grow by its report.
pub const MAX_ERRORS: usize = 100;
/// Longer values are cut in messages.
const MAX_VALUE: usize = 128;

/// The kinds of [`FieldError`], with Kubernetes' words for them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    /// The field has to be set.
    Required,
    /// The value breaks the field's rules.
    Invalid,
    /// The value is none of a fixed list.
    Unsupported,
    /// The value has to be unique and is not.
    Duplicate,
    /// The field may not be set here.
    Forbidden,
    /// The text is longer than allowed.
    TooLong,
    /// The list is longer than allowed.
    TooMany,
    /// The value names something that does not exist.
    NotFound,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::Unsupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
        })
    }
}

/// One thing that is wrong with one field. Shown as `path: kind: value: detail`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// The field, as in `spec.containers[0].image`; the form in which `document` finds its line.
    pub path: String,
    /// What kind of thing is wrong.
    pub kind: ErrorKind,
    /// The value as it is shown (texts in quotes); empty where it says nothing.
    pub value: String,
    /// What is wrong, in words; may be empty.
    pub detail: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.kind)?;
        for part in [&self.value, &self.detail] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for FieldError {}

/// The path of a field of the pod.
#[derive(Clone, Debug)]
pub(crate) struct Path(String);

impl Path {
    pub(crate) fn root(key: &str) -> Self {
        Self(key.to_owned())
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        Self(format!("{}.{key}", self.0))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// As in [`FieldError::path`].
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the entry `key` of a map.
    pub(crate) fn entry(&self, key: &str) -> Self {
        Self(format!("{}[{}]", self.0, cut(key)))
    }
}

/// A value as messages show it.
pub(crate) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for str {
    fn shown(&self) -> String {
        format!("{:?}", cut(self))
    }
}
impl Shown for String {
    fn shown(&self) -> String {
        self.as_str().shown()
    }
}
macro_rules! shown_as_displayed {
    ($($kind:ty),*) => { $(impl Shown for $kind {
        fn shown(&self) -> String {
            self.to_string()
        }
    })* };
}
shown_as_displayed!(i32, i64, usize, bool);

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Errors in the order in which they were found, not more than [`MAX_ERRORS`].
#[derive(Default, Debug)]
pub(crate) struct Errors(Vec<FieldError>);

impl Errors {
    pub(crate) fn finish(self) -> Vec<FieldError> {
        self.0
    }

    fn push(&mut self, path: &Path, kind: ErrorKind, value: String, detail: impl Into<String>) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(FieldError { path: path.0.clone(), kind, value, detail: detail.into() });
        }
    }

    pub(crate) fn required(&mut self, path: &Path, detail: &str) {
        self.push(path, ErrorKind::Required, String::new(), detail);
    }

    pub(crate) fn invalid<V: Shown + ?Sized>(&mut self, path: &Path, value: &V, detail: impl Into<String>) {
        self.push(path, ErrorKind::Invalid, value.shown(), detail);
    }

    pub(crate) fn unsupported(&mut self, path: &Path, value: &str, supported: &[&str]) {
        let mut quoted: Vec<String> = supported.iter().map(|word| format!("{word:?}")).collect();
        quoted.sort();
        self.push(
            path,
            ErrorKind::Unsupported,
            value.shown(),
            format!("supported values: {}", quoted.join(", ")),
        );
    }

    pub(crate) fn duplicate(&mut self, path: &Path, value: &str) {
        self.push(path, ErrorKind::Duplicate, value.shown(), "");
    }

    pub(crate) fn forbidden(&mut self, path: &Path, detail: &str) {
        self.push(path, ErrorKind::Forbidden, String::new(), detail);
    }

    pub(crate) fn too_long(&mut self, path: &Path, max: usize) {
        self.push(path, ErrorKind::TooLong, String::new(), format!("may not be more than {max} bytes"));
    }

    pub(crate) fn too_many(&mut self, path: &Path, count: usize, max: usize) {
        self.push(path, ErrorKind::TooMany, count.shown(), format!("must have at most {max} items"));
    }

    pub(crate) fn not_found(&mut self, path: &Path, value: &str) {
        self.push(path, ErrorKind::NotFound, value.shown(), "");
    }

    /// Checks a text that may not be empty against one of the rules of [`crate::names`].
    pub(crate) fn name(&mut self, path: &Path, value: &str, rule: fn(&str) -> Result<(), &'static str>) {
        if value.is_empty() {
            self.required(path, "");
        } else {
            self.rule(path, value, rule);
        }
    }

    /// Checks a text against one of the rules of [`crate::names`].
    pub(crate) fn rule(&mut self, path: &Path, value: &str, rule: fn(&str) -> Result<(), &'static str>) {
        if let Err(detail) = rule(value) {
            self.invalid(path, value, detail);
        }
    }

    /// Checks that a field that has to be set is one of `supported`.
    pub(crate) fn one_of(&mut self, path: &Path, value: Option<&str>, supported: &[&str]) {
        match value {
            None | Some("") => self.required(path, ""),
            Some(value) => self.optional_one_of(path, Some(value), supported),
        }
    }

    /// Checks that a field is unset or one of `supported`.
    pub(crate) fn optional_one_of(&mut self, path: &Path, value: Option<&str>, supported: &[&str]) {
        if let Some(value) = value.filter(|value| !supported.contains(value)) {
            self.unsupported(path, value, supported);
        }
    }

    pub(crate) fn not_negative(&mut self, path: &Path, value: Option<i64>) {
        if let Some(value) = value.filter(|&value| value < 0) {
            self.invalid(path, &value, "must be greater than or equal to 0");
        }
    }

    pub(crate) fn in_range(&mut self, path: &Path, value: i64, range: std::ops::RangeInclusive<i64>) {
        if !range.contains(&value) {
            self.invalid(path, &value, format!("must be between {} and {}", range.start(), range.end()));
        }
    }
}

/// The items of a list that may be absent.
pub(crate) fn list<T>(items: &Option<Vec<T>>) -> &[T] {
    items.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_kubernetes() {
        let mut errors = Errors::default();
        let path = Path::root("spec").key("containers").index(0);
        errors.required(&path.key("name"), "");
        errors.unsupported(&path.key("imagePullPolicy"), "Sometimes", &["Never", "Always"]);
        errors.invalid(&path.key("x"), &-1, "too small");
        errors.forbidden(&path.key("y"), "not here");
        errors.too_many(&path.entry("a/b"), 4, 3);
        let lines: Vec<String> = errors.finish().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "spec.containers[0].name: Required value",
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\"",
                "spec.containers[0].x: Invalid value: -1: too small",
                "spec.containers[0].y: Forbidden: not here",
                "spec.containers[0][a/b]: Too many: 4: must have at most 3 items",
            ]
        );
    }

    #[test]
    fn reports_are_bounded() {
        let mut errors = Errors::default();
        for _ in 0..1000 {
            errors.invalid(&Path::root("spec"), &"é".repeat(10_000), "");
        }
        let errors = errors.finish();
        assert_eq!(errors.len(), MAX_ERRORS);
        assert!(errors.iter().all(|error| error.to_string().len() < 400));
    }
}
