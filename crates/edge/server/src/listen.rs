//! Listeners.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use https::{Limits, Tls};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process listens there.
    #[error("another process listens on {}; stop it, or give this one another --root-dir", .0.display())]
    InUse(PathBuf),
    /// The socket could not be made.
    #[error("cannot listen on {}", path.display())]
    Unix {
        /// The socket's path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address could not be bound.
    #[error("cannot listen on {address}; is another kubelet running?")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Serving ended.
    #[error("the listener failed")]
    Serve(#[source] std::io::Error),
}

/// Serves `router` on the unix socket `path`, which only its owner may open, until `shutdown`. A socket that a dead
/// process left is replaced.
///
/// # Errors
/// If the socket cannot be made, or a living process listens on it.
pub async fn serve_unix(path: &Path, router: Router, shutdown: CancellationToken) -> Result<(), ListenError> {
    let listener = listen_unix(path).await?;
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    let _ = std::fs::remove_file(path);
    served.map_err(ListenError::Serve)
}

/// Listens on the unix socket `path`, which only its owner may open.
pub(crate) async fn listen_unix(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    if UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::InUse(path.to_owned()));
    }
    // The socket gets its mode before it gets its name, so that nobody can open it in between.
    let unnamed = path.with_extension("sock.new");
    for stale in [path, &unnamed] {
        match std::fs::remove_file(stale) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    let listener = UnixListener::bind(&unnamed).map_err(failed)?;
    std::fs::set_permissions(&unnamed, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&unnamed, path).map_err(failed)?;
    Ok(listener)
}

/// Serves `router` on `address` until `shutdown`, over `tls` if there is one. The unspecified address means all of both
/// families.
///
/// # Errors
/// If the address cannot be bound.
pub async fn serve_port(
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    router: Router,
    shutdown: CancellationToken,
) -> Result<(), ListenError> {
    let listener = https::bind(address).map_err(|source| ListenError::Tcp { address, source })?;
    https::serve(listener, tls, router, Limits::default(), shutdown).await;
    Ok(())
}
