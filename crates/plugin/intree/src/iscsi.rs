//! `iscsi`: a disk of an iSCSI target, attached by iscsiadm(8), mounted once and shown to each pod. Pure (Kubernetes:
//! "Volumes, iscsi"). The commands are those of other kubelets, in their order.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use serde_json::json;
use volume::claim::VolumeMode;

use crate::command::Command;
use crate::layout::Device;

/// How many paths of a disk with several are enough, after so many attempts; and after how many any will do.
pub(crate) const ENOUGH_PATHS: usize = 2;
pub(crate) const ENOUGH_ATTEMPTS: usize = 2;
pub(crate) const MOST_ATTEMPTS: usize = 5;

/// How often, a second apart, it is looked for the disk, and for the device that joins its paths.
pub(crate) const DISK_LOOKS: u32 = 30;
pub(crate) const MULTIPATH_LOOKS: u32 = 10;

/// Exit statuses of iscsiadm(8).
const NO_SESSION: i32 = 2;
pub(crate) const SESSION_EXISTS: i32 = 15;
const NO_RECORDS: i32 = 21;

/// The transport whose disks have names without the address of a device.
const TCP: &str = "tcp";

const DISCOVERY_KEYS: [&str; 4] = [
    "discovery.sendtargets.auth.username",
    "discovery.sendtargets.auth.password",
    "discovery.sendtargets.auth.username_in",
    "discovery.sendtargets.auth.password_in",
];
const SESSION_KEYS: [&str; 4] = [
    "node.session.auth.username",
    "node.session.auth.password",
    "node.session.auth.username_in",
    "node.session.auth.password_in",
];

/// A disk, and how it is reached.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Disk {
    /// The name of the volume.
    pub volume: String,
    /// The addresses of the target, each with its port. At least one.
    pub portals: Vec<String>,
    /// The target's name.
    pub iqn: String,
    /// The number of the disk.
    pub lun: i32,
    /// The interface whose settings are used.
    pub initial_iface: String,
    /// The interface: the same, or one of the volume's own if it has an initiator of its own.
    pub iface: String,
    /// The name of the initiator, if it is not that of the interface.
    pub initiator: String,
    /// Whether discovery is authenticated (CHAP).
    pub chap_discovery: bool,
    /// Whether the session is.
    pub chap_session: bool,
    /// Names and passwords for both.
    pub secret: Credentials,
    /// The file system; empty for the default.
    pub fs_type: String,
}

/// Names and passwords, by the settings of iscsiadm(8). Shown to nobody.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Credentials(
    /// By setting.
    pub BTreeMap<String, String>,
);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What an interface is like.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Iface {
    /// `tcp`, or what has its own hardware.
    pub(crate) transport: String,
    /// What is copied to an interface of the volume's own, in order.
    pub(crate) settings: BTreeMap<String, String>,
}

/// What is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IscsiError {
    /// iscsiadm(8) says something strange.
    #[error("invalid iface setting: {0:?}")]
    Setting(String),
    /// The interface has no transport.
    #[error("could not parse iface file for {0}")]
    Transport(String),
    /// Its own interface would be the one that it is made after.
    #[error("cannot clone iface with same name: {0}")]
    SameIface(String),
    /// No portal leads to the disk.
    #[error("failed to get any path for iscsi disk, last err seen: {0}")]
    NoPath(String),
    /// The disk did not appear.
    #[error("timed out waiting for device at path {path} after {seconds}s")]
    NoDisk {
        /// Where it was looked for.
        path: String,
        /// For how long.
        seconds: u32,
    },
}

/// An address with a port. One of IPv6 is in brackets when it has one.
pub(crate) fn portal(address: &str) -> String {
    if address.parse::<Ipv6Addr>().is_ok() {
        format!("[{address}]:3260")
    } else if address.contains(':') && !address.ends_with(']') {
        address.to_owned()
    } else {
        format!("{address}:3260")
    }
}

fn admin(mode: &str) -> Command {
    Command::new("iscsiadm").args(["-m", mode])
}

impl Disk {
    /// Its device. None if a name leads elsewhere.
    pub(crate) fn device(&self, mode: VolumeMode) -> Option<Device> {
        let Self { iqn, lun, .. } = self;
        Device::iscsi(&self.iface, &format!("{}-{iqn}-lun-{lun}", self.portals.first()?), mode)
    }

    /// The note that other kubelets find it by when it is to be detached, as they write it.
    pub(crate) fn note(&self) -> String {
        let note = json!({
            "VolName": self.volume, "Portals": self.portals, "Iqn": self.iqn, "Lun": self.lun.to_string(),
            "InitIface": self.initial_iface, "Iface": self.iface, "InitiatorName": self.initiator,
            "MetricsProvider": null,
        });
        format!("{note}\n")
    }

