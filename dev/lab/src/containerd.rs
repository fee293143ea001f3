//! A private containerd: its own root, state, socket, CNI network, bridge and cgroup name, so that any number of
//! them run beside each other and beside the one of the machine's owner.

mod cgroup;
mod config;
pub(crate) mod instance;
mod probe;

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::leftovers::Leftovers;
use crate::{debian, log, oci};
use config::Facts;
pub use instance::{Driver, Instance};
use probe::Probe;

/// How a private containerd differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Who makes the containers' cgroups; by default systemd where it is this machine's init.
    pub driver: Option<Driver>,
    /// Whether `hostPort` works. The plugin for it makes packet filter chains of its own that stay, empty, when the
    /// pods are gone: for machines that are thrown away.
    pub host_ports: bool,
}

/// containerd's version, as far as its configuration depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// 1 or 2.
    pub major: u32,
    /// 6 and 7 of 1; 0 and up of 2.
    pub minor: u32,
}

impl Version {
    /// The version of the containerd in this machine's path.
    ///
    /// # Errors
    /// There is none, or it does not say a version.
    pub fn installed() -> Result<Self> {
        let output =
            std::process::Command::new("containerd").arg("--version").output().context("start containerd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        Self::parse(&text).with_context(|| format!("containerd --version says {text:?}"))
    }

    /// Reads `containerd github.com/containerd/containerd/v2 2.1.9 2.1.9-1`: the first word with two numbers.
    fn parse(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.trim_start_matches('v').split('.').map(str::parse);
            Some(Self { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
        })
    }
}

/// Long enough for an emulated machine; a failure is noticed at once, since then the process has ended.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running private containerd. Dropped, it is taken down with everything that runs in it.
#[derive(Debug)]
pub struct Containerd {
    instance: Instance,
    version: Version,
    daemon: Option<Child>,
    kept: bool,
}

impl Containerd {
    /// Starts a containerd whose files are under `dir`, with the images of [`oci`] in it, and waits until its CRI
    /// plugin answers. Installs the Debian packages it needs. `dir` must be short: a socket's path has at most
    /// 107 bytes.
    ///
    /// # Errors
    /// This process is not root, a package is missing and cannot be installed, or containerd does not start; the
    /// end of its log is in the error.
    pub async fn start(dir: &Path, options: Options) -> Result<Self> {
        debian::ensure(&debian::RUNTIME)?;
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("resolve {}", dir.display()))?;
        let version = Version::installed()?;
        let facts = Facts::gather(&dir, version)?;
        let instance = {
            let lock = Instance::lock()?;
            for orphan in Instance::orphans() {
                // What cannot be removed keeps its number and is tried again by the next one.
                let _ = clear(&orphan).and_then(|()| orphan.release(&lock));
            }
            Instance::claim(&dir, options.driver.unwrap_or_else(Driver::of_this_machine))?
        };
        let mut containerd = Self { instance, version, daemon: None, kept: false };
        cgroup::make(&containerd.instance)?;
        config::write(&containerd.instance, &facts, options.host_ports)?;
        containerd.resume().await?;
        containerd.import_images(facts.snapshotter).await?;
        Ok(containerd)
    }

