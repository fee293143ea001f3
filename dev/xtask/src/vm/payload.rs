//! What travels into the emulated machine: the built tests, the runner, the sources they may read, and a script.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::machine::MARK;
use crate::{sh, workspace};

/// What the guest is to do.
pub(super) enum Work<'a> {
    /// Run the tests that the filterset matches, out of those packages.
    Tests { filter: &'a str, packages: &'a [String] },
    /// Run a shell command.
    Command(&'a str),
}

/// Makes the second disk in `folder`.
pub(super) fn build(folder: &Path, work: &Work<'_>) -> Result<PathBuf> {
    let staging = folder.join("suite");
    if staging.exists() {
        fs::remove_dir_all(&staging).with_context(|| format!("remove {}", staging.display()))?;
    }
    let sources = staging.join("workspace");
    fs::create_dir_all(&sources).with_context(|| format!("create {}", sources.display()))?;
    copy_sources(&sources)?;
    let command = match work {
        Work::Command(command) => (*command).to_owned(),
        Work::Tests { filter, packages } => {
            unpack_tests(folder, &sources, packages)?;
            nextest_command(&staging, filter)?
        }
    };
    fs::write(staging.join("run"), script(&command)).context("write the guest's script")?;

    let disk = folder.join("suite.img");
    let _ = fs::remove_file(&disk);
    let mut mke2fs = Command::new("mke2fs");
    mke2fs
        .args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"])
        .arg(&staging)
        .arg(&disk)
        .arg("8G");
    sh::run(&mut mke2fs)?;
    // All of it is on the disk now, and hundreds of megabytes.
    fs::remove_dir_all(&staging).with_context(|| format!("remove {}", staging.display()))?;
    Ok(disk)
}

/// Tests may read files of the repository: manifests, tables.
fn copy_sources(to: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(workspace::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    for name in sh::output(&mut git)?.split_terminator('\0') {
        let (from, to) = (workspace::root().join(name), to.join(name));
        if !from.is_file() {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        fs::copy(&from, &to).with_context(|| format!("copy {name}"))?;
    }
    Ok(())
}

/// Lays out the packages' tests here: unpacking is slow in an emulated machine. They are built with all others of the
/// workspace, as they are for this machine: alone, they would be built again with fewer features.
fn unpack_tests(folder: &Path, into: &Path, packages: &[String]) -> Result<()> {
    let archive = folder.join("tests.tar.zst");
    let mut build = sh::cargo(["nextest", "archive", "--workspace", "--archive-file"]);
    let filter: Vec<_> = packages.iter().map(|package| format!("package({package})")).collect();
    build.arg(&archive).args(["--filterset", &filter.join(" + ")]);
    sh::run(&mut build)?;
    let mut tar = Command::new("tar");
    tar.arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(into);
    sh::run(&mut tar)?;
    fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))
}

fn nextest_command(staging: &Path, filter: &str) -> Result<String> {
    let found = sh::output(Command::new("sh").args(["-c", "command -v cargo-nextest"]))?;
    fs::copy(found.trim(), staging.join("cargo-nextest")).context("copy cargo-nextest")?;
    let metadata = "target/nextest";
    Ok(format!(
        "/suite/cargo-nextest nextest run --profile vm --ignore-default-filter --no-tests pass --color never \
         --binaries-metadata {metadata}/binaries-metadata.json --cargo-metadata {metadata}/cargo-metadata.json \
         --workspace-remap /suite/workspace --target-dir-remap /suite/workspace/target -E '{filter}'"
    ))
}

/// The guest's script. Paths that were compiled into the tests lead to their copies, and the machine has an address
/// that is not a loopback's, as nodes do.
fn script(command: &str) -> String {
    let root = workspace::root().display();
    let parent = workspace::root().parent().unwrap_or(workspace::root()).display();
    let target = workspace::target().display().to_string();
    let elsewhere = if workspace::target().starts_with(workspace::root()) {
        String::new()
    } else {
        format!("mkdir -p \"$(dirname '{target}')\" && ln -sfn /suite/workspace/target '{target}'\n")
    };
    format!(
        "stty -F /dev/hvc0 -opost\n\
         echo \"{MARK}ready $(cut -d' ' -f1 /proc/uptime)\"\n\
         mkdir -p '{parent}' && ln -sfn /suite/workspace '{root}'\n\
         {elsewhere}\
         ip link add node0 type dummy && ip address add 192.0.2.10/24 dev node0 && ip link set node0 up && ip route add default dev node0\n\
         cd /suite/workspace\n\
         ( {command} )\n\
         status=$?\n\
         report=$(grep -m1 '<testsuites ' target/nextest/vm/junit.xml 2>/dev/null) && echo \"{MARK}report $report\"\n\
         echo \"{MARK}status $status\"\n"
    )
}
