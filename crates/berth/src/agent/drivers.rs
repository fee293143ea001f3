//! Volumes of claims and of CSI drivers: what the API server says of them, told to the drivers on the node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::Loaded;
use csi::{Found, FoundToken, Layout, Policy, SecretName, Source, Wanted};
use kubeapi::{ApiError, Client, Object, ObjectKey, Selection, Store, Token, Tokens};
use registry::Handlers;
use task::supervisor::Supervisor;
use telemetry::metrics::Registry;
use tokio::sync::watch;
use tokio::time::timeout;
use types::corev1::{PersistentVolume, PersistentVolumeClaim, Secret, Volume};
use types::k8s::api::storage::v1::CSIDriver;
use types::objects::Objects;
use types::{Pod, PodRef, PodUid, pod};
use volume::claim::{self, ClaimProblem, VolumeMode};
use volume::{DriverError, MountSource, Mounted};
use worker::Table;

use super::cluster::Cluster;
use super::referred::{namespace, token_spec};

/// How long one object of the API server is waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// The drivers of a node of a cluster.
pub(super) struct ClusterDrivers {
    client: Client,
    volumes: csi::Volumes,
    registered: csi::Drivers,
    objects: Store<CSIDriver>,
    tokens: Tokens,
}

/// Why a volume cannot be had from a driver.
#[derive(Debug, thiserror::Error)]
enum DriversError {
    #[error(transparent)]
    Claim(#[from] ClaimProblem),
    #[error("error processing PVC {namespace}/{claim}: failed to fetch {what} from API server")]
    Fetch {
        namespace: String,
        claim: String,
        what: String,
        #[source]
        source: AskError,
    },
    #[error("fetching secret {namespace}/{name} failed")]
    Secret {
        namespace: String,
        name: String,
        #[source]
        source: AskError,
    },
    #[error("fetching a token of service account {0:?} failed")]
    Token(String, #[source] AskError),
    #[error("the API server has not told of CSIDriver objects yet")]
    NoDriversYet,
    #[error("PersistentVolume {0:?} is a block device, which berth cannot give to pods yet")]
    Block(String),
    #[error("PersistentVolume {0:?} is not one of a CSI driver, and berth has no other kinds yet")]
    NotCsi(String),
    #[error(
        "volumes of CSI driver {0} are attached to nodes (attachRequired), which berth cannot take part in yet"
    )]
    Attach(String),
    #[error(transparent)]
    Spec(#[from] csi::SpecError),
}

/// Why the API server did not say something.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the API server did not answer within {DEADLINE:?}")]
    Late,
}

impl fmt::Debug for ClusterDrivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterDrivers").finish_non_exhaustive()
    }
}

impl ClusterDrivers {
    /// The drivers that register below `--root-dir`. `node` is the node's name.
    pub(super) fn open(
        loaded: &Loaded,
        node: &str,
        deadline: Duration,
        cluster: &Cluster,
        metrics: &Registry,
        supervisor: &mut Supervisor,
    ) -> Arc<Self> {
        let root_dir: &Path = &loaded.flags.root_dir;
        let registered = csi::Drivers::new(pluginapi::csi::Metrics::register(metrics));
        let handlers = Handlers::default().with("CSIPlugin", Arc::new(registered.clone()));
        let plugins = registry::Registry::new(
            root_dir.join("plugins_registry"),
            handlers,
            registry::Metrics::register(metrics),
        );
        supervisor.spawn("plugins", plugins.run());
        let volumes = csi::Volumes::new(csi::VolumesConfig {
            layout: Layout::new(root_dir.to_owned()),
            node: node.to_owned(),
            drivers: registered.clone(),
            deadline,
        });
        Arc::new(Self {
            client: cluster.client.clone(),
            volumes,
            registered,
            objects: Store::start(&cluster.client, Selection::default()),
            tokens: Tokens::new(cluster.client.clone()),
        })
    }

    /// The drivers that are registered, and changes of them.
    pub(super) fn registered(&self) -> watch::Receiver<csi::Table> {
        self.registered.subscribe()
    }

    /// Wakes the workers of the pods in `table` that may wait for a driver when one comes, and has it take down what is
    /// staged for nobody.
    pub(super) async fn serve(self: Arc<Self>, mut table: watch::Receiver<Arc<Table>>) {
        // Before all pods are known, none waits for a driver, and nothing is staged for nobody.
        if table.wait_for(|table| table.complete).await.is_err() {
            return;
        }
        let mut registered = self.registered();
        registered.mark_changed();
        while registered.changed().await.is_ok() {
            let pods = table.borrow().clone();
            let waits = |pod: &Pod| pod::spec(pod).volumes.iter().flatten().any(is_of_driver);
            for entry in pods.pods.values().filter(|entry| entry.target.pod().is_some_and(|pod| waits(pod))) {
                entry.cell.wake();
            }
            // What a pod wants is published to it, or is about to be, and then its worker says so.
            for (volume, error) in self.volumes.reclaim(&BTreeSet::new()).await {
                let error = telemetry::chain(&error);
                tracing::debug!(%volume, error, "A volume that no pod has is still staged");
            }
        }
    }

