//! Whom the API server knows, and what it lets them do to this node.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use kubeapi::{ApiError, ApiErrorKind, Client, Limits, Object};
use server::auth::{Access, ReviewError, Reviews, User};
use types::k8s::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use types::k8s::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};

use super::cluster::DEADLINE;

/// An API server that is not well is asked again after this time, and then after half as long again, as upstream.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 5;

/// Reviews by the API server.
pub(super) struct ApiReviews {
    client: Client,
}

impl ApiReviews {
    pub(super) fn new(client: &Client) -> Self {
        Self { client: client.with_limits(Limits { qps: 0.0, burst: 0, deadline: DEADLINE }) }
    }
}

impl Reviews for ApiReviews {
    fn token(&self, token: &str) -> BoxFuture<'static, Result<Option<User>, ReviewError>> {
        let client = self.client.clone();
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        async move {
            let status = reviewed(client, review).await?.status.ok_or_else(|| unanswered("token"))?;
            Ok(status.user.filter(|_| status.authenticated == Some(true)).map(user))
        }
        .boxed()
    }

    fn access(&self, access: &Access) -> BoxFuture<'static, Result<bool, ReviewError>> {
        let client = self.client.clone();
        let review = SubjectAccessReview { spec: asked(access), ..SubjectAccessReview::default() };
        async move {
            let status = reviewed(client, review).await?.status;
            status.map(|status| status.allowed).ok_or_else(|| unanswered("access"))
        }
        .boxed()
    }
}

/// What the API server makes of `review`. Asks until there is an answer, or a failure that will not pass by itself.
async fn reviewed<K: Object>(client: Client, review: K) -> Result<K, ReviewError> {
    let mut delay = FIRST_RETRY;
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        match client.create(None, &review).await {
            Ok(answer) => return Ok(answer),
            Err(error) if left > 0 && may_pass(&error) => {
                tokio::time::sleep(delay).await;
                delay = delay * 3 / 2;
            }
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// Whether the API server is there, and not well. One that is not there is not waited for.
fn may_pass(error: &ApiError) -> bool {
    matches!(error.kind, ApiErrorKind::Server { .. } | ApiErrorKind::TooManyRequests { .. })
}

fn failed(error: &ApiError) -> ReviewError {
    ReviewError { code: Some(error.code).filter(|code| *code != 0), message: telemetry::chain(error) }
}

fn unanswered(what: &str) -> ReviewError {
    let message = format!("the API server's review of the {what} has no status");
    ReviewError { code: None, message }
}

fn user(info: UserInfo) -> User {
    User {
        name: info.username.unwrap_or_default(),
        uid: info.uid.unwrap_or_default(),
        groups: info.groups.unwrap_or_default(),
        extra: info.extra.unwrap_or_default(),
    }
}

fn asked(access: &Access) -> SubjectAccessReviewSpec {
    let Access { user, verb, subresource, node } = access;
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    SubjectAccessReviewSpec {
        user: some(&user.name),
        uid: some(&user.uid),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
        resource_attributes: Some(ResourceAttributes {
            verb: some(verb),
            version: some("v1"),
            resource: some("nodes"),
            subresource: some(subresource),
            name: some(node),
            ..ResourceAttributes::default()
        }),
        non_resource_attributes: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_of_the_api_server() {
        let user = User { name: "a".to_owned(), groups: vec!["g".to_owned()], ..User::default() };
        let access = Access { user, verb: "get", subresource: "metrics", node: "n".to_owned() };
        let expected = json!({
            "user": "a", "groups": ["g"],
            "resourceAttributes": {
                "verb": "get", "version": "v1", "resource": "nodes", "subresource": "metrics", "name": "n"
            },
        });
        assert_eq!(json!(asked(&access)), expected);
    }
}
