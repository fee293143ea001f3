//! OpenAPI, as little of it as clients need: which kinds there are, and that the server validates fields. A client
//! that finds no schema of a kind leaves its validation to the server.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::resource::{self, Keeping, RESOURCES, Resource};

/// The name of that protobuf as an answer has it; clients ask for it by one that is no media type (`…v2@v1.0+protobuf`).
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// A document of the version-2 protobuf with nothing but its version (`swagger`, field 1).
const EMPTY_DOCUMENT: &[u8] = b"\x0a\x032.0";

/// `/openapi/v2`: a document without definitions, also in the protobuf that older clients insist on.
pub(super) fn version_2(headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("proto-openapi") {
        return ([(header::CONTENT_TYPE, PROTOBUF)], EMPTY_DOCUMENT).into_response();
    }
    let info = json!({"title": "berth", "version": "unversioned"});
    axum::Json(json!({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}})).into_response()
}

/// `/openapi/v3`: where the documents are.
pub(super) fn version_3() -> Value {
    let mut paths = Map::new();
    for (group, version) in resource::groups() {
        let path =
            if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
        let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
        paths.insert(path, url);
    }
    json!({"paths": paths})
}

/// The document of one group and version.
pub(super) fn version_3_of(group: &str, version: &str) -> Result<Value, ApiError> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for resource in RESOURCES.iter().filter(|one| one.group == group && one.version == version) {
        paths.insert(path(resource), operations(resource));
        schemas.insert(format!("io.berth.{}", resource.kind), schema(resource));
    }
    if paths.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let info = json!({"title": "berth", "version": "unversioned"});
    Ok(json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}))
}

fn path(resource: &Resource) -> String {
    let root = if resource.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}", resource.api_version())
    };
    let namespace = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let name = if resource.keeping == Keeping::Asked { "" } else { "/{name}" };
    format!("{root}{namespace}/{}{name}", resource.plural)
}

fn kind(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// The operations by which a client learns what the server does for it.
fn operations(resource: &Resource) -> Value {
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let content = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/io.berth.{}", resource.kind)}}});
    let operation = |action: &str| {
        json!({"operationId": format!("{action}{}", resource.kind), "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind(resource),
            "parameters": [parameter("dryRun"), parameter("fieldValidation"), parameter("fieldManager")],
            "responses": {"200": {"description": "OK", "content": content}}})
    };
    let operations: &[&str] = match resource.keeping {
        Keeping::Stored => &["get", "put", "patch", "delete"],
        Keeping::Asked => &["post"],
        Keeping::Measured => &["get"],
    };
    operations.iter().map(|action| ((*action).to_owned(), operation(action))).collect::<Map<_, _>>().into()
}

fn schema(resource: &Resource) -> Value {
    let text = |what: &str| json!({"type": "string", "description": what});
    let object = |what: &str| json!({"type": "object", "description": what, "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "type": "object",
        "description": format!("{}; its fields are those of the Kubernetes API reference.", resource.kind),
        "properties": {
            "apiVersion": text("Group and version."), "kind": text("Kind."),
            "metadata": object("Name, labels, annotations and the like."),
            "spec": object("What is wanted."), "status": object("What is."),
        },
        "x-kubernetes-preserve-unknown-fields": true,
        "x-kubernetes-group-version-kind": [kind(resource)],
    })
}
