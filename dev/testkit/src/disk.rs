//! Disks of the machine, made of files. As root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A loop device. Dropping it takes it away.
#[derive(Debug)]
pub struct Disk(
    /// Its path, such as `/dev/loop0`.
    pub PathBuf,
);

impl Disk {
    /// A disk with the content of `file`. None where the kernel has no loop devices (left).
    #[must_use]
    pub fn on(file: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output().ok()?;
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then(|| Self(path.into()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

/// A file system that counts by project, on a disk of its own. Dropping it takes it away.
#[derive(Debug)]
pub struct CountingDisk {
    point: PathBuf,
    _disk: Disk,
}

/// Large enough for every type of file system; the file is sparse.
const SIZE: u64 = 400 << 20;

impl CountingDisk {
    /// Mounts a new one of the type `ext4` or `xfs` at `point`, in a file beside it.
    ///
    /// # Errors
    /// In words, what this machine lacks for it.
    pub fn mount(fs_type: &str, point: &Path) -> Result<Self, String> {
        let file = point.with_extension("img");
        let made = std::fs::create_dir_all(point).and_then(|()| std::fs::File::create(&file)?.set_len(SIZE));
        made.map_err(|error| format!("no room for a disk: {error}"))?;
        if run("xfs_quota", &["-V".as_ref()]).is_err() {
            return Err("there is no xfs_quota".to_owned());
        }
        let options: &[&str] = if fs_type == "ext4" { &["-q", "-O", "quota,project"] } else { &["-q"] };
        let mut args: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        args.push(file.as_os_str());
        run(&format!("mkfs.{fs_type}"), &args)?;
        let disk = Disk::on(&file).ok_or("this kernel has no loop device")?;
        let args = ["-t", fs_type, "-o", "prjquota"].map(OsStr::new);
        run("mount", &[&args[..], &[disk.0.as_os_str(), point.as_os_str()]].concat())
            .map_err(|said| format!("this kernel mounts no {fs_type} that counts by project: {said}"))?;
        Ok(Self { point: point.to_owned(), _disk: disk })
    }

    /// Bounds `dir` as an administrator does: what is in it belongs to `project`, which may take so many bytes.
    ///
    /// # Errors
    /// What xfs_quota(8) says.
    pub fn bound(&self, dir: &Path, project: u32, bytes: u64) -> Result<(), String> {
        let setup = format!("project -s -p {} {project}", dir.display());
        let limit = format!("limit -p bhard={bytes} {project}");
        let args = ["-x", "-f", "-c", &setup, "-c", &limit].map(OsStr::new);
        run("xfs_quota", &[&args[..], &[self.point.as_os_str()]].concat())
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }
}

impl Drop for CountingDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}

fn run(program: &str, args: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim())) }
}
