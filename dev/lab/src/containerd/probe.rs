//! Asking containerd whether its CRI plugin answers: two calls, without berth's own client.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct ImageStatusResponse {
    /// Only its presence matters here.
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

/// How long to wait before asking again. The CRI has no event for "the plugin is ready" or "the image is known".
const AGAIN: Duration = Duration::from_millis(20);

/// A connection to containerd's CRI service.
pub(super) struct Probe {
    grpc: Grpc<Channel>,
}

impl Probe {
    pub(super) async fn connect(socket: &Path) -> Result<Self> {
        let path = socket.to_path_buf();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost")
            .connect_with_connector(connector)
            .await
            .with_context(|| format!("connect to {}", socket.display()))?;
        Ok(Self { grpc: Grpc::new(channel) })
    }

    async fn call<Req, Res>(&mut self, path: &'static str, request: Req) -> Result<Res, Status>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Req, Res>::default();
        let response = self.grpc.unary(Request::new(request), PathAndQuery::from_static(path), codec).await?;
        Ok(response.into_inner())
    }

    /// Waits until the CRI plugin answers: containerd serves its socket a little earlier.
    pub(super) async fn answers(&mut self, deadline: Instant) -> Result<()> {
        loop {
            match self.call::<(), ()>("/runtime.v1.RuntimeService/Version", ()).await {
                Ok(()) => return Ok(()),
                // The plugin has not been loaded: the log says why, and waiting does not help.
                Err(status) if status.code() == Code::Unimplemented || Instant::now() >= deadline => {
                    return Err(status).context("containerd's CRI plugin does not answer");
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Waits until the CRI plugin knows the image: it learns of an imported one a little later.
    pub(super) async fn knows(&mut self, image: &str, deadline: Instant) -> Result<()> {
        loop {
            let request = ImageStatusRequest { image: Some(ImageSpec { image: image.to_owned() }) };
            let response: ImageStatusResponse =
                self.call("/runtime.v1.ImageService/ImageStatus", request).await?;
            if response.image.is_some() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                anyhow::bail!("containerd's CRI plugin does not learn of the imported image {image}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
