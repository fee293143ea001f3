//! Pod directories in which somebody put other things than berth did, and disks that are full.

use std::os::unix::fs::symlink;

use linux::mount::{self, Tmpfs};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::Note;
use crate::layout::NOTE;

/// Where the pod `a` has its volumes, and a directory elsewhere whose content nobody may touch.
struct Place {
    world: World,
    plugin: PathBuf,
    outside: PathBuf,
}

/// All below a directory, with the content of files.
fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push((path.clone(), Vec::new()));
            all.extend(content(&path));
        } else {
            all.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

impl Place {
    async fn new() -> Self {
        let world = World::start().await;
        let plugin = world.root().join("pods/a/volumes/kubernetes.io~csi");
        let outside = world.dir.path().join("outside");
        // It looks as berth's own directories do.
        std::fs::create_dir_all(outside.join("mount")).unwrap();
        std::fs::create_dir_all(outside.join("pv-v/mount")).unwrap();
        std::fs::write(outside.join("pv-v/ready"), "the-v").unwrap();
        let note = Note::Staged { volume: wanted("a", "v").volume, selinux_context: None };
        std::fs::write(outside.join(NOTE), note.to_text()).unwrap();
        std::fs::create_dir_all(&plugin).unwrap();
        Self { world, plugin, outside }
    }

    /// Takes the pod's volumes down, and returns what could not be. Nothing outside was touched, the driver was asked
    /// nothing about it, and the volumes of another pod come and go as ever.
    async fn take_down(&self) -> String {
        let before = content(&self.outside);
        let left = self.world.take_down("a").await.err().map(|error| error.to_string()).unwrap_or_default();
        self.world.volumes.prepare(&wanted("b", "other")).await.unwrap();
        self.world.take_down("b").await.unwrap();
        assert!(self.world.volumes.reclaim(&BTreeSet::new()).await.unwrap().is_empty());
        assert_eq!(content(&self.outside), before, "{left}");
        let other = |call: &testkit::plugin::Call| call.volume.as_deref().is_none_or(|name| name == "other");
        assert!(self.world.fake.calls().iter().all(other));
        assert_eq!(self.world.fake.damage(), Vec::<String>::new());
        assert!(self.world.fake.staged().is_empty(), "{left}");
        left
    }
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
}

#[tokio::test]
async fn whatever_is_where_a_volume_was_leads_nowhere_and_holds_up_no_other() {
    type Make = fn(&Path, &Path);
    // What is made of the volume's directory, and whether it can go.
    let table: [(&str, Make, bool); 10] = [
        ("a link to a directory", |dir, outside| symlink(outside, dir).unwrap(), true),
        ("a pipe", |dir, _| pipe(dir), true),
        ("a file", |dir, _| std::fs::write(dir, "").unwrap(), true),
        (
            "a link where is mounted",
            |dir, outside| in_it(dir, |dir| symlink(outside, dir.join("mount")).unwrap()),
            false,
        ),
        (
            "a file where is mounted",
            |dir, _| in_it(dir, |dir| std::fs::write(dir.join("mount"), "x").unwrap()),
            false,
        ),
        (
            "files where is mounted",
            |dir, _| in_it(&dir.join("mount"), |dir| std::fs::write(dir.join("x"), "x").unwrap()),
            false,
        ),
        (
            "a link for a note",
            |dir, outside| in_it(dir, |dir| symlink(outside.join(NOTE), dir.join(NOTE)).unwrap()),
            true,
        ),
        ("a pipe for a note", |dir, _| in_it(dir, |dir| pipe(&dir.join(NOTE))), true),
        ("a directory for a note", |dir, _| in_it(&dir.join(NOTE), |_| ()), false),
        (
            "a note of 1 MiB",
            |dir, _| in_it(dir, |dir| std::fs::write(dir.join(NOTE), vec![b'{'; 1 << 20]).unwrap()),
            true,
        ),
    ];
    for (what, make, goes) in table {
        for name in ["pv-v", "odd\n name\u{7f}"] {
            let place = Place::new().await;
            let dir = place.plugin.join(name);
            make(&dir, &place.outside);
            let left = place.take_down().await;
            assert_eq!(left.is_empty(), goes, "{what}: {left}");
            assert!(goes || left.contains(&format!("{name:?}")), "{what}: {left}");
        }
    }
}

fn in_it(dir: &Path, make: impl FnOnce(&Path)) {
    std::fs::create_dir_all(dir).unwrap();
    make(dir);
}

#[tokio::test]
async fn links_on_the_way_to_a_volume() {
    for part in ["", "volumes", "volumes/kubernetes.io~csi", "plugins", "plugins/kubernetes.io~csi"] {
        let place = Place::new().await;
        let path = place.world.root().join("pods/a").join(part);
        let _ = std::fs::remove_dir_all(&path);
        let path = PathBuf::from(path.to_str().unwrap().trim_end_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&place.outside, &path).unwrap();
        place.take_down().await;
        let before = content(&place.outside);
        let target = wanted("a", "v").target();
        let _ = disk::unmark(&place.world.volumes.config.layout, &target);
        assert!(place.world.volumes.prepare(&wanted("a", "v")).await.is_err(), "{part}");
        assert_eq!(place.world.volumes.shown(&PodUid::from("a"), "the-v").await, None);
        let after = content(&place.outside);
        assert!(before.iter().all(|entry| after.contains(entry)), "{part}");
        assert!(path.is_symlink());
    }
}

#[tokio::test]
async fn real_mounts_in_odd_places_keep_all_that_is_in_them() {
    for part in
        ["", "volumes/kubernetes.io~csi", "volumes/kubernetes.io~csi/pv-v", "plugins/kubernetes.io~csi"]
    {
        let place = Place::new().await;
        let path = place.world.root().join("pods/a").join(part);
        std::fs::create_dir_all(&path).unwrap();
        // For those that lie higher, the directories of a volume are in what is mounted.
        for below in ["volumes/kubernetes.io~csi/pv-v/mount", "pv-v/mount"] {
            std::fs::create_dir_all(place.outside.join(below)).unwrap();
        }
        mount::bind(&place.outside, &path).unwrap();
        let before = content(&place.outside);
        let layout = place.world.volumes.config.layout.clone();
        let left = place.world.take_down("a").await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(part.starts_with("plugins") || left.contains("is a mount point"), "{part}: {left}");
        assert!(disk::unmark(&layout, &wanted("a", "v").target()).is_err() || part.starts_with("volumes"));
        assert!(place.world.volumes.prepare(&wanted("a", "v")).await.is_err(), "{part}");
        let after = content(&place.outside);
        assert!(before.iter().all(|entry| after.contains(entry)), "{part}: {after:#?}");
        mount::unmount(&path).unwrap();
        place.world.take_down("a").await.unwrap();
        assert_eq!(place.world.fake.damage(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_a_crash_left_of_a_directory_to_stage_in_goes() {
    let world = World::start().await;
    let staging = |volume: &str| world.volumes.config.layout.staging_dir(&wanted("a", volume).volume);
    std::fs::create_dir_all(staging("bare")).unwrap();
    std::fs::create_dir_all(staging("half")).unwrap();
    std::fs::write(staging("half").join(".vol_data.json.new"), "{\"dri").unwrap();
    // Whose these are cannot be known: they stay.
    std::fs::create_dir_all(staging("full").join("globalmount/x")).unwrap();
    std::fs::create_dir_all(staging("odd")).unwrap();
    std::fs::write(staging("odd").join(NOTE), "{").unwrap();
    let other = staging("odd").parent().unwrap().join("another");
    std::fs::create_dir_all(&other).unwrap();
    assert!(world.volumes.reclaim(&BTreeSet::new()).await.unwrap().is_empty());
    let there = ["bare", "half", "full", "odd"].map(|volume| staging(volume).exists());
    assert_eq!((there, other.exists()), ([false, false, true, true], true));
}

#[tokio::test]
async fn real_a_full_disk_loses_nothing_and_what_waits_goes_on_when_there_is_room() {
    let world = World::start().await;
    std::fs::create_dir_all(world.root()).unwrap();
    mount::tmpfs(&world.root(), Tmpfs { size_bytes: Some(256 << 10), ..Tmpfs::default() }).unwrap();
    let fill = || {
        let path = world.root().join("fill");
        let mut size = 0;
        // A file of one page more each time, until there is no room for another one.
        while std::fs::write(&path, vec![0; size + 4096]).is_ok() {
            size += 4096;
        }
        path
    };
    let full = fill();
    let error = world.volumes.prepare(&wanted("a", "v")).await.unwrap_err();
    let shown = telemetry::chain(&error);
    assert!(shown.contains("vol_data.json") && shown.contains("No space left"), "{shown}");
    assert_eq!(world.fake.changes(), Vec::<&str>::new());
    std::fs::remove_file(full).unwrap();
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();

    // Full between publishing and the mark.
    let hang = world.fake.raise(Strike::new("NodePublishVolume", Moment::After, Fault::Hang));
    world.fake.forget_calls();
    let volumes = world.volumes.clone();
    let preparing = tokio::spawn(async move { volumes.prepare(&wanted("a", "w")).await });
    world.fake.wait(LONG, |calls| calls.iter().any(|call| call.name == "NodePublishVolume")).await.unwrap();
    let full = fill();
    drop(hang);
    let error = preparing.await.unwrap().unwrap_err();
    assert!(telemetry::chain(&error).contains("No space left"), "{error}");
    assert_eq!(world.volumes.shown(&PodUid::from("a"), "the-w").await, None);
    assert_eq!(world.fake.published().len(), 2, "what was published stays");
    // What is there needs no room to be taken down.
    world.take_down("a").await.unwrap();
    std::fs::remove_file(full).unwrap();
    world.volumes.prepare(&wanted("a", "w")).await.unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]));
    mount::unmount(&world.root()).unwrap();
}
