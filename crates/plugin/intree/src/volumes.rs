//! The mounted volumes of all pods: shown to them, and taken away.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use linux::mountinfo::MountTable;
use task::blocking::{self, Abandoned};
use task::events::Recorder;
use tokio::sync::watch;
use tokio::time::timeout;
use types::reason::event;
use types::{Event, PodUid};
use volume::Onlooker;

use crate::disk::{self, DiskError, Here};
use crate::error::{TakeDownError, VolumeError};
use crate::layout::{Device, Layout, Target};
use crate::machine::Machine;
use crate::owner::{Owners, Turn};
use crate::portals::Portals;
use crate::run::{Commands, Key};
use crate::wanted::{Kind, Wanted};

pub use grow::Growth;

mod attach;
mod driver;
mod grow;
mod hide;
mod release;
mod show;

/// What [`Volumes`] has to know about the node.
#[derive(Clone, Debug)]
pub struct VolumesConfig {
    /// Where everything is.
    pub layout: Layout,
    /// Where programs are looked for, as in `PATH`.
    pub search_path: OsString,
    /// Where the kernel and udev show disks.
    pub machine: Machine,
    /// Where FlexVolume drivers are (`volumePluginDir`).
    pub plugin_dir: PathBuf,
    /// The node's name.
    pub node: String,
    /// Whether FlexVolume drivers are asked here to attach volumes: no control plane does it.
    pub attaches: bool,
    /// How long the kernel, a command, or giving files to a group may take before it is waited for no longer.
    pub deadline: Duration,
    /// Where events go.
    pub recorder: Recorder,
}

/// The mounted volumes of all pods. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Volumes {
    config: Arc<VolumesConfig>,
    commands: Commands,
    targets: Owners<Target>,
    /// By [`Device::key`].
    devices: Owners<Device>,
    /// Sessions with iSCSI targets, by the target's name.
    sessions: Owners<String>,
    portals: Portals,
}

/// A volume that is there and whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Which.
    pub target: Target,
    /// Its path on the node.
    pub path: PathBuf,
    /// Whether it is mounted with an SELinux label.
    pub labelled: bool,
}

/// The rights to work on a volume and on its device. They go along to threads that may outlive their caller. Taken in this
/// order.
#[derive(Debug)]
struct Turns {
    #[expect(dead_code, reason = "it is held")]
    device: Option<Turn>,
    #[expect(dead_code, reason = "it is held")]
    target: Option<Turn>,
}

/// For what commands at a volume are run: all but one, and the one that unmounts by force, which does not wait for another
/// that hangs.
fn keys(layout: &Layout, target: &Target) -> Result<[Key; 2], DiskError> {
    let path = layout.target(target)?;
    Ok([Key::of(&path), Key::of(&path.join("by force"))])
}

impl Volumes {
    /// The volumes of the node that `config` describes.
    #[must_use]
    pub fn new(config: VolumesConfig) -> Self {
        let commands = Commands::new(config.layout.commands_dir(), config.search_path.clone());
        Self {
            config: Arc::new(config),
            commands,
            targets: Owners::default(),
            devices: Owners::default(),
            sessions: Owners::default(),
            portals: Portals::default(),
        }
    }

    /// The volume that the pod calls `name`, if it is there and whole; asks nobody, and touches nothing that is mounted. What
    /// cannot be looked at is not there.
    pub async fn shown(&self, pod: &PodUid, name: &str) -> Option<Shown> {
        let (layout, of, called) = (self.config.layout.clone(), pod.clone(), name.to_owned());
        let about = format!("{name} of pod {pod}");
        let found = self.blocking("look for volume", &about, Turns::none(), move || {
            let mounts = MountTable::read()?;
            for target in disk::targets_of(&layout, &of)? {
                let seen = disk::look_target(&layout, &target, &mounts)?;
                if seen.name.as_deref() == Some(&called) && seen.shown.mounted && seen.shown.noted {
                    let path = layout.target(&target)?;
                    let point = seen.point.as_deref();
                    let labelled = point.is_some_and(|at| disk::mounted_label(&mounts, at).is_some());
                    return Ok(Some(Shown { target, path, labelled }));
                }
            }
            Ok(None)
        });
        match found.await {
            Ok((found, _)) => found,
            Err(error) => {
                tracing::debug!(%pod, name, error = %telemetry::chain(&error), "A volume cannot be looked at");
                None
            }
        }
    }

    /// How many commands ended that were waited for no longer, as that changes: what they held up may be tried again.
    #[must_use]
    pub fn late_ends(&self) -> watch::Receiver<u64> {
        self.commands.late_ends()
    }

    /// Shows a volume to a pod, and returns the path for its containers. One that is there already stays as it is: so this
    /// can be called before each start of a container and after a restart of berth. May be dropped at any time.
    ///
    /// # Errors
    /// If it cannot be done now. What was done is noted on disk, and [`Volumes::take_down`] finds it.
    pub async fn prepare(&self, wanted: &Wanted) -> Result<PathBuf, VolumeError> {
        let device = match wanted.device() {
            Some(device) => Some(self.devices.turn(&device.key()).await),
            None => None,
        };
        let target = Some(self.targets.turn(&wanted.target).await);
        let shown = self.show(wanted, Turns { device, target }).await;
        shown.inspect_err(|error| self.tell_mismatch(wanted, error))?;
        Ok(self.config.layout.target(&wanted.target)?)
    }

