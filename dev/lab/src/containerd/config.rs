//! containerd's configuration file and the CNI network of one instance.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Driver, Instance, Version};
use crate::oci;

/// Where distributions put the CNI plugins.
const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// Plugins that a node agent's containerd has no use for; each takes time at every start.
const UNNEEDED: [&str; 10] = [
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.restart",
    "io.containerd.monitor.container.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
];

/// The folder with the CNI plugins.
fn cni_folder() -> Result<&'static str> {
    let found = CNI_FOLDERS.into_iter().find(|folder| Path::new(folder).join("bridge").exists());
    found.with_context(|| format!("no CNI plugin `bridge` in {}", CNI_FOLDERS.join(" or ")))
}

/// What the configuration depends on beside the instance.
pub(super) struct Facts {
    pub(super) version: Version,
    pub(super) snapshotter: &'static str,
    /// Without CAP_SYS_RESOURCE no process may get a lower oom_score_adj than its parent.
    pub(super) restrict_oom_score_adj: bool,
    pub(super) cni_folder: &'static str,
}

impl Facts {
    /// Looks at the machine.
    pub(super) fn gather(dir: &Path, version: Version) -> Result<Self> {
        let capabilities = rustix::thread::capabilities(None).context("read this process's capabilities")?;
        let may_raise = capabilities.effective.contains(rustix::thread::CapabilitySet::SYS_RESOURCE);
        let statfs = rustix::fs::statfs(dir).with_context(|| format!("statfs {}", dir.display()))?;
        // An overlay cannot have its upper folder on another overlay.
        const OVERLAYFS: u64 = 0x794c_7630;
        let snapshotter = if statfs.f_type as u64 == OVERLAYFS { "native" } else { "overlayfs" };
        Ok(Self { version, snapshotter, restrict_oom_score_adj: !may_raise, cni_folder: cni_folder()? })
    }
}

/// Writes `config.toml` and the CNI network of the instance.
pub(super) fn write(instance: &Instance, facts: &Facts, host_ports: bool) -> Result<()> {
    let networks = instance.cni_conf();
    std::fs::create_dir_all(&networks).with_context(|| format!("create {}", networks.display()))?;
    let network = networks.join("10-berth.conflist");
    std::fs::write(&network, network_json(instance, host_ports).to_string())
        .with_context(|| format!("write {}", network.display()))?;
    let config = instance.config_file();
    std::fs::write(&config, toml(instance, facts)?).with_context(|| format!("write {}", config.display()))
}

/// A bridge without address translation: pods and this machine reach each other, nothing reaches further, and no
/// packet filter rule is made that would have to be taken away, unless host ports are asked for.
fn network_json(instance: &Instance, host_ports: bool) -> Value {
    let mut plugins = vec![json!({
        "type": "bridge",
        "bridge": instance.name(),
        "isGateway": true,
        "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "dataDir": instance.dir().join("cni/ipam"),
            "ranges": [[{"subnet": instance.subnet()}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    })];
    if host_ports {
        plugins.push(json!({"type": "portmap", "capabilities": {"portMappings": true}}));
    }
    json!({"cniVersion": "1.0.0", "name": instance.name(), "plugins": plugins})
}

/// A TOML basic string.
fn quoted(path: impl AsRef<Path>) -> String {
    Value::from(path.as_ref().display().to_string()).to_string()
}

fn toml(instance: &Instance, facts: &Facts) -> Result<String> {
    let dir = instance.dir();
    let systemd = instance.driver() == Driver::Systemd;
    let Facts { version, snapshotter, restrict_oom_score_adj, cni_folder } = facts;
    let unneeded = Value::from(UNNEEDED.to_vec()).to_string();
    let (root, state, socket) =
        (quoted(dir.join("root")), quoted(dir.join("state")), quoted(instance.socket()));
    let (opt, runc, conf_dir) =
        (quoted(dir.join("opt")), quoted(dir.join("runc")), quoted(instance.cni_conf()));
    let pause = oci::PAUSE;
    Ok(match version.major {
        1 => format!(
            r#"version = 2
root = {root}
state = {state}
disabled_plugins = {unneeded}
[grpc]
address = {socket}
[plugins."io.containerd.internal.v1.opt"]
path = {opt}
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = {restrict_oom_score_adj}
netns_mounts_under_state_dir = true
enable_unprivileged_ports = true
enable_unprivileged_icmp = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni_folder}"
conf_dir = {conf_dir}
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = {systemd}
Root = {runc}
"#
        ),
        2 => {
            // 2.1 made a list of it.
            let folders = if version.minor == 0 {
                format!("bin_dir = \"{cni_folder}\"")
            } else {
                format!("bin_dirs = [\"{cni_folder}\"]")
            };
            format!(
                r#"version = 3
root = {root}
state = {state}
disabled_plugins = {unneeded}
[grpc]
address = {socket}
[plugins."io.containerd.internal.v1.opt"]
path = {opt}
[plugins."io.containerd.nri.v1.nri"]
disable = true
[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = {restrict_oom_score_adj}
netns_mounts_under_state_dir = true
enable_unprivileged_ports = true
enable_unprivileged_icmp = true
[plugins."io.containerd.cri.v1.runtime".cni]
{folders}
conf_dir = {conf_dir}
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = {systemd}
Root = {runc}
"#
            )
        }
        other => bail!("containerd {other}.{} is not known here: 1.6 and newer, or 2.x", version.minor),
    })
}