    /// The names and places of this instance.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The version that runs.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The CRI endpoint, `unix:///…`.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.instance.socket().display())
    }

    /// Kills the daemon with SIGKILL, as a crash would; containers and their shims live on.
    ///
    /// # Errors
    /// The daemon does not run.
    pub async fn kill(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("containerd does not run")?;
        daemon.kill().await.context("kill containerd")
    }

    /// Starts the daemon again after [`Containerd::kill`], and waits until its CRI plugin answers.
    ///
    /// # Errors
    /// containerd does not start; the end of its log is in the error.
    pub async fn resume(&mut self) -> Result<()> {
        let started = self.start_daemon().await;
        started.with_context(|| {
            format!("containerd does not start; the end of its log:\n{}", log::end(&self.instance.log_file()))
        })
    }

    /// Starts the daemon and waits until it says that it is ready.
    async fn start_daemon(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let notify = self.instance.dir().join("notify.sock");
        let log_file = self.instance.log_file();
        let _ = std::fs::remove_file(&notify);
        let readiness = UnixDatagram::bind(&notify).with_context(|| format!("bind {}", notify.display()))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_file)
            .with_context(|| format!("open {}", log_file.display()))?;
        let mut daemon = Command::new("containerd")
            .arg("--config")
            .arg(self.instance.config_file())
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log file")?)
            .stderr(log)
            // A Ctrl-C is for the program that started containerd, which then takes it down in order.
            .process_group(0)
            .spawn()
            .context("start containerd")?;
        tokio::select! {
            ready = wait_ready(&readiness) => ready?,
            status = daemon.wait() => bail!("containerd ended with {}", status.context("wait for containerd")?),
            () = tokio::time::sleep_until(deadline) => {
                daemon.kill().await.context("kill containerd")?;
                bail!("containerd was not ready within {} s", READY_WITHIN.as_secs());
            }
        }
        self.daemon = Some(daemon);
        Probe::connect(&self.instance.socket()).await?.answers(deadline).await
    }

    /// Makes the images and imports them.
    async fn import_images(&self, snapshotter: &str) -> Result<()> {
        let archive = self.instance.dir().join("images.tar");
        oci::write_archive(&archive)?;
        let mut args = vec!["images", "import", "--snapshotter", snapshotter];
        // The transfer service of 2.x unpacks for its own choice of snapshotter.
        if self.version.major >= 2 {
            args.push("--local");
        }
        let archive = archive.to_str().context("the directory's name is not UTF-8")?;
        args.push(archive);
        self.ctr(&args).await?;
        let mut probe = Probe::connect(&self.instance.socket()).await?;
        for image in [oci::PAUSE, oci::BUSYBOX] {
            probe.knows(image, Instant::now() + READY_WITHIN).await?;
        }
        Ok(())
    }

    /// Runs `ctr` in the CRI's namespace and returns what it prints.
    ///
    /// # Errors
    /// ctr fails; what it says is in the error.
    pub async fn ctr(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.instance.socket())
            .args(["--namespace", "k8s.io"])
            .args(args)
            .kill_on_drop(true)
            .output()
            .await
            .context("start ctr")?;
        if !output.status.success() {
            bail!(
                "ctr {} ended with {}: {}",
                args.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What there is of this instance on the machine: all of it while it runs, nothing after it was stopped.
    pub fn leftovers(&self) -> Leftovers {
        Leftovers::find(&self.instance)
    }

    /// Takes everything down.
    ///
    /// # Errors
    /// Something of it is left; the error lists it.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().await.context("kill containerd")?;
        }
        // Done here; there is nothing for `drop` to do again.
        self.kept = true;
        remove(&self.instance)
    }

    /// Leaves it running when this program ends. [`remove_abandoned`] takes it down later.
    ///
    /// # Errors
    /// It cannot be written down that it is to stay; it is taken down.
    pub fn keep(mut self) -> Result<()> {
        self.instance.disown()?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if !self.kept {
            // The owner is failing already, or it would have called `stop`; what is left is found by the next run.
            let _ = remove(&self.instance);
        }
    }
}

/// Takes down the instance that an earlier program left in `dir`, if there is one. True if there was.
///
/// # Errors
/// The program that started it still runs, or something of it is left; the error lists it.
pub fn remove_abandoned(dir: &Path) -> Result<bool> {
    let Some(instance) = Instance::load(dir)? else { return Ok(false) };
    if let Some(owner) = instance.owner() {
        bail!("the containerd in {} belongs to process {owner}, which still runs", dir.display());
    }
    remove(&instance)?;
    Ok(true)
}

fn remove(instance: &Instance) -> Result<()> {
    clear(instance)?;
    instance.release(&Instance::lock()?)
}

