//! One call: its deadline and its failure.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::channel::channel;
use crate::error::{PluginError, PluginErrorKind};

/// What came of a call: the answer, or what its failure means; and its gRPC code, as seen from here.
pub(crate) type Outcome<A> = (Result<A, (PluginErrorKind, String)>, Code);

/// Sends `message` with `send` to the plugin at `socket` and waits for the answer, no longer than `deadline`, which
/// the plugin is told too. Dropping the future cancels the call.
pub(crate) async fn call<Q, A>(
    socket: &Path,
    deadline: Duration,
    message: Q,
    send: impl AsyncFnOnce(Channel, Request<Q>) -> Result<Response<A>, Status>,
) -> Outcome<A> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    // Boxed, because messages and the state of sending them are large.
    let sending = Box::pin(send(channel(socket), request));
    match timeout(deadline, sending).await {
        Ok(Ok(answer)) => (Ok(answer.into_inner()), Code::Ok),
        Ok(Err(status)) => (Err(PluginError::meaning(socket, &status)), status.code()),
        Err(_elapsed) => (Err(PluginError::timeout(deadline)), Code::DeadlineExceeded),
    }
}
