//! Where things are in this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::sh;

/// The workspace's root directory.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.ancestors().nth(2).unwrap_or(xtask)
}

/// The build directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// True if this program may do everything.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

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
pub(crate) fn rust_files() -> Result<Vec<SourceFile>> {
    let mut git = Command::new("git");
    git.current_dir(root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        "*.rs",
    ]);
    let mut files = Vec::new();
    for name in sh::output(&mut git)?.split_terminator('\0') {
        let absolute = root().join(name);
        // Listed by git but deleted in the working tree.
        if !absolute.exists() {
            continue;
        }
        let text = std::fs::read_to_string(&absolute).with_context(|| format!("read {name}"))?;
        files.push(SourceFile { path: name.into(), text });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}
