//! Which pod has which of the node's resources, for monitoring agents and network plugins (Kubernetes: "Device Plugins",
//! monitoring; KEP-606).
//!
//! CPUs, memory and devices are given to no pod for itself alone until there is a manager of them (the policies `None`); then
//! what is told of them is nothing, as upstream.

mod answer;
mod holder;
mod metrics;
mod service;

use std::path::Path;
use std::sync::Arc;

use localgrpc::podresources::v1::pod_resources_lister_server::PodResourcesListerServer as CurrentServer;
use localgrpc::podresources::v1alpha1::pod_resources_lister_server::PodResourcesListerServer as OldServer;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use self::holder::{Holder, Holders};
pub use self::metrics::Metrics;
use self::service::Service;
use crate::listen::{ListenError, listen_unix};

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
