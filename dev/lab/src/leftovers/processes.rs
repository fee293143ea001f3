//! Processes that belong to a directory.

use std::fmt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::mounts;

/// Programs that belong to the directory which one of their arguments names. Others that name it (an editor, the
/// test itself) do not.
const PROGRAMS: [&str; 9] = [
    "containerd",
    "containerd-shim",
    "containerd-shim-runc-v2",
    "runc",
    "ctr",
    "berth",
    "kubelet",
    "etcd",
    "kube-apiserver",
];

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.command)
    }
}

/// The processes of the programs above that work in `dir`, and those whose root file system is under it.
pub(super) fn find(dir: &Path) -> Vec<Process> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).filter(|pid| *pid != own);
    pids.filter_map(|pid| belongs(pid, dir)).collect()
}

/// The process if it belongs to `dir`. One that has ended, or that nobody has waited for yet, does not.
fn belongs(pid: i32, dir: &Path) -> Option<Process> {
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = command_line
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .filter(|word| !word.is_empty())
        .collect();
    let program = Path::new(words.first()?.as_ref()).file_name()?.to_str()?.to_owned();
    let names_dir = || {
        let dir = dir.to_string_lossy();
        words[1..].iter().any(|word| {
            word.match_indices(dir.as_ref())
                .any(|(at, _)| matches!(word.as_bytes().get(at + dir.len()), None | Some(b'/')))
        })
    };
    let ours = (PROGRAMS.contains(&program.as_str()) && names_dir()) || mounts::is_root_under(pid, dir);
    ours.then(|| Process { pid, command: words.join(" ") })
}

/// Kills them, the daemon's included, until there is none, and waits for their end.
pub(super) fn kill_all(dir: &Path) {
    // Killing a shim's container may start a process that cleans up: look again.
    for _ in 0..10 {
        let found = find(dir);
        if found.is_empty() {
            return;
        }
        let opened = found
            .iter()
            .filter_map(|process| pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok());
        for process in opened.collect::<Vec<_>>() {
            let _ = pidfd_send_signal(&process, Signal::KILL);
            let mut ended = [PollFd::new(&process, PollFlags::IN)];
            let _ = poll(&mut ended, Some(&Timespec { tv_sec: 10, tv_nsec: 0 }));
        }
    }
}
