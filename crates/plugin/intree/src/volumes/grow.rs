//! Having the file system of a volume fill what the volume has grown to (Kubernetes: "Expanding Persistent Volumes Claims"): of
//! local volumes that are disks, and of those of FlexVolume drivers.

use std::path::{Path, PathBuf};

use linux::mountinfo::MountTable;
use types::corev1::PersistentVolume;
use types::{Pod, PodUid};
use volume::claim::VolumeMode;

use super::{Turns, Volumes};
use crate::disk::{self, Above};
use crate::error::VolumeError;
use crate::flexvolume::{Answer, Flex};
use crate::format::{self, Content};
use crate::layout::{Plugin, Target};
use crate::run::Key;
use crate::spec::{self, Source, SpecError};
use crate::wanted::Kind;

/// How a volume has to grow.
#[derive(Clone, Debug)]
pub struct Growth {
    target: Target,
    kind: Kind,
    /// To which size, and from which, in bytes.
    sizes: [u64; 2],
}

impl Growth {
    /// The growth of `volume`, which `pod` has, to the first of `sizes` and from the second, in bytes.
    ///
    /// # Errors
    /// If it is of no kind that is made here.
    pub fn of(volume: &PersistentVolume, pod: &PodUid, sizes: [u64; 2]) -> Result<Self, SpecError> {
        let spec_name = volume.metadata.name.clone().unwrap_or_default();
        let source = Source::Persistent { volume, name: &spec_name, read_only: false };
        // Of the pod a driver is told nothing here.
        let (plugin, kind, _) = spec::kind(&Pod::default(), source, None, &spec_name)?;
        let target = Target { pod: pod.clone(), plugin, mode: VolumeMode::of(volume), spec_name };
        Ok(Self { target, kind, sizes })
    }
}

/// What is there of a volume that is to grow.
struct Place {
    /// Where it is mounted: its device if it is on one, else the volume of the pod.
    point: PathBuf,
    /// The disk, if the whole of a device is mounted.
    disk: Option<PathBuf>,
}

impl Volumes {
    /// The PersistentVolume that the pod calls `name`, if it is here, whole and of a kind that has something to do on nodes when
    /// volumes grow.
    pub async fn expandable(&self, pod: &PodUid, name: &str) -> Option<String> {
        let target = self.shown(pod, name).await?.target;
        matches!(target.plugin, Plugin::Local | Plugin::Flex(_)).then_some(target.spec_name)
    }

    /// Makes the file system of a volume grow, which a pod has. What the pod does not have (any more), a directory of the node,
    /// and a disk that the pod has as a device stay as they are. Doing it again is the same as once. May be dropped at any time.
    ///
    /// # Errors
    /// If it cannot, or has not yet.
    pub async fn expand(&self, growth: &Growth) -> Result<(), VolumeError> {
        let Growth { target, kind, .. } = growth;
        if target.mode == VolumeMode::Block {
            return Ok(());
        }
        let device = kind.device(target);
        let device_turn = match &device {
            Some(device) => Some(self.devices.turn(&device.key()).await),
            None => None,
        };
        let turns = Turns { device: device_turn, target: Some(self.targets.turn(target).await) };
        let (layout, of, on) = (self.config.layout.clone(), target.clone(), device.clone());
        let find = move || {
            let mounts = MountTable::read()?;
            let seen = disk::look_target(&layout, &of, &mounts)?;
            let Some(point) = seen.point.filter(|_| seen.shown.mounted && seen.shown.marked) else {
                return Ok(None);
            };
            let above = on.as_ref().map(|on| Above::device(&layout, on)).transpose()?.flatten();
            let mounted = above.and_then(|above| Some((mounts.at(&above.point)?, above.point)));
            Ok(Some(match mounted {
                // A part of a file system is somebody else's.
                Some((mount, point)) => {
                    let whole = mount.root == Path::new("/");
                    Place { point, disk: whole.then(|| PathBuf::from(&mount.source)) }
                }
                None => Place { point, disk: None },
            }))
        };
        let (place, _turns) = self.blocking("look at volume", target, turns, find).await?;
        let Some(place) = place else { return Ok(()) };
        let at = match &device {
            Some(device) => self.config.layout.device(device),
            None => self.config.layout.target(target)?,
        };
        let key = Key::of(&at);
        match kind {
            Kind::Local(local) if place.disk.is_some() => {
                self.resize(&key, &local.source(), &place.point).await
            }
            Kind::Flex(flex) => self.expand_by_driver(growth, flex, &key, &place).await,
            _ => Ok(()),
        }
    }

    async fn expand_by_driver(
        &self,
        growth: &Growth,
        flex: &Flex,
        key: &Key,
        place: &Place,
    ) -> Result<(), VolumeError> {
        if !self.capabilities(&growth.target, flex).await?.resizes {
            return Ok(());
        }
        let (dir, name) = (&self.config.plugin_dir, &growth.target.spec_name);
        // What is no path is no device.
        let disk = place.disk.as_deref().filter(|disk| disk.is_absolute());
        let told = disk.unwrap_or(Path::new(""));
        let command = flex.expand(dir, name, told, &place.point, growth.sizes);
        match (self.ask(key, "expandfs", &command).await?, disk) {
            (Answer::NotSupported, Some(disk)) => self.resize(key, disk, &place.point).await,
            _ => Ok(()),
        }
    }

    /// Makes the file system of `disk`, which is mounted at `point`, as large as that.
    async fn resize(&self, key: &Key, disk: &Path, point: &Path) -> Result<(), VolumeError> {
        let deadline = self.config.deadline;
        let content = match self.commands.run(key, &format::probe(disk), deadline).await {
            Ok(output) => format::content(&output)?,
            Err(error) if error.status() == Some(format::FOUND_NOTHING) => Content::Nothing,
            Err(error) => return Err(error.into()),
        };
        if let Some(command) = format::resize(disk, point, &content)? {
            self.commands.run(key, &command, deadline).await?;
        }
        Ok(())
    }
}
