//! Mounting and unmounting.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountFlags, MountPropagationFlags, UnmountFlags};

use crate::mountinfo::MountTable;

/// A mount call failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {}: {}", path.display(), advice(doing, source))]
pub struct MountError {
    /// What was tried, such as `mount a tmpfs on`.
    pub doing: &'static str,
    /// The mount point.
    pub path: PathBuf,
    /// What the kernel answered.
    #[source]
    pub source: io::Error,
}

impl MountError {
    fn on(doing: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { doing, path: path.to_owned(), source: errno.into() }
    }

    /// Whether the mount is in use by some process.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.source.raw_os_error() == Some(Errno::BUSY.raw_os_error())
    }

    /// Whether there was nothing to unmount: the path is no mount point, or not there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        [Errno::INVAL, Errno::NOENT]
            .map(|errno| Some(errno.raw_os_error()))
            .contains(&self.source.raw_os_error())
    }
}

fn advice(doing: &str, source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM | Errno::ACCESS) => {
            "run berth as root with CAP_SYS_ADMIN in the mount namespace of the node"
        }
        Some(Errno::BUSY) => "a process still uses it; `fuser -vm` on the path shows which",
        Some(Errno::NOENT) => "the path is not there (any more)",
        Some(Errno::NODEV) => "the kernel was built without this file system, or its module is not loaded",
        Some(Errno::NOSPC) => "the mount namespace is at its limit: raise the sysctl fs.mount-max",
        Some(Errno::INVAL) if doing.starts_with("unmount") => "it is not a mount point",
        Some(Errno::INVAL) if doing.contains("propagation") => "it is not a mount point",
        Some(Errno::INVAL) => {
            "the kernel does not know one of the options, or the path is locked by its namespace"
        }
        _ => "check the path and the kernel's log (dmesg)",
    }
}

/// Options of a tmpfs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tmpfs {
    /// The most it can hold, in bytes; `None`: half of the machine's memory, the kernel's default.
    pub size_bytes: Option<u64>,
    /// Mode of its root directory; `None`: 1777, the kernel's default.
    pub mode: Option<u32>,
    /// Whether its pages must not be swapped out (Linux 6.4; done without on older kernels).
    pub noswap: bool,
}

/// Whether the pages of a tmpfs can be swapped out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swap {
    /// They stay in memory.
    Never,
    /// They may be written to swap, because it was not asked otherwise or the kernel cannot prevent it.
    Possible,
}

/// Mounts a tmpfs on the directory `target`.
///
/// # Errors
/// If `target` is no directory or the kernel refuses.
pub fn tmpfs(target: &Path, options: Tmpfs) -> Result<Swap, MountError> {
    let mut data = String::new();
    if let Some(size) = options.size_bytes {
        let _ = write!(data, "size={size},");
    }
    if let Some(mode) = options.mode {
        let _ = write!(data, "mode={mode:o},");
    }
    let doing = "mount a tmpfs on";
    if options.noswap {
        match mount_new("tmpfs", target, &format!("{data}noswap")) {
            // Kernels before 6.4, and all of them inside a user namespace, refuse the option.
            Err(Errno::INVAL | Errno::PERM) => {}
            result => return result.map(|()| Swap::Never).map_err(MountError::on(doing, target)),
        }
    }
    mount_new("tmpfs", target, data.trim_end_matches(','))
        .map(|()| Swap::Possible)
        .map_err(MountError::on(doing, target))
}

/// Whether this kernel keeps the pages of a tmpfs in memory if it is asked to. Mounts nothing.
#[must_use]
pub fn has_noswap() -> bool {
    let opened = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC);
    opened.is_ok_and(|context| rustix::mount::fsconfig_set_flag(&context, "noswap").is_ok())
}

/// Mounts a hugetlbfs with pages of `page_bytes` on the directory `target`.
///
/// # Errors
/// If `target` is no directory or the kernel has no pages of this size.
pub fn hugetlbfs(target: &Path, page_bytes: u64) -> Result<(), MountError> {
    mount_new("hugetlbfs", target, &format!("pagesize={page_bytes}"))
        .map_err(MountError::on("mount a hugetlbfs on", target))
}

fn mount_new(fs_type: &str, target: &Path, data: &str) -> Result<(), Errno> {
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount(fs_type, target, fs_type, MountFlags::empty(), data.as_c_str())
}

/// Makes `source` appear at `target` too. Mounts below `source` do not come with it.
///
/// # Errors
/// If one of the two is missing, or one is a directory and the other is not.
pub fn bind(source: &Path, target: &Path) -> Result<(), MountError> {
    rustix::mount::mount_bind(source, target).map_err(MountError::on("bind-mount onto", target))
}

