//! What the API server says of users.

use futures::future::BoxFuture;

use super::User;

/// A question about a user: may they do this to this node?
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Access {
    /// Who asks.
    pub user: User,
    /// `get`, `create`, …; empty for what has no verb.
    pub verb: &'static str,
    /// The part of the node, such as `metrics`.
    pub subresource: &'static str,
    /// The node's name.
    pub node: String,
}

/// The API server gave no answer that can be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ReviewError {
    /// The HTTP status of its answer; `None` if there was none.
    pub code: Option<u16>,
    /// What happened.
    pub message: String,
}

/// The API server's reviews.
pub trait Reviews: Send + Sync + 'static {
    /// Whom `token` is for, by a `TokenReview`; `None` if for nobody.
    fn token(&self, token: &str) -> BoxFuture<'static, Result<Option<User>, ReviewError>>;
    /// Whether that is allowed, by a `SubjectAccessReview`.
    fn access(&self, access: &Access) -> BoxFuture<'static, Result<bool, ReviewError>>;
}
