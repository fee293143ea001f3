//! The door of the port: nothing gets past it that is not allowed.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tracing::{debug, warn};

use super::access::needed;
use super::{Access, Authenticator, Authorizer, User};

/// Who guards the port.
pub struct Guard {
    /// Finds out who asks.
    pub authenticator: Authenticator,
    /// Decides whether they may.
    pub authorizer: Authorizer,
    /// The node that they ask about.
    pub node: String,
}

impl Guard {
    /// `router` behind this guard, with whatever it answers to paths that it does not know.
    pub(crate) fn before(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), pass))
    }
}

async fn pass(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(user) = guard.authenticator.user(&mut parts).await else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    };
    let needed = needed(&parts.method, parts.uri.path());
    let mut access = Access { user, verb: needed.verb, subresource: "", node: guard.node.clone() };
    for subresource in needed.subresources {
        access.subresource = subresource;
        match guard.authorizer.may(&access).await {
            Ok(true) => {
                debug!(
                    user = access.user.name,
                    method = parts.method.as_str(),
                    path = parts.uri.path(),
                    "A request is allowed"
                );
                return next.run(Request::from_parts(parts, body)).await;
            }
            Ok(false) => {}
            Err(error) => {
                warn!(
                    user = access.user.name,
                    subresource,
                    error = telemetry::chain(&error),
                    "Whether a user may do what they ask for could not be reviewed"
                );
                let Access { user: User { name, .. }, verb, .. } = &access;
                let text = format!(
                    "Authorization error (user={name}, verb={verb}, resource=nodes, subresource={subresource})"
                );
                return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
            }
        }
    }
    let (name, verb, tried) = (&access.user.name, needed.verb, needed.subresources.join(" "));
    debug!(user = name, verb, subresources = tried, "A request is forbidden");
    let text = format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{tried}])\n");
    (StatusCode::FORBIDDEN, text).into_response()
}
