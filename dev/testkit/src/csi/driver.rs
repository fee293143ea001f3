//! What tests hold of a driver.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pluginapi::proto::csi::identity_server::IdentityServer;
use pluginapi::proto::csi::node_server::NodeServer;
use pluginapi::proto::csi::{NodeExpandVolumeRequest, NodePublishVolumeRequest, NodeStageVolumeRequest};
use pluginapi::proto::registration::PluginInfo;
use tonic::codegen::Service;

use super::DriverOptions;
use super::node::Serving;
use super::volumes::Volumes;
use crate::listener::Listener;
use crate::plugin::{Call, FakePlugin, FaultGuard, NotSeen, Served, Strike};

/// A running driver. Dropping it is a crash; its volumes, and what is mounted of them, stay.
#[derive(Debug)]
pub struct TestDriver {
    serving: Serving,
    socket: PathBuf,
    registration: Option<FakePlugin>,
}

/// What serves has the journal, which has what serves: somebody has to let go.
impl Drop for TestDriver {
    fn drop(&mut self) {
        self.crash();
    }
}

impl TestDriver {
    /// Starts a driver whose socket and volumes are in `dir`. It is registered nowhere.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn start(dir: &Path, options: DriverOptions) -> io::Result<Self> {
        let volumes = Volumes::new(dir.join("volumes"), options.mounting);
        let serving = Serving {
            served: Served::default(),
            max_volumes: Arc::new(options.max_volumes.into()),
            options: Arc::new(options),
            volumes: Arc::new(Mutex::new(volumes)),
            last: Arc::default(),
        };
        let driver = Self { serving, socket: dir.join("csi.sock"), registration: None };
        driver.listen()?;
        Ok(driver)
    }

    fn listen(&self) -> io::Result<()> {
        let served = self.serving.served.clone();
        let node = NodeServer::new(self.serving.clone());
        let identity = IdentityServer::new(self.serving.clone());
        let dispatch = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            served.heard(request.uri());
            let answer = if request.uri().path().starts_with("/csi.v1.Identity/") {
                identity.clone().call(request)
            } else {
                node.clone().call(request)
            };
            // As with most libraries a call goes on when its client is gone. A crash ends it.
            let crash = served.crash_token();
            async move {
                let call = async move {
                    tokio::select! { biased; () = crash.cancelled() => None, answer = answer => Some(answer) }
                };
                match tokio::spawn(call).await {
                    Ok(Some(answer)) => answer,
                    _ => std::future::pending().await,
                }
            }
        });
        self.serving.served.listen(Listener::bind(&self.socket, dispatch)?);
        Ok(())
    }

    /// Registers at the directory of plugins `dir`, as the registrar beside a driver does. A registration before ends.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn register(&mut self, dir: &Path) -> io::Result<()> {
        let options = &self.serving.options;
        let info = PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: options.name.clone(),
            endpoint: self.socket.to_string_lossy().into_owned(),
            supported_versions: options.versions.clone(),
        };
        let socket = dir.join(format!("{}-reg.sock", options.name));
        self.registration = None;
        self.registration = Some(FakePlugin::with_info(&socket, info)?);
        Ok(())
    }

    /// Ends the registration: its socket is removed.
    ///
    /// # Errors
    /// If the socket cannot be removed.
    pub fn deregister(&mut self) -> io::Result<()> {
        self.registration.take().map_or(Ok(()), |registration| registration.stop())
    }

    /// What registers it, if it is registered.
    #[must_use]
    pub fn registration(&self) -> Option<&FakePlugin> {
        self.registration.as_ref()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.serving.options.name
    }

    /// The path of its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// From now on it says that it can have `max` volumes on the node.
    pub fn set_max_volumes(&self, max: i64) {
        self.serving.max_volumes.store(max, std::sync::atomic::Ordering::Relaxed);
    }

    /// Crashes: connections break, the socket stays and nobody listens. Its registrar lives on.
    pub fn crash(&self) {
        self.serving.served.crash();
    }

    /// Listens again, after a crash or with one.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn restart(&self) -> io::Result<()> {
        self.crash();
        self.listen()
    }

    /// Raises a fault.
    pub fn raise(&self, strike: Strike) -> FaultGuard {
        self.serving.served.raise(strike)
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.serving.served.journal().calls()
    }

    /// The names of the calls so far that change something, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<&'static str> {
        let names = self.calls().into_iter().map(|call| call.name);
        names.filter(|name| name.ends_with("Volume")).collect()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.serving.served.journal().clear();
    }

    /// Waits until the calls so far are as `wanted` says.
    ///
    /// # Errors
    /// If that is not so within `deadline`.
    pub async fn wait(&self, deadline: Duration, wanted: impl FnMut(&[Call]) -> bool) -> Result<(), NotSeen> {
        self.serving.served.journal().wait(deadline, wanted).await
    }

    /// Whom its client said it wanted to talk to.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        self.serving.served.authority()
    }

    /// The last request to stage.
    #[must_use]
    pub fn last_stage(&self) -> Option<NodeStageVolumeRequest> {
        self.serving.last().stage.clone()
    }

    /// The last request to publish.
    #[must_use]
    pub fn last_publish(&self) -> Option<NodePublishVolumeRequest> {
        self.serving.last().publish.clone()
    }

    /// The last request to expand.
    #[must_use]
    pub fn last_expand(&self) -> Option<NodeExpandVolumeRequest> {
        self.serving.last().expand.clone()
    }

    /// How many bytes `volume` has.
    #[must_use]
    pub fn size(&self, volume: &str) -> i64 {
        self.serving.volumes().size(volume)
    }

    /// Something goes wrong with `volume`, or is well again. It says so, if it has the capability.
    pub fn set_condition(&self, volume: &str, abnormal: Option<&str>) {
        let all = &mut self.serving.volumes().abnormal;
        match abnormal {
            Some(what) => all.insert(volume.to_owned(), what.to_owned()),
            None => all.remove(volume),
        };
    }

    /// Where volumes are staged.
    #[must_use]
    pub fn staged(&self) -> BTreeMap<String, PathBuf> {
        self.serving.volumes().staged()
    }

    /// What is published where.
    #[must_use]
    pub fn published(&self) -> BTreeMap<PathBuf, String> {
        self.serving.volumes().published()
    }

    /// What a kubelet did that it may not do, what is mounted twice, and which canaries were touched. Empty, if all is
    /// well.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        self.serving.volumes().damage()
    }
}
