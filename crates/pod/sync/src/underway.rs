//! Starts of containers that are under way, carried to their end also when nobody waits any more: the pod was removed, or
//! berth ends. containerd may be left with a container that it neither runs nor removes ("cannot delete running task") if its
//! client goes away in the middle of StartContainer.

use std::panic::resume_unwind;
use std::time::Duration;

use cri::{CriError, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;
use types::{ContainerId, PodUid};

/// How long a start goes on that nobody waits for. One that hangs is given up then.
const PATIENCE: Duration = Duration::from_secs(5);

/// The starts that are under way. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    /// Whose they are; a pod is in here once for each.
    pods: watch::Sender<Vec<PodUid>>,
}

impl UnderWay {
    /// Starts a container of `pod`.
    pub(crate) async fn start(
        &self,
        runtime: &Runtime,
        pod: &PodUid,
        id: &ContainerId,
    ) -> Result<(), CriError> {
        let (runtime, id, entry) = (runtime.clone(), id.clone(), self.enter(pod));
        let (waits, waits_no_longer) = oneshot::channel::<()>();
        let carried = tokio::spawn(async move {
            let _entry = entry;
            let given_up = async {
                let _ = waits_no_longer.await;
                sleep(PATIENCE).await;
            };
            tokio::select! {
                outcome = runtime.start_container(&id) => Some(outcome),
                () = given_up => None,
            }
        });
        let outcome = carried.await;
        drop(waits);
        match outcome {
            Ok(Some(outcome)) => outcome,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The program ends.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Waits until none of `pod` is under way. Returns whether one was.
    pub(crate) async fn ended(&self, pod: &PodUid) -> bool {
        let was = self.pods.borrow().contains(pod);
        // The sender is here.
        let _ = self.pods.subscribe().wait_for(|pods| !pods.contains(pod)).await;
        was
    }

    /// Waits until none is under way.
    pub async fn all_ended(&self) {
        let _ = self.pods.subscribe().wait_for(Vec::is_empty).await;
    }

    fn enter(&self, pod: &PodUid) -> Entry {
        self.pods.send_modify(|pods| pods.push(pod.clone()));
        Entry { pods: self.pods.clone(), pod: pod.clone() }
    }
}

/// A start that is under way until this is dropped.
struct Entry {
    pods: watch::Sender<Vec<PodUid>>,
    pod: PodUid,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.pods.send_modify(|pods| {
            if let Some(at) = pods.iter().position(|pod| *pod == self.pod) {
                pods.swap_remove(at);
            }
        });
    }
}
