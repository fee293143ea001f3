//! Whether a disk is made anew, checked or taken as it is before it is mounted, as other kubelets decide it. Pure.

use std::path::Path;

use crate::command::Command;
use crate::nfs;

/// What is on a disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// Nothing that is known.
    Nothing,
    /// A file system.
    FileSystem(String),
    /// Something else, such as partitions, which must not be overwritten.
    Other(String),
}

/// A disk cannot be mounted as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FormatError {
    /// There is no file system, and none may be made.
    #[error("cannot mount unformatted disk {disk} as we are manipulating it in read-only mode")]
    ReadOnly {
        /// The disk.
        disk: String,
    },
    /// It is no file system of disks.
    #[error(
        "{fs_type:?} is no file system that is on disks, so {disk} is not mounted: correct the volume's fsType"
    )]
    FsType {
        /// The disk.
        disk: String,
        /// What was asked for.
        fs_type: String,
    },
    /// It is of a kind that cannot be made larger.
    #[error(
        "ResizeFS.Resize - resize of format {found} is not supported for device {disk}: ext3, ext4, xfs and btrfs are"
    )]
    Fixed {
        /// The disk.
        disk: String,
        /// What is on it.
        found: String,
    },
    /// The program that looks at disks says something unexpected.
    #[error("blkid returns invalid output: {0}")]
    Output(String),
}

/// What has to be done to a disk before it is mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Preparation {
    /// A file system is made. All that is on the disk is lost.
    Make(Command),
    /// It is checked, and repaired if need be.
    Check(Command),
    /// Nothing.
    None,
}

/// The file system that is made if none is asked for.
pub(crate) const DEFAULT: &str = "ext4";

/// What the exit status of fsck(8) is made of: errors were corrected, or are left.
const CORRECTED: i32 = 1;
const UNCORRECTED: i32 = 4;

/// The exit status of blkid(8) if it finds nothing.
pub(crate) const FOUND_NOTHING: i32 = 2;

