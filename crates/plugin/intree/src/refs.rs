//! Who else has what is mounted, by the mount table. Pure.

use std::path::Path;

use linux::mountinfo::{Mount, MountTable};

/// The mounts that show the same directory as `path`, which must be absolute and free of links, but for the one that `path`
/// itself is in.
pub(crate) fn of_directory<'a>(table: &'a MountTable, path: &Path) -> Vec<&'a Mount> {
    let Some(holding) = table.holding(path) else { return Vec::new() };
    let Ok(rest) = path.strip_prefix(&holding.point) else { return Vec::new() };
    let root = if rest.as_os_str().is_empty() { holding.root.clone() } else { holding.root.join(rest) };
    let same =
        |mount: &&Mount| mount.id != holding.id && mount.device == holding.device && mount.root == root;
    table.iter().filter(same).collect()
}

/// The mounts that show the same directory as what is mounted at `point`, but for that one. None if nothing is mounted there.
pub(crate) fn of_mount<'a>(table: &'a MountTable, point: &Path) -> Vec<&'a Mount> {
    let Some(mounted) = table.at(point) else { return Vec::new() };
    let same =
        |mount: &&Mount| mount.point != point && mount.device == mounted.device && mount.root == mounted.root;
    table.iter().filter(same).collect()
}

/// Whether anything else of the file system is mounted that is mounted at `point`: what is done to it by force is done to
/// whoever has that.
pub(crate) fn is_shared(table: &MountTable, point: &Path) -> bool {
    let Some(mounted) = table.at(point) else { return false };
    table.iter().any(|mount| mount.point != point && mount.device == mounted.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 8:16 / /plugins/disk rw - ext4 /dev/sdb rw
31 22 8:16 / /pods/a/v rw - ext4 /dev/sdb rw
32 22 8:16 /part /pods/b/part rw - ext4 /dev/sdb rw
33 22 8:1 /mnt/local /pods/a/local rw - ext4 /dev/sda1 rw
34 22 8:1 /mnt /elsewhere rw - ext4 /dev/sda1 rw
35 22 8:1 /mnt/local-2 /pods/b/local rw - ext4 /dev/sda1 rw
36 22 8:32 / /mnt/disk rw - ext4 /dev/sdc rw
37 22 8:32 / /pods/c/v rw - ext4 /dev/sdc rw
";

    #[test]
    fn who_has_it_too() {
        let table = MountTable::parse(TABLE.as_bytes());
        let points = |all: Vec<&Mount>| {
            all.into_iter().map(|mount| mount.point.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(points(of_mount(&table, Path::new("/plugins/disk"))), ["/pods/a/v"]);
        assert_eq!(points(of_mount(&table, Path::new("/plugins/none"))), Vec::<String>::new());
        for (point, expected) in
            [("/plugins/disk", true), ("/pods/b/part", true), ("/", true), ("/plugins/none", false)]
        {
            assert_eq!(is_shared(&table, Path::new(point)), expected, "{point}");
        }
        assert_eq!(points(of_directory(&table, Path::new("/mnt/local"))), ["/pods/a/local"]);
        assert_eq!(points(of_directory(&table, Path::new("/mnt"))), ["/elsewhere"]);
        assert_eq!(points(of_directory(&table, Path::new("/mnt/disk"))), ["/pods/c/v"]);
        assert_eq!(points(of_directory(&table, Path::new("/mnt/new"))), Vec::<String>::new());
    }
}
