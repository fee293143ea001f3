//! Accepting connections, and serving each of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Error, Server};
use tracing::debug;

use crate::stream::Stream;

/// Connections at once. Others wait to be accepted.
const CONNECTIONS: usize = 128;
/// Requests at once on one connection.
const REQUESTS: u32 = 64;
/// The largest set of headers of a request, in bytes.
const HEADERS: u32 = 16 << 10;
/// How long to wait when connections cannot be accepted, as when there are too many open files.
const REFUSED: Duration = Duration::from_millis(100);

/// Serves `routes` to the clients of `listener` until `shutdown`. What is being answered then is answered.
///
/// # Errors
/// If the server cannot go on.
pub async fn serve(listener: UnixListener, routes: Routes, shutdown: CancellationToken) -> Result<(), Error> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = stream::unfold(listener, move |listener| {
        let places = Arc::clone(&places);
        async move { Some((accept(&listener, places).await, listener)) }
    });
    Server::builder()
        .max_concurrent_streams(REQUESTS)
        .http2_max_header_list_size(HEADERS)
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, shutdown.cancelled_owned())
        .await
}

async fn accept(listener: &UnixListener, places: Arc<Semaphore>) -> io::Result<Stream> {
    let place = places.acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(Stream::new(stream, place)),
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "A connection was not accepted");
                tokio::time::sleep(REFUSED).await;
            }
        }
    }
}
