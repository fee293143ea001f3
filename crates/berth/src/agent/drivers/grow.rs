//! Volumes that grow while the node has them, or before a pod gets them (KEP-556, KEP-1790). A claim that was made larger is
//! noticed when the pod is looked after: the API server lets nodes read single claims, and not watch them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use csi::{Growth, SecretName, expand_secret};
use jiff::Timestamp;
use kubeapi::{ApiError, ApiErrorKind, Client, Object};
use serde_json::Value;
use task::events::Recorder;
use tokio::time::{Instant, sleep, timeout};
use types::corev1::{PersistentVolume, PersistentVolumeClaim, Secret, Volume};
use types::{Event, Pod, PodRef, PodUid, Quantity, StorageRef, pod, reason};
use volume::claim::{self, ClaimName};
use volume::growth::{self, Decision, Growing, OnNode, When};

use super::error::AskError;
use crate::agent::cluster::DEADLINE;

mod error;
mod sizes;

use error::{GrowError, NotExpanded, NotGrown};
pub(super) use sizes::Id;
use sizes::{Here, Sizes};

/// How often a claim is told again that its volume has grown, if it was changed meanwhile.
const TELLS: usize = 3;

/// Has volumes grow. Clones are the same.
#[derive(Clone)]
pub(in crate::agent) struct Grower {
    client: Client,
    volumes: csi::Volumes,
    /// Those that berth mounts itself.
    mounted: intree::Volumes,
    recorder: Recorder,
    node: Arc<str>,
    metrics: volume::Metrics,
    sizes: Arc<Sizes>,
}

/// A volume that a pod has by a claim.
#[derive(Clone, Debug)]
pub(super) struct OfClaim {
    pod: PodRef,
    /// Its name in the pod's spec.
    name: String,
    claim: ClaimName,
}

impl OfClaim {
    /// `volume` of `pod`; none if it is not had by a claim.
    pub(super) fn of(pod: &Pod, volume: &Volume) -> Option<Self> {
        let claim = claim::name(pod, volume)?;
        Some(Self { pod: PodRef::of(pod), name: volume.name.clone(), claim })
    }
}

impl fmt::Debug for Grower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grower").finish_non_exhaustive()
    }
}

/// A claim that a pod has, with its volume.
struct Seen {
    claim: PersistentVolumeClaim,
    volume: PersistentVolume,
}

impl Seen {
    fn volume_name(&self) -> &str {
        self.volume.metadata.name.as_deref().unwrap_or_default()
    }
}

impl Grower {
    /// For the volumes `volumes` of the node `node`. Those of a pod are looked at once in `every`.
    pub(super) fn new(
        client: Client,
        volumes: csi::Volumes,
        mounted: intree::Volumes,
        node: &str,
        recorder: Recorder,
        metrics: volume::Metrics,
        every: Duration,
    ) -> Self {
        Self {
            client,
            volumes,
            mounted,
            recorder,
            node: node.into(),
            metrics,
            sizes: Arc::new(Sizes::new(every)),
        }
    }

    /// Looks whether volumes of `pod`, which its containers have, are to grow, and has them grow. Returns at once; what was
    /// looked at lately is left alone.
    pub(in crate::agent) fn look_after(&self, pod: &Pod) {
        let volumes = pod::spec(pod).volumes.iter().flatten();
        let theirs: Vec<_> = volumes
            .filter_map(|volume| OfClaim::of(pod, volume))
            .filter(|of_claim| !of_claim.claim.read_only)
            .collect();
        let uid = PodRef::of(pod).uid;
        if theirs.is_empty() || !self.sizes.is_due(&uid, Instant::now()) {
            return;
        }
        for of_claim in theirs {
            let this = self.clone();
            tokio::spawn(async move { Box::pin(this.grow_online(&of_claim)).await });
        }
    }

