//! `$(NAME)` in commands, arguments, values and `subPathExpr` (Kubernetes: "Define Dependent Environment Variables").

/// Replaces each `$(NAME)` in `text` by what `value_of` says. `$$` stands for one `$`, so that `$$(NAME)` stays as
/// `$(NAME)`; all else, unclosed references too, is left as it is. A value is not looked at again.
///
/// A name without a value stays as it was written; it is added to the second part of the answer.
pub fn expand<'t, 'v>(text: &'t str, value_of: impl Fn(&str) -> Option<&'v str>) -> (String, Vec<&'t str>) {
    let mut out = String::with_capacity(text.len());
    let mut unknown = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match value_of(name) {
                Some(value) => out.push_str(value),
                None => {
                    unknown.push(name);
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    (out, unknown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value_of(name: &str) -> Option<&'static str> {
        match name {
            "A" => Some("1"),
            "REF" => Some("$(A)"),
            "EMPTY" => Some(""),
            _ => None,
        }
    }

    #[test]
    fn references() {
        for (text, expected, unknown) in [
            ("plain", "plain", &[][..]),
            ("$(A)", "1", &[]),
            ("x$(A)y$(A)", "x1y1", &[]),
            ("$$(A)", "$(A)", &[]),
            ("$$$(A)", "$1", &[]),
            ("$$$$", "$$", &[]),
            ("$(REF)", "$(A)", &[]),
            ("[$(EMPTY)]", "[]", &[]),
            ("$(NONE)/$(A)", "$(NONE)/1", &["NONE"]),
            ("$()", "$()", &[""]),
            ("$(A", "$(A", &[]),
            ("$(A$(A)", "$(A$(A)", &["A$(A"]),
            ("$A cost: 5$", "$A cost: 5$", &[]),
            ("é$(A)é", "é1é", &[]),
        ] {
            let (out, names) = expand(text, value_of);
            assert_eq!((out.as_str(), names.as_slice()), (expected, unknown), "{text}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_comes_out_as_it_was(text in any::<String>()) {
            prop_assert_eq!(expand(&text.replace('$', "$$"), value_of).0, text);
        }

        #[test]
        fn without_values_only_escapes_change(text in "[$()A-C]{0,30}") {
            let (out, _) = expand(&text, |_| None);
            prop_assert!(out.len() <= text.len());
            if !text.contains("$$") {
                prop_assert_eq!(out, text);
            }
        }
    }
}
