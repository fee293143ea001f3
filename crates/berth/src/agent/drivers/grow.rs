//! Volumes that grow while the node has them, or before a pod gets them (KEP-556, KEP-1790). A claim that was made larger is
//! noticed when the pod is looked after: the API server lets nodes read single claims, and not watch them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use csi::{ExpandError, Growth, VolumeId, expand_secret};
use jiff::Timestamp;
use kubeapi::{ApiError, ApiErrorKind};
use serde_json::Value;
use task::events::Recorder;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;
use types::corev1::{PersistentVolume, PersistentVolumeClaim, Volume};
use types::{ClaimRef, Event, Pod, PodRef, PodUid, pod, reason};
use volume::claim::{self, ClaimName};
use volume::growth::{self, Decision, Growing, OnNode, When};

use super::error::{AskError, DriversError};
use super::{ClusterDrivers, within};
use crate::agent::referred::namespace;

/// How soon a volume is tried again that could not grow; this doubles.
const RETRY: Duration = Duration::from_millis(500);
/// The longest such time.
const LONGEST_RETRY: Duration = Duration::from_secs(122);
/// How often a claim is told again that its volume has grown, if it was changed meanwhile.
const TELLS: usize = 3;

/// What is known of volumes that may grow, and who is told.
pub(super) struct Sizes {
    recorder: Recorder,
    node: String,
    metrics: volume::Metrics,
    /// How often the volumes of a pod are looked at, at most.
    every: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pods: HashMap<PodUid, OfPod>,
    volumes: HashMap<VolumeId, Arc<Turn<Here>>>,
}

#[derive(Default)]
struct OfPod {
    looked: Option<Instant>,
    volumes: HashSet<VolumeId>,
    /// Those that have to grow before a container gets them, by their names in the pod.
    owed: HashSet<String>,
}

/// A volume, for as long as the node has it.
#[derive(Default)]
struct Here {
    on_node: OnNode,
    /// It can grow only while nobody uses it.
    in_use: bool,
    /// When it failed last, and how long it then rests.
    failed: Option<(Instant, Duration)>,
}

impl Here {
    fn rests(&self, now: Instant) -> bool {
        self.in_use || self.failed.is_some_and(|(at, delay)| now < at + delay)
    }

    fn fails(&mut self, now: Instant) {
        let delay = self.failed.map_or(RETRY, |(_, delay)| (delay * 2).min(LONGEST_RETRY));
        self.failed = Some((now, delay));
    }
}

/// A volume has not grown.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowError {
    /// Claim and volume could not be read, so it is not known whether it has to.
    #[error(transparent)]
    Unknown(DriversError),
    /// The claim could not be told.
    #[error("update of the status of the claim failed")]
    Tell(#[source] AskError),
    /// The driver could not be asked as it should be.
    #[error(transparent)]
    Ask(DriversError),
    /// The driver did not do it.
    #[error(transparent)]
    Driver(#[from] ExpandError),
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sizes").finish_non_exhaustive()
    }
}

