//! hostPath: a path of the node, checked to be what the pod says it is.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use linux::PathError;
use linux::fs::FileKind;
use types::corev1::HostPathVolumeSource;

use crate::error::Problem;

const DIR_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// Makes what is missing.
type Create = fn(&Path) -> Result<(), PathError>;

/// Checks the path, and makes it where the type says so. Links are followed: the path is the operator's.
pub(crate) fn check(source: &HostPathVolumeSource) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(&source.path);
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(Problem::Backsteps(source.path.clone()));
    }
    let wanted = source.type_.as_deref().unwrap_or_default();
    let (kind, create): (_, Option<Create>) = match wanted {
        // Nothing is checked: the runtime makes a directory where there is nothing.
        "" => return Ok(path),
        "DirectoryOrCreate" => {
            (FileKind::Directory, Some(|path| linux::fs::create_dir_all(path, DIR_MODE).map(|_| ())))
        }
        "FileOrCreate" => (FileKind::File, Some(create_file)),
        "Directory" => (FileKind::Directory, None),
        "File" => (FileKind::File, None),
        "Socket" => (FileKind::Socket, None),
        "CharDevice" => (FileKind::CharDevice, None),
        "BlockDevice" => (FileKind::BlockDevice, None),
        _ => return Err(Problem::UnknownType(wanted.to_owned())),
    };
    let found = match (FileKind::of(&path), create) {
        (Err(e), Some(create)) if e.kind() == io::ErrorKind::NotFound => {
            create(&path)?;
            FileKind::of(&path)?
        }
        (Err(e), None) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Problem::Missing { path, wanted: wanted.to_owned() });
        }
        (found, _) => found?,
    };
    if found == kind { Ok(path) } else { Err(Problem::WrongType { path, found, wanted: wanted.to_owned() }) }
}

/// Makes an empty file; its directory has to be there.
fn create_file(path: &Path) -> Result<(), PathError> {
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(PathError::on("chmod", path))
        }
        // Somebody was faster: what it is will be looked at.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(PathError::on("create file", path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn run(path: &Path, type_: &str) -> Result<PathBuf, String> {
        let source =
            HostPathVolumeSource { path: path.to_str().unwrap().to_owned(), type_: Some(type_.to_owned()) };
        check(&source).map_err(|e| telemetry::chain(&e))
    }

    #[test]
    fn what_is_there_has_to_be_of_the_type() {
        let dir = tempfile::tempdir().unwrap();
        let (file, sub, socket) =
            (dir.path().join("file"), dir.path().join("sub"), dir.path().join("socket"));
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(&sub).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&sub, dir.path().join("link")).unwrap();
        let types =
            ["DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
        for (path, fits) in [
            (file.as_path(), &["FileOrCreate", "File"][..]),
            (&sub, &["DirectoryOrCreate", "Directory"]),
            (&dir.path().join("link"), &["DirectoryOrCreate", "Directory"]),
            (&socket, &["Socket"]),
            (Path::new("/dev/null"), &["CharDevice"]),
        ] {
            assert!(run(path, "").is_ok());
            for type_ in types {
                assert_eq!(run(path, type_).is_ok(), fits.contains(&type_), "{path:?} as {type_}");
            }
        }
        let wrong = run(&socket, "Directory").unwrap_err();
        assert!(wrong.contains("is a Unix socket") && wrong.contains("type Directory"), "{wrong}");
    }

    #[test]
    fn what_is_missing_is_made_where_the_type_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let (deep, file) = (dir.path().join("a/b"), dir.path().join("a/file"));
        assert!(run(&file, "FileOrCreate").unwrap_err().contains("create file"), "its directory is missing");
        run(&deep, "DirectoryOrCreate").unwrap();
        run(&file, "FileOrCreate").unwrap();
        assert_eq!((mode(&deep), mode(&file)), (0o755, 0o644));
        for type_ in ["Directory", "File", "Socket", "CharDevice", "BlockDevice"] {
            assert!(run(&dir.path().join("none"), type_).unwrap_err().contains("nothing at"), "{type_}");
        }
        assert!(run(&dir.path().join("none"), "").is_ok());
    }

    #[test]
    fn refused() {
        assert!(run(Path::new("/a/../b"), "").unwrap_err().contains(".."));
        assert!(run(Path::new("/"), "directory").unwrap_err().contains("unknown"));
    }
}
