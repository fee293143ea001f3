//! Speaking as somebody else (Kubernetes: "User impersonation"): `kubectl --as`.

use http::HeaderMap;

use super::user::AUTHENTICATED;
use super::{Attributes, Decision, User, authorize};
use crate::error::ApiError;
use crate::store::Snapshot;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// Whom a request of `user` counts as: `user`, or the one that its headers name, if `user` may speak as them.
pub(crate) fn impersonated(objects: &Snapshot, user: User, headers: &HeaderMap) -> Result<User, ApiError> {
    let values = |header: &str| -> Vec<String> {
        headers.get_all(header).iter().filter_map(|value| value.to_str().ok().map(str::to_owned)).collect()
    };
    let first = |header: &str| values(header).into_iter().next().unwrap_or_default();
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(user);
    }
    let name = first(USER);
    if name.is_empty() {
        return Err(ApiError::bad_request("a group, UID or extra is impersonated without a user"));
    }
    let asked = Attributes { verb: "impersonate", resource: "users", name: &name, ..Attributes::default() };
    if authorize(objects, &user, &asked) != Decision::Allow {
        let why = format!("User {:?} cannot impersonate resource \"users\" at the cluster scope", user.name);
        return Err(ApiError::forbidden("users", &name, &why));
    }
    let mut groups = values(GROUP);
    if let (true, Some((namespace, _))) = (groups.is_empty(), account(&name)) {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    let extra = headers
        .keys()
        .filter_map(|header| Some((header.as_str().strip_prefix(EXTRA)?.to_owned(), values(header.as_str()))))
        .collect();
    Ok(User { name, uid: first(UID), groups, extra })
}

/// Namespace and name of the service account that a user is.
fn account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn admin() -> User {
        User::of_certificate("admin".to_owned(), vec!["system:masters".to_owned()])
    }

    #[test]
    fn one_speaks_as_whom_one_names() {
        let objects = Snapshot::default();
        assert_eq!(impersonated(&objects, admin(), &headers(&[])), Ok(admin()));
        let bob =
            headers(&[(USER, "bob"), (GROUP, "people"), (GROUP, "friends"), ("impersonate-extra-a", "b")]);
        let bob = impersonated(&objects, admin(), &bob).unwrap();
        assert_eq!((bob.name.as_str(), bob.is_master()), ("bob", false));
        assert_eq!(bob.groups, ["people", "friends", "system:authenticated"]);
        assert_eq!(bob.extra["a"], ["b"]);
        let robot = headers(&[(USER, "system:serviceaccount:team:robot")]);
        let robot = impersonated(&objects, admin(), &robot).unwrap();
        assert_eq!(robot.groups[..2], ["system:serviceaccounts", "system:serviceaccounts:team"]);
    }

    #[test]
    fn not_everybody_may() {
        let objects = Snapshot::default();
        let node = User::of_certificate("system:node:n1".to_owned(), vec!["system:nodes".to_owned()]);
        for user in [node, User { name: "bob".to_owned(), ..User::default() }] {
            let refused =
                impersonated(&objects, user, &headers(&[(USER, "admin"), (GROUP, "system:masters")]));
            assert_eq!(refused.unwrap_err().code, http::StatusCode::FORBIDDEN);
        }
        let nobody = impersonated(&objects, admin(), &headers(&[(GROUP, "people")]));
        assert_eq!(nobody.unwrap_err().code, http::StatusCode::BAD_REQUEST);
    }
}
