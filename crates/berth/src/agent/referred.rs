//! The API server's objects that pods refer to: kept up to date while a pod runs, and its worker woken when one of them
//! changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use config::{ChangeDetection, KubeletConfiguration};
use containerconfig::services::ServiceLink;
use futures::future::{BoxFuture, FutureExt, join_all};
use kubeapi::{
    ApiError, ApiErrorKind, Changed, ObjectCache, ObjectKey, Referenced, Selection, Store, Strategy,
    TokenSpec, Tokens, Watch, ttl_of,
};
use sync::ApiObjects;
use task::supervisor::Supervisor;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use types::corev1::{ConfigMap, Node, Secret};
use types::k8s::api::node::v1::RuntimeClass;
use types::objects::{Found, ObjectError, Objects, References, Token, TokenRequest};
use types::{Pod, PodRef, PodUid, pod};
use worker::Table;

use super::cluster::{Cluster, DEADLINE};
use super::services::KnownServices;
use super::signed::{self, Signed};

/// How long a container's start waits for the API server to tell its services for the first time.
const SERVICES_WITHIN: Duration = Duration::from_secs(1);
/// Changes that wait for their pods to be woken.
const CHANGES: usize = 256;
/// The shortest time after which an object that nobody asks for is no longer watched.
const IDLE: Duration = Duration::from_secs(60);

/// The objects. Clones share them.
#[derive(Clone)]
pub(super) struct Referred {
    shared: Arc<Shared>,
}

struct Shared {
    config_maps: ObjectCache<ConfigMap>,
    secrets: ObjectCache<Secret>,
    tokens: Tokens,
    services: KnownServices,
    classes: Store<RuntimeClass>,
    signed: Signed,
}

impl Referred {
    /// The objects of `cluster`, and the changes of those that pods refer to.
    pub(super) fn open(
        cluster: &Cluster,
        config: &KubeletConfiguration,
        signed: Signed,
        supervisor: &mut Supervisor,
    ) -> (Self, mpsc::Receiver<Changed>) {
        let (sender, changed) = mpsc::channel(CHANGES);
        let (client, strategy) = (&cluster.client, strategy(config));
        let (services, reading) = KnownServices::follow(Watch::start(client, Selection::default()));
        supervisor.spawn("services", reading);
        let shared = Arc::new(Shared {
            config_maps: ObjectCache::new(client, strategy, sender.clone()),
            secrets: ObjectCache::new(client, strategy, sender),
            tokens: Tokens::new(client.clone()),
            services,
            classes: Store::start(client, Selection::default()),
            signed,
        });
        (Self { shared }, changed)
    }

    /// Says that `pod` runs, and what it refers to.
    pub(super) fn register(&self, pod: &Pod) {
        let (uid, namespace) = (PodRef::of(pod).uid, namespace(pod));
        let References { config_maps, secrets, .. } = References::of_pod(pod);
        let key = |name: String| ObjectKey::new(namespace, &name);
        self.shared.config_maps.register(&uid, config_maps.into_iter().map(key));
        self.shared.secrets.register(&uid, secrets.into_iter().map(key));
    }

    /// Says that nothing of `pod` runs any more.
    pub(super) fn forget(&self, pod: &PodUid) {
        self.shared.config_maps.unregister(pod);
        self.shared.secrets.unregister(pod);
        self.shared.tokens.forget(pod);
        self.shared.signed.forget(pod);
    }

    /// Wakes the workers of the pods in `table` that a change concerns, and has `node` say for how long objects are kept.
    pub(super) async fn wake(
        self,
        mut changed: mpsc::Receiver<Changed>,
        table: watch::Receiver<Arc<Table>>,
        mut node: watch::Receiver<Option<Arc<Node>>>,
    ) {
        let mut classes = self.shared.classes.subscribe();
        let mut bundles = self.shared.signed.bundle_changes();
        let mut requests = self.shared.signed.request_changes();
        let wake = |concerns: fn(&Pod) -> bool| {
            let table = table.borrow().clone();
            for entry in
                table.pods.values().filter(|entry| entry.target.pod().is_some_and(|pod| concerns(pod)))
            {
                entry.cell.wake();
            }
        };
        loop {
            tokio::select! {
                Some(change) = changed.recv() => {
                    tracing::debug!(object = %change.key, pods = change.pods.len(), "An object has changed that pods refer to");
                    let table = table.borrow().clone();
                    for entry in change.pods.iter().filter_map(|uid| table.pods.get(uid)) {
                        entry.cell.wake();
                    }
                }
                Ok(()) = classes.changed() => wake(|pod| pod::spec(pod).runtime_class_name.is_some()),
                () = signed::changed(&mut bundles) => wake(|pod| !References::of_pod(pod).bundles.is_empty()),
                () = signed::changed(&mut requests) => wake(|pod| !References::of_pod(pod).certificates.is_empty()),
                Ok(()) = node.changed() => {
                    let ttl = node.borrow_and_update().as_deref().map(ttl_of);
                    if let Some(ttl) = ttl {
                        self.shared.config_maps.set_ttl(ttl);
                        self.shared.secrets.set_ttl(ttl);
                    }
                }
                else => return,
            }
        }
    }
}