    async fn grow_online(&self, of_claim: &OfClaim) {
        // What failed is tried again when it is due, for as long as the pod has it.
        while let Some(delay) = self.try_online(of_claim).await {
            sleep(delay).await;
            if !self.sizes.has(&of_claim.pod.uid) {
                return;
            }
        }
    }

    /// Returns when to try again, if it failed.
    async fn try_online(&self, of_claim: &OfClaim) -> Option<Duration> {
        let OfClaim { pod, name, .. } = of_claim;
        let id = self.expandable(&pod.uid, name).await?;
        // Whoever has the turn looks at it now, for this pod or for another.
        let here = self.sizes.here(&pod.uid, &id);
        let mut here = here.try_lock().ok()?;
        if here.rests(Instant::now()) {
            return None;
        }
        let Err((seen, error)) = Box::pin(self.grow(of_claim, &id, When::Online, &mut here)).await else {
            here.failed = None;
            return None;
        };
        let delay = here.fails(Instant::now());
        let error = telemetry::chain(&error);
        tracing::warn!(%pod, volume = %id, error, "A volume could not grow");
        if let Some(seen) = seen {
            let name = seen.volume_name();
            let text = format!("NodeExpandVolume.NodeExpandVolume failed for volume {name:?} : {error}");
            self.recorder.record(Event::warning(pod, reason::event::VOLUME_RESIZE_FAILED, text));
        }
        Some(delay)
    }

    /// The volume that the pod calls `name`, if something has to be done on nodes when it grows.
    async fn expandable(&self, pod: &PodUid, name: &str) -> Option<Id> {
        if let Some(id) = self.volumes.expandable(pod, name).await {
            return Some(Id::Csi(id));
        }
        self.mounted.expandable(pod, name).await.map(Id::Mounted)
    }

    /// Whether the volume that the pod calls `name` has to grow before a container gets it.
    pub(super) fn is_owed(&self, pod: &PodUid, name: &str) -> bool {
        self.sizes.is_owed(pod, name)
    }

    /// Has the volume `id` grow, which was just shown to a pod, if it has to.
    ///
    /// # Errors
    /// If it has to, or may have to, and could not. No container may have it yet.
    pub(super) async fn grow_at_mount(&self, of_claim: &OfClaim, id: &Id) -> Result<(), NotGrown> {
        if let Id::Csi(id) = id
            && !self.volumes.expands(&id.driver).await
        {
            return Ok(());
        }
        let OfClaim { pod, name, .. } = of_claim;
        let here = self.sizes.here(&pod.uid, id);
        let mut here = here.lock().await;
        self.sizes.owe(&pod.uid, name, true);
        let grown = Box::pin(self.grow(of_claim, id, When::AtMount, &mut here)).await;
        grown.map_err(|(_, source)| NotGrown { volume: name.clone(), source })?;
        self.sizes.owe(&pod.uid, name, false);
        Ok(())
    }

    /// Forgets the pod, whose volumes are gone.
    pub(super) fn forget(&self, pod: &PodUid) {
        self.sizes.forget(pod);
    }

    async fn grow(
        &self,
        of_claim: &OfClaim,
        id: &Id,
        when: When,
        here: &mut Here,
    ) -> Result<(), (Option<Seen>, GrowError)> {
        let OfClaim { pod, claim, .. } = of_claim;
        let Some(seen) = self.see(of_claim, id).await.map_err(|error| (None, error))? else { return Ok(()) };
        match growth::decide(&seen.claim, &seen.volume, claim.read_only, when, here.on_node) {
            Decision::Rest => Ok(()),
            Decision::IsGrown(size) => {
                // A volume that this node has already may have grown elsewhere, and not here yet.
                match when {
                    When::AtMount => here.on_node.size = here.on_node.size.or(Some(size)),
                    When::Online => here.on_node.size = Some(size),
                }
                Ok(())
            }
            Decision::ReadOnly => {
                let name = seen.volume_name();
                let text = format!(
                    "MountVolume.NodeExpandVolume failed for volume {name:?} requested read-only file system"
                );
                let why = reason::event::FILE_SYSTEM_RESIZE_FAILED;
                self.tell(pod, &seen.claim, |pod| Event::warning(pod, why, text.clone()));
                Ok(())
            }
            Decision::Grow(growing) => {
                let grown = self.carry_out(pod, &seen, growing, here).await;
                grown.map_err(|error| (Some(seen), error))
            }
        }
    }

