//! What there is of a private containerd on the machine: found without asking anybody, so that it is also found
//! after a crash, and removed the hard way.

mod files;
mod mounts;
mod processes;

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::containerd::instance::{Driver, Instance};
pub use processes::Process;

/// Everything that belongs to an instance and outlives its files.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// The daemon, its shims, the processes in its containers, a node agent working in its directory.
    pub processes: Vec<Process>,
    /// Mounts under its directory: root file systems, volumes, and the network namespaces.
    pub mounts: Vec<PathBuf>,
    /// Cgroups that carry its name or its containers' identifiers.
    pub cgroups: Vec<PathBuf>,
    /// Its bridge.
    pub interfaces: Vec<String>,
    /// Files outside its directory: the shims' sockets, CNI's cached results.
    pub files: Vec<PathBuf>,
}

impl Leftovers {
    /// Looks for everything that belongs to the instance.
    pub fn find(instance: &Instance) -> Self {
        Self {
            processes: processes::find(instance.dir()),
            mounts: mounts::under(instance.dir()),
            cgroups: files::cgroups(instance),
            interfaces: if instance.bridge_exists() { vec![instance.name()] } else { Vec::new() },
            files: files::outside(instance),
        }
    }

    /// Removes everything that belongs to the instance but its bridge, which holds its number, and returns what else is
    /// left.
    pub fn remove(instance: &Instance) -> Self {
        processes::kill_all(instance.dir());
        // A mount that is in the way of another is gone in the next round.
        for _ in 0..3 {
            mounts::detach(instance.dir());
        }
        let found = Self::find(instance);
        if instance.driver() == Driver::Systemd {
            quietly(Command::new("systemctl").args(["stop", &format!("{}.slice", instance.name())]));
        }
        for cgroup in &found.cgroups {
            files::remove_cgroup(cgroup);
        }
        for file in &found.files {
            let _ = std::fs::remove_file(file);
        }
        Self { interfaces: Vec::new(), ..Self::find(instance) }
    }

    /// True if nothing is left.
    pub fn is_empty(&self) -> bool {
        let Self { processes, mounts, cgroups, interfaces, files } = self;
        processes.is_empty()
            && mounts.is_empty()
            && cgroups.is_empty()
            && interfaces.is_empty()
            && files.is_empty()
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for process in &self.processes {
            writeln!(f, "process {process}")?;
        }
        for mount in &self.mounts {
            writeln!(f, "mount {}", mount.display())?;
        }
        for cgroup in &self.cgroups {
            writeln!(f, "cgroup {}", cgroup.display())?;
        }
        for interface in &self.interfaces {
            writeln!(f, "network interface {interface}")?;
        }
        for file in &self.files {
            writeln!(f, "file {}", file.display())?;
        }
        Ok(())
    }
}

/// Runs a command whose effect is checked afterwards.
fn quietly(command: &mut Command) {
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
