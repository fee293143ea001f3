//! The directories and files of the hierarchies: short blocking work, called from threads where that is allowed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::limits::Write;
use crate::version::{V2_CONTROLLERS, Version};
use crate::{CgroupError, Hierarchies};

/// Controllers whose cgroup has to be there for a pod's cgroup to count as existing.
const EXISTENCE: [&str; 7] = ["cpu", "cpuacct", "cpuset", "memory", "systemd", "pids", "hugetlb"];
/// The same on v2, as far as the node has them.
const EXISTENCE_V2: [&str; 5] = ["cpu", "cpuset", "hugetlb", "memory", "pids"];

/// All hierarchies together. Paths are relative to the mount points and begin with `/`.
#[derive(Debug)]
pub(crate) struct Tree {
    hierarchies: Hierarchies,
}

impl Tree {
    pub(crate) fn new(hierarchies: Hierarchies) -> Self {
        Self { hierarchies }
    }

    pub(crate) fn version(&self) -> Version {
        self.hierarchies.version()
    }

    /// Whether the cgroup is there with all controllers that it ought to have.
    pub(crate) fn exists(&self, path: &str) -> bool {
        match self.version() {
            Version::V1 => EXISTENCE
                .iter()
                .filter_map(|controller| self.hierarchies.root_of(controller))
                .all(|root| below(root, path).is_dir()),
            Version::V2 => self.hierarchies.roots().all(|root| {
                let wanted = words(&root.join("cgroup.controllers"));
                let has = words(&below(root, path).join("cgroup.controllers"));
                below(root, path).is_dir()
                    && EXISTENCE_V2.iter().all(|name| !wanted.contains(*name) || has.contains(*name))
            }),
        }
    }

    /// Whether any hierarchy has the cgroup.
    pub(crate) fn is_present(&self, path: &str) -> bool {
        self.hierarchies.roots().any(|root| below(root, path).is_dir())
    }

