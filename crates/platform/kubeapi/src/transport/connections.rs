//! All connections, made again when the certificates change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::ServerName;
use task::stamp::Stamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connect::{Connector, proxies};
use super::lane::{Lanes, ResponseBody};
use super::tls::{Loaded, Material, TlsError};
use crate::credentials::Identity;
use crate::kubeconfig::{Cluster, User};

/// How often the files of certificates are looked at, at most. It happens when something is asked of the server:
/// the node's lease does that every few seconds, so it needs no timer.
const LOOK: Duration = Duration::from_secs(1);

/// Connections to one server.
pub(crate) struct Connections {
    https: bool,
    material: Material,
    server_name: Option<ServerName<'static>>,
    proxies: Arc<Matcher>,
    state: Mutex<State>,
}

struct State {
    generation: Arc<Generation>,
    identity: Option<Arc<Identity>>,
    loaded: Loaded,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
}

/// Connections with the same certificates.
struct Generation {
    lanes: Lanes,
    closed: CancellationToken,
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl Connections {
    /// Takes the certificates out of `cluster` and `user`, and reads their files.
    pub(crate) fn new(cluster: &mut Cluster, user: &mut User) -> Result<Self, TlsError> {
        let https = cluster.server.scheme_str() == Some("https");
        let material = Material::new(cluster, user);
        let server_name = cluster.server_name.take();
        let proxies = proxies(cluster.proxy.as_ref());
        let stamps = material.stamps();
        let loaded = material.load()?;
        let generation = Generation::new(https, &material, &loaded, None, server_name.clone(), &proxies)?;
        let state = State { generation, identity: None, loaded, stamps, looked: Instant::now() };
        Ok(Self { https, material, server_name, proxies, state: Mutex::new(state) })
    }

    /// Sends a request over a connection with the certificates as they are now, `identity` in place of the
    /// kubeconfig's if there is one.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        watch: bool,
        identity: Option<Arc<Identity>>,
    ) -> Result<Response<ResponseBody>, SendError> {
        let generation = self.current(identity)?;
        Ok(generation.lanes.send(request, watch).await?)
    }

    /// Has the next request look at the files, whenever the last one did.
    pub(crate) fn look(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stamps.clear();
        self.follow_files(&mut state);
    }

    /// Closes all connections; the next requests make new ones.
    pub(crate) fn renew(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.generation(&state.loaded, state.identity.as_deref()) {
            Ok(generation) => state.replace(generation),
            Err(error) => {
                tracing::warn!(error = telemetry::chain(&error), "connections to the API server are kept");
            }
        }
    }

    fn current(&self, identity: Option<Arc<Identity>>) -> Result<Arc<Generation>, TlsError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.identity != identity {
            let generation = self.generation(&state.loaded, identity.as_deref())?;
            state.replace(generation);
            state.identity = identity;
        }
        if state.looked.elapsed() >= LOOK {
            self.follow_files(&mut state);
        }
        Ok(Arc::clone(&state.generation))
    }

    fn follow_files(&self, state: &mut State) {
        state.looked = Instant::now();
        let stamps = self.material.stamps();
        if stamps == state.stamps {
            return;
        }
        state.stamps = stamps;
        let made = self.material.load().and_then(|loaded| {
            let changed = loaded != state.loaded;
            let made = changed.then(|| self.generation(&loaded, state.identity.as_deref())).transpose()?;
            Ok((loaded, made))
        });
        match made {
            Ok((loaded, made)) => {
                if let Some(generation) = made {
                    tracing::info!(
                        "the certificates of the API server's client have changed; connecting again"
                    );
                    state.replace(generation);
                }
                state.loaded = loaded;
            }
            // Half of a pair may be written; the other half changes a stamp again.
            Err(error) => tracing::warn!(
                error = telemetry::chain(&error),
                "the changed certificates of the API server's client cannot be used; going on with those before"
            ),
        }
    }

    fn generation(&self, loaded: &Loaded, identity: Option<&Identity>) -> Result<Arc<Generation>, TlsError> {
        Generation::new(self.https, &self.material, loaded, identity, self.server_name.clone(), &self.proxies)
    }
}

impl State {
    fn replace(&mut self, generation: Arc<Generation>) {
        let before = std::mem::replace(&mut self.generation, generation);
        before.closed.cancel();
    }
}

impl Generation {
    fn new(
        https: bool,
        material: &Material,
        loaded: &Loaded,
        identity: Option<&Identity>,
        server_name: Option<ServerName<'static>>,
        proxies: &Arc<Matcher>,
    ) -> Result<Arc<Self>, TlsError> {
        let tls = if https { Some(Arc::new(material.config(loaded, identity)?)) } else { None };
        let closed = CancellationToken::new();
        let connector = Connector::new(tls, server_name, Arc::clone(proxies), closed.clone());
        Ok(Arc::new(Self { lanes: Lanes::new(connector), closed }))
    }
}

/// A request that was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// There is no way to connect.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Connecting failed, or the connection broke.
    #[error(transparent)]
    Http(#[from] hyper_util::client::legacy::Error),
}
