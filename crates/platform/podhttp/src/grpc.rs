//! The health of a gRPC server (gRPC: "Health Checking Protocol"; KEP-2727).

use hyper_util::rt::TokioIo;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::socket::connect;
use crate::v1::HealthCheckRequest;
use crate::v1::health_check_response::ServingStatus as Status;
use crate::v1::health_client::HealthClient;
use crate::{Caller, DialError, Target};

/// What a server says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServingStatus {
    /// It does not know.
    Unknown,
    /// It serves.
    Serving,
    /// It does not serve.
    NotServing,
    /// It does not know the service.
    ServiceUnknown,
}

impl ServingStatus {
    /// The protocol's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// Why a server says nothing of itself.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// There is no connection.
    #[error("failed to connect service at {address:?}")]
    Connect {
        /// Where to.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// It does not know the protocol.
    #[error("this server does not implement the grpc health protocol (grpc.health.v1.Health): {0}")]
    Unimplemented(String),
    /// The call failed.
    #[error("health rpc probe failed: {code:?}: {message}")]
    Call {
        /// The status.
        code: Code,
        /// Its message.
        message: String,
    },
}

/// A connection to a gRPC server, in clear text. There are no deadlines: drop the futures.
#[derive(Debug)]
pub struct Health(HealthClient<Channel>);

impl Health {
    /// Connects to the server at `target`.
    ///
    /// # Errors
    /// Nobody accepts there.
    pub async fn connect(target: &Target) -> Result<Self, HealthError> {
        let address = target.to_string();
        let named = address.clone();
        let failed = |source| HealthError::Connect { address: named.clone(), source };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(failed)?;
        let endpoint = endpoint.user_agent(Caller::Probe.user_agent()).map_err(failed)?;
        let connector = service_fn(move |_: Uri| {
            let address = address.clone();
            async move { Ok::<_, DialError>(TokioIo::new(connect(&address).await?)) }
        });
        let channel = endpoint.connect_with_connector(connector).await.map_err(failed)?;
        Ok(Self(HealthClient::new(channel)))
    }

    /// Asks how `service` is (empty: the server as a whole).
    ///
    /// # Errors
    /// There is no answer, or the server does not know the protocol.
    pub async fn check(&mut self, service: &str) -> Result<ServingStatus, HealthError> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = self.0.check(request).await.map_err(|status| {
            let message = status.message().to_owned();
            match status.code() {
                Code::Unimplemented => HealthError::Unimplemented(message),
                code => HealthError::Call { code, message },
            }
        })?;
        Ok(match answer.into_inner().status() {
            Status::Unknown => ServingStatus::Unknown,
            Status::Serving => ServingStatus::Serving,
            Status::NotServing => ServingStatus::NotServing,
            Status::ServiceUnknown => ServingStatus::ServiceUnknown,
        })
    }
}