    /// Tells whoever looks at the PersistentVolume that what it says of its file system is not so.
    fn tell_mismatch(&self, wanted: &Wanted, error: &VolumeError) {
        let (VolumeError::Mismatch { .. }, Some(volume)) = (error, &wanted.persistent) else { return };
        let text = format!("MountVolume failed for volume {:?} {}", volume.name, telemetry::chain(error));
        let reason = event::FAILED_MOUNT_ON_FILESYSTEM_MISMATCH;
        self.config.recorder.record(Event::warning(&wanted.pod, reason, text).about_storage(volume));
    }

    /// Takes all volumes of the pod away, which no container uses any more, and releases the devices that no pod has then.
    /// Returns whether there were any. `onlooker` is told which are waited for.
    ///
    /// # Errors
    /// Which volumes could not be taken away. One that hangs holds up no other.
    pub async fn take_down(&self, pod: &PodUid, onlooker: &dyn Onlooker) -> Result<bool, TakeDownError> {
        let (layout, of) = (self.config.layout.clone(), pod.clone());
        let found =
            self.blocking("list volumes", pod, Turns::none(), move || Ok(disk::targets_of(&layout, &of)?));
        let failed = |failures| TakeDownError { pod: pod.clone(), failures };
        let (found, _) = found.await.map_err(|error| failed(vec![(None, error)]))?;
        let any = !found.is_empty();
        let leaving = found.into_iter().map(async |target| {
            let what = format!("volume {:?} to be unmounted and released", target.spec_name);
            onlooker.waits_for(&target.spec_name, Some(what));
            let left = self.leave(&target).await;
            onlooker.waits_for(&target.spec_name, None);
            left.err().map(|error| (Some(target), error))
        });
        let failures: Vec<_> = futures::future::join_all(leaving).await.into_iter().flatten().collect();
        if failures.is_empty() { Ok(any) } else { Err(failed(failures)) }
    }

    /// Releases the devices that are there for nobody: what a crash left.
    ///
    /// Returns which devices could not be released, and why.
    ///
    /// # Errors
    /// If it cannot be seen which there are.
    pub async fn reclaim(&self) -> Result<Vec<(Device, VolumeError)>, VolumeError> {
        let layout = self.config.layout.clone();
        let found =
            self.blocking("list devices", &"devices", Turns::none(), move || Ok(disk::devices(&layout)?));
        let (found, _) = found.await?;
        let unwanted = found.into_iter().map(async |device| {
            // A thread that hangs keeps its device, and must not hold up the others.
            let (what, deadline) = ("release device", self.config.deadline);
            let released = match timeout(deadline, self.devices.turn(&device.key())).await {
                Ok(turn) => {
                    let turns = Turns { device: Some(turn), target: None };
                    self.release(&device, None, turns).await.map(drop)
                }
                Err(_) => {
                    let source = Abandoned::Late { what, deadline };
                    Err(VolumeError::Hung { target: device.to_string(), source })
                }
            };
            released.err().map(|error| (device, error))
        });
        Ok(futures::future::join_all(unwanted).await.into_iter().flatten().collect())
    }

    /// What is here of volumes that the control plane attaches.
    ///
    /// # Errors
    /// If that cannot be seen.
    pub async fn here(&self) -> Result<Here, VolumeError> {
        let layout = self.config.layout.clone();
        let look = move || Ok(disk::here(&layout)?);
        Ok(self.blocking("list volumes", &"all pods", Turns::none(), look).await?.0)
    }

    /// Whether the control plane attaches the volume to the node before it is here: those of networks, and those of the
    /// FlexVolume drivers that say so.
    ///
    /// # Errors
    /// If the driver does not say.
    pub async fn is_attached(&self, wanted: &Wanted) -> Result<bool, VolumeError> {
        match &wanted.kind {
            Kind::Local(_) | Kind::Nfs(_) => Ok(false),
            Kind::Iscsi(_) | Kind::Fc(_) => Ok(true),
            Kind::Flex(flex) => Ok(self.capabilities(&wanted.target, flex).await?.attach),
        }
    }

    /// Runs `call` on a thread that has the turns for as long as it runs. `of` is whose volume it is about.
    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        of: &impl ToString,
        turns: Turns,
        call: impl FnOnce() -> Result<T, VolumeError> + Send + 'static,
    ) -> Result<(T, Turns), VolumeError> {
        let target = of.to_string();
        let called = blocking::with_deadline(what, &target, self.config.deadline, move || (call(), turns));
        let called = called.await;
        let hung = |source| VolumeError::Hung { target, source };
        let (result, turns) = called.map_err(hung)?;
        Ok((result?, turns))
    }
}

impl Turns {
    fn none() -> Self {
        Self { device: None, target: None }
    }
}

#[cfg(test)]
mod tests;
