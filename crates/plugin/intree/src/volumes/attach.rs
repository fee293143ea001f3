//! Attaching disks of iSCSI targets and of Fibre Channel networks, and detaching them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linux::mountinfo::MountTable;
use tokio::time::{Instant, sleep};
use volume::claim::VolumeMode;

use super::{Turns, Volumes};
use crate::command::Command;
use crate::disk;
use crate::error::VolumeError;
use crate::fc::{self, Naming, NoDisk};
use crate::iscsi::{self, Attached, Disk, Iface, IscsiError};
use crate::layout::Device;
use crate::machine::{Machine, Session};
use crate::owner::Turn;
use crate::run::{CommandError, Key};

/// The note of other kubelets beside a disk of an iSCSI target. What is mounted hides it.
const ISCSI_NOTE: &str = "iscsi.json";

/// The pause between two looks for a disk.
const PAUSE: Duration = Duration::from_secs(1);

/// What is worked with while a disk is attached.
struct Attaching<'a> {
    volumes: &'a Volumes,
    disk: &'a Disk,
    on: &'a Device,
    key: Key,
}

/// For what sessions with the target `iqn` are begun and ended.
fn sessions_key(iqn: &str) -> Key {
    Key::of(Path::new(&format!("iSCSI sessions with {iqn}")))
}

impl Volumes {
    /// Waits for the right to begin and to end sessions with the target `iqn`.
    ///
    /// # Errors
    /// If a command still does, of an earlier life or one that was waited for no longer: it may end the session that another
    /// disk is about to be had by.
    async fn sessions_turn(&self, iqn: &String) -> Result<Turn, VolumeError> {
        let turn = self.sessions.turn(iqn).await;
        match self.commands.running(&sessions_key(iqn))? {
            Some(running) => Err(CommandError::StillRuns(running).into()),
            None => Ok(turn),
        }
    }

    /// Attaches a disk of an iSCSI target, and returns where it is. Goes on when this is dropped: with a path that leads
    /// nowhere it takes longer than a pod's round of work.
    pub(super) async fn attach_iscsi(
        &self,
        disk: &Disk,
        on: &Device,
        turns: Turns,
    ) -> Result<(PathBuf, Turns), VolumeError> {
        let (volumes, disk, on) = (self.clone(), disk.clone(), on.clone());
        let attached = tokio::spawn(async move {
            let key = Key::of(&volumes.config.layout.device(&on));
            Attaching { volumes: &volumes, disk: &disk, on: &on, key }.attach(turns).await
        });
        match attached.await {
            Ok(attached) => attached,
            Err(error) => Err(IscsiError::NoPath(error.to_string()).into()),
        }
    }

    /// Detaches the disk of `device`, and ends those of its sessions that nobody else uses.
    pub(super) async fn detach_iscsi(&self, device: &Device, turns: Turns) -> Result<Turns, VolumeError> {
        let (layout, of) = (self.config.layout.clone(), device.clone());
        let read = move || Ok(disk::read_beside(&layout, &of, ISCSI_NOTE)?);
        let (note, mut turns) = self.blocking("read note", device, turns, read).await?;
        let attached = note.and_then(|note| Attached::by_note(&note)).or_else(|| Attached::by_device(device));
        if let Some(attached) = attached {
            // Until the directory is gone: it counts.
            let _session = self.sessions_turn(&attached.iqn).await?;
            let is_gone;
            (is_gone, turns) = self.detach_disk(device, &attached, turns).await?;
            turns = self.end_sessions(device, &attached, is_gone, turns).await?;
            return self.forget_disk(device, turns).await;
        }
        self.forget_disk(device, turns).await
    }

    async fn forget_disk(&self, device: &Device, turns: Turns) -> Result<Turns, VolumeError> {
        let (layout, of) = (self.config.layout.clone(), device.clone());
        let remove = move || {
            disk::remove_beside(&layout, &of, ISCSI_NOTE)?;
            Ok(disk::remove_device(&layout, &of)?)
        };
        Ok(self.blocking("remove directory", device, turns, remove).await?.1)
    }

