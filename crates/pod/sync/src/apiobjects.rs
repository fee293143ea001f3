//! What starting a pod takes of the API server: the objects that the pod refers to, the services it is told of, and the
//! handler of its RuntimeClass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use containerconfig::services::ServiceLink;
use futures::future::{BoxFuture, FutureExt, ready};
use jiff::Timestamp;
use types::Pod;
use types::objects::{BundleRequest, Found, ObjectError, Objects, References, TokenRequest};

/// How long a round waits that the API server held up. Whoever waits for an object that is not there is woken when it
/// comes.
pub(crate) const API_AWAY: Duration = Duration::from_secs(1);

/// What is known of the API server's objects. Each answer comes in bounded time, whatever the server does.
pub trait ApiObjects: Send + Sync + 'static {
    /// What there is of `references`, in the namespace of `pod`.
    fn find<'a>(&'a self, pod: &'a Pod, references: &'a References) -> BoxFuture<'a, Objects>;

    /// Takes up tokens that volumes of `pod` have shown since before a restart, as far as they are still good.
    fn adopt(&self, pod: &Pod, tokens: Vec<(TokenRequest, String)>);

    /// The services that containers of `pod` are told of.
    fn services<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, Found<Vec<ServiceLink>>>;

    /// The handler of the RuntimeClass `class`.
    fn runtime_handler<'a>(&'a self, class: &'a str) -> BoxFuture<'a, Found<String>>;
}

/// No API server at all: there are no objects, no services, and a RuntimeClass is the handler of its name.
#[derive(Clone, Copy, Debug)]
pub struct WithoutApi;

impl ApiObjects for WithoutApi {
    fn find<'a>(&'a self, _: &'a Pod, references: &'a References) -> BoxFuture<'a, Objects> {
        let objects = Objects {
            config_maps: without(&references.config_maps, "configmap", Clone::clone),
            secrets: without(&references.secrets, "secret", Clone::clone),
            tokens: without(&references.tokens, "token for audience", |request| request.audience.clone()),
            bundles: without(&references.bundles, "clustertrustbundle", |request| match request {
                BundleRequest::Named(name) => name.clone(),
                BundleRequest::OfSigner { signer, .. } => signer.clone(),
            }),
            certificates: without(&references.certificates, "podcertificaterequest", |request| {
                request.signer.clone()
            }),
        };
        ready(objects).boxed()
    }

    fn adopt(&self, _: &Pod, _: Vec<(TokenRequest, String)>) {}

    fn services<'a>(&'a self, _: &'a Pod) -> BoxFuture<'a, Found<Vec<ServiceLink>>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn runtime_handler<'a>(&'a self, class: &'a str) -> BoxFuture<'a, Found<String>> {
        ready(Ok(class.to_owned())).boxed()
    }
}

/// That there is nothing of all this.
fn without<K: Ord + Clone, T>(
    keys: &BTreeSet<K>,
    kind: &'static str,
    name: impl Fn(&K) -> String,
) -> BTreeMap<K, Found<T>> {
    let error = |key: &K| ObjectError::WithoutApi { kind, name: name(key) };
    keys.iter().map(|key| (key.clone(), Err(error(key)))).collect()
}

/// How long until a token of `objects` is to be replaced. One that is overdue could not be; it is tried again with the
/// next round that there is anyway.
pub(crate) fn until_refresh(objects: &Objects, now: Timestamp) -> Option<Duration> {
    let left = objects.refresh()?.duration_since(now);
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use types::objects::Token;

    use super::*;

    fn references() -> References {
        References {
            config_maps: ["m".to_owned()].into(),
            secrets: ["s".to_owned()].into(),
            tokens: [TokenRequest::default()].into(),
            ..References::default()
        }
    }

    #[tokio::test]
    async fn without_an_api_server_there_is_nothing() {
        let objects = WithoutApi.find(&Pod::default(), &references()).await;
        let text = "configmap \"m\" is not available: berth runs without an API server";
        assert_eq!(objects.config_map("m").unwrap_err().to_string(), text);
        assert!(objects.secret("s").is_err() && objects.token(&TokenRequest::default()).is_err());
        assert_eq!(WithoutApi.runtime_handler("kata").await, Ok("kata".to_owned()));
    }

    #[test]
    fn rounds_for_tokens() {
        let with = |refresh: &str| {
            let token = Token::new("t".to_owned(), refresh.parse().unwrap());
            Objects { tokens: [(TokenRequest::default(), Ok(token))].into(), ..Objects::default() }
        };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(until_refresh(&with("2026-01-01T00:48:00Z"), now), Some(Duration::from_secs(2880)));
        assert_eq!(until_refresh(&with("2025-12-31T23:59:00Z"), now), None);
        assert_eq!(until_refresh(&Objects::default(), now), None);
    }
}
