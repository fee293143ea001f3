//! Calls that may block for ever, such as a stat on a dead NFS server, made where they can be abandoned.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::oneshot;

/// How many such calls there may be at once in the process. A call that hangs keeps its thread until the kernel lets
/// it go, so this bounds the memory that hanging calls take.
pub const MAX_CALLS: usize = 64;

/// Threads are the process's, and so is their count.
static CALLS: AtomicUsize = AtomicUsize::new(0);

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
    /// Too many calls hang already; it was not made.
    #[error(
        "{what} was not tried because {MAX_CALLS} blocking calls are under way; look for a file system that hangs"
    )]
    TooMany {
        /// What was to be called.
        what: &'static str,
    },
    /// There was no thread for it, or it panicked.
    #[error("{what} could not be run on a thread of its own")]
    Failed {
        /// What was called.
        what: &'static str,
    },
}

/// Counts one call, from before its thread starts until after it has ended.
struct Call;

impl Call {
    fn begin() -> Option<Self> {
        let one_more = |calls| (calls < MAX_CALLS).then_some(calls + 1);
        CALLS.fetch_update(Relaxed, Relaxed, one_more).ok().map(|_| Self)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        CALLS.fetch_sub(1, Relaxed);
    }
}

/// Runs `call` on a thread of its own and waits for it until `deadline` is over. `what` names it in errors and names the
/// thread.
///
/// Dropping the future abandons the call too.
///
/// # Errors
/// [`Abandoned`], which says why there is no result.
pub async fn with_deadline<T, F>(what: &'static str, deadline: Duration, call: F) -> Result<T, Abandoned>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let running = Call::begin().ok_or(Abandoned::TooMany { what })?;
    let (sender, result) = oneshot::channel();
    let body = move || {
        let _running = running;
        // Nobody may be waiting any more.
        let _ = sender.send(call());
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
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn brings_the_result_back() {
        assert_eq!(with_deadline("sum", LONG, || 1 + 1).await.unwrap(), 2);
        assert!(matches!(
            with_deadline("oops", LONG, || panic!("oops")).await,
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
        let error = with_deadline("stat", Duration::from_secs(5), hang).await.unwrap_err();
        assert_eq!(error.to_string(), "stat did not end within 5s; it goes on in the background");
        drop(release);
        end.await.unwrap();
    }
}
