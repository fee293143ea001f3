//! How a call to the runtime fails.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};

use crate::Endpoint;

/// A call to the container runtime that did not succeed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{call}: {message}")]
pub struct CriError {
    /// The call's name in CRI, such as `RunPodSandbox`.
    pub call: &'static str,
    /// What kind of failure it is: what callers decide by.
    pub kind: CriErrorKind,
    /// The runtime's own words, or what happened on the way to it.
    pub message: String,
}

/// Kinds of failures that callers tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CriErrorKind {
    /// The runtime did not answer before the call's deadline. What was asked for may still happen.
    Timeout,
    /// The command of `ExecSync` ran longer than it was allowed to; the runtime says so itself.
    CommandTimedOut,
    /// The runtime could not be reached, or the connection broke. What was asked for may have happened.
    Unavailable,
    /// There is no such sandbox, container or image.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The runtime does not know this call.
    Unimplemented,
    /// A limit was reached; also an answer larger than 16 MiB.
    ResourceExhausted,
    /// Anything else.
    Other,
}

impl CriError {
    /// The error of `call` that had no answer after `deadline`.
    pub(crate) fn timeout(call: &'static str, deadline: Duration) -> Self {
        let message = format!("the container runtime did not answer within {deadline:?}");
        Self { call, kind: CriErrorKind::Timeout, message }
    }

    /// The error of `call` for a gRPC status from `endpoint`.
    pub(crate) fn from_status(call: &'static str, endpoint: &Endpoint, status: &Status) -> Self {
        // A status that came over the wire has no source; one with a source was made on the way there.
        if let Some(source) = status.source() {
            if std::iter::successors(Some(source), |&error| error.source())
                .any(<dyn Error>::is::<TimeoutExpired>)
            {
                let message = "the container runtime did not answer in time".to_owned();
                return Self { call, kind: CriErrorKind::Timeout, message };
            }
            let message =
                format!("cannot reach the container runtime at {endpoint}: {}", telemetry::chain(source));
            return Self { call, kind: CriErrorKind::Unavailable, message };
        }
        let kind = match status.code() {
            Code::DeadlineExceeded => CriErrorKind::Timeout,
            Code::Unavailable => CriErrorKind::Unavailable,
            Code::NotFound => CriErrorKind::NotFound,
            Code::AlreadyExists => CriErrorKind::AlreadyExists,
            Code::Unimplemented => CriErrorKind::Unimplemented,
            // `OutOfRange` is how an answer above the receive limit is reported.
            Code::ResourceExhausted | Code::OutOfRange => CriErrorKind::ResourceExhausted,
            _ => CriErrorKind::Other,
        };
        let message = match status.message() {
            "" => format!("the container runtime answered {:?} without a message", status.code()),
            message => message.to_owned(),
        };
        Self { call, kind, message }
    }

    /// An answer of `call` that lacks what CRI demands of it.
    pub(crate) fn incomplete(call: &'static str, missing: &str) -> Self {
        let message = format!("the container runtime's answer has no {missing}");
        Self { call, kind: CriErrorKind::Other, message }
    }
}

/// The result of stopping or removing something: what is not there needs neither. CRI wants these calls to be
/// idempotent, and not every runtime is.
pub(crate) fn gone_is_done(result: Result<(), CriError>) -> Result<(), CriError> {
    match result {
        Err(error) if error.kind == CriErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_codes() {
        let endpoint = Endpoint::at("/run/c.sock");
        let kind = |code| CriError::from_status("Version", &endpoint, &Status::new(code, "m")).kind;
        let table = [
            (Code::DeadlineExceeded, CriErrorKind::Timeout),
            (Code::Unavailable, CriErrorKind::Unavailable),
            (Code::NotFound, CriErrorKind::NotFound),
            (Code::AlreadyExists, CriErrorKind::AlreadyExists),
            (Code::Unimplemented, CriErrorKind::Unimplemented),
            (Code::ResourceExhausted, CriErrorKind::ResourceExhausted),
            (Code::OutOfRange, CriErrorKind::ResourceExhausted),
            (Code::Unknown, CriErrorKind::Other),
            (Code::Internal, CriErrorKind::Other),
        ];
        for (code, expected) in table {
            assert_eq!(kind(code), expected, "{code:?}");
        }
    }

    #[test]
    fn text_is_the_runtimes_own() {
        let endpoint = Endpoint::at("/run/c.sock");
        let told = CriError::from_status("StopContainer", &endpoint, &Status::unknown("shim is gone"));
        assert_eq!(told.to_string(), "StopContainer: shim is gone");
        let mute = CriError::from_status("StopContainer", &endpoint, &Status::unknown(""));
        assert_eq!(
            mute.to_string(),
            "StopContainer: the container runtime answered Unknown without a message"
        );
        let late = CriError::timeout("Status", Duration::from_secs(120));
        assert_eq!(late.to_string(), "Status: the container runtime did not answer within 120s");
    }

    #[test]
    fn local_failures_name_the_socket() {
        let endpoint = Endpoint::at("/run/c.sock");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
        let error = CriError::from_status("Version", &endpoint, &status);
        assert_eq!(error.kind, CriErrorKind::Unavailable);
        assert!(error.message.contains("unix:///run/c.sock"), "{error}");

        let expired = Status::from_error(Box::new(TimeoutExpired(())));
        assert_eq!(CriError::from_status("Version", &endpoint, &expired).kind, CriErrorKind::Timeout);
    }
}
