//! Sharing a reading among those who ask at the same time.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use crate::reading::Kind;

type Flight<T> = BoxFuture<'static, T>;
type UnderWay<T> = Vec<(Kind, WeakShared<Flight<T>>)>;

/// What is being read. Whoever asks for something that a reading under way will have waits for that one.
pub(crate) struct Flights<T: Clone> {
    under_way: Arc<Mutex<UnderWay<T>>>,
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Self { under_way: Arc::default() }
    }
}

impl<T: Clone + Send + 'static> Flights<T> {
    /// The result of a reading that has what `kind` needs: of one that is under way, or of `read`. A reading that nobody
    /// waits for any more ends.
    pub(crate) async fn join<F>(&self, kind: Kind, read: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.shared(kind, read).await
    }

    fn shared<F>(&self, kind: Kind, read: impl FnOnce() -> F) -> Shared<Flight<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended is still there while somebody holds its result; it is no longer new.
        under_way.retain(|(_, flight)| flight.upgrade().is_some_and(|flight| flight.peek().is_none()));
        let found =
            under_way.iter().filter(|(own, _)| own.covers(kind)).find_map(|(_, flight)| flight.upgrade());
        found.unwrap_or_else(|| {
            let flight = read().boxed().shared();
            under_way.extend(flight.downgrade().map(|flight| (kind, flight)));
            flight
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::sync::Notify;

    use super::*;

    /// A reading that ends when told to; it counts how many there were.
    #[derive(Clone, Default)]
    struct Slow {
        begun: Arc<AtomicUsize>,
        go: Arc<Notify>,
    }

    impl Slow {
        fn read(&self) -> impl Future<Output = usize> + Send + 'static {
            let number = self.begun.fetch_add(1, Relaxed);
            let go = Arc::clone(&self.go);
            async move {
                go.notified().await;
                number
            }
        }
    }

    #[tokio::test]
    async fn one_reading_for_all_who_wait() {
        let (flights, slow) = (Flights::default(), Slow::default());
        let join = |kind| flights.join(kind, || slow.read());
        let all = async { tokio::join!(join(Kind::Summary), join(Kind::Resource), join(Kind::Summary)) };
        let (numbers, ()) = tokio::join!(all, async { slow.go.notify_one() });
        assert_eq!(numbers, (0, 0, 0));
        slow.go.notify_one();
        assert_eq!(join(Kind::Summary).await, 1, "what has ended is not new");
    }

    #[tokio::test]
    async fn a_reading_that_has_too_little_is_not_shared() {
        let (flights, slow) = (Flights::default(), Slow::default());
        let join = |kind| flights.join(kind, || slow.read());
        let both = async { tokio::join!(join(Kind::Resource), join(Kind::Cadvisor)) };
        let told = async {
            slow.go.notify_one();
            tokio::task::yield_now().await;
            slow.go.notify_one();
        };
        assert_eq!(tokio::join!(both, told).0, (0, 1));
    }

    #[tokio::test]
    async fn a_client_that_leaves_takes_nothing_from_the_others() {
        let (flights, slow) = (Flights::default(), Slow::default());
        let join = || flights.join(Kind::Summary, || slow.read());
        let mut leaves = Box::pin(join());
        let mut stays = Box::pin(join());
        assert!(futures::poll!(&mut leaves).is_pending() && futures::poll!(&mut stays).is_pending());
        drop(leaves);
        slow.go.notify_one();
        assert_eq!(stays.await, 0);
        // When all have left, the reading is over.
        let mut leaves = Box::pin(join());
        assert!(futures::poll!(&mut leaves).is_pending());
        drop(leaves);
        slow.go.notify_one();
        assert_eq!(join().await, 2);
    }
}
