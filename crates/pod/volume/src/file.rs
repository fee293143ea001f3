//! A file in a volume that the node reads for a container: one that variables come from (`fileKeyRef`, KEP-3721).

use std::path::Path;

use linux::beneath::{BeneathError, Links, Root};
use task::blocking::Abandoned;

/// As much as the API lets a file of variables be, in bytes.
const MAX: u64 = 64 << 10;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read, or a link is on its way.
    #[error(transparent)]
    Beneath(#[from] BeneathError),
    /// It holds something else than text.
    #[error("the file is not UTF-8")]
    NotUtf8,
    /// The kernel does not answer.
    #[error("a file system does not answer: check the volume and the mounts above it")]
    Hung(#[from] Abandoned),
    /// An earlier attempt still hangs.
    #[error(
        "an earlier attempt still waits for a file system that does not answer: check the volume and the mounts above it"
    )]
    StillHung,
}

/// The text of the file at `path` in the volume at `volume`, out of which no link leads. `None` when there is no such file.
/// Blocks.
///
/// # Errors
/// If it cannot be read, is larger than 64 KiB or is no text.
pub(crate) fn read(volume: &Path, path: &Path) -> Result<Option<String>, ReadError> {
    match Root::open(volume)?.read(path, Links::Refuse, MAX) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| ReadError::NotUtf8),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_within_the_volume_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        std::fs::create_dir(&volume).unwrap();
        let read = |path: &str| read(&volume, Path::new(path)).map_err(|error| telemetry::chain(&error));
        assert_eq!(read("env"), Ok(None));
        std::fs::write(volume.join("env"), "K='x'").unwrap();
        assert_eq!(read("env"), Ok(Some("K='x'".to_owned())));
        std::fs::write(volume.join("bytes"), [0xff]).unwrap();
        assert_eq!(read("bytes").unwrap_err(), "the file is not UTF-8");
        std::fs::write(volume.join("large"), vec![b'x'; 64 * 1024 + 1]).unwrap();
        assert!(read("large").is_err());
        std::os::unix::fs::symlink("/etc/hostname", volume.join("link")).unwrap();
        assert!(read("link").is_err());
    }
}
