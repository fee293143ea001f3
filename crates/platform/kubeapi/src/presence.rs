//! Whether the server is there, as far as anybody's requests tell.

use tokio::sync::watch;

/// Wakes those who wait for a server that was away, so that nobody sits out a delay once one request got through.
pub(crate) struct Presence(watch::Sender<State>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    here: bool,
    returns: u64,
}

impl Default for Presence {
    fn default() -> Self {
        Self(watch::Sender::new(State { here: true, returns: 0 }))
    }
}

impl Presence {
    /// Takes note that the server has answered, or has not.
    pub(crate) fn note(&self, answered: bool) {
        self.0.send_if_modified(|state| {
            let returned = answered && !state.here;
            state.here = answered;
            state.returns += u64::from(returned);
            returned
        });
    }

    /// Returns when the server answers again after it did not.
    pub(crate) async fn returned(&self) {
        let mut state = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = state.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn wakes_when_it_is_back_and_not_before() {
        let presence = Presence::default();
        let mut waiting = Box::pin(presence.returned());
        presence.note(true);
        assert!(waiting.as_mut().now_or_never().is_none());
        presence.note(false);
        presence.note(false);
        assert!(waiting.as_mut().now_or_never().is_none());
        presence.note(true);
        waiting.await;
        assert!(presence.returned().now_or_never().is_none());
    }
}
