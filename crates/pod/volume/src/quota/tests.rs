use std::os::unix::fs::MetadataExt as _;

use linux::projectquota;
use serde_json::json;
use testkit::disk::CountingDisk;
use types::Pod;

use super::*;
use crate::testing::{self, uid};
use crate::{PodPaths, Volumes, VolumesConfig, paths};

/// A file system that counts the inodes of volumes in memory, as a disk outlives berth.
#[derive(Clone, Debug, Default)]
struct Fake {
    directories: Arc<Mutex<HashMap<u64, ProjectId>>>,
    /// Projects that something counts as although no directory does.
    held: Arc<Mutex<BTreeSet<ProjectId>>>,
    /// After so many steps nothing works any more.
    steps: Arc<Mutex<Option<usize>>>,
}

impl Fake {
    fn step(&self, path: &Path) -> Result<(), QuotaError> {
        match &mut *self.steps.lock().unwrap() {
            Some(0) => Err(QuotaError::NotPut { path: path.to_owned(), project: ProjectId(0) }),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn works_for(&self, steps: Option<usize>) {
        *self.steps.lock().unwrap() = steps;
    }
}

impl Counter for Fake {
    fn used(&self) -> Result<BTreeMap<ProjectId, DiskUse>, QuotaError> {
        self.step(Path::new("/"))?;
        let mut all = self.held.lock().unwrap().clone();
        all.extend(self.directories.lock().unwrap().values());
        let used = all.into_iter().map(|id| (id, DiskUse { bytes: 0, inodes: 1 }));
        Ok(used.chain([(ProjectId(7), DiskUse::default())]).collect())
    }

    fn project_of(&self, dir: &OwnedFd, path: &Path) -> Result<Option<ProjectId>, QuotaError> {
        self.step(path)?;
        let inode = std::fs::metadata(fd_path(dir)).map_err(PathError::on("stat", path))?.ino();
        Ok(self.directories.lock().unwrap().get(&inode).copied())
    }

    fn put(&self, dir: &OwnedFd, path: &Path, project: ProjectId) -> Result<(), QuotaError> {
        self.step(path)?;
        let inode = std::fs::metadata(fd_path(dir)).map_err(PathError::on("stat", path))?.ino();
        self.directories.lock().unwrap().insert(inode, project);
        self.step(path)
    }

    fn forget(&self, _: ProjectId) -> Result<(), QuotaError> {
        self.step(Path::new("/"))
    }
}

struct Node {
    dir: tempfile::TempDir,
    disk: Fake,
}

impl Node {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), disk: Fake::default() }
    }

    /// What knows of projects after a start of berth.
    fn start(&self) -> Quotas {
        let files = Files::at(self.dir.path().join("projects"), self.dir.path().join("projid"));
        let quotas = Quotas::noted_in(files, self.dir.path().to_owned());
        quotas.0.counter.set(Some(Box::new(self.disk.clone()))).unwrap();
        quotas
    }

    fn path(&self, volume: &str) -> PathBuf {
        PodPaths::new(self.dir.path(), &uid()).unwrap().volume(EMPTY_DIR, volume)
    }

    /// The directory of a volume, made if it is not there.
    fn volume(&self, volume: &str) -> (PathBuf, OwnedFd) {
        let path = self.path(volume);
        linux::fs::create_dir_all(&path, 0o755).unwrap();
        let dir = std::fs::File::open(&path).unwrap().into();
        (path, dir)
    }

    fn count(&self, quotas: &Quotas, volume: &str) -> Option<u32> {
        let (path, dir) = self.volume(volume);
        quotas.count(&path, &dir);
        quotas.project(&path).map(|project| project.0)
    }

    /// As a teardown does.
    fn remove(&self, volume: &str) {
        let path = self.path(volume);
        let inode = std::fs::metadata(&path).unwrap().ino();
        self.disk.directories.lock().unwrap().remove(&inode);
        std::fs::remove_dir_all(path).unwrap();
    }

    fn noted(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("projects")).unwrap_or_default()
    }
}

const FIRST: u32 = 1_048_577;

#[test]
fn each_volume_has_a_project_until_it_is_gone() {
    let node = Node::new();
    let quotas = node.start();
    assert_eq!((node.count(&quotas, "a"), node.count(&quotas, "b")), (Some(FIRST), Some(FIRST + 1)));
    quotas.settle();
    assert_eq!(quotas.project(&node.path("a")), Some(ProjectId(FIRST)), "it is there");
    node.remove("a");
    quotas.settle();
    assert_eq!(quotas.project(&node.path("a")), None);
    assert_eq!(node.noted(), format!("{}:{}\n", FIRST + 1, node.path("b").display()));
    assert_eq!(node.count(&quotas, "c"), Some(FIRST), "it is free again");
}

