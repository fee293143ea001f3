//! The volumes of a driver: where they are, and what must not happen to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use linux::mountinfo::MountTable;
use tonic::{Code, Status};

use super::Mounting;

/// The file in each volume that nobody may touch. It holds the volume's handle.
pub const CANARY: &str = "canary";

/// All volumes.
#[derive(Debug)]
pub(super) struct Volumes {
    backing: PathBuf,
    mounting: Mounting,
    staged: BTreeMap<String, PathBuf>,
    published: BTreeMap<PathBuf, (String, bool)>,
    violations: Vec<String>,
    known: BTreeSet<String>,
    /// How many bytes those have that are not as at first.
    sizes: BTreeMap<String, i64>,
    /// What is wrong with those that are not well.
    pub(super) abnormal: BTreeMap<String, String>,
}

/// How many bytes a volume has at first.
const SIZE: i64 = 4 << 20;

fn failed(doing: &str, path: &Path, error: impl Display) -> Status {
    Status::internal(format!("{doing} {}: {error}", path.display()))
}

impl Volumes {
    pub(super) fn new(backing: PathBuf, mounting: Mounting) -> Self {
        Self {
            backing,
            mounting,
            staged: BTreeMap::new(),
            published: BTreeMap::new(),
            violations: Vec::new(),
            known: BTreeSet::new(),
            sizes: BTreeMap::new(),
            abnormal: BTreeMap::new(),
        }
    }

    /// The directory of the volume, made with its canary when it is first heard of.
    fn backing(&mut self, volume: &str) -> Result<PathBuf, Status> {
        if volume.is_empty() || volume.contains('/') {
            return Err(Status::invalid_argument("a volume's handle is no path"));
        }
        let dir = self.backing.join(volume);
        if self.known.insert(volume.to_owned()) && !dir.exists() {
            std::fs::create_dir_all(&dir)
                .and_then(|()| std::fs::write(dir.join(CANARY), volume))
                .map_err(|e| failed("make", &dir, e))?;
        }
        Ok(dir)
    }

    /// Records what no kubelet may do, and refuses it.
    fn violated(&mut self, code: Code, what: String) -> Status {
        self.violations.push(what.clone());
        Status::new(code, what)
    }

    fn is_mounted(path: &Path) -> Result<bool, Status> {
        let table = MountTable::read().map_err(|e| failed("read mounts for", path, e))?;
        Ok(table.is_mount_point(path))
    }

    fn mount(&self, source: &Path, target: &Path, read_only: bool) -> Result<(), Status> {
        if self.mounting == Mounting::Pretended || Self::is_mounted(target)? {
            return Ok(());
        }
        linux::mount::bind(source, target).map_err(|e| failed("bind onto", target, e))?;
        if read_only {
            linux::mount::remount_read_only(target).map_err(|e| failed("remount", target, e))?;
        }
        Ok(())
    }

    fn unmount(&self, target: &Path) -> Result<(), Status> {
        if self.mounting == Mounting::Pretended || !Self::is_mounted(target)? {
            return Ok(());
        }
        linux::mount::unmount(target).map_err(|e| failed("unmount", target, e))
    }

    pub(super) fn stage(&mut self, volume: &str, path: &Path) -> Result<(), Status> {
        let source = self.backing(volume)?;
        if !path.is_dir() {
            let what = format!("{volume} was to be staged at {}, which is no directory", path.display());
            return Err(self.violated(Code::InvalidArgument, what));
        }
        if self.staged.get(volume).is_some_and(|other| other != path) {
            return Err(self.violated(Code::AlreadyExists, format!("{volume} was staged twice")));
        }
        self.mount(&source, path, false)?;
        self.staged.insert(volume.to_owned(), path.to_owned());
        Ok(())
    }

    pub(super) fn unstage(&mut self, volume: &str, path: &Path) -> Result<(), Status> {
        if let Some((target, _)) = self.published.iter().find(|(_, (of, _))| of == volume) {
            let what = format!("{volume} was unstaged while published at {}", target.display());
            return Err(self.violated(Code::FailedPrecondition, what));
        }
        self.unmount(path)?;
        self.staged.remove(volume);
        Ok(())
    }

