//! Drivers that are asked again to publish what pods have (`CSIDriver.spec.requiresRepublish`): with each resync of a pod,
//! and not with each of its rounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use types::corev1::Volume;
use types::k8s::api::storage::v1::CSIDriver;
use types::{Event, Pod, PodRef, PodUid, pod, reason};

use super::ClusterDrivers;
use super::specs::is_of_driver;

/// When the volumes of each pod were published last, by their names in it.
pub(super) struct Renewals {
    every: Duration,
    last: Mutex<HashMap<PodUid, HashMap<String, Last>>>,
}

struct Last {
    at: Instant,
    /// Somebody is at it.
    under_way: bool,
}

/// Says that the driver is being asked.
pub(super) struct UnderWay {
    all: Arc<Renewals>,
    pod: PodUid,
    name: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(last) = self.all.lock().get_mut(&self.pod).and_then(|of| of.get_mut(&self.name)) {
            last.under_way = false;
        }
    }
}

impl Renewals {
    /// Each volume is published once in `every` at most.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, last: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, HashMap<String, Last>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to publish the volume that the pod calls `name`; none if that is not due, or is being done.
    pub(super) fn begin(self: &Arc<Self>, pod: &PodUid, name: &str, now: Instant) -> Option<UnderWay> {
        let mut all = self.lock();
        let of_pod = all.entry(pod.clone()).or_default();
        if of_pod.get(name).is_some_and(|last| last.under_way || now < last.at + self.every) {
            return None;
        }
        of_pod.insert(name.to_owned(), Last { at: now, under_way: true });
        Some(UnderWay { all: Arc::clone(self), pod: pod.clone(), name: name.to_owned() })
    }

    /// Forgets the pod.
    pub(super) fn forget(&self, pod: &PodUid) {
        self.lock().remove(pod);
    }
}

impl ClusterDrivers {
    /// Has the volumes of `pod` renewed that are due. Returns at once: a driver that hangs holds up nothing of the pod.
    pub(super) fn renew(self: &Arc<Self>, pod: &Arc<Pod>) {
        // The API server is asked only if there is a driver at all that wants it.
        let any = |object: &Arc<CSIDriver>| object.spec.requires_republish == Some(true);
        if !self.objects.objects().is_some_and(|objects| objects.values().any(any)) {
            return;
        }
        let uid = PodRef::of(pod).uid;
        let theirs = pod::spec(pod).volumes.iter().flatten().filter(|volume| is_of_driver(volume));
        for volume in theirs {
            if let Some(under_way) = self.renewals.begin(&uid, &volume.name, Instant::now()) {
                let (this, pod, volume) = (Arc::clone(self), Arc::clone(pod), volume.clone());
                tokio::spawn(async move { Box::pin(this.publish_again(&pod, &volume, under_way)).await });
            }
        }
    }

    async fn publish_again(&self, pod: &Pod, volume: &Volume, _under_way: UnderWay) {
        let (of, name) = (PodRef::of(pod), &volume.name);
        // Whose it is, the disk tells: the API server is asked for the volumes of drivers alone that want it.
        let Some(id) = self.volumes.called(&of.uid, name).await else { return };
        if !self.policy(&id.driver).await.is_ok_and(|policy| policy.republish) {
            return;
        }
        let published = match self.wanted_again(pod, volume).await {
            Ok(wanted) => self.volumes.republish(&wanted).await.map_err(|error| telemetry::chain(&error)),
            Err(problem) => Err(telemetry::chain(&problem)),
        };
        if let Err(error) = published {
            tracing::warn!(pod = %of, volume = name, error, "A volume could not be published again");
            let message = format!("MountVolume.SetUp failed for volume {name:?} : {error}");
            self.recorder.record(Event::warning(&of, reason::event::FAILED_MOUNT, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_in_a_while_for_each_volume_and_by_one_at_a_time() {
        let (renewals, start) = (Arc::new(Renewals::new(Duration::from_secs(30))), Instant::now());
        let (a, b) = (PodUid::from("a"), PodUid::from("b"));
        let at = |seconds| start + Duration::from_secs(seconds);
        let table = [
            (&a, "v", 0, true),
            (&a, "v", 29, false),
            (&a, "w", 29, true),
            (&b, "v", 29, true),
            (&a, "v", 30, true),
            (&a, "v", 59, false),
        ];
        for (pod, name, seconds, expected) in table {
            let begun = renewals.begin(pod, name, at(seconds));
            assert_eq!(begun.is_some(), expected, "{pod} {name} {seconds}");
        }
        let under_way = renewals.begin(&a, "v", at(60));
        assert!(under_way.is_some() && renewals.begin(&a, "v", at(600)).is_none());
        drop(under_way);
        assert!(renewals.begin(&a, "v", at(600)).is_some());
        renewals.forget(&a);
        assert!(renewals.begin(&a, "v", at(600)).is_some() && renewals.begin(&b, "v", at(58)).is_none());
    }
}
