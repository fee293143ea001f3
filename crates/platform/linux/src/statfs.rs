//! How full a file system is.

use std::path::Path;

use crate::PathError;

/// Space and inodes of the file system that holds a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FsUsage {
    /// Size, in bytes.
    pub capacity_bytes: u64,
    /// What unprivileged users can still write, in bytes.
    pub available_bytes: u64,
    /// What is written, in bytes; space kept back for root counts as neither used nor available.
    pub used_bytes: u64,
    /// Inodes there can be; 0 where the file system has no such limit.
    pub inodes: u64,
    /// Inodes still free.
    pub inodes_free: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// The usage of the file system that holds `path`. Can hang on a dead network file system.
///
/// # Errors
/// If `path` cannot be reached.
pub fn usage(path: &Path) -> Result<FsUsage, PathError> {
    let stat = rustix::fs::statvfs(path).map_err(PathError::on("read the usage of", path))?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(FsUsage {
        capacity_bytes: bytes(stat.f_blocks),
        available_bytes: bytes(stat.f_bavail),
        used_bytes: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        inodes: stat.f_files,
        inodes_free: stat.f_ffree,
        read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_file_system_adds_up() {
        let usage = usage(Path::new("/")).unwrap();
        assert!(usage.capacity_bytes >= usage.used_bytes + usage.available_bytes, "{usage:?}");
        assert!(usage.inodes >= usage.inodes_free);
    }
}
