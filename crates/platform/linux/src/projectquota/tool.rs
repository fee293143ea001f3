//! Running xfs_quota(8) and lsattr(1).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use super::{QuotaError, not_started};
use crate::PathError;
use crate::mountinfo::Mount;

const XFS_QUOTA: &str = "xfs_quota";
pub(super) const LSATTR: &str = "lsattr";

/// xfs_quota(8), for one file system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct XfsQuota {
    point: PathBuf,
    /// The file system as a line of `/proc/self/mounts`.
    line: Vec<u8>,
}

impl XfsQuota {
    /// For the file system of `mount`.
    pub(super) fn on(mount: &Mount) -> Self {
        let mut line = Vec::new();
        for field in [&mount.source, mount.point.as_os_str(), &mount.fs_type, &mount.super_options] {
            line.extend(escaped(field));
            line.push(b' ');
        }
        line.extend(b"0 0\n");
        Self { point: mount.point.clone(), line }
    }

    /// Where the file system is mounted.
    pub(super) fn point(&self) -> &Path {
        &self.point
    }

    /// What it says to `commands`.
    pub(super) fn run(&self, commands: &[&str]) -> Result<Vec<u8>, QuotaError> {
        self.run_in(Path::new("/"), commands)
    }

    /// The same, with `dir` as the directory that the commands are given in.
    pub(super) fn run_in(&self, dir: &Path, commands: &[&str]) -> Result<Vec<u8>, QuotaError> {
        let mut command = Command::new(XFS_QUOTA);
        // It would look at every mount there is, and hang where a server is away: it is shown this one alone. The files of
        // projects are not its business either.
        command
            .args(["-t", "/proc/self/fd/0", "-P/dev/null", "-D/dev/null", "-x", "-f"])
            .stdin(self.mounts()?);
        for one in commands {
            command.args(["-c", one]);
        }
        let output = command.arg(&self.point).current_dir(dir).env("LC_ALL", "C").output();
        heard(output.map_err(not_started(XFS_QUOTA, "xfsprogs", &self.point))?, XFS_QUOTA, &self.point)
    }

    fn mounts(&self) -> Result<Stdio, QuotaError> {
        let table = || -> std::io::Result<File> {
            let mut file = File::from(memfd_create("mounts", MemfdFlags::CLOEXEC)?);
            file.write_all(&self.line)?;
            Ok(file)
        };
        let file = table().map_err(PathError::on("write a mount table for", &self.point))?;
        Ok(file.into())
    }
}

/// What lsattr(1) says of the directory `dir`, which is called `path` in errors.
pub(super) fn lsattr(dir: &Path, path: &Path) -> Result<Vec<u8>, QuotaError> {
    let output = Command::new(LSATTR).args(["-pd", "."]).current_dir(dir).env("LC_ALL", "C").output();
    heard(output.map_err(not_started(LSATTR, "e2fsprogs", path))?, LSATTR, path)
}

/// What a command said, if it did what it was told. xfs_quota(8) often ends well when it did not, and then says so.
fn heard(output: Output, command: &'static str, path: &Path) -> Result<Vec<u8>, QuotaError> {
    if output.status.success() && output.stderr.trim_ascii().is_empty() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { output.status.to_string() } else { said };
    Err(QuotaError::Failed { command, path: path.to_owned(), said })
}

/// A field of a mount table (getmntent(3)).
fn escaped(field: &OsStr) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        other => vec![*other],
    };
    field.as_bytes().iter().flat_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::MountTable;

    #[test]
    fn one_mount_as_others_list_it() {
        let table =
            MountTable::parse(b"30 22 7:0 / /var/lib/a\\040b rw,nosuid - ext4 /dev/loop0 rw,prjquota\n");
        let tool = XfsQuota::on(table.iter().next().unwrap());
        assert_eq!(tool.line, b"/dev/loop0 /var/lib/a\\040b ext4 rw,prjquota 0 0\n");
        assert_eq!(tool.point(), Path::new("/var/lib/a b"));
    }
}
