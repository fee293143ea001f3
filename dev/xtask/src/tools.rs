//! The programs that a test run needs beside cargo itself.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::sh;

/// Installs what a minimal toolchain lacks.
pub(crate) fn ensure() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !has(subcommand) {
            sh::run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    if !has("nextest") {
        sh::run(&mut sh::cargo(["install", "--locked", "--quiet", "cargo-nextest"]))?;
    }
    Ok(())
}

fn has(subcommand: &str) -> bool {
    let mut command = sh::cargo([subcommand, "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
