//! Calls into the kernel that may never return, such as a stat on a dead NFS server.

use std::time::Duration;

use tokio::sync::oneshot;

/// A call that was left behind.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Abandoned {
    /// It did not return in time. Its thread waits on; whatever it still does happens without us.
    #[error("{what} did not return within {} s", .deadline.as_secs_f32())]
    Late {
        /// What was called.
        what: &'static str,
        /// How long it was given.
        deadline: Duration,
    },
    /// It could not be run, or panicked.
    #[error("{what} could not be run on a thread of its own")]
    Failed {
        /// What was called.
        what: &'static str,
    },
}

/// Runs `call` on a thread of its own and waits for it for `deadline` at the most. Not on tokio's blocking pool: its
/// threads are few, and one that hangs is lost to everybody and keeps the program from ending.
///
/// # Errors
/// If it takes too long, panics, or no thread can be had.
pub async fn with_deadline<T: Send + 'static>(
    what: &'static str,
    deadline: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Abandoned> {
    let (sender, receiver) = oneshot::channel();
    let spawned = std::thread::Builder::new().name(what.chars().take(15).collect()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(call());
    });
    if spawned.is_err() {
        return Err(Abandoned::Failed { what });
    }
    match tokio::time::timeout(deadline, receiver).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(Abandoned::Failed { what }),
        Err(_) => Err(Abandoned::Late { what, deadline }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_or_is_left_behind() {
        let second = Duration::from_secs(1);
        assert_eq!(with_deadline("two", 60 * second, || 1 + 1).await, Ok(2));
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        let late = with_deadline("stat", Duration::from_millis(10), move || never.recv()).await;
        assert!(matches!(late, Err(Abandoned::Late { what: "stat", .. })));
        let panicked = with_deadline("oops", 60 * second, || assert_eq!(1, 2, "on purpose")).await;
        assert_eq!(panicked, Err(Abandoned::Failed { what: "oops" }));
    }
}