    pub(super) fn publish(
        &mut self,
        volume: &str,
        staging: Option<&Path>,
        target: &Path,
        read_only: bool,
        device: Option<&Path>,
    ) -> Result<(), Status> {
        let backing = self.backing(volume)?;
        if let Some(staging) = staging
            && self.staged.get(volume).map(PathBuf::as_path) != Some(staging)
        {
            return Err(
                self.violated(Code::FailedPrecondition, format!("{volume} was published but not staged"))
            );
        }
        match self.published.get(target) {
            Some(present) if *present == (volume.to_owned(), read_only) => {}
            Some((other, _)) => {
                let what = format!(
                    "{volume} was published at {}, where {other} is in another way",
                    target.display()
                );
                return Err(self.violated(Code::AlreadyExists, what));
            }
            None => {}
        }
        let made = match device {
            None => std::fs::create_dir(target),
            Some(_) => std::fs::File::create_new(target).map(drop),
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = format!("{volume} was published at {}, which has no parent", target.display());
                return Err(self.violated(Code::InvalidArgument, what));
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("make", target, error));
            }
            _ => {}
        }
        match device {
            None => self.mount(staging.unwrap_or(&backing), target, read_only)?,
            Some(device) if device.as_os_str().is_empty() => {}
            Some(device) => self.mount(device, target, false)?,
        }
        self.published.insert(target.to_owned(), (volume.to_owned(), read_only));
        Ok(())
    }

    pub(super) fn unpublish(&mut self, target: &Path) -> Result<(), Status> {
        self.unmount(target)?;
        let removed = match target.is_dir() {
            true => std::fs::remove_dir(target),
            false => std::fs::remove_file(target),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", target, error));
            }
            _ => {}
        }
        self.published.remove(target);
        Ok(())
    }

    /// The volume gets `bytes`, if it has less.
    pub(super) fn grow(&mut self, volume: &str, path: &Path, bytes: i64) -> Result<i64, Status> {
        if !self.is_at(volume, path) {
            let what = format!("{volume} was to grow at {}, where it is not", path.display());
            return Err(self.violated(Code::NotFound, what));
        }
        let size = self.size(volume).max(bytes);
        self.sizes.insert(volume.to_owned(), size);
        Ok(size)
    }

    /// How many bytes the volume has.
    pub(super) fn size(&self, volume: &str) -> i64 {
        self.sizes.get(volume).copied().unwrap_or(SIZE)
    }

    /// Whether the volume is staged or published at `path`.
    pub(super) fn is_at(&self, volume: &str, path: &Path) -> bool {
        let is_staged = self.staged.get(volume).is_some_and(|staged| staged == path);
        is_staged || self.published.get(path).is_some_and(|(of, _)| of == volume)
    }

    pub(super) fn staged(&self) -> BTreeMap<String, PathBuf> {
        self.staged.clone()
    }

    pub(super) fn published(&self) -> BTreeMap<PathBuf, String> {
        self.published.iter().map(|(path, (volume, _))| (path.clone(), volume.clone())).collect()
    }

    /// What was done that may not be done, what is mounted twice, and which canaries are gone.
    pub(super) fn damage(&self) -> Vec<String> {
        let mut damage = self.violations.clone();
        for volume in &self.known {
            let canary = self.backing.join(volume).join(CANARY);
            if std::fs::read_to_string(&canary).ok().as_ref() != Some(volume) {
                damage.push(format!("the canary of {volume} was touched"));
            }
        }
        if let Ok(table) = MountTable::read() {
            for path in self.staged.values().chain(self.published.keys()) {
                if table.iter().filter(|mount| mount.point == *path).count() > 1 {
                    damage.push(format!("something is mounted twice at {}", path.display()));
                }
            }
        }
        damage
    }
}
