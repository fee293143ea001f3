//! What another kubelet holds of a device that a pod had: a loop device, so that nobody takes the disk away, and the mount that
//! this is on. berth makes neither.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use linux::PathError;
use linux::beneath::{self, Root};
use linux::mount;
use linux::mountinfo::MountTable;

/// Where the kernel tells of loop devices.
const BLOCK_DEVICES: &str = "/sys/block";

/// Lets go of the file `name` in `dir`: ends the loop devices on it, unmounts what is mounted on it, and removes it. What is not
/// there is let go of.
///
/// # Errors
/// If losetup(8) fails, or the file cannot be unmounted or removed. Doing it again continues.
pub fn let_go(dir: &Root, name: &str) -> Result<(), PathError> {
    let real = fs::read_link(beneath::fd_path(dir)).map_err(PathError::on("find", dir.path()))?;
    let held = real.join(name);
    for loop_device in loops_on(&held) {
        let node = Path::new("/dev").join(loop_device);
        let failed = || PathError::on("run losetup -d on", &node);
        let output = Command::new("losetup").arg("-d").arg(&node).output().map_err(failed())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed()(io::Error::other(said)));
        }
    }
    if MountTable::read()?.is_mount_point(&held) {
        let unmounted = mount::unmount(&held);
        unmounted.map_err(|error| PathError::on("unmount", &held)(io::Error::other(error)))?;
    }
    match fs::remove_file(beneath::fd_path(dir).join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(PathError::on("remove", &held)),
    }
}

/// The loop devices on the file `path`.
fn loops_on(path: &Path) -> Vec<String> {
    let names = fs::read_dir(BLOCK_DEVICES).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let is_on = |name: &String| {
        let file: PathBuf = [BLOCK_DEVICES, name, "loop/backing_file"].iter().collect();
        fs::read_to_string(file).is_ok_and(|on| Path::new(on.trim_end_matches('\n')) == path)
    };
    names.filter(|name| name.starts_with("loop") && is_on(name)).collect()
}
