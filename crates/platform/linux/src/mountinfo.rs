//! The mount table (`/proc/self/mountinfo`, proc(5)).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::PathError;
use crate::proc::kernel_version;

const PATH: &str = "/proc/self/mountinfo";
/// So often it is read at most, where it has to be read twice.
const READINGS: usize = 10;

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// Id of the mount.
    pub id: u32,
    /// Id of the mount it is mounted on.
    pub parent: u32,
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// The directory or file of the file system that is mounted; `/` unless it is a bind mount of a part.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Options of the mount, such as `rw,nosuid`.
    pub options: OsString,
    /// Peer group, if the mount is shared: mounts below it spread to its peers.
    pub shared: Option<u32>,
    /// Peer group that it follows, if it is a slave.
    pub master: Option<u32>,
    /// Type of the file system, such as `tmpfs`.
    pub fs_type: OsString,
    /// What the file system calls its source, such as `/dev/sda1`.
    pub source: OsString,
    /// Options of the file system, such as `rw,size=1024k`.
    pub super_options: OsString,
}

impl Mount {
    /// Whether nothing can be written through this mount.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let has_ro =
            |options: &OsString| options.as_bytes().split(|b| *b == b',').any(|option| option == b"ro");
        has_ro(&self.options) || has_ro(&self.super_options)
    }
}

/// All mounts of a mount namespace, in the order in which the kernel lists them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
}

impl MountTable {
    /// The mounts that this process sees now.
    ///
    /// # Errors
    /// If `/proc` is not mounted, or (before Linux 5.8) no two readings agree.
    pub fn read() -> Result<Self, PathError> {
        let read = || std::fs::read(PATH);
        let is_whole = keeps_its_place(&kernel_version());
        let text = if is_whole { read() } else { agreed(read) };
        Ok(Self::parse(&text.map_err(PathError::on("read the mount table", Path::new(PATH)))?))
    }

    /// The mounts in the text of a mountinfo file. Lines that are no mounts are left out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Self { mounts: text.split(|b| *b == b'\n').filter_map(parse_line).collect() }
    }

    /// All mounts.
    pub fn iter(&self) -> std::slice::Iter<'_, Mount> {
        self.mounts.iter()
    }

    /// The mount seen at exactly `path` (the last one, when several lie on one another), which must be absolute and
    /// free of links.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.point == path)
    }

    /// Whether something is mounted at exactly `path`, which must be absolute and free of links.
    #[must_use]
    pub fn is_mount_point(&self, path: &Path) -> bool {
        self.at(path).is_some()
    }

    /// The mounts at `path` and below it, deepest first: the order to unmount them in.
    #[must_use]
    pub fn below(&self, path: &Path) -> Vec<&Mount> {
        let mut found: Vec<&Mount> =
            self.mounts.iter().rev().filter(|mount| mount.point.starts_with(path)).collect();
        // Stable, so that of mounts on one another the later one stays first.
        found.sort_by_key(|mount| std::cmp::Reverse(mount.point.components().count()));
        found
    }

    /// The mount that holds `path`: the one with the longest mount point that is a prefix of it.
    #[must_use]
    pub fn holding(&self, path: &Path) -> Option<&Mount> {
        self.mounts
            .iter()
            .filter(|mount| path.starts_with(&mount.point))
            // Of equals the last, which is the one that is seen.
            .max_by_key(|mount| mount.point.as_os_str().len())
    }
}

/// Whether the kernel of this release keeps its place in the table between two pieces of it, as Linux does since 5.8. Before,
/// a mount that goes after the first piece was read hides another one, which would be mounted twice.
fn keeps_its_place(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 8)
}

/// Reads until the same comes twice.
fn agreed(mut read: impl FnMut() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut last = read()?;
    for _ in 1..READINGS {
        let next = read()?;
        if next == last {
            return Ok(next);
        }
        last = next;
    }
    Err(io::Error::other("it changes all the time: no two readings of it were the same"))
}

