//! The disk of the emulated machine: a Debian with systemd, containerd 2.x and its own kernel, made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use lab::debian::{self, Package};
use sha2::{Digest, Sha256};

use super::cpio::Archive;
use crate::{sh, workspace};

/// The first suite with containerd 2.x. debootstrap knows only the names of its own time; all suites after
/// bookworm are made like `sid`.
const SUITE: &str = "forky";
const MIRROR: &str = "http://deb.debian.org/debian";

const PACKAGES: &str = "systemd-sysv,dbus,udev,kmod,iproute2,iptables,\
                        e2fsprogs,xfsprogs,\
                        linux-image-cloud-amd64,containerd,runc,containernetworking-plugins,busybox-static";

/// Servers and clients of volumes of networks, by apt: debootstrap takes the first of several packages that would do, and
/// here that is in conflict with what the kernel has brought.
const OF_NETWORKS: [&str; 4] = ["e2fsprogs", "nfs-kernel-server", "open-iscsi", "multipath-tools"];

/// Services of a machine that lives for longer than some minutes, those that tests of volumes start for themselves, and
/// udev, which has no device to wait for here and would look at each interface of each pod.
const UNWANTED_UNITS: [&str; 30] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "blk-availability.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@.service",
    "iscsid.socket",
    "modprobe@.service",
    "multipathd.service",
    "multipathd.socket",
    "nfs-client.target",
    "nfs-server.service",
    "nfsdcld.service",
    "open-iscsi.service",
    "rpcbind.service",
    "rpcbind.socket",
    "serial-getty@.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-pstore.service",
    "systemd-udev-load-credentials.service",
    "systemd-udev-settle.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd-varlink.socket",
    "systemd-update-done.service",
];

const INIT: &str = include_str!("guest/init");
const SERVICE: &str = include_str!("guest/suite.service");

/// Room for the tree and what the tests write; the file is sparse.
const DISK_SIZE: &str = "6G";

/// What making and booting the machine needs on this one.
const TOOLS: [Package; 5] = [
    Package { name: "debootstrap", files: &["/usr/sbin/debootstrap"] },
    Package { name: "qemu-system-x86", files: &["/usr/bin/qemu-system-x86_64"] },
    Package { name: "e2fsprogs", files: &["/usr/sbin/mke2fs", "/sbin/mke2fs"] },
    Package { name: "xz-utils", files: &["/usr/bin/xz"] },
    Package { name: "zstd", files: &["/usr/bin/zstd"] },
];