/// Whether a text can be the name of a file system. It becomes part of the names of programs, and is told to them.
pub(crate) fn is_fs_type(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.bytes().all(is_plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// The file systems that are on disks. Of others mount(8) does not even look at the disk: `proc` would show the pod the
/// node's own, and `fuse.sh` would have what is on the disk run as a program.
const ON_DISKS: [&str; 22] = [
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "gfs2", "hfs", "hfsplus",
    "iso9660", "jfs", "minix", "nilfs2", "ntfs", "ntfs3", "ocfs2", "squashfs", "udf", "vfat", "xfs",
];

/// Looks what is on `disk`.
pub(crate) fn probe(disk: &Path) -> Command {
    Command::new("blkid").args(["-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export"]).arg(disk)
}

/// What is on a disk, by what [`probe`] says.
pub(crate) fn content(output: &str) -> Result<Content, FormatError> {
    let (mut fs_type, mut has_partitions) = (String::new(), false);
    for line in output.lines().filter(|line| !line.is_empty()) {
        match line.split('=').collect::<Vec<_>>()[..] {
            ["TYPE", found] => found.clone_into(&mut fs_type),
            ["PTTYPE", found] => has_partitions = !found.is_empty(),
            [_, _] => {}
            _ => return Err(FormatError::Output(output.to_owned())),
        }
    }
    Ok(if has_partitions {
        Content::Other("unknown data, probably partitions".to_owned())
    } else if fs_type.is_empty() {
        Content::Nothing
    } else {
        Content::FileSystem(fs_type)
    })
}

/// What is to be done to `disk` before it is mounted as a file system of the type `fs_type`.
pub(crate) fn preparation(
    disk: &Path,
    fs_type: &str,
    read_only: bool,
    content: &Content,
) -> Result<Preparation, FormatError> {
    if !ON_DISKS.contains(&fs_type) {
        let (disk, fs_type) = (disk.display().to_string(), fs_type.to_owned());
        return Err(FormatError::FsType { disk, fs_type });
    }
    match content {
        Content::Nothing if read_only => Err(FormatError::ReadOnly { disk: disk.display().to_string() }),
        Content::Nothing => {
            let command = Command::new(format!("mkfs.{fs_type}"));
            let command = match fs_type {
                // No blocks are kept for root.
                "ext3" | "ext4" => command.args(["-F", "-m0"]),
                "xfs" => command.arg("-f"),
                _ => command,
            };
            Ok(Preparation::Make(command.arg(disk)))
        }
        Content::FileSystem(_) | Content::Other(_) if read_only => Ok(Preparation::None),
        Content::FileSystem(_) | Content::Other(_) => {
            Ok(Preparation::Check(Command::new("fsck").arg("-a").arg(disk)))
        }
    }
}

/// Whether a disk may be mounted after fsck(8) has ended with `status`. What it could not look at is mounted, as other
/// kubelets do: then the kernel says.
pub(crate) fn is_fit(status: Option<i32>) -> bool {
    status.is_none_or(|status| status & UNCORRECTED == 0)
}

/// Whether fsck(8) has corrected something.
pub(crate) fn was_corrected(status: Option<i32>) -> bool {
    status.is_some_and(|status| status & CORRECTED != 0)
}

/// Makes the file system of `disk`, which is mounted at `point`, as large as that. None without one.
pub(crate) fn resize(disk: &Path, point: &Path, content: &Content) -> Result<Option<Command>, FormatError> {
    let found = match content {
        Content::Nothing => return Ok(None),
        Content::FileSystem(found) | Content::Other(found) => found,
    };
    Ok(Some(match found.as_str() {
        "ext3" | "ext4" => Command::new("resize2fs").arg(disk),
        "xfs" => Command::new("xfs_growfs").arg("-d").arg(point),
        "btrfs" => Command::new("btrfs").args(["filesystem", "resize", "max"]).arg(point),
        _ => {
            return Err(FormatError::Fixed { disk: disk.display().to_string(), found: found.clone() });
        }
    }))
}

/// Mounts `disk` at `point`.
pub(crate) fn mount(disk: &Path, point: &Path, fs_type: &str, options: &[String]) -> Command {
    let options: Vec<String> = options.iter().cloned().chain(["defaults".to_owned()]).collect();
    nfs::mount(fs_type, &options, disk, point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_file_systems() {
        assert!(["ext4", "xfs", "fuse.x-y_z", "9p"].into_iter().all(is_fs_type));
        assert!(!["", "-t", "../x", "ext4,ro", "a b", ".x"].into_iter().any(is_fs_type));
    }

    #[test]
    fn what_makes_a_file_system_larger() {
        let resized = |content| resize(Path::new("/dev/x"), Path::new("/m"), &content);
        let of = |fs_type: &str| Content::FileSystem(fs_type.into());
        for (content, expected) in [
            (of("ext4"), "resize2fs /dev/x"),
            (of("ext3"), "resize2fs /dev/x"),
            (of("xfs"), "xfs_growfs -d /m"),
            (of("btrfs"), "btrfs filesystem resize max /m"),
        ] {
            assert_eq!(resized(content).unwrap().unwrap().to_string(), expected);
        }
        assert!(resized(Content::Nothing).unwrap().is_none());
        for content in [of("vfat"), Content::Other("unknown data, probably partitions".into())] {
            assert!(matches!(resized(content), Err(FormatError::Fixed { .. })));
        }
    }

    #[test]
    fn what_is_on_a_disk() {
        let table = [
            ("", Ok(Content::Nothing)),
            ("DEVNAME=/dev/sdb\nTYPE=ext4\n", Ok(Content::FileSystem("ext4".into()))),
            ("TYPE=crypto_LUKS", Ok(Content::FileSystem("crypto_LUKS".into()))),
            ("PTTYPE=dos\n", Ok(Content::Other("unknown data, probably partitions".into()))),
            ("TYPE=ext4\nPTTYPE=gpt\n", Ok(Content::Other("unknown data, probably partitions".into()))),
            ("nonsense", Err(FormatError::Output("nonsense".into()))),
        ];
        for (output, expected) in table {
            assert_eq!(content(output), expected, "{output:?}");
        }
    }

    #[test]
    fn what_is_done_to_it() {
        let disk = Path::new("/dev/sdb");
        let fs = |name: &str| Content::FileSystem(name.into());
        let table = [
            ("ext4", false, Content::Nothing, "make mkfs.ext4 -F -m0 /dev/sdb"),
            ("ext3", false, Content::Nothing, "make mkfs.ext3 -F -m0 /dev/sdb"),
            ("xfs", false, Content::Nothing, "make mkfs.xfs -f /dev/sdb"),
            ("btrfs", false, Content::Nothing, "make mkfs.btrfs /dev/sdb"),
            ("ext4", false, fs("ext4"), "check fsck -a /dev/sdb"),
            ("ext4", false, fs("xfs"), "check fsck -a /dev/sdb"),
            ("ext4", true, fs("ext4"), ""),
            ("ext4", false, Content::Other("x".into()), "check fsck -a /dev/sdb"),
        ];
        for (fs_type, read_only, content, expected) in table {
            let done = match preparation(disk, fs_type, read_only, &content).unwrap() {
                Preparation::Make(command) => format!("make {command}"),
                Preparation::Check(command) => format!("check {command}"),
                Preparation::None => String::new(),
            };
            assert_eq!(done, expected, "{fs_type} {read_only} {content:?}");
        }
        assert!(preparation(disk, "ext4", true, &Content::Nothing).is_err());
        assert!(is_fit(Some(0)) && is_fit(Some(1)) && is_fit(Some(8)) && is_fit(None));
        assert!(!is_fit(Some(4)) && !is_fit(Some(5)) && !is_fit(Some(12)));
        assert!(was_corrected(Some(3)) && !was_corrected(Some(0)) && !was_corrected(Some(8)));
        let options = ["noatime".to_owned()];
        assert_eq!(
            mount(disk, Path::new("/m"), "ext4", &options).to_string(),
            "mount -t ext4 -o noatime,defaults /dev/sdb /m"
        );
    }
}