impl Sizes {
    /// Of the node `node`. A pod's volumes are looked at once in `every`.
    pub(super) fn new(recorder: Recorder, node: &str, metrics: volume::Metrics, every: Duration) -> Self {
        Self { recorder, node: node.to_owned(), metrics, every, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to look at the pod's volumes. If so, it is done now.
    fn is_due(&self, pod: &PodUid, now: Instant) -> bool {
        let mut state = self.lock();
        let looked = &mut state.pods.entry(pod.clone()).or_default().looked;
        let due = looked.is_none_or(|looked| now >= looked + self.every);
        if due {
            *looked = Some(now);
        }
        due
    }

    fn here(&self, pod: &PodUid, volume: &VolumeId) -> Arc<Turn<Here>> {
        let mut state = self.lock();
        state.pods.entry(pod.clone()).or_default().volumes.insert(volume.clone());
        Arc::clone(state.volumes.entry(volume.clone()).or_default())
    }

    /// Whether the volume that the pod calls `name` has to grow before a container gets it.
    pub(super) fn is_owed(&self, pod: &PodUid, name: &str) -> bool {
        self.lock().pods.get(pod).is_some_and(|of| of.owed.contains(name))
    }

    fn owe(&self, pod: &PodUid, name: &str, owed: bool) {
        let mut state = self.lock();
        let all = &mut state.pods.entry(pod.clone()).or_default().owed;
        let _ = if owed { all.insert(name.to_owned()) } else { all.remove(name) };
    }

    /// Forgets the pod, and the volumes that no other pod has.
    pub(super) fn forget(&self, pod: &PodUid) {
        let mut state = self.lock();
        let Some(gone) = state.pods.remove(pod) else { return };
        for volume in gone.volumes {
            if !state.pods.values().any(|of| of.volumes.contains(&volume)) {
                state.volumes.remove(&volume);
            }
        }
    }

    /// Tells of the volume `volume` in events of the pod and of its claim.
    fn tell(&self, pod: &Pod, claim: &PersistentVolumeClaim, event: impl Fn(&PodRef) -> Event) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let meta = &claim.metadata;
        let claim =
            ClaimRef { namespace: text(&meta.namespace), name: text(&meta.name), uid: text(&meta.uid) };
        let event = event(&PodRef::of(pod));
        self.recorder.record(event.clone().about_claim(&claim));
        self.recorder.record(event);
    }
}

/// A claim that a pod has, with its volume.
struct Seen {
    claim: PersistentVolumeClaim,
    volume: PersistentVolume,
    name: ClaimName,
}

impl Seen {
    fn volume_name(&self) -> &str {
        self.volume.metadata.name.as_deref().unwrap_or_default()
    }
}

impl ClusterDrivers {
    /// Looks whether volumes of `pod`, which its containers have, are to grow, and has them grow. Returns at once; what was
    /// looked at lately is left alone.
    pub(in crate::agent) fn look_after(self: &Arc<Self>, pod: &Arc<Pod>) {
        let volumes = pod::spec(pod).volumes.iter().flatten();
        let names: Vec<String> = volumes
            .filter(|volume| claim::name(pod, volume).is_some_and(|name| !name.read_only))
            .map(|volume| volume.name.clone())
            .collect();
        let uid = PodRef::of(pod).uid;
        if names.is_empty() || !self.sizes.is_due(&uid, Instant::now()) {
            return;
        }
        for name in names {
            let (drivers, pod) = (Arc::clone(self), Arc::clone(pod));
            tokio::spawn(async move {
                let volumes = pod::spec(&pod).volumes.iter().flatten();
                if let Some(volume) = volumes.into_iter().find(|volume| volume.name == name) {
                    drivers.grow_online(&pod, volume).await;
                }
            });
        }
    }

    async fn grow_online(&self, pod: &Pod, volume: &Volume) {
        let uid = PodRef::of(pod).uid;
        let Some(id) = self.volumes.expandable(&uid, &volume.name).await else { return };
        // Whoever has the turn looks at it now, for this pod or for another.
        let here = self.sizes.here(&uid, &id);
        let Ok(mut here) = here.try_lock() else { return };
        if here.rests(Instant::now()) {
            return;
        }
        match Box::pin(self.grow(pod, volume, When::Online, &mut here)).await {
            Ok(()) => here.failed = None,
            Err((seen, error)) => {
                here.fails(Instant::now());
                let error = telemetry::chain(&error);
                tracing::warn!(pod = %PodRef::of(pod), volume = %id, error, "A volume could not grow");
                if let Some(seen) = seen {
                    let name = seen.volume_name();
                    let text =
                        format!("NodeExpandVolume.NodeExpandVolume failed for volume {name:?} : {error}");
                    let event = Event::warning(&PodRef::of(pod), reason::event::VOLUME_RESIZE_FAILED, text);
                    self.sizes.recorder.record(event);
                }
            }
        }
    }

