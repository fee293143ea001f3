//! The kernel's iSCSI target, by its files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Turn, load, mount_once, tell};

const CONFIGFS: &str = "/sys/kernel/config";
const CONTROL: &str = "/sys/kernel/config/target";

/// With what initiators have to prove who they are.
#[derive(Clone, Copy, Debug)]
pub struct Chap<'a> {
    /// The name.
    pub user: &'a str,
    /// The secret, of twelve characters at least.
    pub password: &'a str,
}

/// A target with disks that are files. Dropping it takes it away.
#[derive(Debug)]
pub struct Target {
    iqn: String,
    portals: Vec<String>,
    disks: Vec<String>,
}

impl Target {
    /// The target `iqn` at these addresses of this machine (`127.0.0.1:3260`), with one disk of so many MiB for each of
    /// `disks`, whose files are in `dir` and stay there.
    ///
    /// # Errors
    /// What could not be done.
    pub fn start(
        _turn: &Turn,
        dir: &Path,
        iqn: &str,
        portals: &[&str],
        disks: &[u64],
        chap: Option<Chap<'_>>,
    ) -> Result<Self> {
        load("configfs");
        mount_once("configfs", CONFIGFS)?;
        for module in ["target_core_mod", "target_core_file", "iscsi_target_mod"] {
            load(module);
        }
        make(Path::new(CONTROL).join("iscsi"))?;
        // From here on dropping it takes away what there is of it.
        let mut target = Self { iqn: iqn.to_owned(), portals: Vec::new(), disks: Vec::new() };
        make(target.group())?;
        for (number, mebibytes) in disks.iter().enumerate() {
            let name = format!("{}-{number}", iqn.replace([':', '.'], "-"));
            let (file, bytes) = (dir.join(&name), mebibytes << 20);
            let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&file);
            opened
                .and_then(|file| file.set_len(bytes))
                .with_context(|| format!("make {}", file.display()))?;
            target.disks.push(name.clone());
            let disk = core(&name);
            make(&disk)?;
            tell(disk.join("control"), &format!("fd_dev_name={},fd_dev_size={bytes}", file.display()))?;
            tell(disk.join("enable"), "1")?;
            tell(disk.join("wwn/vpd_unit_serial"), &name)?;
            let lun = target.lun(number);
            make(&lun)?;
            symlink(&disk, lun.join("disk")).with_context(|| format!("link {}", lun.display()))?;
        }
        for portal in portals {
            target.portals.push((*portal).to_owned());
            make(target.group().join("np").join(portal))?;
        }
        let attributes = [
            ("generate_node_acls", "1"),
            ("cache_dynamic_acls", "1"),
            ("demo_mode_write_protect", "0"),
            ("authentication", if chap.is_some() { "1" } else { "0" }),
        ];
        for (name, value) in attributes {
            tell(target.group().join("attrib").join(name), value)?;
        }
        if let Some(Chap { user, password }) = chap {
            tell(target.group().join("auth/userid"), user)?;
            tell(target.group().join("auth/password"), password)?;
        }
        target.answer()?;
        Ok(target)
    }

    /// It answers again, or for the first time.
    ///
    /// # Errors
    /// What could not be done.
    pub fn answer(&self) -> Result<()> {
        tell(self.group().join("enable"), "1")
    }

    /// It answers no more, and ends its connections.
    ///
    /// # Errors
    /// What could not be done.
    pub fn fall_silent(&self) -> Result<()> {
        tell(self.group().join("enable"), "0")
    }

    fn group(&self) -> PathBuf {
        Path::new(CONTROL).join("iscsi").join(&self.iqn).join("tpgt_1")
    }

    fn lun(&self, number: usize) -> PathBuf {
        self.group().join("lun").join(format!("lun_{number}"))
    }
}

fn core(disk: &str) -> PathBuf {
    Path::new(CONTROL).join("core/fileio_0").join(disk)
}

fn make(dir: impl AsRef<Path>) -> Result<()> {
    let dir = dir.as_ref();
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.fall_silent();
        let group = self.group();
        for number in 0..self.disks.len() {
            let _ = fs::remove_file(self.lun(number).join("disk"));
            let _ = fs::remove_dir(self.lun(number));
        }
        for portal in &self.portals {
            let _ = fs::remove_dir(group.join("np").join(portal));
        }
        let _ = fs::remove_dir(&group);
        let _ = fs::remove_dir(group.with_file_name(""));
        for disk in &self.disks {
            let _ = fs::remove_dir(core(disk));
        }
    }
}
