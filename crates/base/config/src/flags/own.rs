//! The flags that are no field of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// Flags that say how this one node agent is run. Empty text and empty paths mean "not given".
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Flags {
    /// Configuration file.
    pub config: PathBuf,
    /// Directory of drop-in files for it.
    pub config_dir: PathBuf,
    /// Credentials for the API server; empty to run without one.
    pub kubeconfig: PathBuf,
    /// Credentials to get those of `kubeconfig` with.
    pub bootstrap_kubeconfig: PathBuf,
    /// The node's name, instead of the host's name.
    pub hostname_override: String,
    /// The node's IP address, or one of each family.
    pub node_ip: String,
    /// Directory of certificates.
    pub cert_dir: PathBuf,
    /// `external` if a cloud controller initializes the node.
    pub cloud_provider: String,
    /// Directory of the node agent's state and of volumes.
    pub root_dir: PathBuf,
    /// The same as the field `seccompDefault`; either is enough.
    pub seccomp_default: bool,
    /// Labels that the node registers with.
    pub node_labels: BTreeMap<String, String>,
    /// Cgroup of the runtime.
    pub runtime_cgroups: String,
    /// Credential providers: a file, or a directory of files.
    pub image_credential_provider_config: PathBuf,
    /// Directory of the credential providers' programs.
    pub image_credential_provider_bin_dir: PathBuf,
    /// File whose lock is held while running.
    pub lock_file: PathBuf,
    /// Whether to end when another process wants the lock.
    pub exit_on_lock_contention: bool,
    /// Age below which no dead container is removed.
    pub minimum_container_ttl_duration: Duration,
    /// Dead containers kept per container.
    pub maximum_dead_containers_per_container: i32,
    /// Dead containers kept in all; negative for any number.
    pub maximum_dead_containers: i32,
    /// Program to mount with.
    pub experimental_mounter_path: PathBuf,
    /// Whether hard eviction thresholds are not taken off from allocatable.
    pub experimental_allocatable_ignore_eviction: bool,
    /// Shortest time between two looks at a container's use of resources.
    pub housekeeping_interval: Duration,
    /// Longest time between two looks at a container's use of resources.
    pub max_housekeeping_interval: Duration,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            config: PathBuf::new(),
            config_dir: PathBuf::new(),
            kubeconfig: PathBuf::new(),
            bootstrap_kubeconfig: PathBuf::new(),
            hostname_override: String::new(),
            node_ip: String::new(),
            cert_dir: "/var/lib/kubelet/pki".into(),
            cloud_provider: String::new(),
            root_dir: "/var/lib/kubelet".into(),
            seccomp_default: false,
            node_labels: BTreeMap::new(),
            runtime_cgroups: String::new(),
            image_credential_provider_config: PathBuf::new(),
            image_credential_provider_bin_dir: PathBuf::new(),
            lock_file: PathBuf::new(),
            exit_on_lock_contention: false,
            minimum_container_ttl_duration: Duration::ZERO,
            maximum_dead_containers_per_container: 1,
            maximum_dead_containers: -1,
            experimental_mounter_path: PathBuf::new(),
            experimental_allocatable_ignore_eviction: false,
            housekeeping_interval: Duration::seconds(10),
            max_housekeeping_interval: Duration::seconds(15),
        }
    }
}
