//! An error and what caused it, on one line.

use std::error::Error;

/// The text of `error` and of its sources, as `a: b: c`. A source whose text already ends the line so far (because
/// the error above it printed it too) is not printed twice.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if !text.is_empty() && !line.ends_with(&text) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
        next = source.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);
    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as _)
        }
    }

    fn of(texts: &[&'static str]) -> String {
        let link = texts.iter().rev().fold(None, |source, text| Some(Box::new(Link(text, source))));
        chain(&*link.unwrap())
    }

    #[test]
    fn prints_each_text_once() {
        for (texts, expected) in [
            (&["mount failed"][..], "mount failed"),
            (&["mount failed", "statfs", "no such file"], "mount failed: statfs: no such file"),
            (&["mount failed: no such file", "no such file"], "mount failed: no such file"),
            (&["transparent", "transparent", "cause"], "transparent: cause"),
            (&["a", "", "c"], "a: c"),
            (&["", "b"], "b"),
        ] {
            assert_eq!(of(texts), expected, "{texts:?}");
        }
    }
}
