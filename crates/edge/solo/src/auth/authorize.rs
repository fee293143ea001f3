//! What one may do.

use serde_json::{Value, json};

use super::attributes::{Attributes, Decision};
use super::{User, node};
use crate::store::Snapshot;

/// Paths that everybody known may read: what there is, and how it looks.
const DISCOVERY: [&str; 8] =
    ["/api", "/apis", "/openapi", "/version", "/healthz", "/livez", "/readyz", "/.well-known"];
/// Questions that everybody may ask about themselves.
const ABOUT_SELF: [(&str, &str); 3] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
];

/// Masters may do everything, nodes what their pods need, and all others only look at what there is.
pub(crate) fn authorize(objects: &Snapshot, user: &User, asked: &Attributes<'_>) -> Decision {
    if user.is_master() {
        return Decision::Allow;
    }
    if asked.resource.is_empty() {
        let below = |root: &&str| {
            asked.path.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let open = asked.path == "/" || asked.path == "/openid/v1/jwks" || DISCOVERY.iter().any(below);
        return Decision::of(open && matches!(asked.verb, "get" | "head"), "");
    }
    if asked.verb == "create" && ABOUT_SELF.contains(&(asked.group, asked.resource)) {
        return Decision::Allow;
    }
    match user.node() {
        Some(node) => node::may(objects, node, asked),
        None => Decision::Refuse(String::new()),
    }
}

/// What a user may do, as the status of a `SelfSubjectRulesReview`.
pub(crate) fn rules(user: &User) -> Value {
    let anything = ["*"];
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    if user.is_master() {
        resources.push(json!({"verbs": anything, "apiGroups": anything, "resources": anything}));
        paths.push(json!({"verbs": anything, "nonResourceURLs": anything}));
    }
    for (group, resource) in ABOUT_SELF {
        resources.push(json!({"verbs": ["create"], "apiGroups": [group], "resources": [resource]}));
    }
    let below = DISCOVERY.iter().flat_map(|root| [(*root).to_owned(), format!("{root}/*")]);
    paths.push(json!({"verbs": ["get", "head"], "nonResourceURLs": below.collect::<Vec<_>>()}));
    // What a node may do depends on its pods.
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": user.node().is_some()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_only_look_at_what_there_is() {
        let objects = Snapshot::default();
        let user = User { name: "system:serviceaccount:a:b".to_owned(), ..User::default() };
        let path = |path| Attributes { verb: "get", path, ..Attributes::default() };
        assert_eq!(authorize(&objects, &user, &path("/api")), Decision::Allow);
        assert_eq!(authorize(&objects, &user, &path("/apis/apps/v1")), Decision::Allow);
        assert_ne!(authorize(&objects, &user, &path("/apix")), Decision::Allow);
        let pods = Attributes { verb: "list", resource: "pods", ..Attributes::default() };
        assert_ne!(authorize(&objects, &user, &pods), Decision::Allow);
        let master = User::of_certificate("admin".to_owned(), vec!["system:masters".to_owned()]);
        assert_eq!(authorize(&objects, &master, &pods), Decision::Allow);
    }
}
