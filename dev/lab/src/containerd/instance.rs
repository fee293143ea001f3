//! The names and places of one private containerd.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Who makes the containers' cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The runtime, by making directories.
    Cgroupfs,
    /// systemd, asked over D-Bus.
    Systemd,
}

impl Driver {
    /// systemd's driver where systemd is this machine's init.
    pub fn of_this_machine() -> Self {
        if Path::new("/run/systemd/system").exists() { Self::Systemd } else { Self::Cgroupfs }
    }

    /// The name in a `KubeletConfiguration`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }
}

/// What tells one private containerd from every other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    dir: PathBuf,
    number: u8,
    driver: Driver,
}

impl Instance {
    /// Takes the first free number. The bridge of that name is the claim: the kernel makes it once.
    pub(super) fn claim(dir: &Path, driver: Driver) -> Result<Self> {
        for number in 0..=u8::MAX {
            let instance = Self { dir: dir.to_path_buf(), number, driver };
            if instance.bridge_exists() {
                continue;
            }
            let made = Command::new("ip")
                .args(["link", "add", &instance.name(), "type", "bridge"])
                .output()
                .context("start ip")?;
            if made.status.success() {
                instance.save()?;
                return Ok(instance);
            }
            // Another program was faster; anything else will not be better with the next number.
            if !instance.bridge_exists() {
                bail!(
                    "ip link add {} type bridge: {}",
                    instance.name(),
                    String::from_utf8_lossy(&made.stderr).trim()
                );
            }
        }
        bail!("all 256 numbers of private containerds are taken: see `ip link show type bridge`")
    }

    /// The instance that was started in `dir` last, if any.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join("instance.json");
        match std::fs::read(&file) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).with_context(|| format!("read {}", file.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }

    fn save(&self) -> Result<()> {
        let file = self.dir.join("instance.json");
        let json = serde_json::to_vec(self).context("write the instance as JSON")?;
        std::fs::write(&file, json).with_context(|| format!("write {}", file.display()))
    }

    /// The directory under which all its files are. Whoever uses the instance may put files and mounts there too:
    /// they count as its leftovers.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The name of its bridge, its CNI network and its top cgroup.
    pub fn name(&self) -> String {
        format!("berth{}", self.number)
    }

    /// The cgroup under which a node agent is to put its pods (`cgroupRoot`), so that they count as leftovers.
    pub fn cgroup_root(&self) -> String {
        format!("/{}", self.name())
    }

    /// The pods' addresses.
    pub fn subnet(&self) -> String {
        format!("10.213.{}.0/24", self.number)
    }

    /// Who makes the containers' cgroups.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// containerd's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    /// containerd's log.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join("containerd.log")
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    pub(super) fn cni_conf(&self) -> PathBuf {
        self.dir.join("cni/net.d")
    }

    /// The identifiers of the sandboxes and containers that have or had a shim.
    pub(crate) fn task_ids(&self) -> Vec<String> {
        let tasks = self.dir.join("state/io.containerd.runtime.v2.task/k8s.io");
        let entries = std::fs::read_dir(tasks).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    pub(crate) fn bridge_exists(&self) -> bool {
        Path::new("/sys/class/net").join(self.name()).exists()
    }
}
