//! Files of a pod on the node that the runtime mounts or writes: logs, termination messages, /etc/hosts.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use types::PodRef;

/// A file or directory that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {}", path.display())]
pub struct FileError {
    /// Which one.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Makes `path` and what is missing above it, with `mode`.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| FileError { path: path.to_owned(), source })
}

/// Makes an empty file that any user of a container may write, for its termination message.
pub(crate) fn make_writable_file(path: &Path) -> Result<(), FileError> {
    let failed = |source| FileError { path: path.to_owned(), source };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o666)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    file.set_permissions(Permissions::from_mode(0o666)).map_err(failed)
}

/// Writes the hosts file of a pod. In place: containers that run have this very file mounted.
pub(crate) fn write_hosts(path: &Path, content: &str) -> Result<(), FileError> {
    let failed = |source| FileError { path: path.to_owned(), source };
    if has(path, content).unwrap_or(false) {
        return Ok(());
    }
    std::fs::write(path, content).map_err(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).map_err(failed)
}

/// Whether the file has just this in it. Containers write there: it may be of any size.
fn has(path: &Path, content: &str) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(content.len() as u64 + 1).read_to_end(&mut start)?;
    Ok(start == content.as_bytes())
}

/// The node's own hosts file; empty if it cannot be read.
pub(crate) fn node_hosts() -> String {
    std::fs::read_to_string("/etc/hosts").unwrap_or_default()
}

/// Makes the link by which log collectors of old find a container's log. Its absence harms no container.
pub(crate) fn link_log(link: &Path, log: &Path) {
    let made = std::fs::remove_file(link)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .and_then(|()| symlink(log, link));
    if let Err(error) = made {
        tracing::warn!(link = %link.display(), %error, "The link to a container's log cannot be made");
    }
}

/// Removes a container's log file and those rotated from it.
pub(crate) fn remove_logs(log: &str) {
    if let Err(error) = logs::remove_all(Path::new(log)) {
        tracing::warn!(log, error = %telemetry::chain(&error), "A container's log cannot be removed");
    }
}

/// Removes the log directory of a pod that is gone, and the links into it.
pub(crate) fn remove_log_dir(pod_logs_dir: &Path, pod: &PodRef, links_dir: &Path) {
    let dir = containerconfig::logpath::pod_log_dir(pod_logs_dir, pod);
    if let Err(error) = std::fs::remove_dir_all(&dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(pod = %pod, dir = %dir.display(), %error, "The pod's log directory cannot be removed");
    }
    let prefix = format!("{}_{}_", pod.name.name, pod.name.namespace);
    let Ok(entries) = std::fs::read_dir(links_dir) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
        if ours && std::fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&dir)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The restart count that follows from the log files of a container: one more than the highest number, else 0.
pub(crate) fn restart_count_from_logs(dir: &Path) -> u32 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let numbers = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let number = name.to_str()?.split('.').next()?.parse::<u32>().ok()?;
        Some(number)
    });
    numbers.max().map_or(0, |highest| highest.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use types::PodName;

    use super::*;

    #[test]
    fn logs_are_counted_and_removed_with_their_rotations() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(restart_count_from_logs(dir.path()), 0);
        for name in ["0.log", "3.log", "3.log.20260101-000000.gz", "30.log"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(restart_count_from_logs(dir.path()), 31);
        remove_logs(dir.path().join("3.log").to_str().unwrap());
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["0.log", "30.log"]);
    }

    #[test]
    fn a_hosts_file_of_any_size_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc-hosts");
        write_hosts(&path, "127.0.0.1 localhost\n").unwrap();
        // More than there is memory for; it takes no room on disk.
        File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
        write_hosts(&path, "127.0.0.1 localhost\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "127.0.0.1 localhost\n");
    }

    #[test]
    fn no_more_is_read_of_a_hosts_file_than_it_should_have() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        // It has no end.
        let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
        pipe.write_all(b"127.0.0.1 localhost\n127.0.0.1 more\n").unwrap();
        let (told, read) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.send(has(&path, "127.0.0.1 localhost\n").unwrap()));
        assert!(
            !read.recv_timeout(std::time::Duration::from_secs(30)).expect("it does not wait for the end")
        );
    }

    #[test]
    fn links_go_with_the_log_directory_and_others_stay() {
        let root = tempfile::tempdir().unwrap();
        let pod = PodRef { name: PodName::new("ns", "web"), uid: "u".into() };
        let logs = containerconfig::logpath::pod_log_dir(root.path(), &pod);
        std::fs::create_dir_all(logs.join("c")).unwrap();
        let links = root.path().join("links");
        std::fs::create_dir(&links).unwrap();
        link_log(&links.join("web_ns_c-1.log"), &logs.join("c/0.log"));
        link_log(&links.join("web_ns_c-2.log"), Path::new("/elsewhere"));
        remove_log_dir(root.path(), &pod, &links);
        assert!(!logs.exists());
        assert_eq!(std::fs::read_dir(&links).unwrap().count(), 1);
    }
}
