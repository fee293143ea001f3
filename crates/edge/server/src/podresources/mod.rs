//! Which pod has which of the node's resources, for monitoring agents and network plugins (Kubernetes: "Device Plugins",
//! monitoring; KEP-606).
//!
//! CPUs, memory and devices are given to no pod for itself alone until there is a manager of them (the policies `None`); then
//! what is told of them is nothing, as upstream.

mod answer;
mod metrics;
mod service;

use std::path::Path;
use std::sync::Arc;

use localgrpc::podresources::v1::pod_resources_lister_server::PodResourcesListerServer as CurrentServer;
use localgrpc::podresources::v1alpha1::pod_resources_lister_server::PodResourcesListerServer as OldServer;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use types::Pod;

pub use self::metrics::Metrics;
use self::service::Service;
use crate::listen::{ListenError, listen_unix};

/// A pod that may have resources of the node.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Its object.
    pub pod: Arc<Pod>,
    /// Whether it was admitted, and something of it may still run.
    pub active: bool,
}

/// Who knows the pods.
pub trait Holders: Send + Sync + 'static {
    /// All pods that sources have, in any order.
    fn holders(&self) -> Vec<Holder>;
}

/// Answers about `holders` on the unix socket `path`, which only its owner may open, until `shutdown`.
///
/// # Errors
/// If the socket cannot be made, or a living process listens on it.
pub async fn serve_pod_resources(
    path: &Path,
    holders: Arc<dyn Holders>,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), ListenError> {
    let listener = listen_unix(path).await?;
    let service = Arc::new(Service::new(holders, metrics));
    let routes = Routes::new(CurrentServer::from_arc(Arc::clone(&service)));
    let routes = routes.add_service(OldServer::from_arc(service));
    let served = localgrpc::serve(listener, routes, shutdown).await;
    let _ = std::fs::remove_file(path);
    served.map_err(|error| ListenError::Serve(std::io::Error::other(error)))
}
