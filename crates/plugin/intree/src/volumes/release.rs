//! Releasing a device that no pod has any more.

use volume::claim::VolumeMode;

use super::driver::unmounted;
use super::{Turns, Volumes};
use crate::disk::{self, Above};
use crate::error::VolumeError;
use crate::layout::{Device, Plugin, Target};
use crate::plan::{self, DeviceShown, Step};
use crate::run::{CommandError, Key};

impl Volumes {
    /// Unmounts and detaches `device`, unless somebody else has it than `but_for`.
    pub(super) async fn release(
        &self,
        device: &Device,
        but_for: Option<&Target>,
        mut turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let mut done = Vec::new();
        loop {
            let (layout, commands) = (self.config.layout.clone(), self.commands.clone());
            let (of, its) = (device.clone(), but_for.cloned());
            let (shown, running);
            ((shown, running), turns) = self
                .blocking("look at device", device, turns, move || {
                    let ([running], mounts) = commands.look([Some(Key::of(&layout.device(&of)))])?;
                    Ok((disk::look_device(&layout, &of, &mounts, its.as_ref())?, running))
                })
                .await?;
            let Some(step) = plan::release(DeviceShown { busy: running.is_some(), ..shown }) else {
                return Ok(turns);
            };
            if done.contains(&step) {
                return Err(VolumeError::NoEffect { step, target: device.to_string() });
            }
            done.push(step);
            tracing::debug!(%device, ?step, "A step of a device");
            turns = match step {
                Step::UnmountDevice => self.unmount_device(device, turns).await?,
                Step::RemoveDevice => self.remove_device(device, turns).await?,
                _ => return Err(CommandError::StillRuns(running.unwrap_or_default()).into()),
            };
        }
    }

    pub(super) async fn unmount_device(&self, device: &Device, turns: Turns) -> Result<Turns, VolumeError> {
        if let Some(Plugin::Flex(driver)) = device.plugin() {
            return self.unmount_device_by_driver(device, &driver, turns).await;
        }
        let (layout, of) = (self.config.layout.clone(), device.clone());
        let unmount = move || unmounted(Above::device(&layout, &of)?);
        Ok(self.blocking("unmount device", device, turns, unmount).await?.1)
    }

    /// Detaches the device. Its directory goes last: until then it says that there is something to detach.
    async fn remove_device(&self, device: &Device, mut turns: Turns) -> Result<Turns, VolumeError> {
        if device.mode() == VolumeMode::Block {
            let (layout, of) = (self.config.layout.clone(), device.clone());
            let let_go = move || Ok(disk::devices::let_go_of_all(&layout, &of)?);
            ((), turns) = self.blocking("let go of device", device, turns, let_go).await?;
        }
        let turns = match device.plugin() {
            Some(Plugin::Iscsi) => return self.detach_iscsi(device, turns).await,
            Some(Plugin::Fc) => self.detach_fc(device, turns).await?,
            Some(Plugin::Flex(driver)) => {
                self.detach_by_driver(device, &driver).await?;
                turns
            }
            _ => turns,
        };
        let (layout, of) = (self.config.layout.clone(), device.clone());
        let remove = move || Ok(disk::remove_device(&layout, &of)?);
        Ok(self.blocking("remove directory", device, turns, remove).await?.1)
    }
}
