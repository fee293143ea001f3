//! What a path means.

use crate::resource::{self, Resource};

/// Objects that a path names.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) resource: &'static Resource,
    /// None for objects of the cluster, and for those of all namespaces.
    pub(crate) namespace: Option<String>,
    /// None for all of them.
    pub(crate) name: Option<String>,
    /// Empty for the object itself.
    pub(crate) subresource: String,
}

/// A path of the API.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// `/healthz`, `/livez`, `/readyz`.
    Health,
    /// `/version`.
    Version,
    /// `/`: all there is.
    Root,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`.
    Resources { group: String, version: String },
    /// `/openapi/v2`.
    OpenApi2,
    /// `/openapi/v3`.
    OpenApi3,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`.
    OpenApi3Of { group: String, version: String },
    /// `/.well-known/openid-configuration`.
    Issuer,
    /// `/openid/v1/jwks`.
    IssuerKeys,
    /// Objects.
    Objects(Objects),
}

impl Route {
    /// Reads a path; none if this server has nothing there.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Some(match parts.as_slice() {
            [] => Self::Root,
            ["healthz" | "livez" | "readyz", ..] => Self::Health,
            ["version"] => Self::Version,
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group((*group).to_owned()),
            ["openapi", "v2"] => Self::OpenApi2,
            ["openapi", "v3"] => Self::OpenApi3,
            ["openapi", "v3", "api", version] => {
                Self::OpenApi3Of { group: String::new(), version: (*version).to_owned() }
            }
            ["openapi", "v3", "apis", group, version] => {
                Self::OpenApi3Of { group: (*group).to_owned(), version: (*version).to_owned() }
            }
            [".well-known", "openid-configuration"] => Self::Issuer,
            ["openid", "v1", "jwks"] => Self::IssuerKeys,
            ["api", version] => Self::Resources { group: String::new(), version: (*version).to_owned() },
            ["apis", group, version] => {
                Self::Resources { group: (*group).to_owned(), version: (*version).to_owned() }
            }
            ["api", version, rest @ ..] => Self::Objects(objects("", version, rest)?),
            ["apis", group, version, rest @ ..] => Self::Objects(objects(group, version, rest)?),
            _ => return None,
        })
    }
}

fn objects(group: &str, version: &str, parts: &[&str]) -> Option<Objects> {
    let (namespace, parts) = match parts {
        // A namespace itself, and its subresources.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, parts),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        _ => (None, parts),
    };
    let resource = resource::find(group, version, parts.first()?)?;
    let name = parts.get(1).map(|name| percent_decoded(name));
    // Whether the path has a namespace has to fit the resource; without one it can only mean all of them.
    if namespace.is_some() && !resource.namespaced
        || resource.namespaced && namespace.is_none() && name.is_some()
    {
        return None;
    }
    let subresource = parts.get(2).copied().unwrap_or_default().to_owned();
    if parts.len() > 3 && subresource != "proxy" {
        return None;
    }
    if !subresource.is_empty() && !resource.has(&subresource) {
        return None;
    }
    Some(Objects { resource, namespace, name, subresource })
}

/// Names hold nothing that needs escapes but `:`, which some clients escape all the same.
fn percent_decoded(text: &str) -> String {
    text.replace("%3A", ":").replace("%3a", ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(path: &str) -> Option<(&'static str, Option<String>, Option<String>, String)> {
        match Route::parse(path)? {
            Route::Objects(objects) => {
                Some((objects.resource.plural, objects.namespace, objects.name, objects.subresource))
            }
            _ => None,
        }
    }

    #[test]
    fn paths() {
        let some = |text: &str| Some(text.to_owned());
        for (path, expected) in [
            ("/api/v1/pods", Some(("pods", None, None, ""))),
            ("/api/v1/namespaces/a/pods", Some(("pods", some("a"), None, ""))),
            ("/api/v1/namespaces/a/pods/b", Some(("pods", some("a"), some("b"), ""))),
            ("/api/v1/namespaces/a/pods/b/status", Some(("pods", some("a"), some("b"), "status"))),
            ("/api/v1/namespaces", Some(("namespaces", None, None, ""))),
            ("/api/v1/namespaces/a", Some(("namespaces", None, some("a"), ""))),
            ("/api/v1/namespaces/a/finalize", Some(("namespaces", None, some("a"), "finalize"))),
            ("/api/v1/nodes/n/status", Some(("nodes", None, some("n"), "status"))),
            (
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                Some(("leases", some("a"), some("b"), "")),
            ),
            ("/api/v1/pods/b", None),
            ("/api/v1/namespaces/a/nodes", None),
            ("/api/v1/namespaces/a/pods/b/nothing", None),
            ("/api/v1/nothings", None),
            ("/apis/coordination.k8s.io/v1beta1/leases", None),
        ] {
            let expected =
                expected.map(|(plural, namespace, name, sub)| (plural, namespace, name, sub.to_owned()));
            assert_eq!(objects(path), expected, "{path}");
        }
        assert!(matches!(Route::parse("/livez/ping"), Some(Route::Health)));
        assert!(matches!(Route::parse("/apis/apps/v1"), Some(Route::Resources { .. })));
        assert!(Route::parse("/metrics").is_none());
    }
}
