//! What a node asked of an API server, from the server's own log.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How often something was asked for, by verb and resource: `patch pods/status`.
pub type Requests = BTreeMap<String, u64>;

/// An entry of an audit log (Kubernetes: "Auditing"), as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

/// Those of `user` in the audit log of a `kube-apiserver`.
pub(super) fn of_audit(log: &str, user: &str) -> Requests {
    // The last line may be half written.
    let entries = log.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
    let entries = entries.filter(|entry| entry.user.username == user);
    count(entries.map(|Entry { verb, request_uri, .. }| {
        let (resource, _) = resource(path_of(&request_uri).0);
        format!("{verb} {resource}")
    }))
}

/// Those of `user` in the log of `berth solo -v=4`.
pub(super) fn of_solo(log: &str, user: &str) -> Requests {
    let lines = log.lines().filter(|line| field(line, "user") == Some(user));
    count(lines.filter_map(|line| {
        let (path, query) = path_of(field(line, "uri")?);
        let (resource, named) = resource(path);
        let verb = match field(line, "method")? {
            "GET" if is_watch(query) => "watch",
            "GET" if named => "get",
            "GET" => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            other => other,
        };
        Some(format!("{verb} {resource}"))
    }))
}

fn count(asked: impl Iterator<Item = String>) -> Requests {
    let mut requests = Requests::new();
    for what in asked {
        *requests.entry(what).or_default() += 1;
    }
    requests
}

/// The value of ` name="value"` or ` name=value`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!(" {name}="))? + name.len() + 2;
    let value = &line[start..];
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split_whitespace().next(),
    }
}

/// The path and the query. Over HTTP/2, the server's address is in front of them.
fn path_of(uri: &str) -> (&str, &str) {
    let rest = uri.strip_prefix("https://").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
    let rest = rest.unwrap_or(uri);
    rest.split_once('?').unwrap_or((rest, ""))
}

fn is_watch(query: &str) -> bool {
    query.split('&').any(|part| matches!(part, "watch=true" | "watch=1"))
}

/// The resource and subresource of a path of the API, and whether it names one object.
fn resource(path: &str) -> (String, bool) {
    let mut words: Vec<_> = path.split('/').filter(|word| !word.is_empty()).collect();
    let group = match words.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return (path.to_owned(), false),
    };
    words.drain(..group.min(words.len()));
    if words.len() > 2 && words[0] == "namespaces" {
        words.drain(..2);
    }
    match words[..] {
        [resource, _, subresource, ..] => (format!("{resource}/{subresource}"), true),
        [resource, _] => (resource.to_owned(), true),
        [resource] => (resource.to_owned(), false),
        [] => (path.to_owned(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(list: &[(&str, u64)]) -> Requests {
        list.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect()
    }

    #[test]
    fn requests_are_counted_in_the_log_of_solo() {
        let line = |method: &str, uri: &str, user: &str| {
            format!(
                "I1125 22:00:00.000000 7 service.rs:41] \"request\" method=\"{method}\" uri=\"{uri}\" user=\"{user}\" code=200\n"
            )
        };
        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n";
        let log = [
            line("PATCH", "/api/v1/namespaces/default/pods/a/status", "system:node:n"),
            line("PATCH", "https://[::1]:6443/api/v1/namespaces/default/pods/b/status", "system:node:n"),
            line("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn&watch=true", "system:node:n"),
            line("GET", "/api/v1/pods?limit=500", "admin"),
            line("GET", "/api/v1/nodes/n?resourceVersion=0", "system:node:n"),
            line("PUT", lease, "system:node:n"),
            "an unfinished li".to_owned(),
        ];
        let expected = [("get nodes", 1), ("patch pods/status", 2), ("update leases", 1), ("watch pods", 1)];
        assert_eq!(of_solo(&log.concat(), "system:node:n"), requests(&expected));
    }

    #[test]
    fn requests_are_counted_in_an_audit_log() {
        let entry = |verb: &str, uri: &str, user: &str| {
            format!(
                r#"{{"kind":"Event","stage":"RequestReceived","verb":"{verb}","requestURI":"{uri}","user":{{"username":"{user}"}}}}"#
            )
        };
        let log = [
            entry("list", "/api/v1/services?limit=500&resourceVersion=0", "system:node:n"),
            entry("get", "/api/v1/namespaces/default/configmaps/c", "system:node:n"),
            entry("get", "/api/v1/namespaces/default", "system:node:m"),
            r#"{"kind":"Ev"#.to_owned(),
        ];
        let expected = [("get configmaps", 1), ("list services", 1)];
        assert_eq!(of_audit(&log.join("\n"), "system:node:n"), requests(&expected));
    }

    #[test]
    fn a_path_names_a_resource() {
        assert_eq!(resource("/api/v1/namespaces"), ("namespaces".to_owned(), false));
        assert_eq!(resource("/api/v1/namespaces/default"), ("namespaces".to_owned(), true));
        assert_eq!(resource("/api/v1/namespaces/default/pods"), ("pods".to_owned(), false));
        assert_eq!(resource("/apis/node.k8s.io/v1/runtimeclasses/x"), ("runtimeclasses".to_owned(), true));
        assert_eq!(resource("/version"), ("/version".to_owned(), false));
        assert_eq!(resource("/api"), ("/api".to_owned(), false));
    }
}
