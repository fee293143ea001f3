//! The names and places of one private containerd, and whose it is.

use std::fs::File;
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
    /// The process that takes it down; none if it is to stay.
    owner: Option<Owner>,
}

/// A process, told from a later one of the same number by when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    pid: i32,
    /// In clock ticks since the machine's start.
    began: u64,
}

impl Owner {
    fn this_process() -> Option<Self> {
        Self::of(rustix::process::getpid().as_raw_nonzero().get())
    }

    fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name, in parentheses, may contain anything; the beginning is the 20th field after it.
        let began = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, began })
    }

    fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// What [`Instance::lock`] holds.
pub(super) struct Lock {
    _file: File,
}

/// Where every instance of this machine is written down, so that those of dead programs are found.
const REGISTER: &str = "/run/berth-lab";

impl Instance {
    /// Takes the first free number. The bridge of that name is the claim: the kernel makes it once.
    pub(super) fn claim(dir: &Path, driver: Driver) -> Result<Self> {
        for number in 0..=u8::MAX {
            let instance = Self { dir: dir.to_path_buf(), number, driver, owner: Owner::this_process() };
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

    /// The instance that was started in `dir` and not taken down, if any.
    ///
    /// # Errors
    /// What is written there cannot be read.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join("instance.json");
        match std::fs::read(&file) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).with_context(|| format!("read {}", file.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }

    /// The instances of programs that were killed before they could take them down.
    pub(super) fn orphans() -> Vec<Self> {
        let entries = std::fs::read_dir(REGISTER).into_iter().flatten().flatten();
        let instances = entries
            .filter_map(|entry| serde_json::from_slice::<Self>(&std::fs::read(entry.path()).ok()?).ok());
        instances.filter(|instance| instance.owner.is_some() && instance.owner().is_none()).collect()
    }

    /// The process that takes it down, if that still lives.
    pub(super) fn owner(&self) -> Option<i32> {
        self.owner.filter(|owner| owner.lives()).map(|owner| owner.pid)
    }

    /// Makes the instance outlive this process.
    pub(super) fn disown(&mut self) -> Result<()> {
        self.owner = None;
        self.save()
    }

    /// Until it is dropped, no other program removes orphans, takes a number or gives one back.
    pub(super) fn lock() -> Result<Lock> {
        std::fs::create_dir_all(REGISTER).with_context(|| format!("create {REGISTER}"))?;
        let path = Path::new(REGISTER).join("lock");
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        file.lock().with_context(|| format!("lock {}", path.display()))?;
        Ok(Lock { _file: file })
    }

    /// Gives the number of an instance back of which nothing else is left. The next program may take it as soon as the
    /// bridge is gone, hence the lock: what is written down by then would be the next one's.
    pub(super) fn release(&self, _lock: &Lock) -> Result<()> {
        if self.bridge_exists() {
            let deleted =
                Command::new("ip").args(["link", "delete", &self.name()]).output().context("start ip")?;
            if !deleted.status.success() {
                let said = String::from_utf8_lossy(&deleted.stderr);
                bail!("ip link delete {}: {}", self.name(), said.trim());
            }
        }
        let _ = std::fs::remove_file(self.register_file());
        let _ = std::fs::remove_file(self.dir.join("instance.json"));
        Ok(())
    }

    /// Whether the number is another instance's by now.
    #[cfg(test)]
    pub(super) fn is_succeeded(&self) -> bool {
        let written = std::fs::read(self.register_file()).ok();
        let owner = written.and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        owner.is_some_and(|owner| owner.dir != self.dir)
    }

    fn register_file(&self) -> PathBuf {
        Path::new(REGISTER).join(format!("{}.json", self.name()))
    }

    fn save(&self) -> Result<()> {
        let json = serde_json::to_vec(self).context("write the instance as JSON")?;
        for file in [self.register_file(), self.dir.join("instance.json")] {
            std::fs::write(&file, &json).with_context(|| format!("write {}", file.display()))?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerd::remove;

    #[test]
    fn real_numbers_are_taken_and_given_back_side_by_side() {
        let take_and_give_back = || {
            for _ in 0..10 {
                let dir = tempfile::tempdir().unwrap();
                let instance = {
                    let _lock = Instance::lock().unwrap();
                    Instance::claim(dir.path(), Driver::Cgroupfs).unwrap()
                };
                assert!(instance.register_file().exists(), "{} is written down", instance.name());
                remove(&instance).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(take_and_give_back);
            }
        });
    }
}
