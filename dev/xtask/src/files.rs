//! The files of this repository.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::sh;
use crate::workspace::root;

/// A source file with its text, its path relative to the root.
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl SourceFile {
    /// The text before the unit tests: what is compiled into the program.
    pub(crate) fn shipped(&self) -> &str {
        let in_tests_folder = self.path.components().any(|part| part.as_os_str() == "tests");
        if in_tests_folder {
            return "";
        }
        self.text.split("#[cfg(test)]\nmod ").next().unwrap_or(&self.text)
    }

    /// Generated files say so in their first lines; the rules about size and style are not for them.
    pub(crate) fn is_generated(&self) -> bool {
        self.text.lines().take(5).any(|line| line.contains("@generated"))
    }
}

/// Every Rust source file of the repository, tracked or new.
pub(crate) fn rust() -> Result<Vec<SourceFile>> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root().join(&path))
            .with_context(|| format!("read {}", path.display()))?;
        Ok(SourceFile { path, text })
    };
    listed(&["*.rs"])?.into_iter().map(read).collect()
}

/// The paths of all files of the repository, tracked or new, relative to its root and sorted.
pub(crate) fn all() -> Result<Vec<PathBuf>> {
    listed(&[])
}

fn listed(patterns: &[&str]) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"])
        .args(patterns);
    let names = sh::output(&mut git)?;
    // Git also lists what is deleted in the working tree.
    let there = names.split_terminator('\0').map(PathBuf::from).filter(|name| root().join(name).exists());
    Ok(there.collect::<std::collections::BTreeSet<_>>().into_iter().collect())
}
