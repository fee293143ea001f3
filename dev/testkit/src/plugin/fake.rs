//! A plugin that registers, and can do nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pluginapi::proto::registration::registration_server::{Registration, RegistrationServer};
use pluginapi::proto::registration::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use tonic::codegen::Service;
use tonic::{Request, Response, Status, async_trait};

use super::fault::Strike;
use super::journal::{Call, NotSeen};
use super::served::Served;
use crate::faults::FaultGuard;
use crate::listener::Listener;

/// A plugin on a socket in a directory of plugins. Its calls are `GetInfo` and `NotifyRegistrationStatus`; the detail of
/// the latter is `registered`, or why not. Dropping it is a crash.
#[derive(Debug)]
pub struct FakePlugin {
    served: Served,
    socket: PathBuf,
    info: PluginInfo,
}

/// What serves has the journal, which has what serves: somebody has to let go.
impl Drop for FakePlugin {
    fn drop(&mut self) {
        self.crash();
    }
}

impl FakePlugin {
    /// Starts the plugin `name` of the type `kind` at `socket`.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn start(socket: &Path, kind: &str, name: &str) -> std::io::Result<Self> {
        let info = PluginInfo {
            r#type: kind.to_owned(),
            name: name.to_owned(),
            endpoint: String::new(),
            supported_versions: vec!["1.0.0".to_owned()],
        };
        Self::with_info(socket, info)
    }

    /// Starts a plugin at `socket` that answers `info`.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn with_info(socket: &Path, info: PluginInfo) -> std::io::Result<Self> {
        let plugin = Self { served: Served::default(), socket: socket.to_owned(), info };
        plugin.listen()?;
        Ok(plugin)
    }

    fn listen(&self) -> std::io::Result<()> {
        let (served, server) = (
            self.served.clone(),
            RegistrationServer::new(Asked { served: self.served.clone(), info: self.info.clone() }),
        );
        let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            served.heard(request.uri());
            server.clone().call(request)
        });
        self.served.listen(Listener::bind(&self.socket, service)?);
        Ok(())
    }

    /// Crashes: connections break, the socket stays.
    pub fn crash(&self) {
        self.served.crash();
    }

    /// Listens again on a new socket in the place of the old one, after a crash or with one.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn restart(&self) -> std::io::Result<()> {
        self.crash();
        self.listen()
    }

    /// Ends as a plugin should: its socket is removed.
    ///
    /// # Errors
    /// If the socket cannot be removed.
    pub fn stop(&self) -> std::io::Result<()> {
        self.crash();
        std::fs::remove_file(&self.socket)
    }

    /// Raises a fault.
    pub fn raise(&self, strike: Strike) -> FaultGuard {
        self.served.raise(strike)
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.served.journal().calls()
    }

    /// What it was told about its registration so far, in order: `registered`, or why not.
    #[must_use]
    pub fn verdicts(&self) -> Vec<String> {
        verdicts(&self.calls())
    }

    /// Whom its client said it wanted to talk to.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        self.served.authority()
    }

    /// Waits until the calls so far are as `wanted` says.
    ///
    /// # Errors
    /// If that is not so within `deadline`.
    pub async fn wait(&self, deadline: Duration, wanted: impl FnMut(&[Call]) -> bool) -> Result<(), NotSeen> {
        self.served.journal().wait(deadline, wanted).await
    }

    /// Waits until it was told `count` times how its registration stands.
    ///
    /// # Errors
    /// If that is not so within `deadline`.
    pub async fn wait_verdicts(&self, count: usize, deadline: Duration) -> Result<Vec<String>, NotSeen> {
        self.wait(deadline, |calls| verdicts(calls).len() >= count).await?;
        Ok(self.verdicts())
    }
}

fn verdicts(calls: &[Call]) -> Vec<String> {
    let told = calls.iter().filter(|call| call.name == "NotifyRegistrationStatus");
    told.map(|call| call.detail.clone()).collect()
}

#[derive(Clone, Debug)]
struct Asked {
    served: Served,
    info: PluginInfo,
}

#[async_trait]
impl Registration for Asked {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        self.served.serve("GetInfo", None, String::new(), || Ok(self.info.clone())).await
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        let detail = if status.plugin_registered { "registered".to_owned() } else { status.error };
        let answer = || Ok(RegistrationStatusResponse {});
        self.served.serve("NotifyRegistrationStatus", None, detail, answer).await
    }
}
