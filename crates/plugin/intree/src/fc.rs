//! `fc`: a disk of a Fibre Channel network, which the machine's adapters see, mounted once and shown to each pod. Pure
//! (Kubernetes: "Volumes, fc").

use std::path::Path;

use volume::claim::VolumeMode;

use crate::command::Command;
use crate::layout::Device;

/// How a disk is named.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Naming {
    /// By the ports that it is behind, and its number there.
    Targets {
        /// World wide names of the ports. At least one.
        wwns: Vec<String>,
        /// The number.
        lun: i32,
    },
    /// By names of its own, of which any will do. At least one.
    Own(
        /// World wide identifiers.
        Vec<String>,
    ),
}

/// A disk.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Disk {
    /// How it is named.
    pub naming: Naming,
    /// The file system; empty for the default.
    pub fs_type: String,
}

impl Naming {
    /// How a disk with these is named; none if they name nothing.
    pub(crate) fn of(wwns: &[String], lun: Option<i32>, wwids: &[String]) -> Option<Self> {
        match lun {
            Some(lun) if !wwns.is_empty() => Some(Self::Targets { wwns: wwns.to_vec(), lun }),
            _ if !wwids.is_empty() => {
                Some(Self::Own(wwids.iter().map(|wwid| wwid.replace(' ', "_")).collect()))
            }
            _ => None,
        }
    }

    /// Its device. None if a name leads elsewhere.
    pub(crate) fn device(&self, mode: VolumeMode) -> Option<Device> {
        let name = match self {
            Self::Targets { wwns, lun } => format!("{}-lun-{lun}", wwns.join("-")),
            Self::Own(wwids) => wwids.join("-"),
        };
        Device::fc(&name, mode)
    }

    /// How the disk of `device` is named.
    pub(crate) fn of_device(device: &Device) -> Option<Self> {
        let parts: Vec<String> = device.name().split('-').map(str::to_owned).collect();
        match &parts[..] {
            [wwns @ .., marker, lun] if marker == "lun" => {
                let lun = lun.parse().ok()?;
                (!wwns.is_empty()).then(|| Self::Targets { wwns: wwns.to_vec(), lun })
            }
            _ => Some(Self::Own(parts)),
        }
    }

    /// The directory of its links below `/dev/disk`.
    pub(crate) fn links(&self) -> &'static str {
        match self {
            Self::Targets { .. } => "by-path",
            Self::Own(_) => "by-id",
        }
    }

    /// What has to be asked of a link's name, one after the other until something is found.
    pub(crate) fn ids(&self) -> &[String] {
        match self {
            Self::Targets { wwns, .. } => wwns,
            Self::Own(wwids) => wwids,
        }
    }

    /// Whether `name` is that of a link to the disk by its `id`.
    pub(crate) fn fits(&self, id: &str, name: &str) -> bool {
        match self {
            Self::Targets { lun, .. } => {
                let end = format!("fc-0x{id}-lun-{lun}");
                let by_adapter = |rest: &str| rest.starts_with("pci-");
                name == end || name.strip_suffix(&format!("-{end}")).is_some_and(by_adapter)
            }
            Self::Own(_) => name.strip_prefix("scsi-") == Some(id),
        }
    }
}

/// There is no such disk.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "no fc disk found: no link below /dev/disk/{links} leads to it, or what it leads to is on no Fibre Channel adapter; check the \
     adapters, the zoning and the volume's names"
)]
pub struct NoDisk {
    /// Where it was looked for.
    pub links: &'static str,
}

/// Takes the device apart that joins the paths of a disk.
pub(crate) fn flush_multipath(device: &Path) -> Command {
    Command::new("multipath").arg("-f").arg(device)
}

/// Writes what is still in memory. May fail.
pub(crate) fn flush(device: &Path) -> Command {
    Command::new("blockdev").arg("--flushbufs").arg(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_devices() {
        let text = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        let wwns = text(&["50060e801049cfd1", "50060e801049cfd2"]);
        for (naming, name) in [
            (Naming::of(&wwns, Some(0), &[]), "50060e801049cfd1-50060e801049cfd2-lun-0"),
            (Naming::of(&[], None, &text(&["3600508b4 0"])), "3600508b4_0"),
            (Naming::of(&wwns, None, &text(&["a", "b"])), "a-b"),
        ] {
            let naming = naming.unwrap();
            let device = naming.device(VolumeMode::Filesystem).unwrap();
            assert_eq!(device.to_string(), format!("plugins/kubernetes.io/fc/{name}"));
            assert_eq!(Naming::of_device(&device).as_ref(), Some(&naming));
            let device = naming.device(VolumeMode::Block).unwrap();
            assert_eq!(Naming::of_device(&device), Some(naming));
        }
        assert_eq!(Naming::of(&wwns, None, &[]), None);
        assert_eq!(Naming::of(&[], Some(1), &[]), None);
    }

    #[test]
    fn links_to_a_disk() {
        let by_port = Naming::Targets { wwns: vec!["5006".into()], lun: 1 };
        let by_id = Naming::Own(vec!["3600".into()]);
        let table = [
            (&by_port, "5006", "fc-0x5006-lun-1", true),
            (&by_port, "5006", "pci-0000:41:00.0-fc-0x5006-lun-1", true),
            (&by_port, "5006", "pci-0000:41:00.0-fc-0x5006-lun-10", false),
            (&by_port, "5006", "xfc-0x5006-lun-1", false),
            (&by_port, "5006", "usb-fc-0x5006-lun-1", false),
            (&by_port, "5006", "pci-0000:41:00.0-fc-0x5006-lun-1-part1", false),
            (&by_id, "3600", "scsi-3600", true),
            (&by_id, "3600", "scsi-36001", false),
            (&by_id, "3600", "wwn-3600", false),
        ];
        for (naming, id, name, expected) in table {
            assert_eq!(naming.fits(id, name), expected, "{name}");
        }
    }
}
