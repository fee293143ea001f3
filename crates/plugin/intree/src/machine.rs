//! Disks of this machine as the kernel and udev show them: those of SCSI hosts, and devices that join several paths.
//! Everything here may block.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use linux::PathError;

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

impl Machine {
    /// The sessions with the iSCSI target `iqn`: each is a directory, with the number of its host.
    fn sessions(&self, iqn: &str) -> Result<Vec<(u32, PathBuf)>, PathError> {
        let hosts = self.sys.join("class/iscsi_host");
        let mut found = Vec::new();
        for host in names_with(&hosts, "host")? {
            let Ok(number) = host["host".len()..].parse() else { continue };
            let device = hosts.join(&host).join("device");
            for session in names_with(&device, "session")? {
                let dir = device.join(&session);
                let target = dir.join("iscsi_session").join(&session).join("targetname");
                if attribute(&target).as_deref() == Some(iqn) {
                    found.push((number, dir));
                }
            }
        }
        Ok(found)
    }

    /// The hosts by which the iSCSI target `iqn` is reached, by the addresses of the target.
    pub(crate) fn iscsi_hosts(&self, iqn: &str) -> Result<BTreeMap<String, u32>, PathError> {
        let mut hosts = BTreeMap::new();
        for (host, session) in self.sessions(iqn)? {
            for name in names_with(&session, "connection")? {
                let connection = session.join(&name).join("iscsi_connection").join(&name);
                for kind in ["", "persistent_"] {
                    let address = attribute(&connection.join(format!("{kind}address")));
                    let port = attribute(&connection.join(format!("{kind}port")));
                    let (Some(address), Some(port)) = (address, port) else { continue };
                    let is_v6 = address.contains(':') && !address.starts_with('[');
                    let address = if is_v6 { format!("[{address}]") } else { address };
                    hosts.insert(format!("{address}:{port}"), host);
                }
            }
        }
        Ok(hosts)
    }

    /// The names of the devices of the disk `lun` of the iSCSI target `iqn`.
    pub(crate) fn iscsi_devices(&self, iqn: &str, lun: i32) -> Result<Vec<String>, PathError> {
        let mut devices = Vec::new();
        for (host, session) in self.sessions(iqn)? {
            let disk = session.join(format!("target{host}:0:0/{host}:0:0:{lun}/block"));
            devices.extend(names(&disk)?.into_iter().next());
        }
        Ok(devices)
    }

    /// Has the host `host` look for the disk `lun`, and for no other.
    pub(crate) fn scan_for(&self, host: u32, lun: i32) -> Result<(), PathError> {
        tell(&self.sys.join(format!("class/scsi_host/host{host}/scan")), &format!("0 0 {lun}"))
    }

    /// Has all hosts look for disks. Those that cannot are left out.
    pub(crate) fn scan(&self) -> Result<(), PathError> {
        let hosts = self.sys.join("class/scsi_host");
        for host in names(&hosts)? {
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
        let joins =
            |dm: &String| std::fs::symlink_metadata(blocks.join(dm).join("slaves").join(&name)).is_ok();
        joined.into_iter().find(joins).map(|dm| self.dev.join(dm))
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
        assert_eq!(machine.iscsi_hosts("iqn.a").unwrap(), BTreeMap::new());
        for (host, session, iqn) in [(2, 1, "iqn.a"), (3, 2, "iqn.b")] {
            let session = format!("session{session}");
            let dir = format!("sys/class/iscsi_host/host{host}/device/{session}");
            write(&format!("{dir}/iscsi_session/{session}/targetname"), &format!("{iqn}\n"));
            let connection = format!("{dir}/connection{host}:0/iscsi_connection/connection{host}:0");
            write(&format!("{connection}/address"), "fd00::1\n");
            write(&format!("{connection}/port"), "3260\n");
            write(&format!("{connection}/persistent_address"), "10.0.0.1\n");
            write(&format!("{connection}/persistent_port"), "3260\n");
            write(&format!("{dir}/target{host}:0:0/{host}:0:0:7/block/sd{host}/x"), "");
        }
        let hosts = [("10.0.0.1:3260".to_owned(), 2), ("[fd00::1]:3260".to_owned(), 2)];
        assert_eq!(machine.iscsi_hosts("iqn.a").unwrap(), hosts.into());
        assert_eq!(machine.iscsi_devices("iqn.a", 7).unwrap(), ["sd2"]);
        assert!(machine.iscsi_devices("iqn.a", 8).unwrap().is_empty());

        for (name, text) in [("sd2", ""), ("dm-0", ""), ("disk/by-path/ip-x", "")] {
            write(&format!("dev/{name}"), text);
        }
        write("sys/block/dm-0/slaves/sd2", "");
        write("sys/block/sd2/dev", "8:32\n");
        std::os::unix::fs::symlink("../../sd2", dir.path().join("dev/disk/by-path/fc-0xa-lun-0")).unwrap();
        std::os::unix::fs::symlink("../../gone", dir.path().join("dev/disk/by-path/fc-0xb-lun-0")).unwrap();
        let link = machine.link("by-path", |name| name.starts_with("fc-0xa")).unwrap().unwrap();
        assert_eq!(machine.device_name(&link).as_deref(), Some("sd2"));
        assert_eq!(machine.multipath_of(&link), Some(machine.dev.join("dm-0")));
        assert_eq!(machine.multipath_of(&machine.dev.join("dm-0")), Some(machine.dev.join("dm-0")));
        assert_eq!(machine.joined_by("dm-0").unwrap(), ["sd2"]);
        assert_eq!(machine.numbers("sd2"), Some((8, 32)));
        assert_eq!(machine.link("by-path", |name| name.starts_with("fc-0xb")).unwrap(), None);
        assert_eq!(machine.link("by-id", |_| true).unwrap(), None);

        write("sys/class/scsi_host/host2/scan", "");
        machine.scan_for(2, 7).unwrap();
        let told = || std::fs::read_to_string(dir.path().join("sys/class/scsi_host/host2/scan")).unwrap();
        assert_eq!(told(), "0 0 7");
        machine.scan().unwrap();
        assert_eq!(told(), "- - -");
        machine.delete("sdz").unwrap();
        assert!(machine.scan_for(9, 0).is_err());
    }
}
