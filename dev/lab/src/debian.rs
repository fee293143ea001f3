//! Debian packages that are installed when something needs them.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A package, and the files by which a machine shows that it has what the package is needed for, whoever
/// installed it. One of them is enough.
pub struct Package {
    /// The package's name in Debian.
    pub name: &'static str,
    /// Absolute paths.
    pub files: &'static [&'static str],
}

/// Who installs.
const LOCK: &str = "/run/berth-lab-apt.lock";

/// Sets up networks.
pub const IPROUTE2: Package = Package { name: "iproute2", files: &["/usr/sbin/ip", "/sbin/ip"] };

/// What a private containerd needs.
pub const RUNTIME: [Package; 5] = [
    Package { name: "containerd", files: &["/usr/bin/containerd", "/usr/local/bin/containerd"] },
    Package { name: "runc", files: &["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"] },
    Package { name: "containernetworking-plugins", files: &["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"] },
    Package { name: "busybox-static", files: &["/bin/busybox"] },
    IPROUTE2,
];

/// What drives an API server by hand. Another version than Debian's serves as well.
pub const KUBECTL: [Package; 1] =
    [Package { name: "kubernetes-client", files: &["/usr/bin/kubectl", "/usr/local/bin/kubectl"] }];

/// Installs those of the packages that the machine does not have, and returns their names.
///
/// # Errors
/// The machine is not a Debian, this process is not root, or the packages cannot be fetched.
pub fn ensure(packages: &[Package]) -> Result<Vec<&'static str>> {
    let missing = missing_of(packages);
    if missing.is_empty() {
        return Ok(missing);
    }
    let names = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("this machine has no apt-get: install by hand what Debian calls {names}");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("not root: run `apt-get install --no-install-recommends {names}`");
    }
    // apt-get waits for one that installs, and fails beside one that updates.
    let lock = File::create(LOCK).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.with_context(|| format!("lock {LOCK}"))?;
    let missing = missing_of(packages);
    if missing.is_empty() {
        return Ok(missing);
    }
    let names = missing.join(" ");
    // A fresh machine's package lists are absent or name versions that the mirror has dropped since.
    if !install(&missing)? {
        if !apt(&["update", "--quiet"])? {
            bail!("apt-get update failed: the Debian mirror cannot be reached");
        }
        if !install(&missing)? {
            bail!("apt-get could not install {names}");
        }
    }
    Ok(missing)
}

fn missing_of(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| !is_installed(package)).map(|package| package.name).collect()
}

fn is_installed(package: &Package) -> bool {
    let present = package.files.iter().any(|file| Path::new(file).exists());
    // The package `busybox` has the same path, but a program that finds no loader inside a container.
    let usable = package.name != "busybox-static" || is_static(Path::new("/bin/busybox"));
    present && usable
}

/// True if the program names no loader in its first page.
fn is_static(program: &Path) -> bool {
    std::fs::read(program).is_ok_and(|bytes| {
        !bytes.iter().take(4096).copied().collect::<Vec<_>>().windows(4).any(|window| window == b"/ld-")
    })
}

fn install(names: &[&str]) -> Result<bool> {
    let mut args = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    args.extend(names);
    apt(&args)
}

fn apt(args: &[&str]) -> Result<bool> {
    // Somebody else may be installing something.
    let status = Command::new("apt-get")
        .arg("--option=DPkg::Lock::Timeout=120")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("start apt-get")?;
    Ok(status.success())
}
