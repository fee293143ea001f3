//! `local`: a directory or a disk of this node (Kubernetes: "Volumes, local").

use std::path::{Component, Path, PathBuf};

use linux::PathError;
use linux::fs::FileKind;

/// A directory, or a block device with a file system.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Local {
    /// Its path on the node.
    pub path: PathBuf,
    /// The file system to make and mount, if it is a device.
    pub fs_type: String,
}

/// Why a local volume is not there.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// There is nothing.
    #[error(
        "there is nothing at {}, where the local volume is to be: create the directory or mount its disk, or correct spec.local.path of the PersistentVolume",
        _0.display()
    )]
    Missing(PathBuf),
    /// It leads to another place than it says.
    #[error("the path {} must not contain `..`: write out where it leads", _0.display())]
    Backsteps(PathBuf),
    /// It is something else.
    #[error("{} is {}: a local volume is a directory or a block device", path.display(), found.as_str())]
    Kind {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: FileKind,
    },
    /// It is to be a device.
    #[error(
        "{} is a directory, and a local volume with volumeMode Block has to be a block device: correct spec.local.path or spec.volumeMode of the PersistentVolume",
        _0.display()
    )]
    Directory(PathBuf),
    /// It cannot be looked at.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// What a local volume is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// A directory.
    Directory,
    /// A block device.
    Device,
}

impl Local {
    /// What is there. Links are followed: the path is the administrator's.
    ///
    /// # Errors
    /// If it is nothing that can be a volume.
    pub(crate) fn form(&self) -> Result<Form, LocalError> {
        let path = &self.path;
        if path.components().any(|component| component == Component::ParentDir) {
            return Err(LocalError::Backsteps(path.clone()));
        }
        match FileKind::of(&absolute(path)) {
            Ok(FileKind::Directory) => Ok(Form::Directory),
            Ok(FileKind::BlockDevice) => Ok(Form::Device),
            Ok(found) => Err(LocalError::Kind { path: path.clone(), found }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(LocalError::Missing(path.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a pod can get it as a device.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn has_device(&self) -> Result<(), LocalError> {
        match self.form()? {
            Form::Device => Ok(()),
            Form::Directory => Err(LocalError::Directory(self.path.clone())),
        }
    }

    /// Where it is.
    pub(crate) fn source(&self) -> PathBuf {
        absolute(&self.path)
    }
}

/// A path that does not begin with `/` is one from there.
fn absolute(path: &Path) -> PathBuf {
    Path::new("/").join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_volume() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        let form = |name: &str| Local { path: dir.path().join(name), fs_type: "ext4".into() }.form();
        assert_eq!(form("").unwrap(), Form::Directory);
        assert_eq!(form("link").unwrap(), Form::Directory);
        assert!(matches!(form("file"), Err(LocalError::Kind { found: FileKind::File, .. })));
        assert!(matches!(form("none"), Err(LocalError::Missing(_))));
        assert!(matches!(form("link/../x"), Err(LocalError::Backsteps(_))));
        let local = |path: PathBuf| Local { path, fs_type: String::new() };
        let error = local(dir.path().to_owned()).has_device().unwrap_err();
        assert!(error.to_string().contains("has to be a block device"), "{error}");
        assert!(matches!(local("/dev/null".into()).has_device(), Err(LocalError::Kind { .. })));
        let relative = Local { path: "tmp".into(), fs_type: String::new() };
        assert_eq!(relative.source(), Path::new("/tmp"));
    }
}
