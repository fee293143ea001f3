//! The one handler: who asks, what for, whether they may, and then the verb.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, header};
use tracing::debug;

use super::call::Call;
use super::form::Form;
use super::options::Options;
use super::route::{Objects, Route};
use super::{discovery, openapi, pass, passing, verb};
use crate::api::Api;
use crate::auth::{self, Attributes, Decision, ISSUER, User};
use crate::error::ApiError;
use crate::selector::FieldSelector;

/// The largest body, as etcd and the API server have it.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// Who is at the other end of a connection, by the client certificate that was checked. An extension of requests.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) User);

/// The API as a service of axum. A request is of whom its [`Peer`] says, or of whoever its bearer token is for.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new().fallback(handle).with_state(api)
}

async fn handle(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let (method, uri) = (parts.method.clone(), parts.uri.clone());
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.name.clone());
    let response = match answer(&api, parts, body).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    debug!(
        method = method.as_str(),
        uri = %uri,
        user = peer,
        code = response.status().as_u16(),
        "request"
    );
    response
}

async fn answer(api: &Api, parts: Parts, body: Body) -> Result<Response, ApiError> {
    let path = parts.uri.path().to_owned();
    let path = path.as_str();
    let route = Route::parse(path);
    match route {
        Some(Route::Health) => return Ok("ok".into_response()),
        Some(Route::Version) => return Ok(axum::Json(discovery::version()).into_response()),
        _ => {}
    }
    let user = auth::impersonated(&api.store.snapshot(), authenticate(api, &parts)?, &parts.headers)?;
    let Some(Route::Objects(objects)) = route else {
        let verb = parts.method.as_str().to_lowercase();
        allowed(api, &user, &Attributes { verb: &verb, path, ..Attributes::default() })?;
        return described(api, &parts, route.ok_or_else(ApiError::no_such_path)?);
    };
    let passed = pass::is_passed(&objects);
    // What is passed on has options of its own.
    let options = if passed { Options::default() } else { Options::parse(&parts.uri)? };
    let verb = verb_of(&parts.method, &objects, &options)?;
    let only_name = FieldSelector::only_name(&options.field_selector).unwrap_or_default();
    let only_node = FieldSelector::only(&options.field_selector, "spec.nodeName").unwrap_or_default();
    let asked = Attributes {
        verb,
        group: objects.resource.group,
        resource: objects.resource.plural,
        subresource: &objects.subresource,
        // A namespace is in itself, as far as permissions go.
        namespace: objects.namespace.as_deref().unwrap_or_default(),
        name: objects.name.as_deref().unwrap_or(&only_name),
        node: &only_node,
        path: "",
    };
    allowed(api, &user, &asked)?;
    if passed {
        // A WebSocket begins with GET; who may read must not get a shell by it (Kubernetes 1.35).
        if verb == "get" && matches!(asked.subresource, "exec" | "attach" | "portforward") {
            allowed(api, &user, &Attributes { verb: "create", ..asked })?;
        }
        return passing::run(api, &objects, parts, body).await;
    }
    let call = Call { form: Form::accepted(&parts.headers)?, objects, options, user };
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| ApiError::too_large(MAX_BODY))?;
    verb::run(api, verb, call, media_type(&parts.headers), body).await
}

/// The name of what is done.
fn verb_of(method: &Method, objects: &Objects, options: &Options) -> Result<&'static str, ApiError> {
    let one = objects.name.is_some();
    Ok(match *method {
        Method::GET if !one && options.watches() => "watch",
        // A watch of one object by its name is an old form of one with a field selector.
        Method::GET if one => "get",
        Method::GET => "list",
        Method::POST if !one || !objects.subresource.is_empty() => "create",
        Method::PUT if one => "update",
        Method::PATCH if one => "patch",
        Method::DELETE if one => "delete",
        Method::DELETE => "deletecollection",
        _ => return Err(ApiError::method_not_allowed()),
    })
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_owned()
}

fn authenticate(api: &Api, parts: &Parts) -> Result<User, ApiError> {
    if let Some(Peer(user)) = parts.extensions.get::<Peer>() {
        return Ok(user.clone());
    }
    let token = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(ApiError::unauthorized)?;
    api.issuer
        .check(&api.store.snapshot(), token.trim(), &[ISSUER.to_owned()])
        .map(|(user, _)| user)
        .ok_or_else(ApiError::unauthorized)
}

fn allowed(api: &Api, user: &User, asked: &Attributes<'_>) -> Result<(), ApiError> {
    let Decision::Refuse(reason) = auth::authorize(&api.store.snapshot(), user, asked) else { return Ok(()) };
    let mut why = if asked.resource.is_empty() {
        format!("User {:?} cannot {} path {:?}", user.name, asked.verb, asked.path)
    } else {
        let resource = if asked.subresource.is_empty() {
            asked.resource.to_owned()
        } else {
            format!("{}/{}", asked.resource, asked.subresource)
        };
        let place = if asked.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", asked.namespace)
        };
        format!(
            "User {:?} cannot {} resource {resource:?} in API group {:?} {place}",
            user.name, asked.verb, asked.group
        )
    };
    if !reason.is_empty() {
        why += &format!(": {reason}");
    }
    let qualified = if asked.group.is_empty() {
        asked.resource.to_owned()
    } else {
        format!("{}.{}", asked.resource, asked.group)
    };
    Err(ApiError::forbidden(&qualified, asked.name, &why))
}

/// Everything that is not objects.
fn described(api: &Api, parts: &Parts, route: Route) -> Result<Response, ApiError> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(ApiError::method_not_allowed());
    }
    let value = match route {
        Route::OpenApi2 => return Ok(openapi::version_2(&parts.headers)),
        Route::OpenApi3 => openapi::version_3(),
        Route::OpenApi3Of { group, version } => openapi::version_3_of(&group, &version)?,
        Route::Root => discovery::paths(),
        Route::CoreVersions => discovery::core_versions(&api.address),
        Route::Groups => discovery::groups(),
        Route::Group(group) => discovery::group(&group)?,
        Route::Resources { group, version } => discovery::resources(&group, &version)?,
        Route::IssuerKeys => api.issuer.keys(),
        Route::Issuer => serde_json::json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"]}),
        Route::Health | Route::Version | Route::Objects(_) => return Err(ApiError::no_such_path()),
    };
    Ok((StatusCode::OK, axum::Json(value)).into_response())
}
