//! Why a configuration cannot be made.

use types::reason::waiting;

use crate::env::EnvError;
use crate::hostname::HostnameError;
use crate::mounts::MountError;
use crate::security::SecurityError;

/// Why a sandbox or a container cannot be configured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The pod's hostname is not possible.
    #[error("the pod cannot have the hostname that it asks for")]
    Hostname(#[from] HostnameError),
    /// The security context cannot be met.
    #[error("the security context cannot be met")]
    Security(#[from] SecurityError),
    /// A variable of the environment has no value. Said in its words alone: users know those of ConfigMaps and Secrets.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A mount is not possible.
    #[error("a mount is not possible")]
    Mount(#[from] MountError),
    /// `lifecycle.stopSignal` is none that the runtime has.
    #[error("stop signal {0:?} is not known: use a name such as SIGTERM or SIGRTMIN+3")]
    StopSignal(String),
    /// `hostUsers: false`, but no ids have been set aside for the pod.
    #[error("the pod wants a user namespace of its own, and no user ids have been set aside for it")]
    UserNamespace,
    /// A field could not be written as JSON.
    #[error("field {0} cannot be kept in an annotation")]
    Annotation(&'static str),
}

impl ConfigError {
    /// The reason of the container's `waiting` state.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        waiting::CREATE_CONTAINER_CONFIG_ERROR
    }
}
