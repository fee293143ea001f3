//! Facts about the machine, its kernel and this process, mostly from `/proc`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit};

use crate::PathError;

/// Memory of the machine, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// All memory that the kernel has to give.
    pub total_bytes: u64,
    /// What could be given to programs without swapping.
    pub available_bytes: u64,
    /// All swap space; 0 without swap.
    pub swap_total_bytes: u64,
    /// Swap space not in use.
    pub swap_free_bytes: u64,
}

/// What this process uses.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct SelfUsage {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Mapped memory, in bytes.
    pub virtual_bytes: u64,
    /// CPU time in user and kernel mode since the start.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// When the process started, since the machine booted, to 10 ms.
    pub started_after_boot: Duration,
}

pub(crate) fn read(path: impl AsRef<Path>) -> Result<String, PathError> {
    let path = path.as_ref();
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(PathError::on("read", path))
}

fn read_trimmed(path: &str) -> Result<String, PathError> {
    read(path).map(|text| text.trim().to_owned())
}

/// The machine's memory.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn memory() -> Result<Memory, PathError> {
    read("/proc/meminfo").map(|text| parse_meminfo(&text))
}

fn parse_meminfo(text: &str) -> Memory {
    let bytes = |name| field_kib(text, name).unwrap_or(0).saturating_mul(1024);
    Memory {
        total_bytes: bytes("MemTotal"),
        available_bytes: bytes("MemAvailable"),
        swap_total_bytes: bytes("SwapTotal"),
        swap_free_bytes: bytes("SwapFree"),
    }
}

/// The number in a line such as `MemTotal:  1234 kB`.
fn field_kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

/// Page faults of all processes since the machine booted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageFaults {
    /// All of them.
    pub all: u64,
    /// Those for which something had to be read from a disk.
    pub major: u64,
}

/// The machine's page faults.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn page_faults() -> Result<PageFaults, PathError> {
    read("/proc/vmstat").map(|text| parse_vmstat(&text))
}

fn parse_vmstat(text: &str) -> PageFaults {
    let number = |name| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    PageFaults { all: number("pgfault"), major: number("pgmajfault") }
}

/// CPU time of all processes since the machine booted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTime {
    /// In user mode.
    pub user: Duration,
    /// In kernel mode, interrupts included.
    pub system: Duration,
}

/// The machine's CPU time, to 10 ms.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn cpu_time() -> Result<CpuTime, PathError> {
    read("/proc/stat").map(|text| parse_stat(&text))
}

/// The line `cpu user nice system idle iowait irq softirq …`, in hundredths of a second.
fn parse_stat(text: &str) -> CpuTime {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    let sum = |fields: &[usize]| {
        let ticks = fields.iter().filter_map(|field| ticks.get(*field));
        Duration::from_millis(ticks.fold(0, |sum: u64, ticks| sum.saturating_add(*ticks)).saturating_mul(10))
    };
    CpuTime { user: sum(&[0, 1]), system: sum(&[2, 5, 6]) }
}

/// How many processes and threads there are.
///
/// # Errors
/// If `/proc` is not mounted, or does not tell.
pub fn tasks() -> Result<u64, PathError> {
    let path = Path::new("/proc/loadavg");
    let text = read(path)?;
    let nonsense = || PathError::on("understand", path)(std::io::ErrorKind::InvalidData);
    parse_loadavg(&text).ok_or_else(nonsense)
}

/// The fourth field of `0.20 0.18 0.12 1/80 11206` has those that run, and all.
fn parse_loadavg(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// The most processes and threads that there can be: the smaller of the largest process id and the largest number of
/// threads.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn max_tasks() -> Result<u64, PathError> {
    let number = |path| read(path).map(|text| text.trim().parse().unwrap_or(u64::MAX));
    Ok(number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?))
}

/// More CPUs than Linux can have.
const MOST_CPUS: usize = 1 << 16;

/// The CPUs that are online, by their numbers.
///
/// # Errors
/// If `/sys` is not mounted.
pub fn online_cpus() -> Result<Vec<usize>, PathError> {
    read("/sys/devices/system/cpu/online").map(|text| cpu_list(&text))
}

