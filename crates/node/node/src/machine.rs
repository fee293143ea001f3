//! The machine as it was found at the start.

use std::path::Path;

use linux::hugepages::{self, HugePages};
use linux::{PathError, proc, statfs};

/// Facts about the machine that do not change while it runs (`status.nodeInfo` and the base of `status.capacity`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Machine {
    /// Logical CPUs that are online.
    pub cpus: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Swap space, in bytes.
    pub swap_bytes: u64,
    /// Huge pages set aside, by size.
    pub hugepages: Vec<HugePages>,
    /// Size of the file system of the root directory, in bytes (`ephemeral-storage`).
    pub root_fs_bytes: u64,
    /// The most processes and threads that the kernel lets live at once.
    pub pids: u64,
    /// The installation's id.
    pub machine_id: String,
    /// The hardware's id.
    pub system_uuid: String,
    /// An id that is new with each boot.
    pub boot_id: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// The operating system's name for people.
    pub os_image: String,
    /// The host name, as the kernel has it.
    pub hostname: String,
}

/// The machine could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("could not find out {what} of this machine")]
pub struct MachineError {
    what: &'static str,
    source: PathError,
}

impl Machine {
    /// Looks at the machine; `root_dir` is the agent's root directory (`--root-dir`), which has to exist. Blocking, for a
    /// few milliseconds unless `root_dir` is on a file system that hangs.
    ///
    /// # Errors
    /// If `/proc` or `/sys` is not mounted, or `root_dir` does not exist. A machine without ids is no error: those stay
    /// empty.
    pub fn detect(root_dir: &Path) -> Result<Self, MachineError> {
        let failed = |what| move |source| MachineError { what, source };
        let memory = proc::memory().map_err(failed("the memory"))?;
        let cpus = proc::online_cpus().map_err(failed("the CPUs"))?;
        Ok(Self {
            cpus: u32::try_from(cpus.len().max(1)).unwrap_or(u32::MAX),
            memory_bytes: memory.total_bytes,
            swap_bytes: memory.swap_total_bytes,
            hugepages: hugepages::sizes().map_err(failed("the huge pages"))?,
            root_fs_bytes: statfs::usage(root_dir).map_err(failed("the root file system"))?.capacity_bytes,
            pids: proc::max_tasks().map_err(failed("the limit of processes"))?,
            machine_id: proc::machine_id().unwrap_or_default(),
            system_uuid: proc::system_uuid().unwrap_or_default(),
            boot_id: proc::boot_id().map_err(failed("the boot id"))?,
            kernel_version: proc::kernel_version(),
            os_image: proc::os_pretty_name(),
            hostname: proc::hostname(),
        })
    }

    /// Sizes of huge pages that the kernel knows, in bytes, used or not.
    pub fn page_sizes(&self) -> impl Iterator<Item = u64> {
        self.hugepages.iter().map(|pages| pages.page_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine() {
        let machine = Machine::detect(Path::new("/")).unwrap();
        assert!(machine.cpus > 0 && machine.memory_bytes > 1 << 20 && machine.root_fs_bytes > 0);
        assert!(machine.pids > 100 && machine.boot_id.len() == 36 && !machine.kernel_version.is_empty());
        assert!(Machine::detect(Path::new("/no/such/directory")).is_err());
    }
}
