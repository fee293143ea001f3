//! Whether requests find a connection that they can share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// What is known of a lane's connections.
#[derive(Default)]
pub(super) struct Open(AtomicU8);

/// There is none.
const NONE: u8 = 0;
/// There is one, and all requests share it.
const SHARED: u8 = 1;
/// The server speaks HTTP/1.1: each request has a connection of its own while it lasts.
const OWN: u8 = 2;

impl Open {
    /// Whether a request need not wait for another one's connection.
    pub(super) fn is_open(&self) -> bool {
        self.0.load(SeqCst) != NONE
    }

    /// A request has got its connection.
    pub(super) fn opened(&self, http2: bool) {
        self.0.store(if http2 { SHARED } else { OWN }, SeqCst);
    }
}

/// A shared connection, whose end is told by dropping it.
pub(super) struct Ending(pub(super) Arc<Open>);

impl Drop for Ending {
    fn drop(&mut self) {
        // If another one is still there, the next request finds that out alone.
        let _ = self.0.0.compare_exchange(SHARED, NONE, SeqCst, SeqCst);
    }
}
