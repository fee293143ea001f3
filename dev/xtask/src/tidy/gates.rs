//! Every feature gate that the configuration crate lists as a switch is asked for somewhere, and every gate that
//! another crate asks for is listed there.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use regex::Regex;

use super::Findings;
use crate::files::SourceFile;

const FOLDER: &str = "crates/base/config";
const LIST: &str = "crates/base/config/src/unacted.rs";
const TABLE: &str = "crates/base/config/src/gates.rs";

/// The gates that `text` names.
fn named(text: &str) -> Result<BTreeSet<String>> {
    let gate = Regex::new(r"(?-u)\bGate::([A-Z][A-Za-z0-9]+)")?;
    Ok(gate.captures_iter(text).map(|found| found[1].to_owned()).collect())
}

pub(super) fn check(files: &[SourceFile]) -> Result<Findings> {
    let list = files.iter().find(|file| file.path.as_os_str() == LIST);
    let list =
        list.with_context(|| format!("{LIST} is gone: xtask's rule about gates must be told where"))?;
    let listed = named(list.shipped())?;
    let (mut asked, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
    for file in files.iter().filter(|file| file.path.starts_with("crates")) {
        let path = file.path.as_os_str();
        if path != LIST && path != TABLE {
            let names = named(file.shipped())?;
            if !file.path.starts_with(FOLDER) {
                elsewhere.extend(names.iter().cloned());
            }
            asked.extend(names);
        }
    }
    let mut findings = Findings::default();
    findings.errors.extend(
        listed
            .difference(&asked)
            .map(|gate| format!("`{gate}` is listed as a switch in {LIST}, and nothing asks for it")),
    );
    findings.errors.extend(
        elsewhere
            .difference(&listed)
            .map(|gate| format!("`{gate}` switches something: list it in SWITCHES of {LIST}")),
    );
    findings.notes.push(format!("{} feature gates switch something", listed.len()));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_found_by_name() {
        let text = "gates.enabled(Gate::EventedPLEG) && named(Gate::EnvFiles) use config::{Gate, Gates};";
        assert_eq!(named(text).unwrap(), ["EnvFiles", "EventedPLEG"].map(String::from).into());
    }
}
