//! Tokens of service accounts, for volumes and for whoever acts in a pod's name.
//! (Kubernetes: "Managing Service Accounts", bound tokens.)

mod age;
mod claims;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use secrecy::{ExposeSecret, SecretString};
use types::{PodRef, PodUid};

use crate::{ApiError, ApiErrorKind, Client, jitter};
use age::Age;

/// Which token is wanted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TokenSpec {
    /// The pod that it is bound to: it is void when that pod is gone. Its namespace is the account's.
    pub pod: PodRef,
    /// The service account.
    pub service_account: String,
    /// For whom it is; the API server itself if empty.
    pub audiences: Vec<String>,
    /// How long it should be good for; the server may decide otherwise.
    pub expiration_seconds: Option<i64>,
}

/// A token, and until when it is good.
#[derive(Clone, Debug)]
pub struct Token {
    token: SecretString,
    /// When it becomes void.
    pub expires: Timestamp,
    /// When it should be replaced: at 80% of its life, at a day at the latest.
    pub refresh: Timestamp,
}

impl Token {
    /// The token itself. It must not get into a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.token.expose_secret()
    }
}

/// Tokens that were given out, until they must be replaced.
pub struct Tokens {
    client: Client,
    cache: Mutex<HashMap<TokenSpec, Token>>,
}

impl Tokens {
    /// No tokens yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, cache: Mutex::default() }
    }

    /// A token for `spec`: that of before, unless it is time for a new one. If there is no new one to be had, that of
    /// before is good until it expires.
    ///
    /// # Errors
    /// [`ApiError`], if there is no token that is good.
    pub async fn get(&self, spec: &TokenSpec) -> Result<Token, ApiError> {
        let known = self.lock().get(spec).cloned();
        if let Some(token) = &known
            && Timestamp::now() < token.refresh
        {
            return Ok(token.clone());
        }
        match self.request(spec).await {
            Ok(token) => {
                let mut cache = self.lock();
                let now = Timestamp::now();
                cache.retain(|_, token| now < token.expires);
                cache.insert(spec.clone(), token.clone());
                Ok(token)
            }
            Err(error) => match known {
                Some(token) if Timestamp::now() < token.expires => {
                    tracing::warn!(
                        pod = %spec.pod,
                        service_account = spec.service_account,
                        error = %error,
                        "no new token; the one before is good until it expires"
                    );
                    Ok(token)
                }
                _ => Err(error),
            },
        }
    }

    /// Takes up a token that was given out before a restart, if it says of itself that it is what `spec` asks for and need
    /// not be replaced yet. One that is known already is preferred.
    pub fn adopt(&self, spec: &TokenSpec, token: &str) {
        let Some(age) = claims::age_of(token, spec) else { return };
        let (refresh, now) = (age.refresh(jitter::fraction()), Timestamp::now());
        if age.is_of_before(now) && now < refresh {
            let token = Token { token: token.to_owned().into(), expires: age.expires, refresh };
            self.lock().entry(spec.clone()).or_insert(token);
        }
    }

    /// Forgets the tokens of a pod that is gone.
    pub fn forget(&self, pod: &PodUid) {
        self.lock().retain(|spec, _| spec.pod.uid != *pod);
    }

    async fn request(&self, spec: &TokenSpec) -> Result<Token, ApiError> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(spec.audiences.clone()),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(spec.pod.name.name.to_string()),
                    uid: Some(spec.pod.uid.as_str().to_owned()),
                }),
                expiration_seconds: spec.expiration_seconds,
            }),
            ..TokenRequest::default()
        };
        let namespace = Some(&*spec.pod.name.namespace);
        let account = &spec.service_account;
        let answer: TokenRequest =
            self.client.create_in::<ServiceAccount, _, _>(namespace, account, "token", &request).await?;
        let status = answer.status.and_then(|status| status.token.zip(status.expiration_timestamp));
        let Some((token, expires)) = status else {
            return Err(ApiError::new(ApiErrorKind::Malformed, "the API server gave no token"));
        };
        let seconds = answer.spec.and_then(|spec| spec.expiration_seconds);
        let age = Age { expires: expires.0, seconds }.received(Timestamp::now());
        Ok(Token { token: token.into(), expires: age.expires, refresh: age.refresh(jitter::fraction()) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TokenSpec, Token>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use telemetry::metrics::Registry;
    use types::PodName;

    use super::*;
    use crate::{Kubeconfig, Limits, Metrics, Options};

    #[tokio::test]
    async fn a_token_that_cannot_be_replaced_is_good_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        // Nobody listens there.
        let text = "{clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], contexts: [{name: c, context: \
                    {cluster: c, user: c}}], users: [{name: c, user: {}}], current-context: c}";
        std::fs::write(&path, text).unwrap();
        let options = Options { user_agent: "test".to_owned(), limits: Limits::default() };
        let metrics = Metrics::register(&Registry::new());
        let tokens = Tokens::new(Client::new(Kubeconfig::read(&path).unwrap(), options, &metrics).unwrap());
        let spec = TokenSpec {
            pod: PodRef { name: PodName::new("default", "web"), uid: "u".into() },
            service_account: "builder".to_owned(),
            audiences: Vec::new(),
            expiration_seconds: None,
        };
        let now = Timestamp::now();
        for (expires, good) in [(now + SignedDuration::from_hours(1), true), (now, false)] {
            let old = Token { token: "old".into(), expires, refresh: now };
            tokens.lock().insert(spec.clone(), old);
            assert_eq!(tokens.get(&spec).await.is_ok_and(|token| token.expose() == "old"), good);
        }
    }
}
