//! Disks of this machine as the kernel and udev show them: those of SCSI hosts, and devices that join several paths.
//! Everything here may block.

use std::io;
use std::path::{Path, PathBuf};

use linux::PathError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Where the kernel and udev show them.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into() }
    }
}

/// The names in a directory, in order; none if it is not there.
fn names(dir: &Path) -> Result<Vec<String>, PathError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(PathError::on("list", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(PathError::on("list", dir))?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn names_with(dir: &Path, prefix: &str) -> Result<Vec<String>, PathError> {
    Ok(names(dir)?.into_iter().filter(|name| name.starts_with(prefix)).collect())
}

/// The text of an attribute. What is on its way out has none.
fn attribute(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

/// As the kernel is told something: in one go, by a file that it has.
fn tell(path: &Path, text: &str) -> Result<(), PathError> {
    let open = std::fs::OpenOptions::new().write(true).open(path);
    open.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(PathError::on("write", path))
}

/// A session with an iSCSI target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    /// The number of its host.
    pub(crate) host: u32,
    /// The addresses of the target that it may be known by.
    portals: Vec<String>,
    dir: PathBuf,
}

impl Session {
    /// Whether it is with one of these portals.
    pub(crate) fn is_with<'a>(&self, mut portals: impl Iterator<Item = &'a String>) -> bool {
        portals.any(|portal| self.portals.contains(portal))
    }
}

/// The addresses of the target of the session in `dir`, each with its port.
fn portals(dir: &Path) -> Result<Vec<String>, PathError> {
    let mut portals = Vec::new();
    for name in names_with(dir, "connection")? {
        let connection = dir.join(&name).join("iscsi_connection").join(&name);
        for kind in ["", "persistent_"] {
            let address = attribute(&connection.join(format!("{kind}address")));
            let port = attribute(&connection.join(format!("{kind}port")));
            let (Some(address), Some(port)) = (address, port) else { continue };
            let is_v6 = address.contains(':') && !address.starts_with('[');
            let address = if is_v6 { format!("[{address}]") } else { address };
            portals.push(format!("{address}:{port}"));
        }
    }
    portals.dedup();
    Ok(portals)
}

impl Machine {
    /// The sessions with the iSCSI target `iqn` over the interface `iface`; over any if that is not known. Who is another
    /// initiator may have other disks by the same numbers.
    pub(crate) fn iscsi_sessions(&self, iqn: &str, iface: Option<&str>) -> Result<Vec<Session>, PathError> {
        let hosts = self.sys.join("class/iscsi_host");
        let mut found = Vec::new();
        for host in names_with(&hosts, "host")? {
            let Ok(number) = host["host".len()..].parse() else { continue };
            let device = hosts.join(&host).join("device");
            for session in names_with(&device, "session")? {
                let dir = device.join(&session);
                let about = dir.join("iscsi_session").join(&session);
                // The kernel is not told by all who begin one.
                let its = attribute(&about.join("ifacename")).filter(|name| !name.is_empty());
                let is_ours = iface.is_none_or(|iface| its.is_none_or(|its| its == iface));
                if is_ours && attribute(&about.join("targetname")).as_deref() == Some(iqn) {
                    let portals = portals(&dir)?;
                    found.push(Session { host: number, portals, dir });
                }
            }
        }
        Ok(found)
    }

    /// The name of the disk `lun` of a session, such as `sdb`; none if it is not there.
    pub(crate) fn iscsi_disk(&self, session: &Session, lun: i32) -> Result<Option<String>, PathError> {
        let host = session.host;
        let disk = session.dir.join(format!("target{host}:0:0/{host}:0:0:{lun}/block"));
        Ok(names(&disk)?.into_iter().next())
    }

    /// The names of all disks of a session.
    pub(crate) fn iscsi_disks(&self, session: &Session) -> Result<Vec<String>, PathError> {
        let mut disks = Vec::new();
        for target in names_with(&session.dir, "target")? {
            let target = session.dir.join(target);
            for unit in names(&target)?.into_iter().filter(|name| name.contains(':')) {
                disks.extend(names(&target.join(unit).join("block"))?);
            }
        }
        Ok(disks)
    }

    /// Whether somebody has claimed the device `name` for himself: it is mounted, maybe where it is not seen from here, or
    /// another device is made of it.
    pub(crate) fn is_claimed(&self, name: &str) -> bool {
        let path = self.dev.join(name);
        let opened = rustix::fs::open(&path, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty());
        opened.is_err_and(|errno| errno == Errno::BUSY)
    }

    /// Has the host `host` look for the disk `lun`, and for no other.
    pub(crate) fn scan_for(&self, host: u32, lun: i32) -> Result<(), PathError> {
        tell(&self.sys.join(format!("class/scsi_host/host{host}/scan")), &format!("0 0 {lun}"))
    }

    /// Has all hosts look for disks, but for those of iSCSI sessions, which show what they are asked for alone. Those that
    /// cannot are left out.
    pub(crate) fn scan(&self) -> Result<(), PathError> {
        let hosts = self.sys.join("class/scsi_host");
        let of_iscsi = names(&self.sys.join("class/iscsi_host"))?;
        for host in names(&hosts)?.into_iter().filter(|host| !of_iscsi.contains(host)) {
            if let Err(error) = tell(&hosts.join(&host).join("scan"), "- - -") {
                tracing::debug!(host, error = %telemetry::chain(&error), "A SCSI host cannot be scanned");
            }
        }
        Ok(())
    }

    /// Has the kernel forget the device `name`, such as `sdb`. One that is gone is.
    pub(crate) fn delete(&self, name: &str) -> Result<(), PathError> {
        match tell(&self.sys.join("block").join(name).join("device/delete"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted,
        }
    }

    /// The name of the device that `path` leads to, such as `sdb`; none if it leads to none.
    pub(crate) fn device_name(&self, path: &Path) -> Option<String> {
        let real = std::fs::canonicalize(path).ok()?;
        let dev = std::fs::canonicalize(&self.dev).ok()?;
        let name = real.strip_prefix(dev).ok()?.to_str()?;
        (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
    }

    /// The device that joins the paths of a disk, of which `path` leads to one, or to that device itself.
    pub(crate) fn multipath_of(&self, path: &Path) -> Option<PathBuf> {
        let name = self.device_name(path)?;
        if name.starts_with("dm-") {
            return Some(self.dev.join(name));
        }
        let blocks = self.sys.join("block");
        let joined = names_with(&blocks, "dm-").ok()?;
        // What somebody has made of what is on the disk, such as a logical volume, is another device.
        let is_multipath = |dm: &String| {
            attribute(&blocks.join(dm).join("dm/uuid")).is_some_and(|uuid| uuid.starts_with("mpath-"))
        };
        let joins = |dm: &String| {
            std::fs::symlink_metadata(blocks.join(dm).join("slaves").join(&name)).is_ok() && is_multipath(dm)
        };
        joined.into_iter().find(joins).map(|dm| self.dev.join(dm))
    }

    /// Whether the link `link` below `/dev/disk` leads to a disk of a Fibre Channel network, or to what joins the paths of
    /// one. The names of other disks of the node, its own among them, begin like that of a disk of such a network.
    pub(crate) fn is_of_fibre_channel(&self, link: &Path) -> bool {
        let target = std::fs::read_link(link).ok();
        let Some(name) = target.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) else {
            return false;
        };
        if name.starts_with("dm-") {
            let paths = self.joined_by(name).unwrap_or_default();
            return !paths.is_empty() && paths.iter().all(|path| self.has_fc_host(path));
        }
        self.has_fc_host(name)
    }

    /// Whether the disk `name` is one of an adapter for Fibre Channel. A partition of one is none.
    fn has_fc_host(&self, name: &str) -> bool {
        let Ok(device) = std::fs::canonicalize(self.sys.join("block").join(name)) else { return false };
        let hosts = self.sys.join("class/fc_host");
        let is_adapter = |part: std::path::Component<'_>| {
            let part = part.as_os_str();
            part.to_str().is_some_and(|part| part.starts_with("host")) && hosts.join(part).exists()
        };
        device.components().any(is_adapter)
    }

    /// The names of the devices that the device `name` joins.
    pub(crate) fn joined_by(&self, name: &str) -> Result<Vec<String>, PathError> {
        names(&self.sys.join("block").join(name).join("slaves"))
    }

    /// The numbers of the device `name`, as the mount table has them.
    pub(crate) fn numbers(&self, name: &str) -> Option<(u32, u32)> {
        let text = attribute(&self.sys.join("block").join(name).join("dev"))?;
        let (major, minor) = text.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    /// Whether the link `name` below `/dev/disk/DIR` leads to the device `disk`, or to what joins its paths.
    pub(crate) fn leads_to(&self, dir: &str, name: &str, disk: &str) -> bool {
        let link = self.dev.join("disk").join(dir).join(name);
        // Two names of one device, as tests have them, are one.
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let found = real(&link);
        let disk = self.dev.join(disk);
        found.is_some()
            && (found == real(&disk) || self.multipath_of(&disk).is_some_and(|joined| found == real(&joined)))
    }

    /// The first link below `/dev/disk/DIR` whose name `fits`.
    pub(crate) fn link(&self, dir: &str, fits: impl Fn(&str) -> bool) -> Result<Option<PathBuf>, PathError> {
        let dir = self.dev.join("disk").join(dir);
        let found = names(&dir)?.into_iter().find(|name| fits(name)).map(|name| dir.join(name));
        // One whose device is not there yet leads nowhere.
        Ok(found.filter(|path| path.exists()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_disks_and_what_joins_them() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine { sys: dir.path().join("sys"), dev: dir.path().join("dev") };
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(machine.iscsi_sessions("iqn.a", None).unwrap(), []);
        for (host, session, iqn) in [(2, 1, "iqn.a"), (3, 2, "iqn.b")] {
            let session = format!("session{session}");
            let dir = format!("sys/class/iscsi_host/host{host}/device/{session}");
            write(&format!("{dir}/iscsi_session/{session}/targetname"), &format!("{iqn}\n"));
            write(&format!("{dir}/iscsi_session/{session}/ifacename"), "default\n");
            let connection = format!("{dir}/connection{host}:0/iscsi_connection/connection{host}:0");
            write(&format!("{connection}/address"), "fd00::1\n");
            write(&format!("{connection}/port"), "3260\n");
            write(&format!("{connection}/persistent_address"), "10.0.0.1\n");
            write(&format!("{connection}/persistent_port"), "3260\n");
            write(&format!("{dir}/target{host}:0:0/{host}:0:0:7/block/sd{host}/x"), "");
        }
        let sessions = machine.iscsi_sessions("iqn.a", Some("default")).unwrap();
        let [session] = &sessions[..] else { panic!("{sessions:?}") };
        assert_eq!(machine.iscsi_sessions("iqn.a", None).unwrap(), sessions);
        assert_eq!(machine.iscsi_sessions("iqn.a", Some("10.0.0.1:3260:pv")).unwrap(), []);
        assert_eq!(
            (session.host, &session.portals[..]),
            (2, &["[fd00::1]:3260".into(), "10.0.0.1:3260".into()][..])
        );
        assert!(session.is_with(["x".to_owned(), "10.0.0.1:3260".to_owned()].iter()));
        assert!(!session.is_with(["10.0.0.1:860".to_owned()].iter()));
        assert_eq!(machine.iscsi_disk(session, 7).unwrap().as_deref(), Some("sd2"));
        assert_eq!(machine.iscsi_disk(session, 8).unwrap(), None);
        assert_eq!(machine.iscsi_disks(session).unwrap(), ["sd2"]);
        assert!(!machine.is_claimed("sd2"), "there is no such device");

        for (name, text) in [("sd2", ""), ("dm-1", ""), ("disk/by-path/ip-x", "")] {
            write(&format!("dev/{name}"), text);
        }
        for (name, uuid) in [("dm-0", "LVM-x"), ("dm-1", "mpath-3600")] {
            write(&format!("sys/block/{name}/slaves/sd2"), "");
            write(&format!("sys/block/{name}/dm/uuid"), uuid);
        }
        write("sys/block/sd2/dev", "8:32\n");
        std::os::unix::fs::symlink("../../sd2", dir.path().join("dev/disk/by-path/fc-0xa-lun-0")).unwrap();
        std::os::unix::fs::symlink("../../gone", dir.path().join("dev/disk/by-path/fc-0xb-lun-0")).unwrap();
        let link = machine.link("by-path", |name| name.starts_with("fc-0xa")).unwrap().unwrap();
        assert_eq!(machine.device_name(&link).as_deref(), Some("sd2"));
        assert_eq!(machine.multipath_of(&link), Some(machine.dev.join("dm-1")));
        assert_eq!(machine.multipath_of(&machine.dev.join("dm-1")), Some(machine.dev.join("dm-1")));
        assert_eq!(machine.joined_by("dm-1").unwrap(), ["sd2"]);
        assert_eq!(machine.numbers("sd2"), Some((8, 32)));
        assert_eq!(machine.link("by-path", |name| name.starts_with("fc-0xb")).unwrap(), None);
        assert_eq!(machine.link("by-id", |_| true).unwrap(), None);

        write("sys/class/scsi_host/host2/scan", "");
        machine.scan_for(2, 7).unwrap();
        let told = || std::fs::read_to_string(dir.path().join("sys/class/scsi_host/host2/scan")).unwrap();
        assert_eq!(told(), "0 0 7");
        write("sys/class/scsi_host/host4/scan", "");
        machine.scan().unwrap();
        assert_eq!(told(), "0 0 7", "it is one of iSCSI");
        let other = dir.path().join("sys/class/scsi_host/host4/scan");
        assert_eq!(std::fs::read_to_string(other).unwrap(), "- - -");
        machine.delete("sdz").unwrap();
        assert!(machine.scan_for(9, 0).is_err());
    }
}
