//! The connection to a plugin.

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// The largest set of headers that is accepted, in bytes: an error's message is one of them.
const HEADER_LIMIT: u32 = 1 << 20;

/// How long connecting to a socket may take. It takes none, unless the plugin does not accept connections.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A channel to the plugin at `socket`, connected when the call is made.
pub(crate) fn channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    // The authority is what every gRPC server takes. A path there, which some clients send over unix sockets, is refused
    // by servers that read it as the host that it is meant to be.
    Endpoint::from_static("http://localhost")
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_max_header_list_size(HEADER_LIMIT)
        .connect_with_connector_lazy(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
}