/// As [`bind`], with the mounts below `source`.
///
/// # Errors
/// As [`bind`].
pub fn bind_recursive(source: &Path, target: &Path) -> Result<(), MountError> {
    rustix::mount::mount_bind_recursive(source, target).map_err(MountError::on("bind-mount onto", target))
}

/// What one mount of a file system forbids or spares, apart from its other mounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Flag {
    /// Nothing is written (`ro`).
    ReadOnly,
    /// Set-uid bits have no effect (`nosuid`).
    NoSuid,
    /// Devices cannot be opened (`nodev`).
    NoDev,
    /// Nothing is executed (`noexec`).
    NoExec,
    /// No times of access are kept (`noatime`).
    NoAtime,
    /// None of directories (`nodiratime`).
    NoDirAtime,
    /// They are kept when they are older than the file (`relatime`).
    RelAtime,
}

/// Every flag, as the kernel shows it and as it is set.
const FLAGS: [(Flag, StatVfsMountFlags, MountFlags); 7] = [
    (Flag::ReadOnly, StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
    (Flag::NoSuid, StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
    (Flag::NoDev, StatVfsMountFlags::NODEV, MountFlags::NODEV),
    (Flag::NoExec, StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    (Flag::NoAtime, StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
    (Flag::NoDirAtime, StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
    (Flag::RelAtime, StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
];

impl Flag {
    /// The flag that mount(8) calls `option`.
    #[must_use]
    pub fn of_option(option: &str) -> Option<Self> {
        Some(match option {
            "ro" => Self::ReadOnly,
            "nosuid" => Self::NoSuid,
            "nodev" => Self::NoDev,
            "noexec" => Self::NoExec,
            "noatime" => Self::NoAtime,
            "nodiratime" => Self::NoDirAtime,
            "relatime" => Self::RelAtime,
            _ => return None,
        })
    }
}

/// Makes the mount at `target` read-only, and this mount only: the file system stays writable elsewhere. Its other
/// flags stay.
///
/// # Errors
/// If `target` is no mount point.
pub fn remount_read_only(target: &Path) -> Result<(), MountError> {
    remount(target, &[Flag::ReadOnly])
}

/// Gives the mount at `target`, and this mount only, the flags `added` too.
///
/// # Errors
/// If `target` is no mount point.
pub fn remount(target: &Path, added: &[Flag]) -> Result<(), MountError> {
    let failed = || MountError::on("remount", target);
    let present = rustix::fs::statvfs(target).map_err(failed())?.f_flag;
    let wanted =
        FLAGS.into_iter().filter(|(flag, shown, _)| present.contains(*shown) || added.contains(flag));
    let flags = wanted.fold(MountFlags::BIND, |flags, (.., set)| flags | set);
    rustix::mount::mount_remount(target, flags, c"").map_err(failed())
}

/// Makes `target` and the mounts below it shared: what is mounted below it later is seen by its peers, such as
/// containers with `mountPropagation`. Something that is no mount point is bind-mounted onto itself first, unless the mount
/// that it is on is shared: all that is mounted below it would be there twice then.
///
/// # Errors
/// If `target` is missing or the kernel refuses.
pub fn make_rshared(target: &Path) -> Result<(), MountError> {
    if is_shared(target) {
        return Ok(());
    }
    let share =
        || rustix::mount::mount_change(target, MountPropagationFlags::SHARED | MountPropagationFlags::REC);
    match share() {
        Err(Errno::INVAL) => {
            bind_recursive(target, target)?;
            share()
        }
        result => result,
    }
    .map_err(MountError::on("set the propagation of", target))
}

/// Whether what is mounted below `target` is seen by peers; not if that cannot be found out.
fn is_shared(target: &Path) -> bool {
    let (Ok(real), Ok(mounts)) = (std::fs::canonicalize(target), MountTable::read()) else { return false };
    mounts.holding(&real).is_some_and(|mount| mount.shared.is_some())
}

/// Unmounts what is mounted last at `target`; a link at its end is not followed.
///
/// # Errors
/// If `target` is no mount point, or in use ([`MountError::is_busy`]). Can hang on a dead network file system.
pub fn unmount(target: &Path) -> Result<(), MountError> {
    rustix::mount::unmount(target, UnmountFlags::NOFOLLOW).map_err(MountError::on("unmount", target))
}

/// As [`unmount`], though it is in use: it vanishes from sight at once, and for good when its last user lets go.
///
/// # Errors
/// If `target` is no mount point.
pub fn unmount_lazily(target: &Path) -> Result<(), MountError> {
    rustix::mount::unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
        .map_err(MountError::on("unmount lazily", target))
}
