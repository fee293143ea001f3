//! A metric nobody changes is a lie: every field of every `Metrics` struct is used outside its registration.

use std::path::Path;

use anyhow::Result;
use regex::Regex;

use super::Findings;
use crate::workspace::SourceFile;

/// The names of the fields of `struct Metrics` in the text.
fn fields(text: &str) -> Vec<&str> {
    let Some((_, after)) = text.split_once("struct Metrics {") else { return Vec::new() };
    let body = after.split("\n}").next().unwrap_or_default();
    body.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//") && !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, _)| name.split_whitespace().last())
        .collect()
}

/// The crate's folder: the parent of `src`.
fn crate_folder(path: &Path) -> &Path {
    path.ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "src"))
        .and_then(Path::parent)
        .unwrap_or(path)
}

pub(super) fn check(files: &[SourceFile]) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut count = 0;
    for file in files.iter().filter(|file| file.path.starts_with("crates")) {
        let folder = crate_folder(&file.path);
        for field in fields(file.shipped()) {
            count += 1;
            // The registration writes `field: registry.counter(…)`; a use is written `metrics.field`.
            let used = Regex::new(&format!(r"\.{field}(?-u:\b)"))?;
            // A crate may hand its metrics to the program, which is above it.
            let users = files
                .iter()
                .filter(|user| crate_folder(&user.path) == folder || user.path.starts_with("crates/berth"));
            if !users.into_iter().any(|user| used.is_match(user.shipped())) {
                findings.errors.push(format!(
                    "{}: metric field `{field}` is registered and never changed",
                    file.path.display()
                ));
            }
        }
    }
    findings.notes.push(format!("{count} metric fields"));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_visibility() {
        let text = "/// All.\npub struct Metrics {\n    /// Doc: colon.\n    pub(crate) a_total: Counter,\n    b: Histogram,\n}\nstruct Other { c: u8 }";
        assert_eq!(fields(text), ["a_total", "b"]);
    }

    #[test]
    fn a_field_only_registered_is_named() {
        let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let declared = file(
            "crates/pod/x/src/metrics.rs",
            "struct Metrics {\n    a: Counter,\n    b: Counter,\n}\nMetrics { a: r.counter(), b: r.counter() }",
        );
        let user = file(
            "crates/pod/x/src/lib.rs",
            "self.metrics\n    .a\n    .inc(&[]);\n#[cfg(test)]\nmod tests { m.b.inc() }",
        );
        let findings = check(&[declared, user]).unwrap();
        assert_eq!(findings.errors.len(), 1);
        assert!(findings.errors[0].contains("`b`"));
    }
}
