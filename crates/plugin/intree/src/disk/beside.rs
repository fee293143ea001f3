//! Files beside a device in its directory, for whoever has to detach it.

use std::io;
use std::path::Path;

use linux::PathError;
use linux::beneath;

use super::{DiskError, FILE_MODE, names, open, read};
use crate::layout::{Device, Layout};

/// Writes the file `name` about `device` into its directory, for whoever has to detach it. It must not be mounted.
pub(crate) fn write_beside(
    layout: &Layout,
    device: &Device,
    name: &str,
    text: &[u8],
) -> Result<(), DiskError> {
    let Some(dir) = open(&layout.plugins_dir(), device.path())? else { return Ok(()) };
    let written = task::file::write_atomic(&beneath::fd_path(&dir).join(name), text, FILE_MODE);
    Ok(written.map_err(PathError::on("write", &dir.path().join(name)))?)
}

/// What the file `name` about `device` says; none if there is none.
pub(crate) fn read_beside(
    layout: &Layout,
    device: &Device,
    name: &str,
) -> Result<Option<Vec<u8>>, DiskError> {
    open(&layout.plugins_dir(), device.path())?.map_or(Ok(None), |dir| read(&dir, name))
}

/// Removes the file `name` about `device`, and one that a crash left half written.
pub(crate) fn remove_beside(layout: &Layout, device: &Device, name: &str) -> Result<(), DiskError> {
    let Some(dir) = open(&layout.plugins_dir(), device.path())? else { return Ok(()) };
    for name in [format!(".{name}.new"), name.to_owned()] {
        match std::fs::remove_file(beneath::fd_path(&dir).join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PathError::on("remove", &dir.path().join(name))(error).into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names of the directories of all devices of iSCSI, also those of block volumes.
fn iscsi_names(layout: &Layout) -> Result<Vec<String>, DiskError> {
    let plugins = layout.plugins_dir();
    let mut all = Vec::new();
    for base in ["kubernetes.io/iscsi", "kubernetes.io/iscsi/volumeDevices"] {
        for iface in names(&plugins, Path::new(base))?.into_iter().filter(|name| name != "volumeDevices") {
            all.extend(names(&plugins, &Path::new(base).join(iface))?);
        }
    }
    Ok(all)
}

/// How many devices of iSCSI have directories that begin with `session`.
pub(crate) fn count_of_session(layout: &Layout, session: &str) -> Result<usize, DiskError> {
    Ok(iscsi_names(layout)?.iter().filter(|name| name.starts_with(session)).count())
}

/// How many have directories that end with `disk`: one disk may be had by several portals and interfaces, and in two modes.
pub(crate) fn count_of_disk(layout: &Layout, disk: &str) -> Result<usize, DiskError> {
    Ok(iscsi_names(layout)?.iter().filter(|name| name.ends_with(disk)).count())
}