#[test]
fn after_a_restart_it_is_known_from_disk() {
    let node = Node::new();
    node.count(&node.start(), "a");
    node.count(&node.start(), "gone");
    std::fs::write(node.path("a").join("data"), "x").unwrap();
    node.remove("gone");
    let quotas = node.start();
    assert_eq!(quotas.project(&node.path("a")), None);
    quotas.settle();
    assert_eq!(quotas.project(&node.path("a")), Some(ProjectId(FIRST)));
    assert_eq!(node.noted(), format!("{FIRST}:{}\n", node.path("a").display()));
}

#[test]
fn after_an_end_between_any_two_steps_no_two_volumes_share_a_project() {
    for steps in 0..8 {
        let node = Node::new();
        node.disk.works_for(Some(steps));
        let begun = node.start();
        let first = node.count(&begun, "a");
        begun.settle();
        node.disk.works_for(None);
        let quotas = node.start();
        quotas.settle();
        let [b, a] = ["b", "a"].map(|volume| node.count(&quotas, volume).expect("it is counted"));
        assert_ne!(a, b, "{steps} steps");
        assert!(first.is_none_or(|first| first == a), "{steps} steps");
        assert_eq!(node.noted().lines().count(), 2, "{steps} steps");
        node.disk.works_for(Some(steps));
        for volume in ["a", "b"] {
            node.remove(volume);
        }
        quotas.settle();
        node.disk.works_for(None);
        node.start().settle();
        assert_eq!(node.noted(), "", "{steps} steps");
    }
}

#[test]
fn what_something_counts_as_is_given_to_nobody() {
    let node = Node::new();
    node.disk.held.lock().unwrap().insert(ProjectId(FIRST));
    let quotas = node.start();
    assert_eq!(node.count(&quotas, "a"), Some(FIRST + 1));
    // A process has a file of it open after it is gone, and another volume gets its place.
    node.remove("a");
    node.disk.held.lock().unwrap().insert(ProjectId(FIRST + 1));
    assert_eq!(node.count(&quotas, "a"), Some(FIRST + 2));
    assert_eq!(node.noted(), format!("{}:{}\n", FIRST + 2, node.path("a").display()));
}

#[test]
fn a_volume_that_was_written_to_before_is_looked_through() {
    let node = Node::new();
    std::fs::write(node.volume("a").0.join("data"), "x").unwrap();
    let quotas = node.start();
    assert_eq!(node.count(&quotas, "a"), None);
    assert_eq!(node.noted(), "");
}

#[test]
fn lines_of_others_and_links_are_left_alone() {
    let node = Node::new();
    let quotas = node.start();
    let (outside, pods) = (node.dir.path().join("outside"), paths::pods_dir(node.dir.path()));
    linux::fs::create_dir_all(&outside, 0o755).unwrap();
    linux::fs::create_dir_all(node.path("x").parent().unwrap(), 0o755).unwrap();
    std::os::unix::fs::symlink(&outside, node.path("link")).unwrap();
    let lines = format!(
        "5:/gone\n6:{}\n{FIRST}:{}\n",
        pods.join("u/volumes/kubernetes.io~configmap/gone").display(),
        node.path("link").display()
    );
    std::fs::write(node.dir.path().join("projects"), &lines).unwrap();
    node.disk
        .directories
        .lock()
        .unwrap()
        .insert(std::fs::metadata(&outside).unwrap().ino(), ProjectId(FIRST));
    quotas.settle();
    assert_eq!((node.noted(), quotas.project(&node.path("link"))), (lines, None));
}

#[test]
fn files_that_cannot_be_written_leave_the_volume_uncounted() {
    let node = Node::new();
    std::fs::create_dir(node.dir.path().join("projects")).unwrap();
    let quotas = node.start();
    assert_eq!(node.count(&quotas, "a"), None);
    quotas.settle();
}

/// A node whose volumes are on a file system that counts.
struct Counted {
    quotas: Quotas,
    volumes: Volumes,
}

