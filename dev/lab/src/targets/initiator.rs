//! What reaches iSCSI targets from this machine: iscsid, and udev, which makes links to disks; multipathd, if it is asked for.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::daemon::{Daemon, Sign};
use super::{Turn, load, run};

const CONFIG: &str = "/etc/iscsi/iscsid.conf";
const NAME: &str = "/etc/iscsi/initiatorname.iscsi";

/// Does not wait long for what is away. The last word on a setting counts.
const IMPATIENT: &str = "
node.session.timeo.replacement_timeout = 2
node.session.initial_login_retry_max = 1
node.conn[0].timeo.login_timeout = 5
node.conn[0].timeo.logout_timeout = 5
discovery.sendtargets.reopen_max = 1
discovery.sendtargets.timeo.login_timeout = 5
# Settled
";

const MULTIPATH: &str = "defaults {\n find_multipaths no\n user_friendly_names no\n no_path_retry fail\n}\n\
                         blacklist {\n devnode \"^(vd|loop|sr)\"\n}\n";

/// The daemons. Dropping it ends them.
#[derive(Debug)]
pub struct Initiator {
    _iscsid: Daemon,
    _multipathd: Option<Daemon>,
    _udevd: Daemon,
}

impl Initiator {
    /// Starts them; `multipath` if several paths of a disk are to be joined.
    ///
    /// # Errors
    /// What could not be done.
    pub async fn start(_turn: &Turn, multipath: bool) -> Result<Self> {
        for module in ["iscsi_tcp", "sd_mod"] {
            load(module);
        }
        let settings = fs::read_to_string(CONFIG).with_context(|| format!("read {CONFIG}"))?;
        if !settings.ends_with(IMPATIENT) {
            fs::write(CONFIG, settings + IMPATIENT).with_context(|| format!("write {CONFIG}"))?;
        }
        fs::write(NAME, "InitiatorName=iqn.2026-01.dev.berth:initiator\n")
            .with_context(|| format!("write {NAME}"))?;
        let udevd = Daemon::start(
            &mut Command::new("/usr/lib/systemd/systemd-udevd"),
            &Sign::Socket("/run/udev/io.systemd.Udev"),
        )
        .await?;
        let multipathd = if multipath {
            for module in ["dm_multipath", "dm_service_time", "dm_round_robin"] {
                load(module);
            }
            fs::write("/etc/multipath.conf", MULTIPATH).context("write multipath.conf")?;
            let listening = Sign::Socket("/org/kernel/linux/storage/multipathd");
            Some(Daemon::start(Command::new("multipathd").args(["-d", "-s"]), &listening).await?)
        } else {
            None
        };
        let iscsid =
            Daemon::start(Command::new("iscsid").arg("-f"), &Sign::Socket("ISCSIADM_ABSTRACT_NAMESPACE"))
                .await?;
        Ok(Self { _iscsid: iscsid, _multipathd: multipathd, _udevd: udevd })
    }

    /// Begins a session as an administrator does, in which all disks of the target appear.
    ///
    /// # Errors
    /// What could not be done.
    pub fn log_in(&self, portal: &str, iqn: &str) -> Result<()> {
        run(Command::new("iscsiadm").args(["-m", "discovery", "-t", "sendtargets", "-p", portal]))?;
        run(Command::new("iscsiadm").args(["-m", "node", "-T", iqn, "-p", portal, "--login"]))
    }

    /// Ends it, and forgets the target.
    ///
    /// # Errors
    /// What could not be done.
    pub fn log_out(&self, portal: &str, iqn: &str) -> Result<()> {
        for end in [&["--logout"][..], &["-o", "delete"]] {
            run(Command::new("iscsiadm").args(["-m", "node", "-T", iqn, "-p", portal]).args(end))?;
        }
        Ok(())
    }
}

/// The targets with which this machine has sessions, one for each session.
///
/// # Errors
/// If they cannot be listed.
pub fn sessions() -> Result<Vec<String>> {
    let dir = Path::new("/sys/class/iscsi_session");
    let mut targets = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let session = entry.context("list sessions")?.path();
        // One that ends meanwhile has none.
        targets
            .extend(fs::read_to_string(session.join("targetname")).ok().map(|name| name.trim().to_owned()));
    }
    targets.sort_unstable();
    Ok(targets)
}