    /// Shows the interface whose settings are used.
    pub(crate) fn show_iface(&self) -> Command {
        admin("iface").args(["-I", &self.initial_iface, "-o", "show"])
    }

    /// Whether it has an interface of its own.
    pub(crate) fn has_own_iface(&self) -> bool {
        !self.initiator.is_empty()
    }

    /// Makes its own interface.
    pub(crate) fn make_iface(&self) -> Command {
        admin("iface").args(["-I", &self.iface, "-o", "new"])
    }

    /// Gives its own interface the settings of the other one.
    pub(crate) fn set_iface(&self, like: &Iface) -> Vec<Command> {
        let mut settings = like.settings.clone();
        settings.insert("iface.initiatorname".to_owned(), self.initiator.clone());
        let set = |(name, value): (&String, &String)| {
            admin("iface").args(["-I", &self.iface, "-o", "update", "-n", name, "-v", value])
        };
        settings.iter().map(set).collect()
    }

    /// Removes its own interface.
    pub(crate) fn delete_iface(&self) -> Command {
        delete_iface(&self.iface)
    }

    fn discovery(&self, portal: &str) -> Command {
        admin("discoverydb").args(["-t", "sendtargets", "-p", portal, "-I", &self.iface])
    }

    fn node(&self, portal: &str) -> Command {
        admin("node").args(["-p", portal, "-T", &self.iqn, "-I", &self.iface])
    }

    /// Begins to discover what `portal` has. May fail if it was begun before.
    pub(crate) fn begin_discovery(&self, portal: &str) -> Command {
        self.discovery(portal).args(["-o", "new"])
    }

    /// How discovery is authenticated.
    pub(crate) fn authenticate_discovery(&self, portal: &str) -> Vec<Command> {
        let update = || self.discovery(portal).args(["-o", "update", "-n"]);
        let method = "discovery.sendtargets.auth.authmethod";
        self.authenticate(self.chap_discovery, update, method, &DISCOVERY_KEYS)
    }

    /// Discovers what `portal` has. What is set for targets that are known already stays: without `new`, all of it would be
    /// made anew from the defaults, for each portal of the target, also for sessions of others.
    pub(crate) fn discover(&self, portal: &str) -> Command {
        self.discovery(portal).args(["-o", "new", "--discover"])
    }

    /// Forgets what was discovered.
    pub(crate) fn forget_discovery(&self, portal: &str) -> Command {
        self.discovery(portal).args(["-o", "delete"])
    }

    /// Has only those disks appear that are asked for. May fail with old versions.
    pub(crate) fn scan_manually(&self, portal: &str) -> Command {
        self.node(portal).args(["-o", "update", "-n", "node.session.scan", "-v", "manual"])
    }

    /// How the session is authenticated.
    pub(crate) fn authenticate_session(&self, portal: &str) -> Vec<Command> {
        let update = || self.node(portal).args(["-o", "update", "-n"]);
        self.authenticate(self.chap_session, update, "node.session.auth.authmethod", &SESSION_KEYS)
    }

    fn authenticate(
        &self,
        is_wanted: bool,
        update: impl Fn() -> Command,
        method: &str,
        keys: &[&str],
    ) -> Vec<Command> {
        if !is_wanted {
            return Vec::new();
        }
        let given = keys.iter().filter_map(|key| {
            let value = self.secret.0.get(*key).filter(|value| !value.is_empty())?;
            Some(update().args([key, "-v"]).secret(value))
        });
        [update().args([method, "-v", "CHAP"])].into_iter().chain(given).collect()
    }

    /// Begins a session.
    pub(crate) fn log_in(&self, portal: &str) -> Command {
        self.node(portal).arg("--login")
    }

    /// Forgets the target after a session could not be begun.
    pub(crate) fn forget_node(&self, portal: &str) -> Command {
        admin("node").args(["-p", portal, "-I", &self.iface, "-T", &self.iqn, "-o", "delete"])
    }

    /// Has no session begin when the machine boots. May fail.
    pub(crate) fn start_manually(&self, portal: &str) -> Command {
        let node = admin("node").args(["-p", portal, "-T", &self.iqn]);
        node.args(["-o", "update", "-n", "node.startup", "-v", "manual"])
    }

    /// The name of the disk below `/dev/disk/by-path` as reached by `portal`, and what has to come before it. If the
    /// transport has hardware, any name of it that ends so is good.
    pub(crate) fn link(&self, portal: &str, transport: &str) -> (&'static str, String) {
        // In names of links addresses are without brackets.
        let address = portal.replace(['[', ']'], "");
        let name = format!("ip-{address}-iscsi-{}-lun-{}", self.iqn, self.lun);
        if transport == TCP { ("", name) } else { ("pci-", format!("-{name}")) }
    }
}

fn delete_iface(iface: &str) -> Command {
    admin("iface").args(["-I", iface, "-o", "delete"])
}

