//! The files that another process has open, and how many it may have.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat_raw};

use crate::PathError;
use crate::proc::Process;

/// How many files a process has open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenFiles {
    /// File descriptors.
    pub files: u64,
    /// Those of them that are sockets.
    pub sockets: u64,
}

/// What `process` has open. Looking at the calling process, the descriptor that this takes itself counts.
///
/// # Errors
/// If the process is gone, or may not be looked at.
pub fn of(process: Process) -> Result<OpenFiles, PathError> {
    let path = process.dir().join("fd");
    let fail = |error: rustix::io::Errno| PathError::on("list", &path)(error);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = Dir::new(openat(CWD, &path, flags, Mode::empty()).map_err(fail)?).map_err(fail)?;
    let mut found = OpenFiles::default();
    while let Some(entry) = dir.read() {
        let entry = entry.map_err(fail)?;
        if !is_number(entry.file_name()) {
            continue;
        }
        found.files += 1;
        // A longer name is cut, which does not matter here.
        let mut target = [MaybeUninit::uninit(); 16];
        let link = readlinkat_raw(dir.fd().map_err(fail)?, entry.file_name(), &mut target);
        found.sockets += u64::from(link.is_ok_and(|(name, _)| name.starts_with(b"socket:")));
    }
    Ok(found)
}

fn is_number(name: &CStr) -> bool {
    name.to_bytes().iter().all(u8::is_ascii_digit)
}

/// How many files `process` may have open (the soft `RLIMIT_NOFILE`); -1 for as many as it likes.
///
/// # Errors
/// If the process is gone.
pub fn soft_limit(process: Process) -> Result<Option<i64>, PathError> {
    let path = process.dir().join("limits");
    let text = std::fs::read_to_string(&path).map_err(PathError::on("read", &path))?;
    Ok(parse_limit(&text))
}

/// The line reads `Max open files  1024  1048576  files`.
fn parse_limit(text: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(-1),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n";
        for (line, expected) in [
            ("Max open files            1024                 1048576              files     \n", Some(1024)),
            ("Max open files            unlimited            unlimited            files\n", Some(-1)),
            ("Max open files            many                 1                    files\n", None),
            ("Max open files\n", None),
            ("", None),
        ] {
            assert_eq!(parse_limit(&format!("{text}{line}")), expected, "{line:?}");
        }
        assert_eq!(
            soft_limit(Process::Current).unwrap(),
            crate::proc::max_open_files().and_then(|limit| i64::try_from(limit).ok())
        );
    }

    #[test]
    fn sockets_are_told_from_files() {
        let before = of(Process::Pid(std::process::id())).unwrap();
        assert!(before.files > before.sockets);
        let pair = std::os::unix::net::UnixStream::pair().unwrap();
        // Other tests open and close files meanwhile, but no sockets.
        assert!(of(Process::Current).unwrap().sockets >= before.sockets + 2);
        drop(pair);
        assert!(of(Process::Pid(u32::MAX)).is_err());
    }
}
