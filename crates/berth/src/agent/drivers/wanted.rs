//! What a pod wants of a driver, with all that has to be asked of the API server for it.

use std::collections::BTreeMap;
use std::time::Duration;

use csi::{Found, FoundToken, Policy, SecretName, Source, VolumeId, Wanted};
use kubeapi::{ApiError, ApiErrorKind, Object, ObjectKey, Token};
use tokio::time::{sleep, timeout};
use types::corev1::{PersistentVolume, PersistentVolumeClaim, Secret, Volume};
use types::{Pod, PodRef};
use volume::claim;
use volume::{Onlooker, Problem};

use super::ClusterDrivers;
use super::attach::Attachable;
use super::error::{AskError, DriversError};
use super::found::ToMount;
use crate::agent::cluster::DEADLINE;
use crate::agent::referred::{namespace, token_spec};

/// Pauses between looks at an object that the API server does not let the node see yet: whoever decides that hears of
/// new pods and of new attachments a moment after the node does.
const UNSEEN: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// What a pod is to have.
pub(super) enum Made {
    /// By a CSI driver, which is told this.
    ByDriver(Box<Wanted>),
    /// By berth itself.
    Here(Box<ToMount>),
}

/// Where a pod has a volume of a driver from.
pub(super) enum Origin {
    /// From this PersistentVolume.
    Claim { found: Box<PersistentVolume>, read_only: bool },
    /// From its own spec.
    Inline,
}

impl Origin {
    /// As what is not made by a driver, and berth mounts itself.
    fn mounted<'a>(&'a self, volume: &'a Volume) -> Option<intree::Source<'a>> {
        let Self::Claim { found, read_only } = self else { return None };
        let (name, read_only) = (volume.name.as_str(), *read_only);
        let source = intree::Source::Persistent { volume: found, name, read_only };
        source.is_ours().then_some(source)
    }

    fn source<'a>(&'a self, volume: &'a Volume) -> Source<'a> {
        match self {
            Self::Claim { found, read_only } => {
                Source::Persistent { volume: found, name: &volume.name, read_only: *read_only }
            }
            Self::Inline => Source::Inline(volume),
        }
    }

    /// The CSI driver that makes it; otherwise the name of the PersistentVolume that is none of a driver.
    fn driver(&self, volume: &Volume) -> Result<String, String> {
        let Self::Claim { found, .. } = self else { return Ok(driver_of(volume)) };
        let csi = found.spec.as_ref().and_then(|spec| spec.csi.as_ref());
        let name = || found.metadata.name.clone().unwrap_or_default();
        csi.map(|csi| csi.driver.clone()).ok_or_else(name)
    }

    /// The name of a volume that outlives the pod, and its PersistentVolume.
    fn persistent(&self) -> Option<(VolumeId, &str)> {
        let Self::Claim { found, .. } = self else { return None };
        let csi = found.spec.as_ref()?.csi.as_ref()?;
        let id = VolumeId { driver: csi.driver.clone(), handle: csi.volume_handle.clone() };
        Some((id, found.metadata.name.as_deref().unwrap_or_default()))
    }
}

impl ClusterDrivers {
    /// Finds out what the volume is, waits until it is attached if it has to be, and says what its driver is to be told.
    pub(super) async fn wanted(
        &self,
        pod: &Pod,
        volume: &Volume,
        onlooker: &dyn Onlooker,
    ) -> Result<Made, Problem> {
        let asked = claim::name(pod, volume).map_or_else(
            || "CSIDriver objects".to_owned(),
            |name| format!("PersistentVolumeClaim {:?} and what it is bound to", name.name),
        );
        onlooker.waits_for(&volume.name, Some(format!("the API server: {asked}")));
        let origin = self.origin(pod, volume).await?;
        if let Some(source) = origin.mounted(volume) {
            let to_mount = self.mounted_here(pod, volume, source, onlooker).await?;
            return Ok(Made::Here(Box::new(to_mount)));
        }
        let driver = origin.driver(volume).map_err(DriversError::Foreign)?;
        let mut policy = self.policy(&driver).await?;
        let mut context = BTreeMap::new();
        if let Some((id, of)) = origin.persistent().filter(|_| policy.attach) {
            let uid = PodRef::of(pod).uid;
            let wanted = Attachable { pod: &uid, name: &volume.name, volume: of, id: &id };
            context = self.attached(wanted, onlooker).await?;
            policy = self.policy(&driver).await?;
        }
        onlooker
            .waits_for(&volume.name, Some("the API server: secrets and tokens for its driver".to_owned()));
        let wanted = self.told(pod, origin.source(volume), &policy, context).await?;
        Ok(Made::ByDriver(Box::new(wanted)))
    }

