//! Taking a volume away from a pod.

use std::path::{Path, PathBuf};
use std::time::Duration;

use linux::mountinfo::MountTable;
use volume::claim::VolumeMode;

use super::driver::unmounted;
use super::{Turns, Volumes, keys};
use crate::disk::{self, Above, Note, Seen};
use crate::error::VolumeError;
use crate::layout::{Plugin, Target};
use crate::plan::{self, Step, TargetShown};
use crate::run::CommandError;
use crate::{nfs, refs};

/// After how long a file system of the network is unmounted by force.
const PATIENCE: Duration = Duration::from_secs(60);

impl Volumes {
    /// Takes `target` away, and releases its device if nobody else has it.
    pub(super) async fn leave(&self, target: &Target) -> Result<(), VolumeError> {
        let turn = self.targets.turn(target).await;
        let (seen, turns) = self.hide(target, Turns { device: None, target: Some(turn) }).await?;
        // The turn for a device is taken first.
        drop(turns);
        let device_turn = match &seen.device {
            Some(device) => Some(self.devices.turn(&device.key()).await),
            None => None,
        };
        let turns = Turns { device: device_turn, target: Some(self.targets.turn(target).await) };
        let mut turns = turns;
        if let Some(device) = &seen.device {
            turns = self.release(device, Some(target), turns).await?;
        }
        let (layout, of) = (self.config.layout.clone(), target.clone());
        // Somebody may have begun to show it again.
        let forget = move || {
            let mounts = MountTable::read()?;
            let now = disk::look_target(&layout, &of, &mounts)?;
            if !now.shown.directory {
                disk::forget(&layout, &of)?;
            }
            Ok(())
        };
        self.blocking("forget volume", target, turns, forget).await?;
        Ok(())
    }

    /// Does one step after the other until nothing but the note is left; returns what is left.
    async fn hide(&self, target: &Target, mut turns: Turns) -> Result<(Seen, Turns), VolumeError> {
        let mut done = Vec::new();
        loop {
            let (seen, running);
            ((seen, running), turns) = self.look_again(target, turns).await?;
            // What a driver has made need not be a mount.
            let is_driven = matches!(target.plugin, Plugin::Flex(_)) && !done.contains(&Step::Unmount);
            let mounted = match target.mode {
                VolumeMode::Filesystem => seen.shown.mounted || is_driven && seen.shown.directory,
                // A link leads to the disk, and holds nothing.
                VolumeMode::Block => seen.held,
            };
            let shown = TargetShown { busy: running.is_some(), mounted, ..seen.shown };
            let Some(step) = plan::hide(shown) else { return Ok((seen, turns)) };
            // What lies on one another is unmounted one after the other.
            let again = done.iter().filter(|before| **before == step).count();
            if again > if step == Step::Unmount { 8 } else { 0 } {
                return Err(VolumeError::NoEffect { step, target: target.to_string() });
            }
            done.push(step);
            tracing::debug!(volume = %target, ?step, "A step of a mounted volume");
            let (layout, of) = (self.config.layout.clone(), target.clone());
            let device = seen.device;
            turns = match (step, seen.point) {
                (Step::Note, _) => {
                    let note = move || {
                        let mounts = MountTable::read()?;
                        let device = disk::device_of(&layout, &of, &mounts)?;
                        Ok(disk::note(&layout, &of, &Note { device, ..Note::default() })?)
                    };
                    self.blocking("note volume", target, turns, note).await?.1
                }
                (Step::Unmark, _) => {
                    let unmark = move || Ok(disk::unmark(&layout, &of)?);
                    self.blocking("remove mark", target, turns, unmark).await?.1
                }
                (Step::Unmount, _) if target.mode == VolumeMode::Block => {
                    let let_go = move || match device {
                        Some(device) => Ok(disk::devices::let_go(&layout, &device, &of.pod)?),
                        None => Ok(()),
                    };
                    self.blocking("let go of device", target, turns, let_go).await?.1
                }
                (Step::Unmount, Some(point)) => match &target.plugin {
                    Plugin::Nfs => self.unmount_of_network(target, point, turns).await?,
                    Plugin::Flex(driver) => self.unmount_by_driver(target, driver, point, turns).await?,
                    _ => {
                        let unmount = move || unmounted(Above::target(&layout, &of)?);
                        self.blocking("unmount volume", target, turns, unmount).await?.1
                    }
                },
                (Step::RemoveTarget, _) => {
                    let remove = move || Ok(disk::remove_target(&layout, &of)?);
                    self.blocking("remove directory", target, turns, remove).await?.1
                }
                (Step::Await, _) => {
                    return Err(CommandError::StillRuns(running.unwrap_or_default()).into());
                }
                // The others are not done to hide a volume.
                _ => turns,
            };
        }
    }

    async fn look_again(
        &self,
        target: &Target,
        turns: Turns,
    ) -> Result<((Seen, Option<String>), Turns), VolumeError> {
        let (layout, commands, of) = (self.config.layout.clone(), self.commands.clone(), target.clone());
        self.blocking("look at volume", target, turns, move || {
            let ([runs, unmounts], mounts) = commands.look(keys(&layout, &of)?.map(Some))?;
            Ok((disk::look_target(&layout, &of, &mounts)?, runs.or(unmounts)))
        })
        .await
    }

    /// Unmounts what is at `point`.
    async fn unmount_of_network(
        &self,
        target: &Target,
        point: PathBuf,
        turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let (is_done, turns) = self.unmount_if_shared(target, &point, turns).await?;
        if is_done { Ok(turns) } else { self.unmount_by_command(target, point, turns).await }
    }

    /// Unmounts what is at `point` if others have the same file system mounted: the server need not be told, and must not be
    /// waited for, since by force their writing would be ended too. Returns whether it did.
    async fn unmount_if_shared(
        &self,
        target: &Target,
        point: &Path,
        turns: Turns,
    ) -> Result<(bool, Turns), VolumeError> {
        let (layout, of, at) = (self.config.layout.clone(), target.clone(), point.to_owned());
        let unmount = move || {
            let is_shared = refs::is_shared(&MountTable::read()?, &at);
            if is_shared {
                unmounted(Above::target(&layout, &of)?)?;
            }
            Ok(is_shared)
        };
        self.blocking("unmount volume", target, turns, unmount).await
    }

    /// Unmounts what is at `point`, by force if that takes long: its server may be away.
    async fn unmount_by_command(
        &self,
        target: &Target,
        point: PathBuf,
        mut turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let [plain, forced] = keys(&self.config.layout, target)?;
        let patience = PATIENCE.min(self.config.deadline / 2);
        let mut unmounted = self.commands.run_or_kill(&plain, &nfs::unmount(&point, false), patience).await;
        if matches!(unmounted, Err(CommandError::Late { .. })) {
            // Another pod may have got it since.
            let is_done;
            (is_done, turns) = self.unmount_if_shared(target, &point, turns).await?;
            if is_done {
                return Ok(turns);
            }
            tracing::warn!(volume = %target, "A file system does not answer and is unmounted by force");
            unmounted = self.commands.run(&forced, &nfs::unmount(&point, true), patience).await;
        }
        let Err(error) = unmounted else { return Ok(turns) };
        // It may have gone together with another one, or by itself.
        let is_gone = move || Ok(!MountTable::read()?.is_mount_point(&point));
        let (is_gone, turns) = self.blocking("look at volume", target, turns, is_gone).await?;
        if is_gone { Ok(turns) } else { Err(error.into()) }
    }
}