    /// Makes the cgroup and those above it, in all hierarchies, and passes the controllers down to it.
    pub(crate) fn create(&self, path: &str) -> Result<(), CgroupError> {
        for root in self.hierarchies.roots() {
            let mut directory = root.to_owned();
            let cpuset = self.hierarchies.root_of("cpuset") == Some(root);
            for part in path.split('/').filter(|part| !part.is_empty()) {
                if self.version() == Version::V2 {
                    pass_down(&directory)?;
                }
                let parent = directory.clone();
                directory.push(part);
                match fs::create_dir(&directory) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                        return Err(CgroupError::io("create", &directory, error));
                    }
                    _ => {}
                }
                if cpuset && self.version() == Version::V1 {
                    inherit_cpuset(&parent, &directory)?;
                }
            }
        }
        Ok(())
    }

    /// Those of `writes` whose file says something else now.
    pub(crate) fn news(&self, path: &str, writes: Vec<Write>) -> Vec<Write> {
        let differs = |write: &Write| {
            let Some(root) = self.hierarchies.root_of(&write.controller) else { return !write.optional };
            match fs::read_to_string(below(root, path).join(&write.file)) {
                Ok(text) => !says(text.trim_end(), write),
                Err(error) => !(write.optional && error.kind() == ErrorKind::NotFound),
            }
        };
        writes.into_iter().filter(differs).collect()
    }

    /// Writes `writes`, in order. What the kernel finds invalid is tried once more after the rest: on v1 it checks quota
    /// and period against each other and against those of the parent, and takes one at a time.
    pub(crate) fn write(&self, path: &str, writes: &[Write]) -> Result<(), CgroupError> {
        let mut again = Vec::new();
        for write in writes {
            match self.write_one(path, write) {
                Err(CgroupError::Write { source, .. }) if source.kind() == ErrorKind::InvalidInput => {
                    again.push(write);
                }
                result => result?,
            }
        }
        again.into_iter().try_for_each(|write| self.write_one(path, write))
    }

    fn write_one(&self, path: &str, write: &Write) -> Result<(), CgroupError> {
        let Some(root) = self.hierarchies.root_of(&write.controller) else {
            if write.optional {
                return Ok(());
            }
            let (controller, file) = (write.controller.clone(), write.file.clone());
            return Err(CgroupError::ControllerMissing { controller, file });
        };
        let file = below(root, path).join(&write.file);
        if write.optional && !file.exists() {
            return Ok(());
        }
        fs::write(&file, &write.value).map_err(|source| CgroupError::Write {
            path: file,
            value: write.value.clone(),
            source,
        })
    }

    /// Names of the cgroups right below, from all hierarchies.
    pub(crate) fn children(&self, path: &str) -> Result<BTreeSet<String>, CgroupError> {
        let mut names = BTreeSet::new();
        for root in self.hierarchies.roots() {
            let directory = below(root, path);
            let found = subdirectories(&directory).map_err(|e| CgroupError::io("list", &directory, e))?;
            names
                .extend(found.into_iter().filter_map(|child| child.file_name()?.to_str().map(str::to_owned)));
        }
        Ok(names)
    }

    /// Processes in the cgroup and in those below it. Processes outside of our PID namespace are not seen.
    pub(crate) fn pids(&self, path: &str) -> Result<BTreeSet<u32>, CgroupError> {
        let mut pids = BTreeSet::new();
        for root in self.hierarchies.roots() {
            let directory = below(root, path);
            collect_pids(&directory, &mut pids)
                .map_err(|e| CgroupError::io("list the processes of", &directory, e))?;
        }
        pids.remove(&0);
        Ok(pids)
    }

    /// Sends SIGKILL to every process in the cgroup and below, and says to how many. Never to our own.
    pub(crate) fn kill(&self, path: &str) -> Result<usize, CgroupError> {
        // A frozen cgroup cannot fork while its processes are listed.
        let frozen = match self.version() {
            Version::V1 => {
                self.hierarchies.root_of("freezer").map(|root| below(root, path).join("freezer.state"))
            }
            Version::V2 => None,
        };
        let pids = self.pids(path)?;
        if pids.is_empty() {
            return Ok(0);
        }
        if pids.contains(&std::process::id()) {
            let own = io::Error::other("berth itself runs in it");
            return Err(CgroupError::io("kill the processes of", Path::new(path), own));
        }
        if let Some(state) = frozen.as_deref().filter(|state| state.exists()) {
            // Best effort: without it a fork can slip through, and the next round gets it.
            let _ = fs::write(state, "FROZEN");
        }
        let killed = self.kill_all(path);
        if let Some(state) = frozen.as_deref().filter(|state| state.exists()) {
            fs::write(state, "THAWED").map_err(|e| CgroupError::io("thaw", state, e))?;
        }
        killed
    }

    fn kill_all(&self, path: &str) -> Result<usize, CgroupError> {
        let pids = self.pids(path)?;
        let all_at_once = self.hierarchies.roots().map(|root| below(root, path).join("cgroup.kill"));
        if self.version() == Version::V2
            && all_at_once.into_iter().any(|file| file.exists() && fs::write(file, "1").is_ok())
        {
            return Ok(pids.len());
        }
        for pid in &pids {
            let Some(process) = i32::try_from(*pid).ok().and_then(Pid::from_raw) else { continue };
            match kill_process(process, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => {
                    tracing::warn!(pid, cgroup = path, %error, "Could not kill a process left in a cgroup");
                }
            }
        }
        Ok(pids.len())
    }

    /// Removes the cgroup and those below it. Says whether it is gone; if not, processes are still in it.
    pub(crate) fn remove(&self, path: &str) -> Result<bool, CgroupError> {
        let mut gone = true;
        for root in self.hierarchies.roots() {
            gone &= remove_tree(&below(root, path))?;
        }
        Ok(gone)
    }
}