    /// The claim and its volume; none if the volume is not (any more) the claim's, or not `id`.
    async fn see(&self, of_claim: &OfClaim, id: &Id) -> Result<Option<Seen>, GrowError> {
        let (namespace, name) = (&*of_claim.pod.name.namespace, &of_claim.claim.name);
        let what = || format!("PVC {namespace}/{name}");
        let claim: PersistentVolumeClaim = self.get(Some(namespace), name, what).await?;
        let pv = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        if pv.is_empty() {
            return Ok(None);
        }
        let volume: PersistentVolume = self.get(None, pv, || format!("PV {pv}")).await?;
        let spec = volume.spec.as_ref();
        let bound = spec.and_then(|spec| spec.claim_ref.as_ref()).and_then(|claim| claim.uid.as_ref());
        let csi = spec.and_then(|spec| spec.csi.as_ref());
        let is_it = match id {
            Id::Csi(id) => csi.is_some_and(|csi| csi.driver == id.driver && csi.volume_handle == id.handle),
            Id::Mounted(name) => pv == name && csi.is_none(),
        };
        let is_bound = bound.is_some() && bound == claim.metadata.uid.as_ref();
        Ok((is_bound && is_it).then_some(Seen { claim, volume }))
    }

    async fn carry_out(
        &self,
        pod: &PodRef,
        seen: &Seen,
        growing: Growing,
        here: &mut Here,
    ) -> Result<(), GrowError> {
        let mut claim = seen.claim.clone();
        if growing.tells_begin
            && let Some(patch) = growth::begun(&claim)
        {
            claim = self.tell_claim(&claim, &patch).await.map_err(GrowError::Tell)?;
        }
        let start = Instant::now();
        let (plugin, expanded) = self.expand(&pod.uid, seen, growing.size).await?;
        match expanded {
            Ok(()) => {
                self.metrics.grown(&plugin, start.elapsed(), true);
                here.on_node = OnNode { size: Some(growing.size), failed: false };
                let (name, node) = (seen.volume_name(), &self.node);
                let text = format!("MountVolume.NodeExpandVolume succeeded for volume {name:?} {node}");
                let why = reason::event::FILE_SYSTEM_RESIZE_SUCCESSFUL;
                self.tell(pod, &claim, |pod| Event::normal(pod, why, text.clone()));
                if growing.told {
                    return Ok(());
                }
                self.tell_until_heard(claim, |claim| Some(growth::grown(claim, growing.size))).await
            }
            Err(error) if error.is_nothing() => Ok(()),
            Err(error) => {
                self.metrics.grown(&plugin, start.elapsed(), false);
                if error.is_final() {
                    here.on_node.failed = true;
                    if growing.tells_begin {
                        self.tell_failure(claim, &error, growing.fails_for_good).await;
                    }
                }
                // It is left as it is until nobody uses it, and nobody has to wait for it.
                here.in_use = error.is_in_use();
                if here.in_use { Ok(()) } else { Err(error.into()) }
            }
        }
    }

