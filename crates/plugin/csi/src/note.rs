//! The notes beside what is staged and published (`vol_data.json`): whose it is, for whoever has to take it down. They
//! are byte for byte as other kubelets write them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use linux::beneath::{self, BeneathError, Links, Root};

use crate::layout::{HALF_NOTE, NOTE, VolumeId, is_name};

/// The largest note that is read, in bytes.
const LIMIT: u64 = 64 << 10;

/// Mode of a note.
const MODE: u32 = 0o644;

/// A note. Keys that berth does not know are kept out of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// Beside a staging path.
    Staged {
        /// The volume.
        volume: VolumeId,
        /// The SELinux context that it is mounted with.
        selinux_context: Option<String>,
    },
    /// Beside a published path.
    Published {
        /// The volume.
        volume: VolumeId,
        /// The name of the PersistentVolume, or of the volume in the pod's spec.
        spec_name: String,
        /// The node's name.
        node: String,
        /// Whether it lives and dies with its pod.
        lifecycle: Lifecycle,
        /// The SELinux context that it is mounted with.
        selinux_context: Option<String>,
    },
}

/// How long a volume lives (`CSIDriver.spec.volumeLifecycleModes`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lifecycle {
    /// As long as its PersistentVolume.
    Persistent,
    /// As long as its pod.
    Ephemeral,
}

impl Lifecycle {
    /// Kubernetes' name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Persistent => "Persistent",
            Self::Ephemeral => "Ephemeral",
        }
    }
}

/// Why there is no note to go by.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// It cannot be read or written.
    #[error(transparent)]
    Beneath(#[from] BeneathError),
    /// It cannot be written.
    #[error("could not write {path}")]
    Write {
        /// The note.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error(
        "{path} says nothing useful ({why}): find out whose volume it was, unmount it and remove its directory"
    )]
    Content {
        /// The note.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl NoteError {
    /// Whether the directory of the note is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Beneath(error) => error.is_not_found(),
            Self::Write { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Content { .. } => false,
        }
    }
}

impl Note {
    /// The volume that it is about.
    #[must_use]
    pub fn volume(&self) -> &VolumeId {
        match self {
            Self::Staged { volume, .. } | Self::Published { volume, .. } => volume,
        }
    }

    /// The SELinux context that it is mounted with.
    pub(crate) fn into_label(self) -> Option<String> {
        match self {
            Self::Staged { selinux_context, .. } | Self::Published { selinux_context, .. } => selinux_context,
        }
    }

    /// The text, as Go's encoder of JSON writes it: keys in order, some characters escaped, a line's end.
    #[must_use]
    pub fn to_text(&self) -> String {
        let VolumeId { driver, handle } = self.volume();
        let mut all = BTreeMap::from([("volumeHandle", handle.clone()), ("driverName", driver.clone())]);
        let context = match self {
            Self::Staged { selinux_context, .. } => selinux_context,
            Self::Published { volume, spec_name, node, lifecycle, selinux_context } => {
                all.insert("specVolID", spec_name.clone());
                all.insert("nodeName", node.clone());
                all.insert("volumeLifecycleMode", lifecycle.as_str().to_owned());
                all.insert("attachmentID", volume.attachment(node));
                selinux_context
            }
        };
        all.extend(context.iter().map(|context| ("seLinuxMountContext", context.clone())));
        let pairs: Vec<_> =
            all.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
        format!("{{{}}}\n", pairs.join(","))
    }

