//! Every flag and every field of the configuration is either acted on by some crate, or listed by the configuration
//! crate as not acted on yet, or as settled there; never two of these, never none.

use anyhow::{Context, Result};
use regex::Regex;

use super::{Findings, fields};
use crate::files::SourceFile;

const FOLDER: &str = "crates/base/config";

/// Where the configuration's struct, the flags' struct and the list are.
const CONFIGURATION: (&str, &str) = ("crates/base/config/src/kubelet.rs", "KubeletConfiguration");
const FLAGS: (&str, &str) = ("crates/base/config/src/flags/own.rs", "Flags");
const UNACTED: &str = "crates/base/config/src/unacted.rs";

/// The entries of the list `name`.
fn listed<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let list = text
        .split_once(&format!("{name}: &[&str] = &["))
        .map(|(_, after)| after.split("];").next().unwrap_or_default());
    list.into_iter().flat_map(str::lines).filter_map(|line| line.split('"').nth(1)).collect()
}

/// How sure the text is that the field is acted on.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Use {
    No,
    /// Something of that name is used.
    Perhaps,
    /// It is taken from a value that is called a configuration or flags.
    Surely,
}

fn use_of(field: &str, users: &[&str]) -> Result<Use> {
    let surely = Regex::new(&format!(r"(?-u)(?:config|configuration|kubelet|flags)\s*\.\s*{field}\b"))?;
    let perhaps = Regex::new(&format!(r"(?-u)\.\s*{field}\b"))?;
    Ok(if users.iter().any(|text| surely.is_match(text)) {
        Use::Surely
    } else if users.iter().any(|text| perhaps.is_match(text)) {
        Use::Perhaps
    } else {
        Use::No
    })
}

/// What is wrong with a setting that is used and listed so.
fn contradiction(name: &str, used: Use, is_listed: bool, is_settled: bool) -> Option<String> {
    if is_settled {
        return is_listed
            .then(|| format!("`{name}` is both settled and not acted on in {UNACTED}: choose one"));
    }
    match (used, is_listed) {
        (Use::No, false) => {
            Some(format!("`{name}` is accepted and nothing acts on it: act on it, or list it in {UNACTED}"))
        }
        (Use::Surely, true) => {
            Some(format!("`{name}` is acted on and still listed in {UNACTED}: take it off the list"))
        }
        _ => None,
    }
}

pub(super) fn check(files: &[SourceFile]) -> Result<Findings> {
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path.as_os_str() == path);
        file.map(|file| file.text.as_str()).with_context(|| {
            format!("{path} is gone: xtask's rule about settings must be told where it went")
        })
    };
    let lists = text(UNACTED)?;
    let (settled, listed) = (listed(lists, "SETTLED"), listed(lists, "UNACTED"));
    let users = files.iter().filter(|file| file.path.starts_with("crates") && !file.path.starts_with(FOLDER));
    // Only who knows the configuration can act on a field of it.
    let users: Vec<_> = users.map(SourceFile::shipped).filter(|text| text.contains("config")).collect();

    let mut findings = Findings::default();
    let mut count = 0;
    for ((path, name), is_flag) in [(CONFIGURATION, false), (FLAGS, true)] {
        for field in fields::of_struct(text(path)?, name) {
            let name = if is_flag { field.as_flag() } else { field.in_file() };
            let is_listed = listed.contains(&name.as_str());
            let is_settled = settled.contains(&name.as_str());
            // A list entry may be about a part of the field.
            let partly = listed.iter().any(|entry| entry.starts_with(&format!("{name}.")));
            count += 1;
            if !partly {
                let used = use_of(field.name, &users)?;
                findings.errors.extend(contradiction(&name, used, is_listed, is_settled));
            }
        }
    }
    findings.notes.push(format!("{count} flags and fields, {} not acted on yet", listed.len()));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_used_or_listed() {
        let users = ["let x = config.max_pods;", "node.address", "flags\n    .root_dir"];
        assert_eq!(use_of("max_pods", &users).unwrap(), Use::Surely);
        assert_eq!(use_of("root_dir", &users).unwrap(), Use::Surely);
        assert_eq!(use_of("address", &users).unwrap(), Use::Perhaps);
        assert_eq!(use_of("max", &users).unwrap(), Use::No);

        assert!(contradiction("a", Use::No, false, false).is_some());
        assert!(contradiction("a", Use::Surely, true, false).is_some());
        assert!(contradiction("a", Use::Perhaps, true, false).is_none());
        assert!(contradiction("a", Use::Perhaps, false, false).is_none());
        assert!(contradiction("a", Use::No, false, true).is_none());
        assert!(contradiction("a", Use::No, true, true).is_some());
    }

    #[test]
    fn the_list_is_read_line_by_line() {
        assert_eq!(
            listed("pub const LIST: &[&str] = &[\n    \"--cert-dir\",\n    \"address\",\n];\n\"no\"", "LIST"),
            ["--cert-dir", "address"]
        );
    }
}