/// What an interface is like, by what is shown of it.
pub(crate) fn iface(name: &str, shown: &str) -> Result<Iface, IscsiError> {
    let mut found = Iface::default();
    for line in shown.lines().filter(|line| line.starts_with("iface.")) {
        if let Some(transport) = line.strip_prefix("iface.transport_name = ") {
            found.transport = if transport == "<empty>" { TCP.to_owned() } else { transport.to_owned() };
        }
        if line.contains("<empty>") {
            continue;
        }
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            // Its name stays its own.
            ["iface.iscsi_ifacename", "=", _] => {}
            [setting, "=", value] => {
                found.settings.insert(setting.to_owned(), value.to_owned());
            }
            _ => return Err(IscsiError::Setting(line.to_owned())),
        }
    }
    if found.transport.is_empty() {
        return Err(IscsiError::Transport(name.to_owned()));
    }
    Ok(found)
}

/// What is attached, for whom it is to be detached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Attached {
    /// Each once.
    pub(crate) portals: Vec<String>,
    pub(crate) iqn: String,
    pub(crate) lun: Option<i32>,
    /// None if it is not known.
    pub(crate) iface: Option<String>,
    volume: String,
    initiator: String,
}

impl Attached {
    /// By the note beside it.
    pub(crate) fn by_note(text: &[u8]) -> Option<Self> {
        let note: serde_json::Value = serde_json::from_slice(text).ok()?;
        let text = |key: &str| note[key].as_str().unwrap_or_default().to_owned();
        let portals = note["Portals"].as_array()?.iter().filter_map(|portal| portal.as_str());
        let portals = each_once(portals.filter(|portal| !portal.is_empty()).map(str::to_owned));
        let (iqn, iface) = (text("Iqn"), text("Iface"));
        (!portals.is_empty() && !iqn.is_empty()).then(|| Self {
            portals,
            iqn,
            lun: text("Lun").parse().ok(),
            iface: Some(iface).filter(|iface| !iface.is_empty()),
            volume: text("VolName"),
            initiator: text("InitiatorName"),
        })
    }

    /// By the directory of its device, if there is no note.
    pub(crate) fn by_device(device: &Device) -> Option<Self> {
        let (target, lun) = device.name().rsplit_once("-lun-")?;
        let at = ["-iqn.", "-eui.", "-naa."].iter().find_map(|kind| target.find(kind))?;
        let iface: PathBuf = device.path().parent()?.file_name()?.into();
        Some(Self {
            portals: vec![target[..at].to_owned()],
            iqn: target[at + 1..].to_owned(),
            lun: lun.parse().ok(),
            iface: iface.to_str()?.strip_prefix("iface-").map(str::to_owned),
            volume: String::new(),
            initiator: String::new(),
        })
    }

    /// With what the directories of the devices of the same session begin.
    pub(crate) fn session(&self) -> String {
        format!("{}-{}-lun-", self.portals[0], self.iqn)
    }

    /// With what the directories of devices of the same disk end, by whichever portal and interface.
    pub(crate) fn same_disk(&self) -> Option<String> {
        Some(format!("-{}-lun-{}", self.iqn, self.lun?))
    }

    fn node(&self, portal: &str, what: &[&str]) -> Command {
        let command = admin("node").args(["-p", portal, "-T", &self.iqn]).args(what.iter().copied());
        match &self.iface {
            Some(iface) => command.args(["-I", iface]),
            None => command,
        }
    }

    /// Shows what is set for the sessions with `portal`.
    pub(crate) fn show(&self, portal: &str) -> Command {
        self.node(portal, &["-o", "show"])
    }

    /// Ends the session with `portal`, and forgets the target.
    pub(crate) fn log_out(&self, portal: &str) -> [Command; 2] {
        [&["--logout"][..], &["-o", "delete"]].map(|end| self.node(portal, end))
    }

    /// Removes the interface that is the volume's own, if it has one.
    pub(crate) fn delete_iface(&self) -> Option<Command> {
        let own = format!("{}:{}", self.portals[0], self.volume);
        (!self.initiator.is_empty() && self.iface.as_ref() == Some(&own)).then(|| delete_iface(&own))
    }
}

/// Whether a session was begun by somebody else, by what is set for it ([`Attached::show`]): those that kubelets begin have
/// only the disks that are asked for appear.
pub(crate) fn is_of_others(shown: &str) -> bool {
    shown.lines().any(|line| line.trim() == "node.session.scan = auto")
}

/// In the same order.
pub(crate) fn each_once(all: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

/// Whether a command that ends something has failed because there is nothing to end.
pub(crate) fn is_ended_already(status: Option<i32>) -> bool {
    matches!(status, Some(NO_SESSION | NO_RECORDS))
}

#[cfg(test)]
mod tests;
