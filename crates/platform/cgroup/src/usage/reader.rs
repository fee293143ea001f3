//! Reading what a cgroup uses.

use std::time::{Duration, SystemTime};

use rustix::fs::{Dir, Mode, OFlags, Stat, fstat, openat};

use super::files::{Files, OpenCgroup, main_controller};
use super::{CpuUsage, Detail, Pressures, Usage, v1, v2};
use crate::{Hierarchies, Version};

/// How deep cgroups below a container's are followed for its processes.
const MAX_DEPTH: usize = 16;

/// Reads what cgroups use. Paths are those below the mount points, such as `/kubepods/burstable`. Every call blocks for
/// some µs for each file.
#[derive(Clone, Debug)]
pub struct UsageReader {
    hierarchies: Hierarchies,
}

impl UsageReader {
    /// A reader of the cgroups in `hierarchies`.
    #[must_use]
    pub fn new(hierarchies: Hierarchies) -> Self {
        Self { hierarchies }
    }

    /// The version in use.
    #[must_use]
    pub fn version(&self) -> Version {
        self.hierarchies.version()
    }

    /// What the cgroup uses; none if there is no such cgroup.
    #[must_use]
    pub fn read(&self, path: &str, detail: Detail) -> Option<Usage> {
        self.read_open(&mut OpenCgroup::new(&self.hierarchies, path), detail)
    }

    /// What the cgroup uses, with its processes as [`UsageReader::processes`] has them.
    #[must_use]
    pub fn read_with_processes(&self, path: &str, detail: Detail) -> Option<(Usage, Vec<u32>)> {
        let mut files = OpenCgroup::new(&self.hierarchies, path);
        let usage = self.read_open(&mut files, detail)?;
        let mut processes = Vec::new();
        self.add_processes(&mut files, path, &mut processes, 0);
        Some((usage, processes))
    }

    fn read_open(&self, files: &mut OpenCgroup<'_>, detail: Detail) -> Option<Usage> {
        let since = changed_at(&fstat(files.main_directory()?).ok()?);
        Some(match self.version() {
            Version::V1 => self.read_v1(files, detail, since),
            Version::V2 => self.read_v2(files, detail, since),
        })
    }

    fn read_v1(&self, files: &mut OpenCgroup<'_>, detail: Detail, since: SystemTime) -> Usage {
        let full = detail == Detail::Full;
        let cpu_limits = if full { v1::cpu_limits(files) } else { None };
        let throttling = v1::throttling(files, cpu_limits.as_ref());
        Usage {
            since,
            cpu: v1::cpu(files, detail).map(|cpu| CpuUsage { throttling, ..cpu }),
            memory: v1::memory(files, detail),
            pressure: Pressures::default(),
            cpu_limits,
            tasks: if full { v1::tasks(files) } else { None },
            io: if full { v1::io(files) } else { Vec::new() },
        }
    }

    fn read_v2(&self, files: &mut OpenCgroup<'_>, detail: Detail, since: SystemTime) -> Usage {
        let full = detail == Detail::Full;
        let cpu_limits = if full { v2::cpu_limits(files) } else { None };
        Usage {
            since,
            cpu: v2::cpu(files, detail, cpu_limits.as_ref()),
            memory: v2::memory(files, detail),
            pressure: if detail >= Detail::Pressure { v2::pressures(files) } else { Pressures::default() },
            cpu_limits,
            tasks: if full { v2::tasks(files) } else { None },
            io: if full { v2::io(files) } else { Vec::new() },
        }
    }

    /// The processes in the cgroup and in those below it. Those outside of our PID namespace are not seen.
    #[must_use]
    pub fn processes(&self, path: &str) -> Vec<u32> {
        let mut found = Vec::new();
        self.add_processes(&mut OpenCgroup::new(&self.hierarchies, path), path, &mut found, 0);
        found
    }

    fn add_processes(&self, files: &mut OpenCgroup<'_>, path: &str, found: &mut Vec<u32>, depth: usize) {
        let main = main_controller(self.version());
        if let Some(text) = files.read(main, "cgroup.procs") {
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
        }
        // The kernel counts a cgroup's children as links to it, which saves looking for them.
        let links = files.main_directory().and_then(|dir| fstat(dir).ok()).map_or(0, |stat| stat.st_nlink);
        if depth < MAX_DEPTH && links > 2 {
            for child in self.children(path) {
                let path = format!("{}/{child}", path.trim_end_matches('/'));
                let mut files = OpenCgroup::new(&self.hierarchies, &path);
                self.add_processes(&mut files, &path, found, depth + 1);
            }
        }
    }

