//! Who asks: by client certificate, by bearer token, or nobody in particular.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use https::{Authorities, Connection};
use jiff::Timestamp;
use tracing::debug;

use super::token::{self, Tokens};
use super::{Reviews, User};
use crate::Metrics;

/// Finds out who asks (`authentication` of `KubeletConfiguration`).
pub struct Authenticator {
    clients: Option<Arc<Authorities>>,
    tokens: Option<Tokens>,
    anonymous: bool,
    metrics: Metrics,
}

impl Authenticator {
    /// Nobody is known to it, and nobody gets in. What is added lets some in.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { clients: None, tokens: None, anonymous: false, metrics }
    }

    /// Also lets in whoever has a certificate of `clients` (`x509.clientCAFile`).
    #[must_use]
    pub fn certificates(mut self, clients: Arc<Authorities>) -> Self {
        self.clients = Some(clients);
        self
    }

    /// Also lets in whoever has a token that `reviews` finds good, which is believed for `ttl` (`webhook`).
    #[must_use]
    pub fn tokens(mut self, reviews: Arc<dyn Reviews>, ttl: Duration) -> Self {
        self.tokens = Some(Tokens::new(reviews, ttl, self.metrics.clone()));
        self
    }

    /// Also lets in whoever shows nothing (`anonymous`).
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// Who sent the request; `None` if that is not known, or nobody who is let in. Its token is removed. Whoever shows
    /// something that is not good is not taken for one who shows nothing.
    pub(super) async fn user(&self, parts: &mut Parts) -> Option<User> {
        let mut showed_something_bad = false;
        if let (Some(clients), Some(over)) = (&self.clients, parts.extensions.get::<Connection>()) {
            match over.client(clients) {
                Ok(Some(client)) => {
                    let left = client.not_after.saturating_sub(Timestamp::now().as_second());
                    self.metrics.certificate_ends_in(left);
                    if !client.name.is_empty() {
                        return Some(User::named(client.name, client.groups));
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    debug!(peer = %over.peer(), error = telemetry::chain(&error), "A client is not known");
                    showed_something_bad = true;
                }
            }
        }
        if let Some(tokens) = &self.tokens
            && let Some(token) = token::take(&mut parts.headers)
        {
            match tokens.user(&token).await {
                Ok(Some(user)) => return Some(user),
                Ok(None) => debug!("A client has a token that is for nobody"),
                Err(error) => {
                    tracing::warn!(
                        error = telemetry::chain(&error),
                        "A client's token could not be reviewed"
                    );
                }
            }
            showed_something_bad = true;
        }
        (self.anonymous && !showed_something_bad).then(User::anonymous)
    }
}