    /// Has the volume grow, and returns the name of its plugin with how that went.
    async fn expand(
        &self,
        pod: &PodUid,
        seen: &Seen,
        size: Quantity,
    ) -> Result<(String, Result<(), NotExpanded>), GrowError> {
        let bytes = |size: Quantity| u64::try_from(size.value()).unwrap_or_default();
        let spec = seen.volume.spec.as_ref();
        let Some(csi) = spec.and_then(|spec| spec.csi.as_ref()) else {
            let before = growth::size_of(&seen.claim).map(bytes).unwrap_or_default();
            let grows = intree::Growth::of(&seen.volume, pod, [bytes(size), before])?;
            let plugin = match spec.and_then(|spec| spec.flex_volume.as_ref()) {
                Some(flex) => intree::Plugin::Flex(flex.driver.clone()),
                None => intree::Plugin::Local,
            };
            let plugin = plugin.qualified_name();
            return Ok((plugin, self.mounted.expand(&grows).await.map_err(NotExpanded::from)));
        };
        let secret = match expand_secret(&seen.volume) {
            None => None,
            Some(SecretName { namespace, name }) => {
                let what = || format!("secret {namespace}/{name}");
                Some(self.get::<Secret>(Some(&namespace), &name, what).await?)
            }
        };
        let grows = Growth::of(&seen.volume, pod, bytes(size), secret.as_ref())?;
        let plugin = csi::qualified_name(&csi.driver);
        Ok((plugin, self.volumes.expand(&grows).await.map_err(NotExpanded::from)))
    }

    /// Tells of a volume in events of the pod and of its claim.
    fn tell(&self, pod: &PodRef, claim: &PersistentVolumeClaim, event: impl Fn(&PodRef) -> Event) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let meta = &claim.metadata;
        let claim =
            StorageRef { namespace: meta.namespace.clone(), name: text(&meta.name), uid: text(&meta.uid) };
        let event = event(pod);
        self.recorder.record(event.clone().about_storage(&claim));
        self.recorder.record(event);
    }

    async fn tell_failure(&self, claim: PersistentVolumeClaim, error: &NotExpanded, for_good: bool) {
        let for_good = error.is_infeasible() || for_good;
        let (text, now) = (telemetry::chain(error), format!("{:.0}", Timestamp::now()));
        let told = self.tell_until_heard(claim, |claim| growth::failed(claim, &text, for_good, &now)).await;
        if let Err(error) = told {
            let error = telemetry::chain(&error);
            tracing::warn!(error, "A claim could not be told that its volume did not grow");
        }
    }

    /// Tells the claim what `patch` makes of it as it is; as it is now, if it was changed meanwhile.
    async fn tell_until_heard(
        &self,
        mut claim: PersistentVolumeClaim,
        patch: impl Fn(&PersistentVolumeClaim) -> Option<Value>,
    ) -> Result<(), GrowError> {
        for _ in 1..TELLS {
            let Some(patch) = patch(&claim) else { return Ok(()) };
            match self.tell_claim(&claim, &patch).await {
                Err(AskError::Api(ApiError { kind: ApiErrorKind::Conflict, .. })) => {}
                told => return told.map(drop).map_err(GrowError::Tell),
            }
            let (namespace, name) = named(&claim);
            claim = self.get(Some(namespace), name, || format!("PVC {namespace}/{name}")).await?;
        }
        let Some(patch) = patch(&claim) else { return Ok(()) };
        self.tell_claim(&claim, &patch).await.map(drop).map_err(GrowError::Tell)
    }

    async fn tell_claim(
        &self,
        claim: &PersistentVolumeClaim,
        patch: &Value,
    ) -> Result<PersistentVolumeClaim, AskError> {
        let (namespace, name) = named(claim);
        let told = timeout(DEADLINE, self.client.patch(Some(namespace), name, Some("status"), patch));
        Ok(told.await.map_err(|_| AskError::Late)??)
    }

    async fn get<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        what: impl Fn() -> String,
    ) -> Result<K, GrowError> {
        let asked = timeout(DEADLINE, self.client.get(namespace, name)).await;
        let got = asked.map_err(|_| AskError::Late).and_then(|got| got.map_err(AskError::Api));
        got.map_err(|source| GrowError::Fetch { what: what(), source })
    }
}

/// Namespace and name.
fn named(claim: &PersistentVolumeClaim) -> (&str, &str) {
    let meta = &claim.metadata;
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}
