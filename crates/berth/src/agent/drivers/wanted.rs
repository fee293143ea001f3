//! What a pod wants of a driver, with all that has to be asked of the API server for it.

use std::collections::BTreeMap;

use csi::{Found, FoundToken, Policy, SecretName, Source, Wanted};
use kubeapi::{ApiError, Object, ObjectKey, Token};
use tokio::time::timeout;
use types::Pod;
use types::corev1::{PersistentVolume, PersistentVolumeClaim, Secret, Volume};
use volume::claim::{self, VolumeMode};

use super::error::{AskError, DriversError};
use super::{ClusterDrivers, DEADLINE};
use crate::agent::referred::{namespace, token_spec};

impl ClusterDrivers {
    pub(super) async fn wanted(&self, pod: &Pod, volume: &Volume) -> Result<(Wanted, Policy), DriversError> {
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
        let mut wanted = csi::wanted(pod, source, &policy, &found)?;
        if let Source::Persistent { volume, name, .. } = source {
            wanted.label = self.labels.of(pod, name, volume, object.as_deref())?;
        }
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

fn driver_of(volume: &Volume) -> String {
    volume.csi.as_ref().map(|csi| csi.driver.clone()).unwrap_or_default()
}

async fn within<T>(asked: impl Future<Output = Result<T, ApiError>>) -> Result<T, AskError> {
    Ok(timeout(DEADLINE, asked).await.map_err(|_| AskError::Late)??)
}