/// A bootable machine.
pub(super) struct Image {
    pub(super) disk: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

impl Image {
    fn in_folder(folder: &Path) -> Self {
        Self { disk: folder.join("root.img"), kernel: folder.join("vmlinuz"), initrd: folder.join("initrd") }
    }
}

/// The folder under which images are kept.
pub(super) fn folder() -> PathBuf {
    workspace::target().join("vm")
}

/// Installs what making and booting the machine needs.
pub(super) fn ensure_tools() -> Result<()> {
    let installed = debian::ensure(&TOOLS)?;
    if !installed.is_empty() {
        println!("vm: installed {}", installed.join(", "));
    }
    Ok(())
}

/// The image, made if there is none of this recipe.
pub(super) fn ensure() -> Result<Image> {
    ensure_tools()?;
    let kept = folder().join(key());
    if !kept.exists() {
        remove_other_recipes()?;
        let unfinished = kept.with_extension("unfinished");
        fs::create_dir_all(&unfinished).with_context(|| format!("create {}", unfinished.display()))?;
        build(&unfinished).context("make the emulated machine's disk")?;
        fs::rename(&unfinished, &kept).with_context(|| format!("rename {}", unfinished.display()))?;
    }
    Ok(Image::in_folder(&kept))
}

/// Changes with everything that the image is made from.
fn key() -> String {
    let mut hash = Sha256::new();
    for part in [SUITE, MIRROR, PACKAGES, INIT, SERVICE, DISK_SIZE, include_str!("image.rs")] {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Images are large: only the current recipe's is kept.
fn remove_other_recipes() -> Result<()> {
    for entry in fs::read_dir(folder()).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn build(folder: &Path) -> Result<()> {
    let tree = folder.join("tree");
    println!("vm: making a Debian {SUITE} (once; some minutes)");
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), SUITE]).arg(&tree);
    debootstrap.args([MIRROR, "/usr/share/debootstrap/scripts/sid"]);
    let log = fs::File::create(folder.join("debootstrap.log")).context("create debootstrap.log")?;
    debootstrap.stdout(log);
    sh::run(&mut debootstrap)?;
    // The machine boots from an archive of our own: nobody needs those that would be made with each of these packages.
    sh::run(Command::new("ln").args(["-sf", "/bin/true"]).arg(tree.join("usr/bin/dracut")))?;
    let mut apt = Command::new("chroot");
    apt.arg(&tree)
        .args(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends"])
        .args(OF_NETWORKS);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.stdout(fs::File::create(folder.join("apt.log")).context("create apt.log")?);
    sh::run(&mut apt)?;

    let image = Image::in_folder(folder);
    let kernel = only_entry(&tree.join("lib/modules"))?;
    let version = kernel.file_name().context("a kernel without version")?.to_string_lossy().into_owned();
    fs::copy(tree.join("boot").join(format!("vmlinuz-{version}")), &image.kernel)
        .context("copy the kernel")?;
    fs::write(&image.initrd, initrd(&tree, &kernel)?).context("write the initial root file system")?;

    settle(&tree)?;
    let mut mke2fs = Command::new("mke2fs");
    // The disk is never used twice: it needs no journal.
    mke2fs
        .args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"])
        .arg(&tree)
        .arg(&image.disk)
        .arg(DISK_SIZE);
    sh::run(&mut mke2fs)?;
    fs::remove_dir_all(&tree).context("remove the tree")
}

/// The only entry of a folder.
fn only_entry(folder: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?.next();
    Ok(entry.with_context(|| format!("{} is empty", folder.display()))??.path())
}

/// The busybox of the tree and the one driver without which there is no disk.
fn initrd(tree: &Path, modules: &Path) -> Result<Vec<u8>> {
    let module = modules.join("kernel/drivers/block/virtio_blk.ko.xz");
    let unpacked = Command::new("xz").arg("-dc").arg(&module).output().context("start xz")?;
    anyhow::ensure!(unpacked.status.success(), "xz -dc {} ended with {}", module.display(), unpacked.status);
    let busybox = fs::read(tree.join("bin/busybox")).context("read the tree's busybox")?;
    let mut archive = Archive::default();
    for name in ["bin", "dev", "root"] {
        archive.folder(name);
    }
    archive.program("bin/busybox", &busybox);
    archive.program("init", INIT.as_bytes());
    archive.program("virtio_blk.ko", &unpacked.stdout);
    Ok(archive.finish())
}

/// Makes the tree start what it is for, and little else.
fn settle(tree: &Path) -> Result<()> {
    let units = tree.join("etc/systemd/system");
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants).context("create multi-user.target.wants")?;
    fs::write(units.join("suite.service"), SERVICE).context("write suite.service")?;
    std::os::unix::fs::symlink("../suite.service", wants.join("suite.service"))
        .context("enable suite.service")?;
    for unit in UNWANTED_UNITS {
        let link = units.join(unit);
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).with_context(|| format!("replace {unit}"))?;
        }
        std::os::unix::fs::symlink("/dev/null", link).with_context(|| format!("mask {unit}"))?;
    }
    // Tests start a containerd of their own; the machine's is for who wants it: `systemctl start containerd`.
    fs::remove_file(wants.join("containerd.service")).context("disable containerd.service")?;
    fs::create_dir_all(tree.join("suite")).context("create /suite")?;
    fs::write(tree.join("etc/hostname"), "berth-vm\n").context("write the host name")?;
    fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n192.0.2.10 berth-vm\n").context("write hosts")?;
    // This machine's name servers cannot be reached from there; without any, a look-up fails at once.
    let resolver = tree.join("etc/resolv.conf");
    // Never written through: it may be a link to this machine's.
    let _ = fs::remove_file(&resolver);
    fs::write(&resolver, "").context("write resolv.conf")?;
    for cache in ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"] {
        let cache = tree.join(cache);
        if cache.exists() {
            fs::remove_dir_all(&cache).with_context(|| format!("remove {}", cache.display()))?;
        }
    }
    Ok(())
}