    /// What its driver is told of a volume that is there.
    pub(super) async fn wanted_again(&self, pod: &Pod, volume: &Volume) -> Result<Wanted, Problem> {
        let origin = self.origin(pod, volume).await?;
        let policy = self.policy(&origin.driver(volume).map_err(DriversError::Foreign)?).await?;
        let context = match origin.persistent().filter(|_| policy.attach) {
            Some((id, of)) => self.publish_context(&id, of).await?,
            None => BTreeMap::new(),
        };
        Ok(self.told(pod, origin.source(volume), &policy, context).await?)
    }

    /// Where the volume comes from.
    async fn origin(&self, pod: &Pod, volume: &Volume) -> Result<Origin, DriversError> {
        let Some(name) = claim::name(pod, volume) else { return Ok(Origin::Inline) };
        let namespace = namespace(pod);
        let fetch = |what: String| {
            let (namespace, claim) = (namespace.to_owned(), name.name.clone());
            |source| DriversError::Fetch { namespace, claim, what, source }
        };
        let claim: PersistentVolumeClaim =
            self.get_soon(Some(namespace), &name.name).await.map_err(fetch("PVC".to_owned()))?;
        let pv = claim::volume_of(pod, &name, &claim)?.to_owned();
        let found: PersistentVolume = self.get_soon(None, &pv).await.map_err(fetch(format!("PV {pv}")))?;
        let bound = claim::bound(pod, volume, &name, &claim, &found)?;
        let read_only = bound.read_only;
        Ok(Origin::Claim { found: Box::new(found), read_only })
    }

    pub(super) async fn policy(&self, driver: &str) -> Result<Policy, DriversError> {
        timeout(DEADLINE, self.objects.synced()).await.map_err(|_| DriversError::NoDriversYet)?;
        Ok(Policy::of(self.objects.get(&ObjectKey::new("", driver)).as_deref()))
    }

    /// What the driver is told, with all that has to be asked for.
    async fn told(
        &self,
        pod: &Pod,
        source: Source<'_>,
        policy: &Policy,
        publish_context: BTreeMap<String, String>,
    ) -> Result<Wanted, DriversError> {
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
            publish_context,
            tokens: tokens
                .iter()
                .map(|(audience, expiration, token)| FoundToken { audience, token, expiration })
                .collect(),
        };
        let mut wanted = csi::wanted(pod, source, policy, &found)?;
        if let Source::Persistent { volume, name, .. } = source {
            let object = self.objects.get(&ObjectKey::new("", &wanted.volume.driver));
            wanted.label = self.labels.of(pod, name, volume, object.as_deref())?;
        }
        Ok(wanted)
    }

    pub(super) async fn secret(&self, name: Option<SecretName>) -> Result<Option<Secret>, DriversError> {
        let Some(SecretName { namespace, name }) = name else { return Ok(None) };
        match self.get_soon(Some(&namespace), &name).await {
            Ok(secret) => Ok(Some(secret)),
            Err(source) => Err(DriversError::Secret { namespace, name, source }),
        }
    }

    pub(super) async fn get<K: Object>(&self, namespace: Option<&str>, name: &str) -> Result<K, AskError> {
        within(self.client.get(namespace, name)).await
    }

    /// The same, and once more a little later while the API server does not let the node see it.
    pub(super) async fn get_soon<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<K, AskError> {
        for pause in UNSEEN {
            match self.get(namespace, name).await {
                Err(AskError::Api(error)) if error.kind == ApiErrorKind::Forbidden => sleep(pause).await,
                answer => return answer,
            }
        }
        self.get(namespace, name).await
    }
}

fn driver_of(volume: &Volume) -> String {
    volume.csi.as_ref().map(|csi| csi.driver.clone()).unwrap_or_default()
}

async fn within<T>(asked: impl Future<Output = Result<T, ApiError>>) -> Result<T, AskError> {
    Ok(timeout(DEADLINE, asked).await.map_err(|_| AskError::Late)??)
}
