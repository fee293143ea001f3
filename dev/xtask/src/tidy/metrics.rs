//! A metric nobody changes is a lie: every field of every `Metrics` struct is used outside its registration.

use std::path::Path;

use anyhow::Result;
use regex::Regex;

use super::{Findings, fields};
use crate::files::SourceFile;

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
        for fields::Field { name: field, .. } in fields::of_struct(file.shipped(), "Metrics") {
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
