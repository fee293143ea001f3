//! What FlexVolume drivers are asked.

use std::path::{Path, PathBuf};

use linux::mount;

use super::{Turns, Volumes};
use crate::command::Command;
use crate::disk::Above;
use crate::error::VolumeError;
use crate::flexvolume::{self, Answer, Capabilities, Flex, FlexError};
use crate::layout::{Device, Target};
use crate::run::{CommandError, Key};
use crate::wanted::Wanted;

impl Volumes {
    /// Asks a driver, and returns its answer. What it says counts, however it ends.
    pub(super) async fn ask(&self, key: &Key, call: &str, command: &Command) -> Result<Answer, VolumeError> {
        let error = match self.commands.run(key, command, self.config.deadline).await {
            Ok(output) => return Ok(flexvolume::answer(call, &output)?),
            Err(error) => error,
        };
        match &error {
            CommandError::NotFound { program, .. } => Err(FlexError::NoDriver(program.into()).into()),
            CommandError::Failed { output, .. } => match flexvolume::answer(call, output.exposed()) {
                Ok(Answer::NotSupported) => Ok(Answer::NotSupported),
                Err(said @ FlexError::Failed { .. }) => Err(said.into()),
                // It says nothing, or that it did what it did not.
                _ => Err(error.into()),
            },
            _ => Err(error.into()),
        }
    }

    /// What the driver can do. Asked each time: it may have been replaced by another one.
    pub(super) async fn capabilities(
        &self,
        target: &Target,
        flex: &Flex,
    ) -> Result<Capabilities, VolumeError> {
        let key = Key::of(&self.config.layout.target(target)?);
        let command = flexvolume::init(&self.config.plugin_dir, &flex.driver);
        match self.ask(&key, "init", &command).await? {
            Answer::Done { capabilities, .. } => Ok(capabilities),
            Answer::NotSupported => {
                let why = "a driver has to support init".to_owned();
                Err(FlexError::Answer { call: "init".to_owned(), why }.into())
            }
        }
    }

    /// Has the driver attach the volume, wait for its device, and mount that for all pods.
    pub(super) async fn mount_device_by_driver(
        &self,
        wanted: &Wanted,
        flex: &Flex,
        on: &Device,
        turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let key = Key::of(&self.config.layout.device(on));
        let (dir, read_only) = (&self.config.plugin_dir, wanted.read_only);
        let name = &wanted.target.spec_name;
        let device = match &wanted.device_path {
            _ if self.config.attaches => {
                let command = flex.attach(dir, name, read_only, &self.config.node);
                match self.ask(&key, "attach", &command).await? {
                    Answer::Done { device, .. } => device,
                    Answer::NotSupported => String::new(),
                }
            }
            Some(device) => device.clone(),
            None => return Err(FlexError::NotAttached(flex.driver.clone()).into()),
        };
        let wait = flex.wait(dir, name, read_only, &device);
        let device = match self.ask(&key, "waitforattach", &wait).await? {
            Answer::Done { device, .. } => device,
            Answer::NotSupported => device,
        };
        let (point, turns) = self.point_of(on, turns).await?;
        // Gone meanwhile: it is made again in the next round.
        let Some(point) = point else { return Ok(turns) };
        let mount = flex.mount_device(dir, name, read_only, &point, &device);
        match self.ask(&key, "mountdevice", &mount).await? {
            Answer::NotSupported if !device.is_empty() => {
                let ours = [if read_only { "ro" } else { "rw" }];
                let disk = Path::new(&device);
                self.format_and_mount(wanted, on, disk, &flex.fs_type, &ours, turns).await
            }
            // Without a device there is nothing to mount but what it mounts for the pod.
            _ => Ok(turns),
        }
    }

    /// Has the driver mount the volume for its pod, or shows what it has mounted for all.
    pub(super) async fn mount_by_driver(
        &self,
        wanted: &Wanted,
        flex: &Flex,
        on: Option<&Device>,
        point: PathBuf,
        turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let key = Key::of(&self.config.layout.target(&wanted.target)?);
        let group = wanted.group.map(|group| group.id);
        let (dir, name) = (&self.config.plugin_dir, &wanted.target.spec_name);
        let mount = flex.mount(dir, name, wanted.read_only, &point, group);
        match self.ask(&key, "mount", &mount).await? {
            Answer::Done { .. } => Ok(turns),
            Answer::NotSupported => {
                let (layout, of, on) = (self.config.layout.clone(), wanted.clone(), on.cloned());
                let bind = move || super::show::bind(&layout, &of, on.as_ref());
                Ok(self.blocking("mount volume", &wanted.target, turns, bind).await?.1)
            }
        }
    }

    /// Has the driver unmount what its pod had.
    pub(super) async fn unmount_by_driver(
        &self,
        target: &Target,
        driver: &str,
        point: PathBuf,
        turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let key = Key::of(&self.config.layout.target(target)?);
        let command = flexvolume::unmount(&self.config.plugin_dir, driver, &point);
        match self.ask(&key, "unmount", &command).await? {
            Answer::Done { .. } => Ok(turns),
            Answer::NotSupported => {
                let (layout, of) = (self.config.layout.clone(), target.clone());
                let unmount = move || unmounted(Above::target(&layout, &of)?);
                Ok(self.blocking("unmount volume", target, turns, unmount).await?.1)
            }
        }
    }

    /// Has the driver unmount what it has mounted for all pods.
    pub(super) async fn unmount_device_by_driver(
        &self,
        device: &Device,
        driver: &str,
        turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let key = Key::of(&self.config.layout.device(device));
        let (point, turns) = self.point_of(device, turns).await?;
        let Some(point) = point else { return Ok(turns) };
        let command = flexvolume::unmount_device(&self.config.plugin_dir, driver, &point);
        match self.ask(&key, "unmountdevice", &command).await? {
            Answer::Done { .. } => Ok(turns),
            Answer::NotSupported => {
                let (layout, of) = (self.config.layout.clone(), device.clone());
                let unmount = move || unmounted(Above::device(&layout, &of)?);
                Ok(self.blocking("unmount device", device, turns, unmount).await?.1)
            }
        }
    }

    /// Has the driver detach a volume, if nobody else has it done.
    pub(super) async fn detach_by_driver(&self, device: &Device, driver: &str) -> Result<(), VolumeError> {
        if self.config.attaches {
            let key = Key::of(&self.config.layout.device(device));
            let dir = &self.config.plugin_dir;
            let command = flexvolume::detach(dir, driver, device.name(), &self.config.node);
            self.ask(&key, "detach", &command).await?;
        }
        Ok(())
    }

    /// Where the device is mounted, as the mount table has it; none if its directory is not there.
    pub(super) async fn point_of(
        &self,
        device: &Device,
        turns: Turns,
    ) -> Result<(Option<PathBuf>, Turns), VolumeError> {
        let (layout, of) = (self.config.layout.clone(), device.clone());
        let find = move || Ok(Above::device(&layout, &of)?.map(|above| above.point));
        self.blocking("find directory", device, turns, find).await
    }
}

/// Unmounts what is mounted there; nothing is fine.
pub(super) fn unmounted(above: Option<Above>) -> Result<(), VolumeError> {
    let Some(above) = above else { return Ok(()) };
    match mount::unmount(&above.path()) {
        Err(error) if !error.is_gone() => Err(mount::MountError { path: above.point, ..error }.into()),
        _ => Ok(()),
    }
}