    /// Has the volume `id` grow, which was just shown to `pod` as `volume`, if it has to.
    ///
    /// # Errors
    /// If it has to, or may have to, and could not. No container may have it yet.
    pub(super) async fn grow_at_mount(
        &self,
        pod: &Pod,
        volume: &Volume,
        id: &VolumeId,
    ) -> Result<(), DriversError> {
        if claim::name(pod, volume).is_none() || !self.volumes.expands(&id.driver).await {
            return Ok(());
        }
        let uid = PodRef::of(pod).uid;
        let here = self.sizes.here(&uid, id);
        let mut here = here.lock().await;
        self.sizes.owe(&uid, &volume.name, true);
        let grown = Box::pin(self.grow(pod, volume, When::AtMount, &mut here)).await;
        grown.map_err(|(_, error)| DriversError::Grow {
            volume: volume.name.clone(),
            source: Box::new(error),
        })?;
        self.sizes.owe(&uid, &volume.name, false);
        Ok(())
    }

    async fn grow(
        &self,
        pod: &Pod,
        volume: &Volume,
        when: When,
        here: &mut Here,
    ) -> Result<(), (Option<Seen>, GrowError)> {
        let seen = self.see(pod, volume).await.map_err(|error| (None, GrowError::Unknown(error)))?;
        let Some(seen) = seen else { return Ok(()) };
        let read_only = seen.name.read_only;
        match growth::decide(&seen.claim, &seen.volume, read_only, when, here.on_node) {
            Decision::Rest => Ok(()),
            Decision::IsGrown(size) => {
                here.on_node.size = Some(size);
                Ok(())
            }
            Decision::ReadOnly => {
                let name = seen.volume_name();
                let text = format!(
                    "MountVolume.NodeExpandVolume failed for volume {name:?} requested read-only file system"
                );
                let why = reason::event::FILE_SYSTEM_RESIZE_FAILED;
                self.sizes.tell(pod, &seen.claim, |pod| Event::warning(pod, why, text.clone()));
                Ok(())
            }
            Decision::Grow(growing) => {
                let grown = self.carry_out(pod, &seen, growing, here).await;
                grown.map_err(|error| (Some(seen), error))
            }
        }
    }

    /// The claim and the volume that `pod` has as `volume`; none if it is not one of files that is the claim's.
    async fn see(&self, pod: &Pod, volume: &Volume) -> Result<Option<Seen>, DriversError> {
        let Some(name) = claim::name(pod, volume) else { return Ok(None) };
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
        let is_of_files = bound.mode == claim::VolumeMode::Filesystem;
        Ok(is_of_files.then_some(Seen { claim, volume: found, name }))
    }

