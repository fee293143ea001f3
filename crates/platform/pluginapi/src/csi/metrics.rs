//! What is counted about calls to CSI drivers (name, labels and buckets are the kubelet's).

use std::fmt;
use std::time::Duration;

use telemetry::metrics::{Histogram, Registry, Stability};
use tonic::Code;

const BUCKETS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0];

/// Metrics of calls to CSI drivers.
#[derive(Clone)]
pub struct Metrics {
    operations: Histogram,
}

impl Metrics {
    /// Metrics that `registry` exposes.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            operations: registry.histogram(
                "csi_operations_seconds",
                "Container Storage Interface operation duration with gRPC error code status total",
                Stability::Alpha,
                &["driver_name", "method_name", "grpc_status_code", "migrated"],
                BUCKETS,
            ),
        }
    }

    /// One call of the service `service` has ended.
    pub(super) fn called(&self, driver: &str, service: &str, call: &str, code: Code, took: Duration) {
        let method = format!("/csi.v1.{service}/{call}");
        self.operations.observe(&[driver, &method, code_name(code), "false"], took.as_secs_f64());
    }
}

/// The code's name as gRPC for Go spells it: what dashboards know.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
