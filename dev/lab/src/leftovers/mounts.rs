//! Mounts under a directory.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

/// The mount points under `dir` in this process's mount namespace, in the order of their mounting.
pub(super) fn under(dir: &Path) -> Vec<PathBuf> {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    points.filter(|point| point.starts_with(dir) && point != dir).collect()
}

/// Takes the mounts under `dir` away, the latest first; what still uses one keeps it until it ends.
pub(super) fn detach(dir: &Path) {
    for point in under(dir).into_iter().rev() {
        let _ = unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
}

/// True if the root file system of the process is made of files under `dir`: it runs in a container of that
/// containerd, whatever its name is.
pub(super) fn is_root_under(pid: i32, dir: &Path) -> bool {
    let Ok(mountinfo) = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")) else { return false };
    let inside = format!("{}/", dir.display());
    mountinfo.lines().any(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let options = line.rsplit(' ').next().unwrap_or_default();
        point == "/" && (root.contains(&inside) || options.contains(&inside))
    })
}

/// Undoes the kernel's `\040` for a blank and its like.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if bytes[at] == b'\\' => {
                out.push(byte);
                at += 4;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(r"/plain\9"), Path::new(r"/plain\9"));
    }
}