fn strategy(config: &KubeletConfiguration) -> Strategy {
    match config.config_map_and_secret_change_detection_strategy {
        // There is no other: validation refuses it.
        ChangeDetection::Watch | ChangeDetection::Other(_) => {
            Strategy::Watch { idle: IDLE.max(config.sync_frequency.get() * 5) }
        }
        ChangeDetection::Cache => Strategy::Cache,
        ChangeDetection::Get => Strategy::Get,
    }
}

pub(super) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

impl ApiObjects for Referred {
    fn find<'a>(&'a self, pod: &'a Pod, references: &'a References) -> BoxFuture<'a, Objects> {
        async move {
            let shared = &*self.shared;
            let tokens = references.tokens.iter().map(async |request| {
                let token = token(&shared.tokens, pod, request).await;
                (request.clone(), token)
            });
            let (config_maps, secrets, tokens, bundles, certificates) = tokio::join!(
                find_all(&shared.config_maps, pod, &references.config_maps, ObjectError::no_config_map),
                find_all(&shared.secrets, pod, &references.secrets, ObjectError::no_secret),
                join_all(tokens),
                shared.signed.bundles(references.bundles.iter()),
                shared.signed.certificates(pod, references.certificates.iter()),
            );
            Objects { config_maps, secrets, tokens: tokens.into_iter().collect(), bundles, certificates }
        }
        .boxed()
    }

    fn adopt(&self, pod: &Pod, tokens: Vec<(TokenRequest, String)>) {
        for (request, token) in tokens {
            self.shared.tokens.adopt(&token_spec(pod, &request), &token);
        }
    }

    fn services<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, Found<Vec<ServiceLink>>> {
        // A static pod does not wait for a server that may never come.
        let deadline = if pod::is_static(pod) { Duration::ZERO } else { SERVICES_WITHIN };
        async move {
            match self.shared.services.linked(pod, deadline).await {
                Err(_) if pod::is_static(pod) => Ok(Vec::new()),
                linked => linked,
            }
        }
        .boxed()
    }

    fn runtime_handler<'a>(&'a self, class: &'a str) -> BoxFuture<'a, Found<String>> {
        async move {
            let classes = &self.shared.classes;
            if timeout(DEADLINE, classes.synced()).await.is_err() {
                let message =
                    format!("failed to lookup RuntimeClass {class}: the API server has not told of any yet");
                return Err(ObjectError::Unavailable { message });
            }
            let found = classes.get(&ObjectKey::new("", class));
            let missing =
                || ObjectError::NotFound { kind: "runtimeclass.node.k8s.io", name: class.to_owned() };
            found.map(|class| class.handler.clone()).ok_or_else(missing)
        }
        .boxed()
    }
}

async fn find_all<K: Referenced>(
    cache: &ObjectCache<K>,
    pod: &Pod,
    names: &BTreeSet<String>,
    missing: fn(&str) -> ObjectError,
) -> BTreeMap<String, Found<Arc<K>>> {
    let all = names.iter().map(async |name| {
        let key = ObjectKey::new(namespace(pod), name);
        let found = within(cache.get(&key), || missing(name)).await;
        (name.clone(), found)
    });
    join_all(all).await.into_iter().collect()
}

async fn token(tokens: &Tokens, pod: &Pod, request: &TokenRequest) -> Found<Token> {
    let spec = token_spec(pod, request);
    let missing = || ObjectError::NotFound { kind: "serviceaccount", name: spec.service_account.clone() };
    let token = within(tokens.get(&spec), missing).await?;
    Ok(Token::new(token.expose().to_owned(), token.refresh))
}

pub(super) fn token_spec(pod: &Pod, request: &TokenRequest) -> TokenSpec {
    let audience = Some(request.audience.clone()).filter(|audience| !audience.is_empty());
    TokenSpec {
        pod: PodRef::of(pod),
        service_account: pod::spec(pod).service_account_name.clone().unwrap_or_default(),
        audiences: audience.into_iter().collect(),
        expiration_seconds: request.expiration_seconds,
    }
}

/// The answer of `call`, if it comes in time.
async fn within<T>(
    call: impl Future<Output = Result<T, ApiError>>,
    missing: impl FnOnce() -> ObjectError,
) -> Found<T> {
    match timeout(DEADLINE, call).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) if error.kind == ApiErrorKind::NotFound => Err(missing()),
        Ok(Err(error)) => Err(ObjectError::Unavailable { message: error.to_string() }),
        Err(_) => Err(ObjectError::Unavailable {
            message: format!("the API server did not answer within {DEADLINE:?}"),
        }),
    }
}
