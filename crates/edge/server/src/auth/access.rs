//! What a request asks for, in the words of authorization (Kubernetes: "Kubelet authorization", KEP-2862).

use http::Method;

/// What has to be allowed for a request: one of the subresources, by that verb.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Needed {
    pub(super) verb: &'static str,
    /// In the order in which they are tried.
    pub(super) subresources: &'static [&'static str],
}

/// Paths, and what stands for them and everything below them. The rest is `proxy`.
const PATHS: [(&str, &[&str]); 10] = [
    ("/stats", &["stats"]),
    ("/metrics", &["metrics"]),
    ("/logs", &["log"]),
    ("/checkpoint", &["checkpoint"]),
    ("/statusz", &["statusz"]),
    ("/flagz", &["configz"]),
    ("/pods", &["pods", "proxy"]),
    ("/runningpods", &["pods", "proxy"]),
    ("/healthz", &["healthz", "proxy"]),
    ("/configz", &["configz", "proxy"]),
];

/// What runs commands or opens connections inside of containers. That changes something whatever the method is: a
/// WebSocket begins with a GET, and who may read from nodes must not get a shell by it.
const ACTS: [&str; 4] = ["/exec", "/attach", "/run", "/portForward"];

/// What a request needs.
pub(super) fn needed(method: &Method, path: &str) -> Needed {
    let below =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let verb = match method.as_str() {
        _ if ACTS.iter().any(|root| below(root)) => "create",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    };
    let found = PATHS.iter().find(|(root, _)| below(root));
    Needed { verb, subresources: found.map_or(&["proxy"], |(_, subresources)| subresources) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_method_and_path() {
        for (method, path, verb, subresources) in [
            ("GET", "/stats/summary", "get", &["stats"][..]),
            ("POST", "/stats", "create", &["stats"]),
            ("GET", "/statsx", "get", &["proxy"]),
            ("GET", "/metrics/cadvisor", "get", &["metrics"]),
            ("GET", "/logs/", "get", &["log"]),
            ("POST", "/checkpoint/a/b/c", "create", &["checkpoint"]),
            ("GET", "/statusz", "get", &["statusz"]),
            ("GET", "/flagz", "get", &["configz"]),
            ("GET", "/pods", "get", &["pods", "proxy"]),
            ("GET", "/runningpods/", "get", &["pods", "proxy"]),
            ("GET", "/healthz/ping", "get", &["healthz", "proxy"]),
            ("GET", "/configz", "get", &["configz", "proxy"]),
            ("GET", "/containerLogs/a/b/c", "get", &["proxy"]),
            ("PUT", "/debug/flags/v", "update", &["proxy"]),
            ("HEAD", "/healthz", "", &["healthz", "proxy"]),
            ("GET", "/exec/a/b/c", "create", &["proxy"]),
            ("HEAD", "/attach/a/b/c", "create", &["proxy"]),
            ("POST", "/run/a/b/c", "create", &["proxy"]),
            ("GET", "/portForward/a/b", "create", &["proxy"]),
            ("GET", "/portforward/a/b", "get", &["proxy"]),
            ("GET", "/", "get", &["proxy"]),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(needed(&method, path), Needed { verb, subresources }, "{method} {path}");
        }
    }
}