/// The CPUs of a list such as `0-3,6`.
fn cpu_list(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse::<usize>().ok()?..=last.parse().ok()?;
        (*range.end() < MOST_CPUS).then_some(range)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

/// A UUID that is new with each boot (`status.nodeInfo.bootID`).
///
/// # Errors
/// If `/proc` is not mounted.
pub fn boot_id() -> Result<String, PathError> {
    read_trimmed("/proc/sys/kernel/random/boot_id")
}

/// The installation's id (machine-id(5), `status.nodeInfo.machineID`).
///
/// # Errors
/// If neither `/etc/machine-id` nor D-Bus's file is there.
pub fn machine_id() -> Result<String, PathError> {
    read_trimmed("/etc/machine-id").or_else(|e| read_trimmed("/var/lib/dbus/machine-id").map_err(|_| e))
}

/// The hardware's UUID (`status.nodeInfo.systemUUID`): from the firmware's tables or the device tree; the
/// [`machine_id`] where neither has one.
///
/// # Errors
/// If there is no machine id either.
pub fn system_uuid() -> Result<String, PathError> {
    ["/sys/class/dmi/id/product_uuid", "/proc/device-tree/system-id", "/proc/device-tree/vm,uuid"]
        .into_iter()
        .find_map(|path| {
            read(path)
                .ok()
                .map(|text| text.trim_matches(['\0', '\n', ' ']).to_owned())
                .filter(|id| !id.is_empty())
        })
        .map_or_else(machine_id, Ok)
}

/// The kernel's release, such as `6.1.0-18-amd64`.
#[must_use]
pub fn kernel_version() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The machine's host name, as the kernel has it.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The operating system's name for people, such as `Debian GNU/Linux 12 (bookworm)` (os-release(5)); `Linux` where the
/// file does not say.
#[must_use]
pub fn os_pretty_name() -> String {
    ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find_map(|path| pretty_name(&read(path).ok()?))
        .unwrap_or_else(|| "Linux".to_owned())
}

fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?.trim();
    let unquoted =
        ['"', '\''].into_iter().find_map(|q| value.strip_prefix(q)?.strip_suffix(q)).unwrap_or(value);
    (!unquoted.is_empty()).then(|| unquoted.replace("\\\"", "\"").replace("\\$", "$").replace("\\\\", "\\"))
}

/// What this process uses now.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn self_usage() -> Result<SelfUsage, PathError> {
    let status = read("/proc/self/status")?;
    let stat = read("/proc/self/stat")?;
    let fds = Path::new("/proc/self/fd");
    let open_fds = std::fs::read_dir(fds).map_err(PathError::on("list", fds))?.count();
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let bytes = |name| field_kib(&status, name).unwrap_or(0).saturating_mul(1024);
    Ok(SelfUsage {
        resident_bytes: bytes("VmRSS"),
        virtual_bytes: bytes("VmSize"),
        cpu: Duration::new(
            u64::try_from(cpu.tv_sec).unwrap_or(0),
            u32::try_from(cpu.tv_nsec).unwrap_or(0).min(999_999_999),
        ),
        threads: field_kib(&status, "Threads").unwrap_or(0),
        // The listing holds one open itself.
        open_fds: (open_fds as u64).saturating_sub(1),
        started_after_boot: start_ticks(&stat)
            .map_or(Duration::ZERO, |ticks| Duration::from_millis(ticks * 10)),
    })
}

/// Time since the machine booted, sleep included.
#[must_use]
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0).min(999_999_999);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), nanos)
}

/// Bytes that this network namespace has received and sent over IP since it was made.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn ip_octets() -> Result<(u64, u64), PathError> {
    read("/proc/self/net/netstat").map(|text| parse_octets(&text))
}

/// A line of names is followed by one of numbers, both opened by the group's name.
fn parse_octets(text: &str) -> (u64, u64) {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let of = |wanted| {
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        pairs.find(|(name, _)| *name == wanted).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    };
    (of("InOctets"), of("OutOctets"))
}

/// Field 22 of `/proc/<pid>/stat`, in hundredths of a second. The second field, the name, may hold anything.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Which process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Process {
    /// This one.
    Current,
    /// The one with this id.
    Pid(u32),
}

impl Process {
    /// Its directory in `/proc`.
    #[must_use]
    pub fn dir(self) -> PathBuf {
        match self {
            Self::Current => PathBuf::from("/proc/self"),
            Self::Pid(pid) => PathBuf::from(format!("/proc/{pid}")),
        }
    }
}

/// Sets how readily the kernel kills a process for want of memory, from -1000 (never) to 1000 (first).
///
/// # Errors
/// If the process is gone, or the value is lower than the caller may set.
pub fn set_oom_score_adj(process: Process, score: i32) -> Result<(), PathError> {
    let path = process.dir().join("oom_score_adj");
    std::fs::write(&path, score.to_string()).map_err(PathError::on("write", &path))
}

/// The most files this process may have open.
#[must_use]
pub fn max_open_files() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).current
}