impl<'a> IntoIterator for &'a MountTable {
    type Item = &'a Mount;
    type IntoIter = std::slice::Iter<'a, Mount>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue`, with any number of optional
/// fields before the dash.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ').filter(|field| !field.is_empty());
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = fields.next()?;
    let colon = device.iter().position(|b| *b == b':')?;
    let device = (number(&device[..colon])?, number(&device[colon + 1..])?);
    let root = unescape(fields.next()?).into();
    let point = unescape(fields.next()?).into();
    let options = unescape(fields.next()?);
    let (mut shared, mut master) = (None, None);
    loop {
        let field = fields.next()?;
        if field == b"-" {
            break;
        } else if let Some(group) = field.strip_prefix(b"shared:") {
            shared = number(group);
        } else if let Some(group) = field.strip_prefix(b"master:") {
            master = number(group);
        }
    }
    let fs_type = unescape(fields.next()?);
    // A source can be empty, and its field then is not there.
    let (source, super_options) = match (fields.next()?, fields.next()) {
        (source, Some(options)) => (unescape(source), unescape(options)),
        (options, None) => (OsString::new(), unescape(options)),
    };
    Some(Mount { id, parent, device, root, point, options, shared, master, fs_type, source, super_options })
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Space, tab, line break and backslash are written as `\ooo`.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn old_kernels_are_asked_twice() {
        for (release, whole) in [
            ("5.8.0", true),
            ("6.1.0-42-amd64", true),
            ("5.7.19", false),
            ("4.18.0-553.el8_10.x86_64", false),
            ("?", false),
        ] {
            assert_eq!(keeps_its_place(release), whole, "{release}");
        }
        let read = |texts: &'static [&'static str]| {
            let mut texts = texts.iter().cycle();
            move || Ok(texts.next().unwrap().as_bytes().to_owned())
        };
        assert_eq!(agreed(read(&["abc", "ac", "ac"])).unwrap(), b"ac");
        let error = agreed(read(&["abc", "ac"])).unwrap_err();
        assert!(error.to_string().contains("changes all the time"), "{error}");
        assert!(agreed(|| Err(io::ErrorKind::NotFound.into())).is_err());
    }

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /var/lib/a\\040b rw,nosuid shared:7 master:3 - tmpfs tmpfs ro,size=4k
31 30 0:31 /part /var/lib/a\\040b/c\\134d ro - ext4 /dev/sdb rw
32 30 0:32 / /var/lib/a\\040b rw - tmpfs upper rw
33 22 0:33 / /var/library rw propagate_from:2 - nfs4 server:/\\303\\244 rw
34 22 0:34 / /nosource rw - tmpfs  rw
nonsense
35 22 0 / /short rw - tmpfs t rw
36 22 0:36 / /unfinished rw
";

    #[test]
    fn fields() {
        let table = MountTable::parse(TABLE.as_bytes());
        assert_eq!(table.iter().count(), 6);
        let first = table.iter().find(|m| m.id == 30).unwrap();
        assert_eq!(first.point, Path::new("/var/lib/a b"));
        assert_eq!((first.shared, first.master, first.device), (Some(7), Some(3), (0, 30)));
        assert!(first.is_read_only(), "by its super options");
        let part = table.at(Path::new("/var/lib/a b/c\\d")).unwrap();
        assert_eq!((part.root.as_path(), part.is_read_only()), (Path::new("/part"), true));
        assert_eq!(table.at(Path::new("/var/library")).unwrap().source, OsString::from("server:/ä"));
        assert_eq!(table.at(Path::new("/nosource")).unwrap().super_options, OsString::from("rw"));
    }

    #[test]
    fn look_ups() {
        let table = MountTable::parse(TABLE.as_bytes());
        let ids = |path| table.below(Path::new(path)).iter().map(|m| m.id).collect::<Vec<_>>();
        assert_eq!(ids("/var/lib"), [31, 32, 30], "deepest first, upper before lower, no /var/library");
        assert_eq!(table.at(Path::new("/var/lib/a b")).unwrap().id, 32);
        assert_eq!(table.holding(Path::new("/var/lib/a b/x/y")).unwrap().id, 32);
        assert_eq!(table.holding(Path::new("/var/lib")).unwrap().id, 22);
        assert!(!table.is_mount_point(Path::new("/var/lib")));
    }

    #[test]
    fn the_kernels_own_table_is_read_whole() {
        let text = std::fs::read(PATH).unwrap();
        let table = MountTable::parse(&text);
        assert_eq!(table.iter().count(), text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count());
        assert!(table.is_mount_point(Path::new("/")));
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = MountTable::parse(&text);
        }

        #[test]
        fn never_panics_on_near_misses(at in 0..TABLE.len(), byte in any::<u8>(), cut in 0..TABLE.len()) {
            let mut text = TABLE.as_bytes().to_vec();
            text[at] = byte;
            text.truncate(cut);
            let _ = MountTable::parse(&text);
        }

        #[test]
        fn escapes_are_undone(name in proptest::collection::vec(1u8.., 1..20)) {
            let escaped: Vec<u8> = name
                .iter()
                .flat_map(|b| match b {
                    b' ' | b'\t' | b'\n' | b'\\' => format!("\\{b:03o}").into_bytes(),
                    other => vec![*other],
                })
                .collect();
            prop_assert_eq!(unescape(&escaped).into_vec(), name);
        }
    }
}