impl Counted {
    /// As after a start of berth.
    fn start(root_dir: &Path, files: &Files) -> Self {
        let quotas = Quotas::noted_in(files.clone(), root_dir.to_owned());
        let config = testing::config(root_dir);
        let volumes = Volumes::new(VolumesConfig { quotas: Some(quotas.clone()), ..config });
        Self { quotas, volumes }
    }

    async fn prepare(&self, uid: &str, host_users: bool) -> [PathBuf; 2] {
        let pod = testing::pod(json!([{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]));
        let mut pod = Pod::clone(&pod);
        pod.metadata.uid = Some(uid.to_owned());
        pod.spec.as_mut().unwrap().host_users = Some(host_users);
        let prepared = self.volumes.prepare(&Arc::new(pod), &Arc::default()).await.unwrap();
        ["a", "b"].map(|name| prepared.get(name).unwrap().source.host_path().unwrap().to_owned())
    }

    fn project(&self, path: &Path) -> Option<ProjectId> {
        self.quotas.project(path)
    }
}

async fn a_file_system_counts(fs_type: &str) {
    let dir = tempfile::tempdir().unwrap();
    let disk = match CountingDisk::mount(fs_type, &dir.path().join("disk")) {
        Ok(disk) => disk,
        Err(why) => return println!("skipped project quotas of {fs_type}: {why}"),
    };
    // A directory that an administrator has bounded, as for a `local` volume, is as full as its file system says.
    let local = disk.point().join("local");
    std::fs::create_dir(&local).unwrap();
    disk.bound(&local, 7, 8 << 20).unwrap();
    std::fs::write(local.join("data"), vec![1; 1 << 20]).unwrap();
    let usage = linux::statfs::usage(&local).unwrap();
    assert_eq!(usage.capacity_bytes, 8 << 20);
    assert!((1 << 20..2 << 20).contains(&usage.used_bytes), "{usage:?}");

    let root_dir = disk.point();
    let files = Files::at(dir.path().join("projects"), dir.path().join("projid"));
    let node = Counted::start(root_dir, &files);
    let [a, b] = node.prepare("u", false).await;
    let [other, _] = node.prepare("v", true).await;
    let projects = [node.project(&a).unwrap(), node.project(&b).unwrap()];
    assert_ne!(projects[0], projects[1]);
    assert_eq!(node.project(&other), None, "its users are the node's");
    std::fs::write(a.join("large"), vec![1; 1 << 20]).unwrap();
    std::fs::create_dir(a.join("inner")).unwrap();
    std::fs::write(a.join("inner/small"), "x").unwrap();
    std::fs::write(b.join("open"), vec![1; 1 << 20]).unwrap();
    std::fs::write(other.join("uncounted"), vec![1; 1 << 20]).unwrap();
    rustix::fs::syncfs(std::fs::File::open(root_dir).unwrap()).unwrap();
    for (path, project) in [(&a, projects[0]), (&b, projects[1])] {
        let used = projectquota::used_at(path).unwrap();
        assert_eq!(used[&project], linux::diskuse::of(path).unwrap(), "{}", path.display());
    }

    // As after `kill -9`: all is known from the disk.
    let node = Counted::start(root_dir, &files);
    assert_eq!(node.project(&a), None);
    node.volumes.settle_quotas().await.unwrap();
    assert_eq!([&a, &b].map(|path| node.project(path)), projects.map(Some));
    node.prepare("u", false).await;
    assert_eq!(files.read().unwrap().directories().count(), 2, "nothing is noted twice");

    // A process has a file open that is gone: what it counts as is given to nobody else.
    let open = std::fs::File::open(b.join("open")).unwrap();
    node.volumes.remove_pod_dir(&uid(), &()).await.unwrap();
    node.volumes.settle_quotas().await.unwrap();
    assert_eq!(files.read().unwrap(), projects::Projects::default());
    let [c, d] = node.prepare("w", false).await;
    let again = [node.project(&c).unwrap(), node.project(&d).unwrap()];
    assert!(!again.contains(&projects[1]), "{again:?}");
    drop(open);
    node.volumes.remove_pod_dir(&"w".into(), &()).await.unwrap();
    node.volumes.settle_quotas().await.unwrap();
    assert_eq!(files.read().unwrap(), projects::Projects::default());
}

#[tokio::test]
async fn real_ext4_counts_volumes() {
    a_file_system_counts("ext4").await;
}

#[tokio::test]
async fn real_xfs_counts_volumes() {
    a_file_system_counts("xfs").await;
}
