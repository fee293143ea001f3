//! What is passed on to the node: where to, in the words of the kubelet's API. Decided from the objects and the request.

use axum::extract::Query;
use http::Uri;
use schema::{ErrorKind, FieldError};
use serde_json::Value;

use super::route::Objects;
use crate::error::ApiError;
use crate::node::Place;
use crate::object::{self, text};
use crate::store::Snapshot;

/// Where a request goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Passage {
    pub(super) place: Place,
    /// With the query.
    pub(super) path: String,
}

type Pairs = [(String, String)];

/// Whether requests for this are for the node.
pub(super) fn is_passed(objects: &Objects) -> bool {
    matches!(
        (objects.resource.store, objects.subresource.as_str()),
        ("pods", "log" | "exec" | "attach" | "portforward" | "proxy") | ("nodes", "proxy")
    )
}

/// Where the request goes; none if the pod has no node yet, and so no logs.
pub(super) fn passage(
    snapshot: &Snapshot,
    objects: &Objects,
    uri: &Uri,
) -> Result<Option<Passage>, ApiError> {
    let name = objects.name.as_deref().unwrap_or_default();
    if objects.resource.store == "nodes" {
        return node_proxy(snapshot, name, uri).map(Some);
    }
    let namespace = objects.namespace.as_deref().unwrap_or_default();
    let pod = snapshot.get("pods", namespace, name).ok_or_else(|| ApiError::not_found("pods", name))?;
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| ApiError::bad_request(error.body_text()))?;
    let asked = value(&pairs, "container");
    let (path, query) = match objects.subresource.as_str() {
        "log" => {
            let query = log_query(name, &pairs)?;
            (format!("/containerLogs/{namespace}/{name}/{}", container(pod, asked)?), query)
        }
        kind @ ("exec" | "attach") => {
            (format!("/{kind}/{namespace}/{name}/{}", container(pod, asked)?), stream_query(kind, &pairs))
        }
        "portforward" => {
            let ports: Vec<&str> = values(&pairs, "ports").collect();
            let query = if ports.is_empty() { Vec::new() } else { vec![("port", ports.join(","))] };
            (format!("/portForward/{namespace}/{name}"), query)
        }
        _ => {
            return Err(ApiError::not_implemented(
                "this server has no proxy to pods; use `kubectl port-forward`",
            ));
        }
    };
    let node = text(pod, "/spec/nodeName");
    if node.is_empty() {
        if objects.subresource == "log" {
            return Ok(None);
        }
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    Ok(Some(Passage { place: place(snapshot, node)?, path }))
}

/// Where the API of the node is.
pub(super) fn place(snapshot: &Snapshot, node: &str) -> Result<Place, ApiError> {
    let found = snapshot.get("nodes", "", node).ok_or_else(|| ApiError::not_found("nodes", node))?;
    Place::of(found).ok_or_else(|| {
        ApiError::internal(format!(
            "node {node:?} does not say where its API is: no address, or no port, in its status"
        ))
    })
}

/// `/api/v1/nodes/NAME/proxy/PATH`. The name may have the port of the node's API behind it.
fn node_proxy(snapshot: &Snapshot, name: &str, uri: &Uri) -> Result<Passage, ApiError> {
    let (name, port) = name.split_once(':').unwrap_or((name, ""));
    let place = place(snapshot, name)?;
    if !port.is_empty() && port != place.port.to_string() {
        return Err(ApiError::not_implemented(format!(
            "this server passes on to port {} of the node alone, not to {port:?}",
            place.port
        )));
    }
    let mut parts = uri.path().splitn(7, '/').skip(5);
    if parts.next() != Some("proxy") {
        return Err(ApiError::no_such_path());
    }
    let mut path = format!("/{}", parts.next().unwrap_or_default());
    if let Some(query) = uri.query() {
        path = format!("{path}?{query}");
    }
    Ok(Passage { place, path })
}

/// The container that is meant: the one that is asked for, or else the only one.
fn container(pod: &Value, asked: &str) -> Result<String, ApiError> {
    let names = |list: &str| -> Vec<&str> {
        object::list(pod, &format!("/spec/{list}")).iter().map(|container| text(container, "/name")).collect()
    };
    let (containers, first) = (names("containers"), names("initContainers"));
    let pod = object::name(pod);
    if !asked.is_empty() {
        if [&containers, &first, &names("ephemeralContainers")].iter().any(|list| list.contains(&asked)) {
            return Ok(asked.to_owned());
        }
        return Err(ApiError::bad_request(format!("container {asked} is not valid for pod {pod}")));
    }
    match containers.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(ApiError::bad_request(format!("a container name must be specified for pod {pod}"))),
        several => {
            let mut why = format!(
                "a container name must be specified for pod {pod}, choose one of: [{}]",
                several.join(" ")
            );
            if !first.is_empty() {
                why += &format!(" or one of the init containers: [{}]", first.join(" "));
            }
            Err(ApiError::bad_request(why))
        }
    }
}

