//! Files with environment variables, for `fileKeyRef` (KEP-3721).

/// Why a file has no value for a key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct EnvFileError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The value of `key` in `text`: assignments `NAME='value'`, whose values go from quote to quote, line feeds included,
/// with nothing in them special. Spaces around them, empty lines and comments after a `#` do not count. The last
/// assignment of a name is the one that counts.
///
/// # Errors
/// If the text is not written that way, even where it is not about `key`.
pub fn value(text: &str, key: &str) -> Result<Option<String>, EnvFileError> {
    let mut found = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at_line = |rest: &str| 1 + text[..text.len() - rest.len()].matches('\n').count();
        if rest.is_empty() {
            return Ok(found.map(str::to_owned));
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let wrong = |problem| EnvFileError { line: at_line(rest), problem };
        let (name, after) = rest.split_once('=').ok_or(wrong("expected NAME='value'"))?;
        let name = name.trim_end_matches([' ', '\t']);
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong("expected a name without spaces before ="));
        }
        let quoted = after.trim_start_matches([' ', '\t']).strip_prefix('\'');
        let quoted = quoted.ok_or(wrong("the value must be in single quotes"))?;
        let (value, after) = quoted.split_once('\'').ok_or(wrong("the closing quote is missing"))?;
        let end = after.split_once('\n').map_or(after, |(end, _)| end).trim();
        if !end.is_empty() && !end.starts_with('#') {
            return Err(wrong("only a comment may follow the closing quote"));
        }
        if name == key {
            found = Some(value);
        }
        rest = after.split_once('\n').map_or("", |(_, rest)| rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values() {
        let text = "# made by init\n\n  A = 'one' # first\nB='two\nlines # $(X) \\n'\r\nA='last'\nE=''";
        assert_eq!(value(text, "A").unwrap().as_deref(), Some("last"));
        assert_eq!(value(text, "B").unwrap().as_deref(), Some("two\nlines # $(X) \\n"));
        assert_eq!(value(text, "E").unwrap().as_deref(), Some(""));
        assert_eq!(value(text, "C").unwrap(), None);
    }

    #[test]
    fn what_is_refused() {
        for (text, line) in
            [("A=1", 1), ("\nA", 2), ("A='x\n", 1), ("A='x' y", 1), ("='x'", 1), ("A='\n'\nB C='x'", 3)]
        {
            assert_eq!(value(text, "A").unwrap_err().line, line, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[AB=' \n#é]{0,40}") {
            let _ = value(&text, "A");
        }
    }
}
