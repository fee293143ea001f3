//! Which of the runtime's two services a request is for.

use std::io;
use std::path::Path;

use cri::v1::image_service_server::ImageServiceServer;
use cri::v1::runtime_service_server::RuntimeServiceServer;
use tonic::codegen::Service;

use super::serve::Served;
use crate::listener::Listener;

/// The largest request that is accepted, in bytes: containerd's limit.
const RECEIVE_LIMIT: usize = 16 << 20;

/// Serves the runtime at `socket`.
pub(super) fn bind(socket: &Path, served: &Served) -> io::Result<Listener> {
    let runtime = RuntimeServiceServer::new(served.clone()).max_decoding_message_size(RECEIVE_LIMIT);
    let images = ImageServiceServer::new(served.clone()).max_decoding_message_size(RECEIVE_LIMIT);
    let served = served.clone();
    let dispatch = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        served.heard(request.uri());
        if request.uri().path().starts_with("/runtime.v1.ImageService/") {
            images.clone().call(request)
        } else {
            runtime.clone().call(request)
        }
    });
    Listener::bind(socket, dispatch)
}
