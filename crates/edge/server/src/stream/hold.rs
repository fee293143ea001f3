//! What a stream holds for as long as it lasts.

use axum::extract::Request;
use https::Connection;

use crate::port::count::Counted;

/// The place of a client's connection, and its request as one that is being answered.
pub(super) struct Hold {
    over: Option<Connection>,
    _counted: Option<Counted>,
}

impl Hold {
    /// What `request` came with.
    pub(super) fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        Self { over: extensions.get::<Connection>().cloned(), _counted: extensions.get::<Counted>().cloned() }
    }

    /// Does `work`, until the server ends.
    pub(super) async fn during(self, work: impl Future<Output = ()>) {
        https::until_stopped(self.over.as_ref(), work).await;
    }
}
