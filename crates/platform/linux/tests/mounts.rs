//! Mounting for real: as root, in private directories, taken down at the end of each test.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use linux::beneath::{BeneathError, Root, fd_path, is_mount_root};
use linux::mount::{self, Swap, Tmpfs};
use linux::mountinfo::MountTable;

/// A directory whose mounts go with it.
struct Ground(tempfile::TempDir);

impl Ground {
    /// `None`, with a word about it, when the tests may not mount.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: mounting needs root");
            return None;
        }
        let ground = Self(tempfile::tempdir().unwrap());
        if let Err(e) = mount::tmpfs(ground.0.path(), Tmpfs::default()) {
            println!("skipped: {e}: {}", e.source);
            return None;
        }
        Some(ground)
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for mounted in MountTable::read().unwrap().below(self.0.path()) {
            mount::unmount_lazily(&mounted.point).unwrap();
        }
    }
}

#[test]
fn real_a_tmpfs_has_its_size_and_mode() {
    let Some(ground) = Ground::new() else { return };
    let dir = ground.dir("with space\tand\\more");
    let swap =
        mount::tmpfs(&dir, Tmpfs { size_bytes: Some(1 << 20), mode: Some(0o750), noswap: true }).unwrap();
    let table = MountTable::read().unwrap();
    let mounted = table.at(&dir).unwrap();
    let options = mounted.super_options.to_str().unwrap();
    assert!(options.contains("size=1024k") && options.contains("mode=750"), "{options}");
    assert_eq!(options.contains("noswap"), swap == Swap::Never, "{options}");
    assert_eq!(mount::has_noswap(), swap == Swap::Never);
    assert_eq!(linux::statfs::usage(&dir).unwrap().capacity_bytes, 1 << 20);
    assert_eq!(table.holding(&dir.join("x")).unwrap().id, mounted.id);
    mount::unmount(&dir).unwrap();
    assert!(!MountTable::read().unwrap().is_mount_point(&dir));
}

#[test]
fn real_a_hugetlbfs_has_its_page_size() {
    let Some(ground) = Ground::new() else { return };
    let Some(size) = linux::hugepages::sizes().unwrap().first().copied() else {
        println!("skipped: the kernel has no huge pages");
        return;
    };
    let dir = ground.dir("huge");
    mount::hugetlbfs(&dir, size.page_bytes).unwrap();
    let table = MountTable::read().unwrap();
    assert_eq!(table.at(&dir).unwrap().fs_type, "hugetlbfs");
    assert!(mount::hugetlbfs(&dir, 12_345).unwrap_err().to_string().contains(dir.to_str().unwrap()));
}

#[test]
fn real_errors_name_the_path_and_the_remedy() {
    let Some(ground) = Ground::new() else { return };
    let dir = ground.dir("a");
    let not_mounted = mount::unmount(&dir).unwrap_err().to_string();
    assert!(
        not_mounted.contains(dir.to_str().unwrap()) && not_mounted.contains("not a mount point"),
        "{not_mounted}"
    );
    mount::tmpfs(&dir, Tmpfs::default()).unwrap();
    let open = std::fs::File::create(dir.join("open")).unwrap();
    assert!(mount::unmount(&dir).unwrap_err().is_busy());
    mount::unmount_lazily(&dir).unwrap();
    drop(open);
}

#[test]
fn real_a_bind_mount_can_be_read_only_by_itself() {
    let Some(ground) = Ground::new() else { return };
    let (source, target) = (ground.dir("source"), ground.dir("target"));
    mount::bind(&source, &target).unwrap();
    mount::remount_read_only(&target).unwrap();
    assert!(std::fs::write(target.join("f"), "").is_err());
    std::fs::write(source.join("f"), "").unwrap();
    assert!(MountTable::read().unwrap().at(&target).unwrap().is_read_only());
}

#[test]
fn real_sharing_makes_a_mount_point_only_where_nothing_is_shared() {
    let Some(ground) = Ground::new() else { return };
    let dir = ground.dir("shared");
    let was_shared = MountTable::read().unwrap().holding(&dir).unwrap().shared.is_some();
    mount::make_rshared(&dir).unwrap();
    mount::make_rshared(&dir).unwrap();
    assert_eq!(MountTable::read().unwrap().below(&dir).len(), usize::from(!was_shared));
    // What is mounted below would be there twice.
    let inner = ground.dir("shared/inner");
    mount::make_rshared(&inner).unwrap();
    let mounts = MountTable::read().unwrap();
    assert!(mounts.holding(&inner).unwrap().shared.is_some() && mounts.at(&inner).is_none());
}

#[test]
fn real_mounts_go_through_an_open_file() {
    let Some(ground) = Ground::new() else { return };
    let (source, target) = (ground.dir("source"), ground.dir("target"));
    std::fs::write(source.join("f"), "seen").unwrap();
    let root = Root::open(ground.0.path()).unwrap();
    let source_fd = root.open_path(Path::new("source"), linux::beneath::Links::Refuse).unwrap();
    let target_fd = root.open_path(Path::new("target"), linux::beneath::Links::Refuse).unwrap();
    mount::bind(&fd_path(&source_fd), &fd_path(&target_fd)).unwrap();
    assert_eq!(std::fs::read(target.join("f")).unwrap(), b"seen");
    assert!(!is_mount_root(source_fd.as_fd()).unwrap());
    let mounted = root.open_path(Path::new("target"), linux::beneath::Links::Refuse).unwrap();
    assert!(is_mount_root(mounted.as_fd()).unwrap());
}

#[test]
fn real_removal_stops_at_every_kind_of_mount() {
    let Some(ground) = Ground::new() else { return };
    let kept = ground.dir("kept");
    std::fs::write(kept.join("precious"), "").unwrap();
    let root = Root::open(ground.0.path()).unwrap();
    let tree = Path::new("tree");

    // A bind mount of the very same file system: the device number is the same on both sides.
    let inner = ground.dir("tree/a/bind");
    mount::bind(&kept, &inner).unwrap();
    let stopped = root.remove_tree(tree).unwrap_err();
    assert!(
        matches!(&stopped, BeneathError::MountPoint { path } if path.ends_with("tree/a/bind")),
        "{stopped}"
    );
    assert!(kept.join("precious").exists());
    mount::unmount(&inner).unwrap();

    let file = ground.dir("tree/a").join("file");
    std::fs::write(&file, "").unwrap();
    mount::bind(&kept.join("precious"), &file).unwrap();
    assert!(matches!(root.remove_tree(tree).unwrap_err(), BeneathError::MountPoint { .. }));
    mount::unmount(&file).unwrap();

    let whole = ground.dir("tree");
    mount::bind(&kept, &whole).unwrap();
    assert!(matches!(root.remove_tree(tree).unwrap_err(), BeneathError::MountPoint { .. }));
    mount::unmount(&whole).unwrap();
    root.remove_tree(tree).unwrap();
    assert!(!whole.exists() && kept.join("precious").exists());
}