    /// Has the kernel forget the disk, unless others have it, by whichever portal and in whichever mode: whoever comes last
    /// detaches it. Returns whether it is gone.
    async fn detach_disk(
        &self,
        device: &Device,
        attached: &Attached,
        turns: Turns,
    ) -> Result<(bool, Turns), VolumeError> {
        let (Some(lun), Some(same)) = (attached.lun, attached.same_disk()) else { return Ok((false, turns)) };
        let layout = self.config.layout.clone();
        let count = move || Ok(disk::count_of_disk(&layout, &same)?);
        let (count, mut turns) = self.blocking("count disks", device, turns, count).await?;
        if count > 1 {
            return Ok((false, turns));
        }
        let (machine, of) = (self.config.machine.clone(), attached.clone());
        let find = move || {
            let mut devices = Vec::new();
            for session in of.sessions(&machine)? {
                devices.extend(machine.iscsi_disk(&session, lun)?);
            }
            let mut joined: Vec<_> =
                devices.iter().filter_map(|name| machine.multipath_of(&machine.dev.join(name))).collect();
            joined.sort_unstable();
            joined.dedup();
            let all =
                devices.iter().cloned().chain(joined.iter().filter_map(|path| machine.device_name(path)));
            refuse_mounted(&machine, all)?;
            Ok((devices, joined))
        };
        let (devices, joined);
        ((devices, joined), turns) = self.blocking("find disk", device, turns, find).await?;
        let key = Key::of(&self.config.layout.device(device));
        for joined in joined {
            // While the device that joins them is there, its paths are not taken away.
            self.commands.run(&key, &fc::flush_multipath(&joined), self.config.deadline).await?;
        }
        Ok((true, self.delete(device, devices, turns).await?))
    }

    /// Has the kernel forget these disks, if nobody has claimed one.
    async fn delete(&self, device: &Device, disks: Vec<String>, turns: Turns) -> Result<Turns, VolumeError> {
        let machine = self.config.machine.clone();
        let delete = move || {
            if let Some(disk) = disks.iter().find(|disk| machine.is_claimed(disk)) {
                return Err(VolumeError::Claimed { disk: disk.clone() });
            }
            Ok(disks.iter().try_for_each(|name| machine.delete(name))?)
        };
        Ok(self.blocking("delete disk", device, turns, delete).await?.1)
    }

    /// Ends the sessions of a disk, which is gone or not, that were begun for volumes, and in which there is no other disk.
    async fn end_sessions(
        &self,
        device: &Device,
        attached: &Attached,
        is_gone: bool,
        mut turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let (layout, session) = (self.config.layout.clone(), attached.session());
        let count = move || Ok(disk::count_of_session(&layout, &session)?);
        let disks;
        (disks, turns) = self.blocking("count disks", device, turns, count).await?;
        if disks > 1 {
            return Ok(turns);
        }
        let (machine, of) = (self.config.machine.clone(), attached.clone());
        let look = move || Ok(of.sessions(&machine)?.is_empty());
        let has_none;
        (has_none, turns) = self.blocking("look for sessions", device, turns, look).await?;
        let key = Key::of(&self.config.layout.device(device));
        let of_sessions = sessions_key(&attached.iqn);
        for portal in &attached.portals {
            let shown = match self.commands.run(&key, &attached.show(portal), self.config.deadline).await {
                Err(error) if iscsi::is_ended_already(error.status()) => continue,
                // The program was never there, and has begun none: the pod need not wait for it.
                Err(CommandError::NotFound { .. }) if has_none => return Ok(turns),
                shown => shown?,
            };
            let (machine, of, at) = (self.config.machine.clone(), attached.clone(), portal.clone());
            let look = move || {
                let sessions =
                    of.sessions(&machine)?.into_iter().filter(|session| session.is_with([&at].into_iter()));
                let mut disks = Vec::new();
                for session in sessions {
                    let gone = match of.lun.filter(|_| is_gone) {
                        Some(lun) => machine.iscsi_disk(&session, lun)?,
                        None => None,
                    };
                    let left = machine.iscsi_disks(&session)?.into_iter();
                    disks.extend(left.filter(|name| gone.as_ref() != Some(name)));
                }
                Ok(disks)
            };
            let disks;
            (disks, turns) = self.blocking("look for disks", device, turns, look).await?;
            if !disks.is_empty() || iscsi::is_of_others(&shown) {
                tracing::info!(%device, portal, ?disks, "An iSCSI session is kept: others use it, or have begun it");
                continue;
            }
            for command in attached.log_out(portal) {
                match self.commands.run(&of_sessions, &command, self.config.deadline).await {
                    Err(error) if iscsi::is_ended_already(error.status()) => {}
                    ended => drop(ended?),
                }
            }
        }
        if let Some(command) = attached.delete_iface() {
            match self.commands.run(&key, &command, self.config.deadline).await {
                Err(error) if iscsi::is_ended_already(error.status()) => {}
                ended => drop(ended?),
            }
        }
        Ok(turns)
    }

