//! One run of the emulated machine.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::image::Image;

/// What the guest says about itself begins with this; everything else is the suite's output.
pub(super) const MARK: &str = "@berth-vm ";

/// The kernel's: a huge page costs an emulator more than it saves; removing a mount, a cgroup or a network namespace
/// waits for each processor to be idle for a moment, unless that is forced; a clock that an emulator on a busy machine
/// moves in leaps is taken for broken; and nobody reads what systemd started.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 no_timer_check \
                            transparent_hugepage=never rcupdate.rcu_expedited=1 systemd.log_level=warning";

/// It is up after 11 s on an idle machine of two cores, and was after 166 s beside ten busy loops and a build (`cargo xtask vm
/// --run true` prints it).
const READY_WITHIN: Duration = Duration::from_secs(5 * 60);

/// What the guest said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The guest's uptime when it had booted, in seconds.
    pub(super) ready: Option<String>,
    /// The exit status of the suite. Without one the machine died.
    pub(super) status: Option<i32>,
    /// The opening tag of nextest's report.
    pub(super) report: Option<String>,
}

impl Outcome {
    /// Takes a line of the guest's; false if it is the suite's.
    fn take(&mut self, line: &str) -> bool {
        let Some(said) = line.strip_prefix(MARK) else { return false };
        match said.split_once(' ') {
            Some(("ready", uptime)) => self.ready = Some(uptime.to_owned()),
            Some(("status", status)) => self.status = status.parse().ok(),
            Some(("report", report)) => self.report = Some(report.to_owned()),
            _ => return false,
        }
        true
    }
}

/// Boots the image with the payload as its second disk, prints what it says, and waits until it is off, or has not come
/// up in time. The machine's own console goes to a file.
pub(super) async fn run(image: &Image, payload: &Path, console: &Path, within: Duration) -> Result<Outcome> {
    let begun = Instant::now();
    let mut qemu = start(image, payload, console)?;
    let stdout = qemu.stdout.take().context("qemu has no standard output")?;
    let mut lines = BufReader::new(stdout).split(b'\n');
    let mut outcome = Outcome::default();
    let mut deadline = begun + READY_WITHIN.min(within);
    loop {
        let Ok(line) = tokio::time::timeout_at(deadline, lines.next_segment()).await else {
            qemu.kill().await.context("kill qemu")?;
            if outcome.ready.is_none() {
                return Ok(outcome);
            }
            bail!(
                "the emulated machine was not done within {} min; its console is in {}",
                within.as_secs() / 60,
                console.display()
            );
        };
        let Some(line) = line.context("read the guest's output")? else { break };
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        if !outcome.take(line) {
            println!("{line}");
        }
        if outcome.ready.is_some() {
            deadline = begun + within;
        }
    }
    let status = qemu.wait().await.context("wait for qemu")?;
    if !status.success() {
        bail!("qemu ended with {status}");
    }
    Ok(outcome)
}

fn start(image: &Image, payload: &Path, console: &Path) -> Result<Child> {
    let disk = |path: &Path, snapshot: &str| {
        format!("file={},if=virtio,format=raw,cache=unsafe,snapshot={snapshot}", path.display())
    };
    Command::new("qemu-system-x86_64")
        // Emulation works everywhere; a large cache of translated code is most of its speed. An old processor has
        // fewer levels of page tables and no vector instructions that are slow to emulate: a quarter of the time.
        .args(["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "Nehalem", "-smp", "2", "-m", "3G"])
        .args(["-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none"])
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.initrd)
        .args(["-append", COMMAND_LINE])
        // What the guest writes on its root disk is thrown away: every run begins with the same machine.
        .args(["-drive", &disk(&image.disk, "on"), "-drive", &disk(payload, "off")])
        .args([
            "-device",
            "virtio-serial-pci",
            "-chardev",
            "stdio,id=out,signal=off",
            "-device",
            "virtconsole,chardev=out",
        ])
        .args(["-serial", &format!("file:{}", console.display())])
        .env("TMPDIR", super::image::folder())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start qemu-system-x86_64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_lines_are_told_from_the_suites() {
        let mut outcome = Outcome::default();
        assert!(!outcome.take("PASS [0.1s] cgroup tree::tests::a"));
        assert!(outcome.take("@berth-vm ready 21.5"));
        assert!(outcome.take("@berth-vm status 100"));
        assert!(!outcome.take("@berth-vm nonsense"));
        assert_eq!(outcome, Outcome { ready: Some("21.5".into()), status: Some(100), report: None });
    }
}
