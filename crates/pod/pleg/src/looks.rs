//! Looks at pods that are under way: one per pod at a time.

use std::collections::HashMap;
use std::pin::Pin;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use types::{PodRef, PodUid};

type Look<'a> = Pin<Box<dyn Future<Output = PodRef> + Send + 'a>>;

/// Runs looks side by side, so that one that hangs delays no other pod.
pub(crate) struct Looks<'a, F> {
    look: F,
    running: FuturesUnordered<Look<'a>>,
    /// The pods being looked at, and whether something happened to them since.
    again: HashMap<PodUid, bool>,
}

impl<'a, F, L> Looks<'a, F>
where
    F: Fn(PodRef) -> L,
    L: Future<Output = ()> + Send + 'a,
{
    /// Nothing is looked at yet. `look` ends when the pod's state is known.
    pub(crate) fn new(look: F) -> Self {
        Self { look, running: FuturesUnordered::new(), again: HashMap::new() }
    }

    /// Looks at `pod`; if a look is under way, once more after it, however often this was called.
    pub(crate) fn soon(&mut self, pod: &PodRef) {
        if let Some(again) = self.again.get_mut(&pod.uid) {
            *again = true;
            return;
        }
        self.again.insert(pod.uid.clone(), false);
        self.start(pod.clone());
    }

    fn start(&self, pod: PodRef) {
        let look = (self.look)(pod.clone());
        self.running.push(Box::pin(async move {
            look.await;
            pod
        }));
    }

    /// Drives the looks; never ends. May be dropped and called again.
    pub(crate) async fn drive(&mut self) {
        loop {
            let Some(pod) = self.running.next().await else { return std::future::pending().await };
            if self.again.insert(pod.uid.clone(), false) == Some(true) {
                self.start(pod);
            } else {
                self.again.remove(&pod.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};
    use types::PodName;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_during_a_look_is_looked_at_after_it() {
        let begun = AtomicU32::new(0);
        let pod = |name: &str| PodRef { name: PodName::new("default", name), uid: name.into() };
        let mut looks = Looks::new(|_| {
            begun.fetch_add(1, SeqCst);
            sleep(Duration::from_secs(10))
        });
        let so_far = Cell::new(0);
        let drive = async |looks: &mut Looks<'_, _>, secs| {
            assert!(timeout(Duration::from_secs(secs), looks.drive()).await.is_err());
            so_far.set(begun.load(SeqCst));
        };
        looks.soon(&pod("web"));
        drive(&mut looks, 5).await;
        for _ in 0..3 {
            looks.soon(&pod("web"));
        }
        looks.soon(&pod("other"));
        assert_eq!(begun.load(SeqCst), 2);
        drive(&mut looks, 6).await;
        assert_eq!(so_far.get(), 3, "one more for all that happened");
        drive(&mut looks, 100).await;
        assert_eq!(so_far.get(), 3);
        assert!(looks.again.is_empty());
        looks.soon(&pod("web"));
        assert_eq!(begun.load(SeqCst), 4);
    }
}
