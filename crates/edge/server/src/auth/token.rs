//! Bearer tokens, which the API server reviews.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::cache::{Cache, Origin};
use super::{ReviewError, Reviews, User};
use crate::Metrics;

/// So many tokens are remembered.
const MOST: usize = 4096;
/// How browsers send a token with a WebSocket, which cannot have headers: as one of its protocols, in base64.
const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
/// base64 for URLs, as Go reads it there: without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Takes the token out of the headers, so that nobody behind this server sees it. `None` if there is none.
pub(super) fn take(headers: &mut HeaderMap) -> Option<String> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?));
    if bearer.is_some() {
        headers.remove(AUTHORIZATION);
        return bearer;
    }
    let protocols: Vec<String> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    let (tokens, others): (Vec<_>, Vec<_>) =
        protocols.into_iter().partition(|name| name.starts_with(PROTOCOL));
    // Another one has to be there, which the answer names.
    let [token] = tokens.as_slice() else { return None };
    if others.is_empty() {
        return None;
    }
    let token = String::from_utf8(BASE64.decode(token.strip_prefix(PROTOCOL)?).ok()?).ok()?;
    let others = HeaderValue::from_str(&others.join(", ")).ok()?;
    headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
    Some(token).filter(|token| !token.is_empty())
}

fn bearer(value: &str) -> Option<String> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// Tokens, and whom they are for.
pub(super) struct Tokens {
    reviews: Arc<dyn Reviews>,
    ttl: Duration,
    /// By the hash of the token: secrets are not kept.
    known: Cache<[u8; 32], Option<User>, ReviewError>,
    metrics: Metrics,
}

impl Tokens {
    /// Tokens whose reviews are kept for `ttl`.
    pub(super) fn new(reviews: Arc<dyn Reviews>, ttl: Duration, metrics: Metrics) -> Self {
        Self { reviews, ttl, known: Cache::new(MOST), metrics }
    }

    /// Whom `token` is for; `None` if for nobody.
    pub(super) async fn user(&self, token: &str) -> Result<Option<User>, ReviewError> {
        let begun = Instant::now();
        let key = Sha256::digest(token.as_bytes()).into();
        let ask = || {
            let (review, metrics) = (self.reviews.token(token), self.metrics.clone());
            let reviewed = async move {
                let begun = Instant::now();
                let _active = metrics.fetching_token();
                let answer = review.await;
                metrics.token_reviewed(&answer, begun.elapsed());
                answer.map(|user| user.map(User::known))
            };
            Box::pin(reviewed) as _
        };
        let (answer, origin) = self.known.get(&key, ask, |_| self.ttl).await;
        self.metrics.token_looked_up(origin == Origin::Kept, begun.elapsed());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(name: http::header::HeaderName, value: &str) -> (Option<String>, Option<String>) {
        let mut headers = HeaderMap::new();
        headers.insert(&name, value.parse().unwrap());
        let token = take(&mut headers);
        (token, headers.get(&name).map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn tokens_are_found_and_removed() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic abc", None),
        ] {
            let (found, left) = taken(AUTHORIZATION, value);
            assert_eq!(found.as_deref(), token, "{value}");
            assert_eq!(left.is_none(), token.is_some());
        }
        // "t" in base64.
        for (value, token, left) in [
            ("v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.dA", Some("t"), "v4.channel.k8s.io"),
            ("base64url.bearer.authorization.k8s.io.dA", None, "base64url.bearer.authorization.k8s.io.dA"),
            (
                "a, base64url.bearer.authorization.k8s.io.!",
                None,
                "a, base64url.bearer.authorization.k8s.io.!",
            ),
            ("a, b", None, "a, b"),
        ] {
            let found = taken(SEC_WEBSOCKET_PROTOCOL, value);
            assert_eq!((found.0.as_deref(), found.1.as_deref()), (token, Some(left)), "{value}");
        }
    }
}
