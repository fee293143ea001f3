//! Who is at the other end of a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use https::{Authorities, Connection, Limits, Pem, Tls, TlsError, TlsPolicy};
use tracing::debug;

use crate::auth::User;
use crate::authority::Identity;
use crate::rest::Peer;

/// What clients may take. A node watches every Secret and ConfigMap of its pods by itself, and watches never end.
pub(crate) const LIMITS: Limits = Limits {
    connections: 1024,
    streams: 2048,
    handshake: Duration::from_secs(10),
    first_request: Duration::from_secs(30),
    idle: Duration::from_secs(120),
    grace: Duration::ZERO,
};

/// TLS for this server, and those who vouch for its clients.
pub(crate) fn tls(ca: &Arc<str>, server: &Identity) -> Result<(Arc<Tls>, Arc<Authorities>), TlsError> {
    let clients = Authorities::new(Pem::Text(Arc::clone(ca)))?;
    let text = |text: &str| Pem::Text(text.into());
    let (certificate, key) = (text(&server.certificate), text(&server.key));
    Ok((Tls::new(TlsPolicy::default(), certificate, key, Some(Arc::clone(&clients)))?, clients))
}

/// `router`, which is told by [`Peer`] whose certificate a client has. One that nobody vouches for is as good as none.
pub(crate) fn identified(router: Router, clients: Arc<Authorities>) -> Router {
    router.layer(from_fn_with_state(clients, identify))
}

async fn identify(State(clients): State<Arc<Authorities>>, mut request: Request, next: Next) -> Response {
    let client = request.extensions().get::<Connection>().map(|over| over.client(&clients));
    match client {
        Some(Ok(Some(client))) if !client.name.is_empty() => {
            let user = User::of_certificate(client.name, client.groups);
            request.extensions_mut().insert(Peer(user));
        }
        Some(Err(error)) => {
            debug!(error = &error as &dyn std::error::Error, "A client is not known by its certificate");
        }
        _ => {}
    }
    next.run(request).await
}
