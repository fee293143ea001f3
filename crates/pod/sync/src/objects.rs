//! What starting a pod takes of the API server: the objects that the pod refers to, the services it is told of, and the
//! handler of its RuntimeClass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use containerconfig::services::ServiceLink;
use futures::future::{BoxFuture, FutureExt, ready};
use jiff::Timestamp;
use task::cell::PodCell;
use types::objects::{BundleRequest, Found, ObjectError, Objects, References, TokenRequest};
use types::{Event, Pod, Step};
use volume::VolumeFailure;

use crate::executor::Executor;

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

impl Executor {
    /// What there is of `references`. The pod is shown at `step` if that takes its time.
    pub(crate) async fn find(
        &self,
        pod: &Arc<Pod>,
        references: &References,
        cell: &PodCell,
        step: Step,
        container: Option<&str>,
    ) -> Arc<Objects> {
        if references.is_empty() {
            return Arc::default();
        }
        let is_met = self.lock_followed().contains_key(&cell.pod.uid);
        if !references.tokens.is_empty() && !is_met {
            // A restart asks for no token that is there.
            self.needs.objects.adopt(pod, self.needs.volumes.shown_tokens(pod).await);
        }
        let mut finding = self.needs.objects.find(pod, references);
        if let Some(found) = (&mut finding).now_or_never() {
            return Arc::new(found);
        }
        cell.at(step, container, waits_for(references));
        Arc::new(finding.await)
    }

    /// Says which volumes are not what they should be: each once for each time that it was tried.
    pub(crate) fn tell_mount_failures(&self, failures: &[VolumeFailure], cell: &PodCell) {
        for failure in failures.iter().filter(|failure| failure.was_tried()) {
            let (reason, message) = (failure.event_reason(), failure.event_message());
            tracing::warn!(pod = %cell.pod, volume = failure.volume, error = message, "Volume is not up to date");
            self.needs.recorder.record(Event::warning(&cell.pod, reason, message));
        }
    }
}

/// What is waited for, as `berth why` prints it.
fn waits_for(references: &References) -> String {
    let maps = references.config_maps.iter().map(|name| format!("ConfigMap {name:?}"));
    let secrets = references.secrets.iter().map(|name| format!("Secret {name:?}"));
    let tokens = (!references.tokens.is_empty()).then(|| "a service account token".to_owned());
    let bundles = (!references.bundles.is_empty()).then(|| "trust anchors".to_owned());
    let certificates = (!references.certificates.is_empty()).then(|| "a certificate of the pod".to_owned());
    let all: Vec<_> = maps.chain(secrets).chain(tokens).chain(bundles).chain(certificates).collect();
    format!("the API server: {}", all.join(", "))
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
        let text = "the API server: ConfigMap \"m\", Secret \"s\", a service account token";
        assert_eq!(waits_for(&references()), text);
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
