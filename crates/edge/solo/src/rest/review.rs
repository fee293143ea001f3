//! Questions: they are answered and not kept.

use serde_json::{Value, json};

use super::call::Call;
use crate::auth::{self, Attributes, Decision, ISSUER, Issuer, User};
use crate::error::ApiError;
use crate::object::{self, text};
use crate::store::Snapshot;

/// Answers the question in `review`.
pub(super) fn answer(
    objects: &Snapshot,
    issuer: &Issuer,
    call: &Call,
    mut review: Value,
) -> Result<Value, ApiError> {
    let status = match call.resource().plural {
        "tokenreviews" => token(objects, issuer, &review),
        "selfsubjectreviews" => json!({"userInfo": user_info(&call.user)}),
        "selfsubjectrulesreviews" => auth::rules(&call.user),
        "selfsubjectaccessreviews" => access(objects, &call.user, &review),
        "subjectaccessreviews" | "localsubjectaccessreviews" => access(objects, &subject(&review), &review),
        _ => return Err(ApiError::method_not_allowed()),
    };
    let map = object::as_map(&mut review);
    map.insert("status".to_owned(), status);
    object::default(object::map_in(map, "metadata"), "creationTimestamp", Value::Null);
    Ok(review)
}

fn token(objects: &Snapshot, issuer: &Issuer, review: &Value) -> Value {
    let mut audiences: Vec<String> = object::list(review, "/spec/audiences")
        .iter()
        .filter_map(|audience| audience.as_str().map(str::to_owned))
        .collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    match issuer.check(objects, text(review, "/spec/token"), &audiences) {
        Some((user, audiences)) => {
            json!({"authenticated": true, "user": user_info(&user), "audiences": audiences})
        }
        None => json!({"authenticated": false, "user": {}, "error": "the token is invalid or expired"}),
    }
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.clone().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// Whom a review asks about.
fn subject(review: &Value) -> User {
    let groups =
        object::list(review, "/spec/groups").iter().filter_map(|group| group.as_str().map(str::to_owned));
    User {
        name: text(review, "/spec/user").to_owned(),
        uid: text(review, "/spec/uid").to_owned(),
        groups: groups.collect(),
        ..User::default()
    }
}

fn access(objects: &Snapshot, user: &User, review: &Value) -> Value {
    let resource = |field: &str| text(review, &format!("/spec/resourceAttributes/{field}"));
    let path = |field: &str| text(review, &format!("/spec/nonResourceAttributes/{field}"));
    let asked = if review["spec"].get("resourceAttributes").is_some() {
        Attributes {
            verb: resource("verb"),
            group: resource("group"),
            resource: resource("resource"),
            subresource: resource("subresource"),
            namespace: resource("namespace"),
            name: resource("name"),
            ..Attributes::default()
        }
    } else {
        Attributes { verb: path("verb"), path: path("path"), ..Attributes::default() }
    };
    match auth::authorize(objects, user, &asked) {
        Decision::Allow => json!({"allowed": true}),
        Decision::Refuse(reason) if reason.is_empty() => json!({"allowed": false}),
        Decision::Refuse(reason) => json!({"allowed": false, "reason": reason}),
    }
}
