//! `nfs`: an export of an NFS server, mounted for each pod. Pure (Kubernetes: "Volumes, nfs").

use std::net::Ipv6Addr;
use std::path::Path;

use crate::command::Command;
use crate::options;

/// An export.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Nfs {
    /// The server's name or address.
    pub server: String,
    /// The exported directory.
    pub path: String,
}

impl Nfs {
    /// What mount(8) calls it.
    fn source(&self) -> String {
        let Self { server, path } = self;
        match server.parse::<Ipv6Addr>() {
            Ok(_) => format!("[{server}]:{path}"),
            Err(_) => format!("{server}:{path}"),
        }
    }

    /// Mounts it at `point`.
    pub(crate) fn mount(&self, point: &Path, asked: &[String], read_only: bool) -> Command {
        let ours: &[&str] = if read_only { &["ro"] } else { &[] };
        mount("nfs", &options::joined(asked, ours), self.source().as_ref(), point)
    }
}

/// `mount -t FS_TYPE -o OPTIONS SOURCE POINT`.
pub(crate) fn mount(fs_type: &str, options: &[String], source: &Path, point: &Path) -> Command {
    let command = Command::new("mount").args(["-t", fs_type]);
    let command = if options.is_empty() { command } else { command.args(["-o", &options.join(",")]) };
    command.arg(source).arg(point)
}

/// Unmounts what is at `point`; `by_force` although its server does not answer.
pub(crate) fn unmount(point: &Path, by_force: bool) -> Command {
    let command = Command::new("umount");
    if by_force { command.arg("-f").arg(point) } else { command.arg(point) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let table: [(&str, &[&str], bool, &str); 5] = [
            ("10.0.0.2", &[], false, "mount -t nfs 10.0.0.2:/export/a /v"),
            ("10.0.0.2", &[], true, "mount -t nfs -o ro 10.0.0.2:/export/a /v"),
            ("nas", &["soft", "nfsvers=4.1"], false, "mount -t nfs -o nfsvers=4.1,soft nas:/export/a /v"),
            ("nas", &["hard", "ro"], true, "mount -t nfs -o hard,ro nas:/export/a /v"),
            ("fd00::7", &[], false, "mount -t nfs [fd00::7]:/export/a /v"),
        ];
        for (server, asked, read_only, expected) in table {
            let nfs = Nfs { server: server.into(), path: "/export/a".into() };
            let asked: Vec<String> = asked.iter().map(|&option| option.into()).collect();
            assert_eq!(nfs.mount(Path::new("/v"), &asked, read_only).to_string(), expected);
        }
        assert_eq!(unmount(Path::new("/v"), false).to_string(), "umount /v");
        assert_eq!(unmount(Path::new("/v"), true).to_string(), "umount -f /v");
    }
}
