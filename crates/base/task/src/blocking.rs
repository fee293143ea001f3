//! Calls that may block for ever, such as a stat on a dead NFS server, made where they can be abandoned.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// What a call is about that is about nothing in particular: no volume, path or pod, but the node.
pub const NODE: &str = "";

/// How many calls of one name there may be at once about the node; others wait. A call that hangs keeps its thread until the
/// kernel lets it go, so this bounds the memory that hanging calls take.
const MAX_ABOUT_NODE: usize = 64;

/// The same about anything else. It is counted for each thing alone, so that what hangs takes no place from what does not.
const MAX_ABOUT_ONE: usize = 8;

/// The places for calls, by their name and what they are about. Threads are the process's, and so is their count.
static PLACES: Mutex<BTreeMap<(&'static str, String), Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

/// The places for calls named `what` about `about`.
fn places(what: &'static str, about: &str) -> Arc<Semaphore> {
    let mut all = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    // What nobody holds or waits for takes no memory.
    all.retain(|_, places| Arc::strong_count(places) > 1);
    let most = if about == NODE { MAX_ABOUT_NODE } else { MAX_ABOUT_ONE };
    Arc::clone(all.entry((what, about.to_owned())).or_insert_with(|| Arc::new(Semaphore::new(most))))
}

/// Why a blocking call brought no result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Abandoned {
    /// It took longer than it was given. It goes on, and its result is thrown away.
    #[error("{what} did not end within {deadline:?}; it goes on in the background")]
    Late {
        /// What was called.
        what: &'static str,
        /// What it was given.
        deadline: Duration,
    },
    /// As many such calls as there may be are under way, and none of them ended in the time that it was given.
    #[error(
        "{what}{} was not tried because earlier attempts are still under way; look for a file system that hangs",
        of(about)
    )]
    TooMany {
        /// What was to be called.
        what: &'static str,
        /// About what.
        about: String,
    },
    /// There was no thread for it, or it panicked.
    #[error("{what} could not be run on a thread of its own")]
    Failed {
        /// What was called.
        what: &'static str,
    },
}

fn of(about: &str) -> String {
    if about == NODE { String::new() } else { format!(" ({about})") }
}

/// Runs `call` on a thread of its own, once there is a place for it, and waits for it until `deadline` is over. `what` names it
/// in errors and names the thread; `about` is what may hang in it, such as a path or a volume of a pod, or [`NODE`].
///
/// Dropping the future abandons the call too.
///
/// # Errors
/// [`Abandoned`], which says why there is no result.
pub async fn with_deadline<T, F>(
    what: &'static str,
    about: impl Into<String>,
    deadline: Duration,
    call: F,
) -> Result<T, Abandoned>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (about, end) = (about.into(), Instant::now() + deadline);
    let Ok(Ok(place)) = timeout_at(end, places(what, &about).acquire_owned()).await else {
        return Err(Abandoned::TooMany { what, about });
    };
    let (sender, result) = oneshot::channel();
    let body = move || {
        let value = call();
        // Whoever has the result may make the next call at once.
        drop(place);
        // Nobody may be waiting any more.
        let _ = sender.send(value);
    };
    // The kernel shows 15 bytes of a thread's name. The handle is dropped: nobody joins a thread that may hang.
    let thread = std::thread::Builder::new().name(what.chars().take(15).collect());
    thread.spawn(body).map_err(|_| Abandoned::Failed { what })?;
    match timeout_at(end, result).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(Abandoned::Failed { what }),
        Err(_) => Err(Abandoned::Late { what, deadline }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn brings_the_result_back() {
        assert_eq!(with_deadline("sum", NODE, LONG, || 1 + 1).await.unwrap(), 2);
        assert!(matches!(
            with_deadline("oops", NODE, LONG, || panic!("oops")).await,
            Err(Abandoned::Failed { .. })
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_left_behind_and_counted_until_it_ends() {
        let (release, released) = mpsc::channel::<()>();
        let (ended, end) = oneshot::channel();
        let hang = move || {
            let _ = released.recv();
            let _ = ended.send(());
        };
        let error = with_deadline("stat", NODE, Duration::from_secs(5), hang).await.unwrap_err();
        assert_eq!(error.to_string(), "stat did not end within 5s; it goes on in the background");
        drop(release);
        end.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_takes_no_place_from_what_does_not() {
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let (ended, mut ends) = tokio::sync::mpsc::channel(1);
        let hang = || {
            let (released, ended) = (Arc::clone(&released), ended.clone());
            move || {
                let _ = released.lock().unwrap().recv();
                drop(ended);
            }
        };
        let short = Duration::from_secs(1);
        for _ in 0..MAX_ABOUT_ONE {
            let late = with_deadline("look", "/dead", short, hang()).await;
            assert!(matches!(late, Err(Abandoned::Late { .. })), "{late:?}");
        }
        let refused = with_deadline("look", "/dead", short, || ()).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "look (/dead) was not tried because earlier attempts are still under way; look for a file system that hangs"
        );
        tokio::time::resume();
        for about in ["/alive", NODE] {
            with_deadline("look", about, LONG, || ()).await.unwrap();
        }
        with_deadline("list", "/dead", LONG, || ()).await.unwrap();
        drop((release, ended));
        assert_eq!(ends.recv().await, None::<()>, "all have ended");
        with_deadline("look", "/dead", LONG, || ()).await.unwrap();
    }
}
