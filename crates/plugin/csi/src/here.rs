//! Which volumes are on the node, or may be: what must not be detached from it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use linux::mountinfo::MountTable;
use types::PodUid;

use crate::disk::{self, DiskError, Spot, Whose, names, open};
use crate::layout::{Layout, VolumeId, staged_in};
use crate::note::{Lifecycle, Note, NoteError};

/// Where kubelets keep the block volumes of all drivers, beside the directories of drivers.
const DEVICES: &str = "volumeDevices";

/// The volumes that outlive pods and are staged or published here, or may be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Here {
    /// Those that a note names.
    pub volumes: BTreeSet<VolumeId>,
    /// Staging directories of which no note says whose they are, and in which something is.
    pub unnamed: BTreeSet<PathBuf>,
}

impl Here {
    /// Whether `volume` is here, or may be.
    #[must_use]
    pub fn may_have(&self, volume: &VolumeId, layout: &Layout) -> bool {
        self.volumes.contains(volume) || self.unnamed.contains(&layout.staging_dir(volume))
    }

    /// Looks. Volumes that go with their pods are nobody's to detach.
    pub(crate) fn look(layout: &Layout, mounts: &MountTable) -> Result<Self, DiskError> {
        let mut here = Self::default();
        here.add_staged(layout, mounts)?;
        here.add_devices(layout)?;
        for pod in names(&layout.pods_dir(), Path::new("."))? {
            for target in disk::targets_of(layout, &PodUid::from(pod))? {
                let Some(dir) = Spot::published(layout, &target)?.open()? else { continue };
                here.add(&dir)?;
            }
        }
        Ok(here)
    }

    fn add_staged(&mut self, layout: &Layout, mounts: &MountTable) -> Result<(), DiskError> {
        let root = layout.staging_root();
        for driver in names(&root, Path::new("."))?.into_iter().filter(|driver| driver != DEVICES) {
            for dir in names(&root, Path::new(&driver))? {
                let path = root.join(&driver).join(&dir);
                let spot = Spot::at(layout.root_dir().join("plugins"), &path, staged_in);
                match spot.look(mounts)? {
                    seen if seen.shown.mounted && seen.whose == Whose::Nobody => {
                        self.unnamed.insert(path);
                    }
                    // The note comes before the directory in which the driver stages.
                    seen if seen.whose == Whose::Nobody => {
                        if spot.has_child()? {
                            self.unnamed.insert(path);
                        }
                    }
                    seen => self.volumes.extend(seen.whose.volume()),
                }
            }
        }
        Ok(())
    }

    /// Block volumes, which another kubelet may have left.
    fn add_devices(&mut self, layout: &Layout) -> Result<(), DiskError> {
        let plugins = layout.root_dir().join("plugins");
        let below = Path::new("kubernetes.io/csi").join(DEVICES);
        for name in names(&plugins, &below)? {
            if let Some(dir) = open(&plugins, &below.join(name).join("data"))? {
                self.add(&dir)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, dir: &linux::beneath::Root) -> Result<(), DiskError> {
        match Note::read(dir) {
            Ok(Some(Note::Staged { volume, .. })) => drop(self.volumes.insert(volume)),
            Ok(Some(Note::Published { volume, lifecycle, .. })) => {
                if lifecycle == Lifecycle::Persistent {
                    self.volumes.insert(volume);
                }
            }
            // If it is staged, its note there says more.
            Ok(None) | Err(NoteError::Content { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Target;

    fn id(driver: &str, handle: &str) -> VolumeId {
        VolumeId { driver: driver.into(), handle: handle.into() }
    }

    fn look(layout: &Layout) -> Here {
        Here::look(layout, &MountTable::read().unwrap()).unwrap()
    }

    #[test]
    fn what_is_on_disk_is_here() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = Layout::new(tmp.path().to_owned());
        assert_eq!(look(&layout), Here::default());
        let staged = id("d", "staged");
        let note = |volume: &VolumeId| Note::Staged { volume: volume.clone(), selinux_context: None };
        disk::prepare_staging(&layout, &note(&staged)).unwrap();
        for (pod, handle, lifecycle) in
            [("a", "published", Lifecycle::Persistent), ("b", "inline", Lifecycle::Ephemeral)]
        {
            let target = Target { pod: PodUid::from(pod), spec_name: "pv".into() };
            let note = Note::Published {
                volume: id("d", handle),
                spec_name: "pv".into(),
                node: "n".into(),
                lifecycle,
                selinux_context: None,
            };
            disk::prepare_target(&layout, &target, &note).unwrap();
        }
        let device = tmp.path().join("plugins/kubernetes.io/csi/volumeDevices/pv-2/data");
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(
            device.join("vol_data.json"),
            r#"{"driverName":"d","specVolID":"pv-2","volumeHandle":"device"}"#,
        )
        .unwrap();
        let here = look(&layout);
        assert_eq!(here.volumes, BTreeSet::from([id("d", "device"), id("d", "published"), staged.clone()]));
        disk::forget_staging(&layout, &staged).unwrap();
        assert!(!look(&layout).may_have(&staged, &layout));
    }

    #[test]
    fn what_nobody_can_name_may_be_any_volume_that_would_lie_there() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = Layout::new(tmp.path().to_owned());
        let (half, bad) = (id("d", "half"), id("d", "bad"));
        // A crash came before the note, and another one wrote nonsense.
        std::fs::create_dir_all(layout.staging_dir(&half)).unwrap();
        std::fs::create_dir_all(layout.staging_path(&bad)).unwrap();
        std::fs::write(layout.staging_dir(&bad).join("vol_data.json"), "{").unwrap();
        let here = look(&layout);
        assert!(here.volumes.is_empty());
        assert!(!here.may_have(&half, &layout) && here.may_have(&bad, &layout));
        assert!(!here.may_have(&id("e", "bad"), &layout));
    }
}