    /// The note in `text`, or what is wrong with it. A note without a lifecycle is that of something staged.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let mut all: BTreeMap<String, String> =
            serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut take = |key: &str| all.remove(key).filter(|value| !value.is_empty());
        let driver = take("driverName").filter(|name| is_name(name)).ok_or("it names no driver")?;
        let handle = take("volumeHandle").ok_or("it names no volume")?;
        let (volume, selinux_context) = (VolumeId { driver, handle }, take("seLinuxMountContext"));
        let Some(spec_name) = take("specVolID") else {
            return Ok(Self::Staged { volume, selinux_context });
        };
        let lifecycle = match take("volumeLifecycleMode").as_deref() {
            Some("Ephemeral") => Lifecycle::Ephemeral,
            _ => Lifecycle::Persistent,
        };
        let node = take("nodeName").unwrap_or_default();
        Ok(Self::Published { volume, spec_name, node, lifecycle, selinux_context })
    }

    /// Reads the note in `dir`; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or says nothing useful.
    pub(crate) fn read(dir: &Root) -> Result<Option<Self>, NoteError> {
        let text = match dir.read(Path::new(NOTE), Links::Refuse, LIMIT) {
            Err(error) if error.is_not_found() => return Ok(None),
            text => text?,
        };
        let content = |why| NoteError::Content { path: dir.path().join(NOTE).display().to_string(), why };
        Self::parse(&text).map(Some).map_err(content)
    }

    /// Writes the note into `dir`, whole or not at all.
    ///
    /// # Errors
    /// As the file system answers.
    pub(crate) fn write(&self, dir: &Root) -> Result<(), NoteError> {
        let path = beneath::fd_path(dir).join(NOTE);
        task::file::write_atomic(&path, self.to_text().as_bytes(), MODE)
            .map_err(|source| NoteError::Write { path: dir.path().join(NOTE).display().to_string(), source })
    }

    /// Removes the note in `dir`, and one that a crash left half written. Gone is gone.
    ///
    /// # Errors
    /// As the file system answers.
    pub(crate) fn remove(dir: &Root) -> io::Result<()> {
        Self::remove_half(dir)?;
        remove(dir, NOTE)
    }

    /// Removes a note that a crash left half written. Gone is gone.
    ///
    /// # Errors
    /// As the file system answers.
    pub(crate) fn remove_half(dir: &Root) -> io::Result<()> {
        remove(dir, HALF_NOTE)
    }
}

fn remove(dir: &Root, name: &str) -> io::Result<()> {
    match std::fs::remove_file(beneath::fd_path(dir).join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A text in quotes, with what Go escapes so that JSON may stand inside of HTML.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// For fuzzing: reads `bytes` as a note; what is one is read again as it is written. Never panics on its own account.
///
/// # Panics
/// If it is not.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        let text = note.to_text();
        assert_eq!(Note::parse(text.as_bytes()).as_ref(), Ok(&note), "{text}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn volume() -> VolumeId {
        VolumeId { driver: "hostpath.csi.k8s.io".into(), handle: "a<b>&c".into() }
    }

    #[test]
    fn notes_are_byte_for_byte_the_kubelets() {
        let staged = Note::Staged { volume: volume(), selinux_context: None };
        assert_eq!(
            staged.to_text(),
            "{\"driverName\":\"hostpath.csi.k8s.io\",\"volumeHandle\":\"a\\u003cb\\u003e\\u0026c\"}\n"
        );
        let published = Note::Published {
            volume: volume(),
            spec_name: "pv-1".into(),
            node: "n".into(),
            lifecycle: Lifecycle::Persistent,
            selinux_context: Some("system_u:object_r:container_file_t:s0:c1,c2".into()),
        };
        let attachment = volume().attachment("n");
        assert_eq!(
            published.to_text(),
            format!(
                "{{\"attachmentID\":\"{attachment}\",\"driverName\":\"hostpath.csi.k8s.io\",\"nodeName\":\"n\",\
                 \"seLinuxMountContext\":\"system_u:object_r:container_file_t:s0:c1,c2\",\"specVolID\":\"pv-1\",\
                 \"volumeHandle\":\"a\\u003cb\\u003e\\u0026c\",\"volumeLifecycleMode\":\"Persistent\"}}\n"
            )
        );
        for note in [staged, published] {
            assert_eq!(Note::parse(note.to_text().as_bytes()), Ok(note));
        }
    }

    #[test]
    fn what_is_no_note_is_not_taken_for_one() {
        for text in
            ["", "{", "[]", "{}", "{\"driverName\":\"..\",\"volumeHandle\":\"v\"}", "{\"driverName\":1}"]
        {
            assert!(Note::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn written_read_and_removed() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Root::open(tmp.path()).unwrap();
        assert!(Note::read(&dir).unwrap().is_none());
        let note = Note::Staged { volume: volume(), selinux_context: None };
        note.write(&dir).unwrap();
        note.write(&dir).unwrap();
        assert_eq!(Note::read(&dir).unwrap(), Some(note));
        std::fs::write(tmp.path().join(HALF_NOTE), "{").unwrap();
        Note::remove(&dir).unwrap();
        Note::remove(&dir).unwrap();
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Note::parse(&bytes);
        }

        #[test]
        fn any_handle_comes_back(handle in "\\PC{1,40}") {
            let volume = VolumeId { driver: "d".into(), handle };
            let note = Note::Staged { volume, selinux_context: None };
            prop_assert_eq!(Note::parse(note.to_text().as_bytes()), Ok(note));
        }
    }
}