/// Whether a file that reads `text` has what `write` would give it. The kernel rounds bytes down to whole pages, and on v1
/// shows no limit as the largest number of bytes there is.
fn says(text: &str, write: &Write) -> bool {
    if text == write.value || !matches!(&*write.controller, "memory" | "hugetlb") {
        return text == write.value;
    }
    match (text.parse::<u64>(), write.value.parse::<u64>()) {
        (Ok(is), Ok(wanted)) => is == wanted - wanted % rustix::param::page_size() as u64,
        (Ok(is), Err(_)) => write.value == "-1" && is >= 1 << 62,
        (Err(_), _) => false,
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn words(file: &Path) -> BTreeSet<String> {
    fs::read_to_string(file).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Enables, for the children of `directory`, the controllers that it has itself.
fn pass_down(directory: &Path) -> Result<(), CgroupError> {
    let control = directory.join("cgroup.subtree_control");
    let (has, enabled) = (words(&directory.join("cgroup.controllers")), words(&control));
    for controller in V2_CONTROLLERS.iter().filter(|name| has.contains(**name) && !enabled.contains(**name)) {
        // One by one: a controller that cannot be enabled does not keep the others back.
        fs::write(&control, format!("+{controller}")).map_err(|source| CgroupError::Delegate {
            controller: (*controller).to_owned(),
            path: directory.to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// A new cpuset of cgroup v1 has no CPUs and no memory nodes, and nothing can run in it: it gets those of its parent.
fn inherit_cpuset(parent: &Path, directory: &Path) -> Result<(), CgroupError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = directory.join(name);
        let read = |file: &Path| fs::read_to_string(file).map(|text| text.trim().to_owned());
        if read(&file).is_ok_and(|own| !own.is_empty()) {
            continue;
        }
        let from = parent.join(name);
        let value = match read(&from) {
            Ok(value) => value,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(CgroupError::io("read", &from, error)),
        };
        fs::write(&file, &value).map_err(|source| CgroupError::Write { path: file, value, source })?;
    }
    Ok(())
}

/// The directories in `directory`; none if it is not there.
fn subdirectories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn collect_pids(directory: &Path, pids: &mut BTreeSet<u32>) -> io::Result<()> {
    match fs::read_to_string(directory.join("cgroup.procs")) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.trim().parse::<u32>().ok())),
        // Gone meanwhile, or a cgroup of threads, whose processes are listed above it.
        Err(error)
            if error.kind() == ErrorKind::NotFound
                || [Errno::NODEV, Errno::OPNOTSUPP]
                    .iter()
                    .any(|e| Some(e.raw_os_error()) == error.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    subdirectories(directory)?.iter().try_for_each(|child| collect_pids(child, pids))
}

/// Whether `directory` is gone afterwards.
fn remove_tree(directory: &Path) -> Result<bool, CgroupError> {
    let children = subdirectories(directory).map_err(|e| CgroupError::io("list", directory, e))?;
    let mut gone = true;
    for child in children {
        gone &= remove_tree(&child)?;
    }
    if !gone {
        return Ok(false);
    }
    match fs::remove_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(CgroupError::io("remove", directory, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_rounding_is_no_news() {
        for (controller, text, value, expected) in [
            ("memory", "99999744", "100000000", true),
            ("memory", "100000000", "100000000", true),
            ("memory", "9223372036854771712", "-1", true),
            ("memory", "max", "max", true),
            ("memory", "max", "4096", false),
            ("memory", "4096", "max", false),
            ("memory", "4096", "-1", false),
            ("memory", "8192", "4096", false),
            ("cpu", "4096", "5000", false),
            ("cpu", "max 100000", "max 100000", true),
        ] {
            let write = Write {
                controller: controller.to_owned(),
                file: String::new(),
                value: value.to_owned(),
                optional: false,
            };
            assert_eq!(says(text, &write), expected, "{controller}: {text} for {value}");
        }
    }
}