fn values<'a>(pairs: &'a Pairs, name: &'a str) -> impl Iterator<Item = &'a str> {
    pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn value<'a>(pairs: &'a Pairs, name: &'a str) -> &'a str {
    values(pairs, name).next().unwrap_or_default()
}

/// Whatever is there and says neither `false` nor `0` is true, as for kube-apiserver.
fn flag(pairs: &Pairs, name: &str) -> bool {
    values(pairs, name).next().is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
}

/// `PodLogOptions` as the node wants them.
fn log_query(pod: &str, pairs: &Pairs) -> Result<Vec<(&'static str, String)>, ApiError> {
    let mut query = Vec::new();
    for name in ["follow", "previous", "timestamps"] {
        if flag(pairs, name) {
            query.push((name, "true".to_owned()));
        }
    }
    let mut wrong = Vec::new();
    for (name, least, detail) in [
        ("sinceSeconds", 1, "must be greater than 0"),
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
    ] {
        let text = value(pairs, name);
        if text.is_empty() {
            continue;
        }
        let number: i64 =
            text.parse().map_err(|_| ApiError::bad_request(format!("{name}: Invalid value: {text:?}")))?;
        if number < least {
            wrong.push(FieldError {
                path: name.to_owned(),
                kind: ErrorKind::Invalid,
                value: number.to_string(),
                detail: detail.to_owned(),
            });
        }
        query.push((name, number.to_string()));
    }
    for name in ["sinceTime", "stream"] {
        let text = value(pairs, name);
        if !text.is_empty() {
            query.push((name, text.to_owned()));
        }
    }
    if wrong.is_empty() { Ok(query) } else { Err(ApiError::invalid("PodLogOptions", "", pod, &wrong)) }
}

/// `PodExecOptions` and `PodAttachOptions` as the node wants them.
fn stream_query(kind: &str, pairs: &Pairs) -> Vec<(&'static str, String)> {
    let streams = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    let mut query: Vec<(&str, String)> = streams
        .into_iter()
        .filter(|(name, _)| flag(pairs, name))
        .map(|(_, own)| (own, "1".to_owned()))
        .collect();
    if kind == "exec" {
        query.extend(values(pairs, "command").map(|word| ("command", word.to_owned())));
    }
    query
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => all.push(char::from(byte)),
            _ => all += &format!("%{byte:02X}"),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
        query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_container_that_is_meant() {
        let one = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}],
            "initContainers": [{"name": "i"}], "ephemeralContainers": [{"name": "e"}]}});
        for (asked, expected) in
            [("", Some("a")), ("a", Some("a")), ("i", Some("i")), ("e", Some("e")), ("x", None)]
        {
            assert_eq!(container(&one, asked).ok().as_deref(), expected, "{asked}");
        }
        let mut two = one;
        two["spec"]["containers"] = json!([{"name": "a"}, {"name": "b"}]);
        let why = container(&two, "").unwrap_err().message;
        assert_eq!(
            why,
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
        );
    }

    #[test]
    fn options_in_the_words_of_the_node() {
        let query = pairs(&[
            ("stdin", "true"),
            ("stdout", "1"),
            ("tty", "false"),
            ("command", "a"),
            ("command", "b"),
        ]);
        let expected = [("input", "1"), ("output", "1"), ("command", "a"), ("command", "b")];
        assert_eq!(stream_query("exec", &query), expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(stream_query("attach", &query).len(), 2);
        let query = pairs(&[("follow", "true"), ("tailLines", "3"), ("container", "a")]);
        let expected = [("follow", "true"), ("tailLines", "3")];
        assert_eq!(log_query("p", &query).unwrap(), expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(log_query("p", &pairs(&[("tailLines", "-1")])).unwrap_err().code.as_u16(), 422);
        assert_eq!(log_query("p", &pairs(&[("tailLines", "x")])).unwrap_err().code.as_u16(), 400);
        assert_eq!(escaped("a b&c=%"), "a%20b%26c%3D%25");
    }
}