    async fn carry_out(
        &self,
        pod: &Pod,
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
        let secret = self.secret(expand_secret(&seen.volume)).await.map_err(GrowError::Ask)?;
        let bytes = u64::try_from(growing.size.value()).unwrap_or_default();
        let growth = Growth::of(&seen.volume, &PodRef::of(pod).uid, bytes, secret.as_ref());
        let growth = growth.map_err(|error| GrowError::Ask(error.into()))?;
        let start = Instant::now();
        let expanded = self.volumes.expand(&growth).await;
        let driver = seen.volume.spec.as_ref().and_then(|spec| spec.csi.as_ref()).map(|csi| &*csi.driver);
        let plugin = format!("kubernetes.io/csi:{}", driver.unwrap_or_default());
        match expanded {
            Ok(()) => {
                self.sizes.metrics.grown(&plugin, start.elapsed(), true);
                here.on_node = OnNode { size: Some(growing.size), failed: false };
                let (name, node) = (seen.volume_name(), &self.sizes.node);
                let text = format!("MountVolume.NodeExpandVolume succeeded for volume {name:?} {node}");
                let why = reason::event::FILE_SYSTEM_RESIZE_SUCCESSFUL;
                self.sizes.tell(pod, &claim, |pod| Event::normal(pod, why, text.clone()));
                if growing.told {
                    return Ok(());
                }
                self.tell_until_heard(claim, |claim| Some(growth::grown(claim, growing.size))).await
            }
            // The pod is about to go, or there is nothing to do on nodes.
            Err(ExpandError::NotThere(_) | ExpandError::Unsupported(_)) => Ok(()),
            Err(error) => {
                self.sizes.metrics.grown(&plugin, start.elapsed(), false);
                if error.is_final() {
                    here.on_node.failed = true;
                    if growing.tells_begin {
                        let for_good = error.is_infeasible() || growing.fails_for_good;
                        let (text, now) = (telemetry::chain(&error), format!("{:.0}", Timestamp::now()));
                        let told = self
                            .tell_until_heard(claim, |claim| growth::failed(claim, &text, for_good, &now))
                            .await;
                        if let Err(told) = told {
                            let told = telemetry::chain(&told);
                            tracing::warn!(volume = seen.volume_name(), told, "A claim could not be told");
                        }
                    }
                }
                // It is left as it is until nobody uses it, and nobody has to wait for it.
                here.in_use = error.is_in_use();
                if here.in_use { Ok(()) } else { Err(error.into()) }
            }
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
            let meta = &claim.metadata;
            let name = meta.name.as_deref().unwrap_or_default();
            claim = self.get(meta.namespace.as_deref(), name).await.map_err(GrowError::Tell)?;
        }
        let Some(patch) = patch(&claim) else { return Ok(()) };
        self.tell_claim(&claim, &patch).await.map(drop).map_err(GrowError::Tell)
    }

    async fn tell_claim(
        &self,
        claim: &PersistentVolumeClaim,
        patch: &Value,
    ) -> Result<PersistentVolumeClaim, AskError> {
        let (meta, status) = (&claim.metadata, Some("status"));
        let name = meta.name.as_deref().unwrap_or_default();
        within(self.client.patch(meta.namespace.as_deref(), name, status, patch)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Sizes {
        let metrics = volume::Metrics::register(&telemetry::metrics::Registry::new());
        Sizes::new(Recorder::channel(1).0, "n", metrics, Duration::from_secs(30))
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_pods_volumes_are_looked_at() {
        let (sizes, pod) = (sizes(), PodUid::from("u"));
        assert!(sizes.is_due(&pod, Instant::now()));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!sizes.is_due(&pod, Instant::now()) && sizes.is_due(&"other".into(), Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(sizes.is_due(&pod, Instant::now()));
    }

    #[test]
    fn what_is_known_of_a_volume_goes_with_the_last_pod_that_has_it() {
        let sizes = sizes();
        let volume = VolumeId { driver: "d".into(), handle: "v".into() };
        let (one, other) = (PodUid::from("one"), PodUid::from("other"));
        let here = sizes.here(&one, &volume);
        assert!(Arc::ptr_eq(&here, &sizes.here(&other, &volume)));
        sizes.owe(&one, "data", true);
        assert!(sizes.is_owed(&one, "data") && !sizes.is_owed(&other, "data"));
        sizes.forget(&one);
        assert!(!sizes.is_owed(&one, "data"));
        assert!(Arc::ptr_eq(&here, &sizes.here(&other, &volume)));
        sizes.forget(&other);
        assert!(!Arc::ptr_eq(&here, &sizes.here(&other, &volume)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_volume_that_failed_rests_longer_each_time() {
        let mut here = Here::default();
        let mut waited = Vec::new();
        for _ in 0..10 {
            let now = Instant::now();
            assert!(!here.rests(now));
            here.fails(now);
            let delay = here.failed.unwrap().1;
            assert!(here.rests(now + delay - Duration::from_millis(1)));
            tokio::time::advance(delay).await;
            waited.push(delay.as_millis());
        }
        assert_eq!(waited, [500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 122_000, 122_000]);
        here.in_use = true;
        assert!(here.rests(Instant::now() + Duration::from_secs(1000)));
    }
}
