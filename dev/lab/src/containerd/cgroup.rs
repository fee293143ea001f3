//! The cgroup under which a node agent puts the pods of one instance: it must be there before the agent starts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Driver, Instance};

const TOP: &str = "/sys/fs/cgroup";

/// Makes the instance's top cgroup in every hierarchy.
pub(super) fn make(instance: &Instance) -> Result<()> {
    if instance.driver() == Driver::Systemd {
        return make_slice(&format!("{}.slice", instance.name()));
    }
    let top = Path::new(TOP);
    if top.join("cgroup.controllers").exists() {
        return make_in(top, &instance.name());
    }
    for entry in fs::read_dir(top).with_context(|| format!("read {TOP}"))? {
        let hierarchy = entry.with_context(|| format!("read {TOP}"))?.path();
        // Two names of one hierarchy: one is a link to the other. A folder without processes is no hierarchy.
        let is_hierarchy = !hierarchy.is_symlink() && hierarchy.join("cgroup.procs").exists();
        // Version 2 without controllers, beside version 1, is for systemd.
        if is_hierarchy && !hierarchy.join("cgroup.controllers").exists() {
            make_in(&hierarchy, &instance.name())?;
        }
    }
    Ok(())
}

fn make_in(hierarchy: &Path, name: &str) -> Result<()> {
    let cgroup = hierarchy.join(name);
    fs::create_dir_all(&cgroup).with_context(|| format!("create {}", cgroup.display()))?;
    // With version 1, a cgroup without processors or memory nodes takes no process.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (hierarchy.join(file), cgroup.join(file));
        if from.exists() {
            let value = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
            fs::write(&to, value).with_context(|| format!("write {}", to.display()))?;
        }
    }
    Ok(())
}

/// A slice needs no unit file.
fn make_slice(slice: &str) -> Result<()> {
    let started = Command::new("systemctl").args(["start", slice]).output().context("start systemctl")?;
    if !started.status.success() {
        bail!("systemctl start {slice}: {}", String::from_utf8_lossy(&started.stderr).trim());
    }
    Ok(())
}
