//! The connection to a runtime.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Uri};
use tower::service_fn;

use crate::Endpoint;
use crate::v1::image_service_client::ImageServiceClient;
use crate::v1::runtime_service_client::RuntimeServiceClient;

/// The largest answer that is accepted, in bytes.
const RECEIVE_LIMIT: usize = 16 << 20;

/// The largest set of headers that is accepted, in bytes: an error's message is one of them.
const HEADER_LIMIT: u32 = 1 << 20;

/// How long connecting to a socket may take. It takes none, unless the runtime does not accept connections.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A channel to `endpoint` that connects when the first call is made, and again when a call finds the connection
/// broken. A connection that cannot be made fails the call that wanted it, at once.
pub(crate) fn channel(endpoint: &Endpoint) -> Channel {
    let socket = endpoint.socket().to_owned();
    // The authority is what gRPC servers in Go expect over unix sockets; some refuse the path that others send.
    tonic::transport::Endpoint::from_static("http://localhost")
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_max_header_list_size(HEADER_LIMIT)
        .connect_with_connector_lazy(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
}

/// A client of the runtime service over `channel`.
pub(crate) fn runtime_client(channel: Channel) -> RuntimeServiceClient<Channel> {
    RuntimeServiceClient::new(channel).max_decoding_message_size(RECEIVE_LIMIT)
}

/// A client of the image service over `channel`.
pub(crate) fn image_client(channel: Channel) -> ImageServiceClient<Channel> {
    ImageServiceClient::new(channel).max_decoding_message_size(RECEIVE_LIMIT)
}
