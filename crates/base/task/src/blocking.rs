//! Calls that may block for ever, such as a stat on a dead NFS server, made where they can be abandoned.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// What a call is about that is about nothing in particular: no volume, path or pod, but the node.
pub const NODE: &str = "";

/// How many calls of one name there may be at once about the node. A call that hangs keeps its thread until the kernel lets it
/// go, so this bounds the memory that hanging calls take.
pub const MAX_ABOUT_NODE: usize = 64;

/// The same about anything else. It is counted for each thing alone, so that what hangs takes no place from what does not.
pub const MAX_ABOUT_ONE: usize = 8;

/// How many calls there are, by their name and what they are about. Threads are the process's, and so is their count.
static CALLS: Mutex<BTreeMap<(&'static str, String), usize>> = Mutex::new(BTreeMap::new());

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
    /// Too many such calls hang already; it was not made.
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

/// Counts one call, from before its thread starts until after it has ended.
struct Call(&'static str, String);

impl Call {
    /// What it is about comes back if there are too many.
    fn begin(what: &'static str, about: String) -> Result<Self, String> {
        let most = if about == NODE { MAX_ABOUT_NODE } else { MAX_ABOUT_ONE };
        let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry((what, about.clone())).or_default();
        if *count == most {
            return Err(about);
        }
        *count += 1;
        Ok(Self(what, about))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = calls.entry((self.0, std::mem::take(&mut self.1))) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Runs `call` on a thread of its own and waits for it until `deadline` is over. `what` names it in errors and names the
/// thread; `about` is what may hang in it, such as a path or a volume of a pod, or [`NODE`].
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
    let running = Call::begin(what, about.into()).map_err(|about| Abandoned::TooMany { what, about })?;
    let (sender, result) = oneshot::channel();
    let body = move || {
        let value = call();
        // Whoever has the result may make the next call at once.
        drop(running);
        // Nobody may be waiting any more.
        let _ = sender.send(value);
    };
    // The kernel shows 15 bytes of a thread's name. The handle is dropped: nobody joins a thread that may hang.
    let thread = std::thread::Builder::new().name(what.chars().take(15).collect());
    thread.spawn(body).map_err(|_| Abandoned::Failed { what })?;
    match tokio::time::timeout(deadline, result).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(Abandoned::Failed { what }),
        Err(_) => Err(Abandoned::Late { what, deadline }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

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
        let refused = with_deadline("look", "/dead", LONG, || ()).await.unwrap_err();
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
    }
}