/// Raises the most files this process may have open to `limit`, and its hard limit if that is lower and the caller may.
/// Returns what it is now, which is less where the hard limit stays lower.
#[must_use]
pub fn raise_max_open_files(limit: u64) -> u64 {
    let present = rustix::process::getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: Some(limit), maximum: present.maximum.map(|hard| hard.max(limit)) };
    let capped = Rlimit { current: present.maximum.map(|hard| hard.min(limit)), maximum: present.maximum };
    if rustix::process::setrlimit(Resource::Nofile, wanted).is_err() {
        // Without the right to raise the hard limit, as far as that goes.
        let _ = rustix::process::setrlimit(Resource::Nofile, capped);
    }
    max_open_files().unwrap_or(u64::MAX)
}

/// The ids of the processes whose executable's name is `name` (cut to 15 bytes, as the kernel does).
///
/// # Errors
/// If `/proc` is not mounted.
pub fn pids_of(name: &str) -> Result<Vec<u32>, PathError> {
    let proc = Path::new("/proc");
    let wanted = &name.as_bytes()[..name.len().min(15)];
    let entries = std::fs::read_dir(proc).map_err(PathError::on("list", proc))?;
    Ok(entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let comm = std::fs::read(entry.path().join("comm")).ok()?;
            (comm.trim_ascii_end() == wanted).then_some(pid)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_by_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 12 34\n";
        assert_eq!(parse_octets(text), (12, 34));
        assert_eq!(parse_octets(""), (0, 0));
        assert!(since_boot() > Duration::ZERO);
    }

    #[test]
    fn meminfo() {
        let text = "MemTotal:        2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\nSwapTotal: 0 kB\n";
        let memory = parse_meminfo(text);
        assert_eq!(
            (memory.total_bytes, memory.available_bytes, memory.swap_total_bytes),
            (2 << 20, 1 << 20, 0)
        );
        assert_eq!(parse_meminfo("garbage\nMemTotal: x"), Memory::default());
    }

    #[test]
    fn cpu_times() {
        let of = |user, system| CpuTime {
            user: Duration::from_millis(user),
            system: Duration::from_millis(system),
        };
        assert_eq!(parse_stat("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1\n"), of(30, 160));
        assert_eq!(parse_stat("cpu  1 2 3\n"), of(30, 30));
        assert_eq!(parse_stat("intr 1\n"), of(0, 0));
        assert!(cpu_time().unwrap().user > Duration::ZERO);
    }

    #[test]
    fn faults_and_tasks() {
        let text = "nr_free_pages 1\npgfault 28113091\npgmajfault 1165\npgfaults 3\n";
        assert_eq!(parse_vmstat(text), PageFaults { all: 28_113_091, major: 1165 });
        assert_eq!(parse_vmstat("pgfault x"), PageFaults::default());
        for (text, expected) in [
            ("12.08 8.33 3.77 7/128 13648\n", Some(128)),
            ("1 2 3 7 8", None),
            ("1 2 3 7/x 8", None),
            ("", None),
        ] {
            assert_eq!(parse_loadavg(text), expected, "{text:?}");
        }
        assert!(page_faults().unwrap().all > 0);
        let tasks = tasks().unwrap();
        assert!(tasks > 0 && tasks < max_tasks().unwrap());
    }

    #[test]
    fn cpu_lists() {
        for (list, cpus) in [
            ("0\n", &[0][..]),
            ("0-3", &[0, 1, 2, 3]),
            ("0-1,6,8-9\n", &[0, 1, 6, 8, 9]),
            ("", &[]),
            ("3-1", &[]),
            ("0-18446744073709551615", &[]),
        ] {
            assert_eq!(cpu_list(list), cpus, "{list}");
        }
    }

    #[test]
    fn pretty_names() {
        assert_eq!(pretty_name("ID=x\nPRETTY_NAME=\"A \\\"B\\\" 1\"\n").as_deref(), Some("A \"B\" 1"));
        assert_eq!(pretty_name("PRETTY_NAME='C'").as_deref(), Some("C"));
        assert_eq!(pretty_name("PRETTY_NAME=D").as_deref(), Some("D"));
        assert_eq!(pretty_name("PRETTY_NAME=\"\""), None);
        assert_eq!(pretty_name("NAME=D"), None);
    }

    #[test]
    fn names_of_processes_may_hold_anything() {
        assert_eq!(start_ticks("1 (a) b) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 123 4 5"), Some(123));
        assert_eq!(start_ticks("1 (a"), None);
    }

    #[test]
    fn this_machine_answers() {
        assert!(memory().unwrap().total_bytes > 0);
        assert!(!online_cpus().unwrap().is_empty());
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(!kernel_version().is_empty());
        let usage = self_usage().unwrap();
        assert!(usage.resident_bytes > 0 && usage.threads > 0 && usage.open_fds >= 3, "{usage:?}");
        assert!(usage.started_after_boot > Duration::ZERO);
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert!(pids_of(comm.trim()).unwrap().contains(&std::process::id()));
    }
}