    /// Whether pods that get the disk in the other mode have it or may have it. Whoever comes last detaches it.
    async fn is_shared(&self, device: &Device, turns: Turns) -> Result<(bool, Turns), VolumeError> {
        let Some(twin) = device.twin() else { return Ok((false, turns)) };
        let layout = self.config.layout.clone();
        let look = move || Ok(disk::has_device(&layout, &twin)?);
        self.blocking("look at device", device, turns, look).await
    }

    /// Finds a disk of a Fibre Channel network. For pods that get it as a device it is what always leads to this disk, if
    /// there is such a link.
    pub(super) async fn attach_fc(
        &self,
        disk: &fc::Disk,
        on: &Device,
        turns: Turns,
    ) -> Result<(PathBuf, Turns), VolumeError> {
        let (machine, naming) = (self.config.machine.clone(), disk.naming.clone());
        let is_device = on.mode() == VolumeMode::Block;
        let find = move || {
            let found = match search(&machine, &naming)? {
                // One path may be all that is seen yet.
                (_, Some(joined)) => Some(joined),
                _ => {
                    machine.scan()?;
                    let (one, joined) = search(&machine, &naming)?;
                    joined.or(one)
                }
            };
            let found = found.ok_or(NoDisk { links: naming.links() })?;
            // What the kernel calls it outlives the link.
            Ok(if is_device { found } else { std::fs::canonicalize(&found).unwrap_or(found) })
        };
        self.blocking("find disk", on, turns, find).await
    }

    /// Detaches the disk of `device`.
    pub(super) async fn detach_fc(&self, device: &Device, turns: Turns) -> Result<Turns, VolumeError> {
        let Some(naming) = Naming::of_device(device) else { return Ok(turns) };
        let (is_shared, turns) = self.is_shared(device, turns).await?;
        if is_shared {
            return Ok(turns);
        }
        let machine = self.config.machine.clone();
        let find = move || {
            let (one, joined) = search(&machine, &naming)?;
            let joined_name = joined.as_ref().and_then(|path| machine.device_name(path));
            let paths = match &joined_name {
                Some(name) => machine.joined_by(name)?,
                None => one.iter().filter_map(|path| machine.device_name(path)).collect(),
            };
            refuse_mounted(&machine, paths.iter().cloned().chain(joined_name))?;
            Ok((paths, joined))
        };
        let ((paths, joined), turns) = self.blocking("find disk", device, turns, find).await?;
        let key = Key::of(&self.config.layout.device(device));
        if let Some(joined) = joined {
            self.commands.run(&key, &fc::flush_multipath(&joined), self.config.deadline).await?;
        }
        for path in &paths {
            let flush = fc::flush(&self.config.machine.dev.join(path));
            let flushed = self.commands.run(&key, &flush, self.config.deadline).await;
            tolerate(flushed, "A disk could not be flushed before it is detached")?;
        }
        self.delete(device, paths, turns).await
    }
}

impl Attached {
    /// The sessions by which it is attached.
    fn sessions(&self, machine: &Machine) -> Result<Vec<Session>, VolumeError> {
        let all = machine.iscsi_sessions(&self.iqn, self.iface.as_deref())?;
        Ok(all.into_iter().filter(|session| session.is_with(self.portals.iter())).collect())
    }
}

/// A link to the disk with this name, and the device that joins its paths. Who makes a pod may name any disk: one that is not of
/// a Fibre Channel network is none.
fn search(machine: &Machine, naming: &Naming) -> Result<(Option<PathBuf>, Option<PathBuf>), VolumeError> {
    let mut one = None;
    for id in naming.ids() {
        let Some(link) = machine.link(naming.links(), |name| naming.fits(id, name))? else { continue };
        if !machine.is_of_fibre_channel(&link) {
            continue;
        }
        let joined = machine.multipath_of(&link);
        one = Some(link);
        if joined.is_some() {
            return Ok((one, joined));
        }
    }
    Ok((one, None))
}

/// A device that somebody has mounted is not taken away.
fn refuse_mounted(machine: &Machine, names: impl Iterator<Item = String>) -> Result<(), VolumeError> {
    let mounts = MountTable::read()?;
    for disk in names {
        let Some(numbers) = machine.numbers(&disk) else { continue };
        if let Some(mount) = mounts.iter().find(|mount| mount.device == numbers) {
            return Err(VolumeError::InUse { disk, point: mount.point.clone() });
        }
    }
    Ok(())
}

