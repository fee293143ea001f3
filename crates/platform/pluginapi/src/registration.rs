//! What a socket in the directory of plugins is asked: who it is; and what it is told: whether it was registered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::Request;
use tonic::transport::Channel;

use crate::call::call;
use crate::error::PluginError;
use crate::proto::registration::registration_client::RegistrationClient;
use crate::proto::registration::{InfoRequest, RegistrationStatus};

/// How long a plugin may take to say who it is: a second for the answer, after connecting.
const INFO_DEADLINE: Duration = Duration::from_secs(11);

/// How long a plugin may take to hear whether it was registered.
const NOTIFY_DEADLINE: Duration = Duration::from_secs(5);

/// Who a plugin says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plugin {
    /// Its type: `CSIPlugin`, `DRAPlugin` or `DevicePlugin`.
    pub kind: String,
    /// Its name, unique for its type: that of a CSI driver, a DRA driver or a resource.
    pub name: String,
    /// The socket on which it serves its own protocol; may be the one that was asked.
    pub endpoint: PathBuf,
    /// The versions of its protocol that it knows, in its own order.
    pub versions: Vec<String>,
}

/// A socket in the directory of plugins.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    socket: &'a Path,
}

impl<'a> Registration<'a> {
    /// The plugin that listens at `socket`.
    #[must_use]
    pub fn at(socket: &'a Path) -> Self {
        Self { socket }
    }

    /// Asks who it is (`GetInfo`).
    ///
    /// # Errors
    /// If it does not answer, or with an error.
    pub async fn info(self) -> Result<Plugin, PluginError> {
        let send = async |channel: Channel, request: Request<InfoRequest>| {
            RegistrationClient::new(channel).get_info(request).await
        };
        let (answer, _) = call(self.socket, INFO_DEADLINE, InfoRequest {}, send).await;
        let info = answer.map_err(|failure| self.failed("GetInfo", failure))?;
        let endpoint = match info.endpoint.as_str() {
            "" => self.socket.to_owned(),
            endpoint => endpoint.into(),
        };
        Ok(Plugin { kind: info.r#type, name: info.name, endpoint, versions: info.supported_versions })
    }

    /// Tells it whether it was registered, or why not (`NotifyRegistrationStatus`).
    ///
    /// # Errors
    /// If it does not hear.
    pub async fn notify(self, registered: Result<(), String>) -> Result<(), PluginError> {
        let status = match registered {
            Ok(()) => RegistrationStatus { plugin_registered: true, error: String::new() },
            Err(error) => RegistrationStatus { plugin_registered: false, error },
        };
        let send = async |channel: Channel, request: Request<RegistrationStatus>| {
            RegistrationClient::new(channel).notify_registration_status(request).await
        };
        let (answer, _) = call(self.socket, NOTIFY_DEADLINE, status, send).await;
        answer.map(|_| ()).map_err(|failure| self.failed("NotifyRegistrationStatus", failure))
    }

    fn failed(self, call: &'static str, (kind, message): (crate::PluginErrorKind, String)) -> PluginError {
        let callee = format!("the plugin at {}", self.socket.display());
        PluginError { callee, call, volume: None, kind, message }
    }
}