    /// Names of the cgroups right below; none if there is no such cgroup.
    #[must_use]
    pub fn children(&self, path: &str) -> Vec<String> {
        let mut files = OpenCgroup::new(&self.hierarchies, path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |main| openat(main, ".", flags, Mode::empty()).ok();
        let Some(directory) = files.main_directory().and_then(open) else { return Vec::new() };
        let entries = Dir::new(directory).into_iter().flatten().flatten();
        let name = |entry: rustix::fs::DirEntry| {
            let name = entry.file_name().to_str().ok()?;
            let is_child =
                entry.file_type() == rustix::fs::FileType::Directory && !matches!(name, "." | "..");
            is_child.then(|| name.to_owned())
        };
        entries.filter_map(name).collect()
    }
}

/// The time of the last change of a directory.
fn changed_at(stat: &Stat) -> SystemTime {
    // The fields' types differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::unnecessary_fallible_conversions, clippy::useless_conversion)]
    let (seconds, nanos) = (u64::try_from(stat.st_mtime).unwrap_or(0), stat.st_mtime_nsec as u64);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, u32::try_from(nanos).unwrap_or(0).min(999_999_999))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_tree_of_v2() {
        let dir = tempfile::tempdir().unwrap();
        let pod = dir.path().join("kubepods/pod1");
        write(&pod.join("cpu.stat"), "usage_usec 7\n");
        write(&pod.join("memory.stat"), "anon 5\nfile 6\n");
        write(&pod.join("cgroup.procs"), "");
        write(&pod.join("c1/cgroup.procs"), "12\n13\n0\n");
        write(&pod.join("c1/inner/cgroup.procs"), "14\n");
        write(&pod.join("pids.current"), "3\n");
        let reader = UsageReader::new(Hierarchies::find(Version::V2, dir.path()).unwrap());
        let basic = reader.read("/kubepods/pod1", Detail::Basic).unwrap();
        assert_eq!((basic.cpu.unwrap().total_ns, basic.memory.unwrap().usage), (7000, 11));
        assert_eq!((basic.tasks, basic.cpu_limits), (None, None));
        assert_eq!(reader.read("/kubepods/pod1", Detail::Full).unwrap().tasks.unwrap().current, 3);
        assert_eq!(reader.read("/kubepods/pod2", Detail::Full), None);
        assert_eq!(reader.children("/kubepods/pod1"), ["c1"]);
        assert!(reader.children("/none").is_empty());
        // Directories of an ordinary file system count links in the same way, or always as one.
        let mut pids = reader.processes("/kubepods/pod1");
        pids.sort_unstable();
        if fs::metadata(&pod).map(|meta| std::os::unix::fs::MetadataExt::nlink(&meta)).unwrap() > 2 {
            assert_eq!(pids, [12, 13, 14]);
        }
    }

    #[test]
    fn a_tree_of_v1() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cpuacct/pod/cpuacct.usage", "9\n"),
            ("memory/pod/memory.usage_in_bytes", "100\n"),
            ("memory/pod/memory.limit_in_bytes", "200\n"),
            ("memory/pod/cgroup.procs", "4\n"),
            ("cpu/pod/cpu.shares", "512\n"),
            ("cpu/pod/cpu.cfs_period_us", "100000\n"),
            ("pids/other/pids.current", "1\n"),
        ] {
            write(&dir.path().join(file), text);
        }
        let reader = UsageReader::new(Hierarchies::find(Version::V1, dir.path()).unwrap());
        let full = reader.read("/pod", Detail::Full).unwrap();
        assert_eq!(full.cpu.unwrap().total_ns, 9);
        assert_eq!((full.memory.unwrap().usage, full.memory.unwrap().limit), (100, Some(200)));
        assert_eq!((full.cpu_limits.unwrap().shares, full.tasks), (512, None));
        assert_eq!(reader.processes("/pod"), [4]);
        assert_eq!(reader.read("/other", Detail::Full), None, "only the main hierarchy counts");
    }

    #[test]
    fn large_files_are_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{}anon 5\n", "filler 1\n".repeat(5000));
        write(&dir.path().join("g/memory.stat"), &text);
        let reader = UsageReader::new(Hierarchies::find(Version::V2, dir.path()).unwrap());
        assert_eq!(reader.read("/g", Detail::Basic).unwrap().memory.unwrap().rss, 5);
    }

    #[test]
    fn the_hosts_root_uses_cpu_time() {
        // A node with both versions has v2 as well.
        let mount_points = [crate::version::MOUNT_POINT, "/sys/fs/cgroup/unified"].map(Path::new);
        for mount_point in mount_points.into_iter().filter(|path| path.exists()) {
            let version = Version::detect(mount_point).unwrap();
            let reader = UsageReader::new(Hierarchies::find(version, mount_point).unwrap());
            let Some(usage) = reader.read("/", Detail::Full) else { panic!("{}", mount_point.display()) };
            // The root of v2 has it since Linux 5.9.
            assert!(
                usage.cpu.is_none_or(|cpu| cpu.total_ns > 0)
                    && (version == Version::V2 || usage.cpu.is_some())
            );
            let accounted = mount_point.join("memory.pressure").exists();
            assert_eq!(usage.pressure.memory.is_some(), accounted, "{usage:?}");
        }
    }
}