/// A failure of what may fail is logged. What has not ended is not tolerated.
fn tolerate(result: Result<String, CommandError>, what: &str) -> Result<(), CommandError> {
    match result {
        Err(error @ (CommandError::Failed { .. } | CommandError::NotFound { .. })) => {
            tracing::debug!(error = %telemetry::chain(&error), "{what}");
            Ok(())
        }
        result => result.map(drop),
    }
}

/// Whether what was tried with a portal has ended.
fn is_an_answer(error: &VolumeError) -> bool {
    !matches!(error, VolumeError::Command(error) if !matches!(error, CommandError::Failed { .. }))
}

impl Attaching<'_> {
    async fn run(&self, command: &Command) -> Result<String, CommandError> {
        self.volumes.commands.run(&self.key, command, self.volumes.config.deadline).await
    }

    async fn attach(&self, turns: Turns) -> Result<(PathBuf, Turns), VolumeError> {
        let (layout, on, note) = (self.volumes.config.layout.clone(), self.on.clone(), self.disk.note());
        let write = move || Ok(disk::write_beside(&layout, &on, ISCSI_NOTE, note.as_bytes())?);
        let ((), turns) = self.volumes.blocking("write note", self.on, turns, write).await?;
        let _session = self.volumes.sessions_turn(&self.disk.iqn).await?;
        let shown = self.run(&self.disk.show_iface()).await?;
        let iface = iscsi::iface(&self.disk.initial_iface, &shown)?;
        if self.disk.has_own_iface() {
            self.make_iface(&iface).await?;
        }
        let (found, mut turns) = self.find_paths(&iface, turns).await?;
        let looks = if self.disk.portals.len() > 1 { iscsi::MULTIPATH_LOOKS } else { 1 };
        for look in 1..=looks {
            let (machine, paths) = (self.volumes.config.machine.clone(), found.clone());
            let find = move || Ok(paths.iter().find_map(|path| machine.multipath_of(path)));
            let joined;
            (joined, turns) = self.volumes.blocking("find disk", self.on, turns, find).await?;
            if let Some(joined) = joined {
                return Ok((joined, turns));
            }
            if look < looks {
                sleep(PAUSE).await;
            }
        }
        match found.into_iter().next() {
            Some(path) => Ok((path, turns)),
            None => Err(IscsiError::NoPath(String::new()).into()),
        }
    }

    /// Makes the interface that is the volume's own.
    async fn make_iface(&self, like: &Iface) -> Result<(), VolumeError> {
        if self.disk.iface == self.disk.initial_iface {
            return Err(IscsiError::SameIface(self.disk.iface.clone()).into());
        }
        match self.run(&self.disk.make_iface()).await {
            Err(error) if error.status() == Some(iscsi::SESSION_EXISTS) => {}
            made => drop(made?),
        }
        for command in self.disk.set_iface(like) {
            if let Err(error) = self.run(&command).await {
                let deleted = self.run(&self.disk.delete_iface()).await;
                tolerate(deleted, "An interface that is half made could not be removed")?;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Where the disk is, by as many paths as there are or as are enough.
    async fn find_paths(
        &self,
        iface: &Iface,
        mut turns: Turns,
    ) -> Result<(Vec<PathBuf>, Turns), VolumeError> {
        let mut paths = BTreeMap::new();
        let mut last = None;
        let (away, iqn) = (&self.volumes.portals, &self.disk.iqn);
        'enough: for attempt in 1..=iscsi::MOST_ATTEMPTS {
            for portal in away.in_order(iqn, &self.disk.portals) {
                if paths.contains_key(portal) || (!paths.is_empty() && away.is_away(iqn, portal)) {
                    continue;
                }
                let found;
                (found, turns) = self.find_path(portal, iface, turns).await?;
                match found {
                    Ok(path) => drop(paths.insert(portal.clone(), path)),
                    Err(error) if is_an_answer(&error) => last = Some(error),
                    // What hangs keeps the target, and nothing else is tried with it.
                    Err(error) if paths.is_empty() => return Err(error),
                    Err(error) => {
                        last = Some(error);
                        break 'enough;
                    }
                }
            }
            let is_enough = paths.len() >= iscsi::ENOUGH_PATHS && attempt >= iscsi::ENOUGH_ATTEMPTS;
            if paths.is_empty() || paths.len() == self.disk.portals.len() || is_enough {
                break;
            }
        }
        if let Some(error) = &last {
            let error = telemetry::chain(error);
            tracing::warn!(device = %self.on, error, paths = paths.len(), "Not every path of an iSCSI disk is there");
        }
        if paths.is_empty() {
            if self.disk.has_own_iface() {
                let deleted = self.run(&self.disk.delete_iface()).await;
                tolerate(deleted, "An interface could not be removed")?;
            }
            let why = last.map(|error| telemetry::chain(&error)).unwrap_or_default();
            return Err(IscsiError::NoPath(why).into());
        }
        Ok((paths.into_values().collect(), turns))
    }

    /// Where the disk is, by this portal. The inner error is this path's alone.
    async fn find_path(
        &self,
        portal: &str,
        iface: &Iface,
        turns: Turns,
    ) -> Result<(Result<PathBuf, VolumeError>, Turns), VolumeError> {
        let (mut session, mut turns) = self.session(portal, turns).await?;
        if session.is_none() {
            let began = Instant::now();
            let logged_in = self.log_in(portal).await;
            self.volumes.portals.tried(&self.disk.iqn, portal, began.elapsed(), &logged_in);
            if let Err(error) = logged_in {
                return Ok((Err(error.into()), turns));
            }
            (session, turns) = self.session(portal, turns).await?;
        }
        let no_host = || IscsiError::NoPath(format!("no SCSI host for portal {portal} after logging in"));
        let Some(session) = session else { return Ok((Err(no_host().into()), turns)) };
        let (machine, host, lun) = (self.volumes.config.machine.clone(), session.host, self.disk.lun);
        let scan = move || Ok(machine.scan_for(host, lun)?);
        ((), turns) = self.volumes.blocking("scan for disk", self.on, turns, scan).await?;
        let (start, end) = self.disk.link(portal, &iface.transport);
        for look in 1..=iscsi::DISK_LOOKS {
            let (machine, end, session) = (self.volumes.config.machine.clone(), end.clone(), session.clone());
            let find = move || {
                // The link may be another session's, where the number may be that of another disk.
                let Some(disk) = machine.iscsi_disk(&session, lun)? else { return Ok(None) };
                let fits = |name: &str| {
                    let is_named = match start {
                        "" => name == end,
                        start => name.starts_with(start) && name.ends_with(&end),
                    };
                    is_named && machine.leads_to("by-path", name, &disk)
                };
                Ok(machine.link("by-path", fits)?)
            };
            let found;
            (found, turns) = self.volumes.blocking("find disk", self.on, turns, find).await?;
            if let Some(path) = found {
                return Ok((Ok(path), turns));
            }
            if look < iscsi::DISK_LOOKS {
                sleep(PAUSE).await;
            }
        }
        let path = Path::new("/dev/disk/by-path").join(end).display().to_string();
        Ok((Err(IscsiError::NoDisk { path, seconds: iscsi::DISK_LOOKS }.into()), turns))
    }

    /// The session with the portal.
    async fn session(&self, portal: &str, turns: Turns) -> Result<(Option<Session>, Turns), VolumeError> {
        let (machine, disk, portal) =
            (self.volumes.config.machine.clone(), self.disk.clone(), portal.to_owned());
        let find = move || {
            let sessions = machine.iscsi_sessions(&disk.iqn, Some(&disk.iface))?;
            Ok(sessions.into_iter().find(|session| session.is_with([&portal].into_iter())))
        };
        self.volumes.blocking("find session", self.on, turns, find).await
    }

    async fn log_in(&self, portal: &str) -> Result<(), CommandError> {
        let (disk, key) = (self.disk, sessions_key(&self.disk.iqn));
        let run = async |command: &Command| {
            self.volumes.commands.run(&key, command, self.volumes.config.deadline).await
        };
        tolerate(run(&disk.begin_discovery(portal)).await, "An iSCSI discovery is there already")?;
        for command in disk.authenticate_discovery(portal) {
            run(&command).await?;
        }
        if let Err(error) = run(&disk.discover(portal)).await {
            if matches!(error, CommandError::Failed { .. }) {
                let forgotten = run(&disk.forget_discovery(portal)).await;
                tolerate(forgotten, "An iSCSI discovery could not be forgotten")?;
            }
            return Err(error);
        }
        let scanned = run(&disk.scan_manually(portal)).await;
        tolerate(
            scanned,
            "iscsiadm does not know node.session.scan; more disks than are asked for may appear",
        )?;
        for command in disk.authenticate_session(portal) {
            run(&command).await?;
        }
        if let Err(error) = run(&disk.log_in(portal)).await {
            if matches!(error, CommandError::Failed { .. }) {
                let forgotten = run(&disk.forget_node(portal)).await;
                tolerate(forgotten, "An iSCSI target could not be forgotten")?;
            }
            return Err(error);
        }
        let set = run(&disk.start_manually(portal)).await;
        tolerate(set, "An iSCSI session may begin again when the machine boots")
    }
}