    async fn wanted(&self, pod: &Pod, volume: &Volume) -> Result<(Wanted, Policy), DriversError> {
        let Some(name) = claim::name(pod, volume) else {
            return self.told(pod, Source::Inline(volume), driver_of(volume)).await;
        };
        let namespace = namespace(pod);
        let fetch = |what: String| {
            let (namespace, claim) = (namespace.to_owned(), name.name.clone());
            |source| DriversError::Fetch { namespace, claim, what, source }
        };
        let claim: PersistentVolumeClaim =
            self.get(Some(namespace), &name.name).await.map_err(fetch("PVC".to_owned()))?;
        let pv = claim::volume_of(pod, &name, &claim)?.to_owned();
        let found: PersistentVolume = self.get(None, &pv).await.map_err(fetch(format!("PV {pv}")))?;
        let bound = claim::bound(pod, volume, &name, &claim, &found)?;
        if bound.mode == VolumeMode::Block {
            return Err(DriversError::Block(pv));
        }
        let csi = found.spec.as_ref().and_then(|spec| spec.csi.as_ref());
        let driver = csi.map(|csi| csi.driver.clone()).ok_or(DriversError::NotCsi(pv))?;
        let source = Source::Persistent { volume: &found, name: &volume.name, read_only: bound.read_only };
        self.told(pod, source, driver).await
    }

    /// What the driver is told, with all that has to be asked for.
    async fn told(
        &self,
        pod: &Pod,
        source: Source<'_>,
        driver: String,
    ) -> Result<(Wanted, Policy), DriversError> {
        timeout(DEADLINE, self.objects.synced()).await.map_err(|_| DriversError::NoDriversYet)?;
        let object = self.objects.get(&ObjectKey::new("", &driver));
        let policy = Policy::of(object.as_deref());
        if policy.attach && matches!(source, Source::Persistent { .. }) {
            return Err(DriversError::Attach(driver));
        }
        let needs = source.needs(pod);
        let (stage_secret, publish_secret) =
            (self.secret(needs.stage_secret).await?, self.secret(needs.publish_secret).await?);
        let mut tokens = Vec::new();
        for request in &policy.tokens {
            let spec = token_spec(pod, request);
            let token = within(self.tokens.get(&spec)).await;
            let token = token.map_err(|error| DriversError::Token(spec.service_account.clone(), error))?;
            tokens.push((request.audience.as_str(), token.expires.to_string(), token));
        }
        let found_token = |(audience, expiration, token): &(&'_ str, String, Token)| {
            (audience.to_string(), expiration.clone(), token.expose().to_owned())
        };
        let tokens: Vec<_> = tokens.iter().map(found_token).collect();
        let found = Found {
            stage_secret: stage_secret.as_ref(),
            publish_secret: publish_secret.as_ref(),
            publish_context: BTreeMap::new(),
            tokens: tokens
                .iter()
                .map(|(audience, expiration, token)| FoundToken { audience, token, expiration })
                .collect(),
        };
        let wanted = csi::wanted(pod, source, &policy, &found)?;
        Ok((wanted, policy))
    }

    async fn secret(&self, name: Option<SecretName>) -> Result<Option<Secret>, DriversError> {
        let Some(SecretName { namespace, name }) = name else { return Ok(None) };
        match self.get(Some(&namespace), &name).await {
            Ok(secret) => Ok(Some(secret)),
            Err(source) => Err(DriversError::Secret { namespace, name, source }),
        }
    }

    async fn get<K: Object>(&self, namespace: Option<&str>, name: &str) -> Result<K, AskError> {
        within(self.client.get(namespace, name)).await
    }
}

#[async_trait]
impl volume::Drivers for ClusterDrivers {
    /// A volume that is there needs neither the API server nor its driver.
    async fn prepare(&self, pod: &Pod, volume: &Volume, _: &Objects) -> Result<Mounted, DriverError> {
        let mounted = |path, read_only| Mounted {
            source: MountSource::HostPath(path),
            read_only,
            selinux_relabel: !read_only,
        };
        if let Some(path) = self.volumes.shown(&PodRef::of(pod).uid, &volume.name).await {
            return Ok(mounted(path, is_read_only(pod, volume)));
        }
        let (wanted, _) = self.wanted(pod, volume).await?;
        let path = self.volumes.prepare(&wanted).await?;
        Ok(mounted(path, wanted.read_only))
    }

    async fn refresh(&self, pod: &Pod, volume: &Volume, _: &Objects) -> Result<(), DriverError> {
        // The API server is asked only if there is a driver at all that wants it.
        let any = |object: &Arc<CSIDriver>| object.spec.requires_republish == Some(true);
        if !self.objects.objects().is_some_and(|objects| objects.values().any(any)) {
            return Ok(());
        }
        let (wanted, policy) = self.wanted(pod, volume).await?;
        if policy.republish {
            self.volumes.republish(&wanted).await?;
        }
        Ok(())
    }

    async fn take_down(&self, uid: &PodUid) -> Result<(), DriverError> {
        self.tokens.forget(uid);
        Ok(self.volumes.take_down(uid).await?)
    }
}

fn is_of_driver(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() || volume.csi.is_some()
}

fn driver_of(volume: &Volume) -> String {
    volume.csi.as_ref().map(|csi| csi.driver.clone()).unwrap_or_default()
}

fn is_read_only(pod: &Pod, volume: &Volume) -> bool {
    let inline = volume.csi.as_ref().is_some_and(|csi| csi.read_only == Some(true));
    inline || claim::name(pod, volume).is_some_and(|name| name.read_only)
}

async fn within<T>(asked: impl Future<Output = Result<T, ApiError>>) -> Result<T, AskError> {
    Ok(timeout(DEADLINE, asked).await.map_err(|_| AskError::Late)??)
}