/// Removes all of the instance but its claim.
fn clear(instance: &Instance) -> Result<()> {
    let left = Leftovers::remove(instance);
    if !left.is_empty() {
        bail!("left behind of {}:\n{left}", instance.dir().display());
    }
    Ok(())
}

/// Waits for the message that service managers get: containerd sends it after it serves its socket.
async fn wait_ready(socket: &UnixDatagram) -> Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let length = socket.recv(&mut buffer).await.context("receive containerd's readiness")?;
        if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_packaging_are_read() {
        let parse = |text| Version::parse(text).map(|version| (version.major, version.minor));
        assert_eq!(
            parse("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3"),
            Some((1, 6))
        );
        assert_eq!(parse("containerd github.com/containerd/containerd/v2 2.1.9 2.1.9+ds1-5"), Some((2, 1)));
        assert_eq!(parse("containerd containerd.io v2.0.1 abc"), Some((2, 0)));
        assert_eq!(parse("nothing here"), None);
    }

    #[tokio::test]
    async fn real_one_of_a_killed_program_is_removed_by_the_next() {
        const CHILD: &str = "BERTH_LAB_TEST_DIR";
        if let Some(dir) = std::env::var_os(CHILD) {
            let _containerd = Containerd::start(Path::new(&dir), Options::default()).await.unwrap();
            std::fs::write(Path::new(&dir).join("started"), "").unwrap();
            return std::future::pending().await;
        }
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = std::thread::current().name().unwrap().to_owned();
        let mut program = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name])
            .env(CHILD, theirs.path())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + READY_WITHIN;
        while !theirs.path().join("started").exists() {
            assert!(
                Instant::now() < deadline && program.try_wait().unwrap().is_none(),
                "the other program does not start its containerd"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let orphan = Instance::load(&theirs.path().canonicalize().unwrap()).unwrap().unwrap();
        {
            // Any other test that begins would remove it.
            let _lock = Instance::lock().unwrap();
            program.kill().await.unwrap();
            assert!(!Leftovers::find(&orphan).processes.is_empty());
        }

        let containerd = Containerd::start(ours.path(), Options::default()).await.unwrap();
        assert_gone(&orphan);
        containerd.stop().await.unwrap();
    }

    /// What has its number in its name (bridge, cgroups, results of CNI) may be another test's by now, and then says nothing.
    fn assert_gone(instance: &Instance) {
        let _lock = Instance::lock().unwrap();
        let mut left = Leftovers::find(instance);
        if instance.is_succeeded() {
            (left.interfaces, left.cgroups) = (Vec::new(), Vec::new());
            let of_number = format!("{}-", instance.name());
            left.files.retain(|file| {
                !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&of_number))
            });
        }
        assert!(left.is_empty(), "{left}");
    }

    #[tokio::test]
    async fn real_two_instances_start_crash_resume_and_leave_nothing() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut first = Containerd::start(one.path(), Options::default()).await.unwrap();
        let second = Containerd::start(two.path(), Options::default()).await.unwrap();
        assert_ne!(first.instance().subnet(), second.instance().subnet());

        // The CRI plugin is told where runc keeps its state; ctr must be told too.
        let runc = first.instance().dir().join("runc");
        let run =
            ["run", "--detach", "--null-io", "--runc-root", runc.to_str().unwrap(), oci::BUSYBOX, "sleeper"];
        first.ctr(&[&run[..], &["sleep", "1000"]].concat()).await.unwrap();
        first.kill().await.unwrap();
        first.resume().await.unwrap();
        assert!(first.ctr(&["tasks", "list"]).await.unwrap().contains("RUNNING"));
        assert!(first.leftovers().processes.len() >= 3, "{}", first.leftovers());

        let (first_instance, second_instance) = (first.instance().clone(), second.instance().clone());
        first.stop().await.unwrap();
        assert!(!second.leftovers().is_empty());
        drop(second);
        assert_gone(&first_instance);
        assert_gone(&second_instance);
    }
}
