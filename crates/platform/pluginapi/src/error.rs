//! How a call to a plugin fails, and what that says about what was done.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};

/// A call to a plugin that did not succeed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{call} of {callee}{}: {message}", about(.volume))]
pub struct PluginError {
    /// Whom it was made to, such as `CSI driver hostpath.csi.k8s.io`.
    pub callee: String,
    /// The call's name in its protocol, such as `NodeStageVolume`.
    pub call: &'static str,
    /// The volume's handle, if the call was about a volume.
    pub volume: Option<String>,
    /// What kind of failure it is: what callers decide by.
    pub kind: PluginErrorKind,
    /// The plugin's own words, or what happened on the way to it.
    pub message: String,
}

fn about(volume: &Option<String>) -> String {
    volume.as_ref().map(|volume| format!(" for volume {volume}")).unwrap_or_default()
}

/// Kinds of failures that callers tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PluginErrorKind {
    /// There was no answer before the call's deadline.
    Timeout,
    /// The plugin could not be reached, or the connection broke.
    Unavailable,
    /// The plugin says that the call was cancelled.
    Cancelled,
    /// Another call for the same volume is under way (CSI: "Operation pending for volume").
    Pending,
    /// The plugin has run out of something.
    Exhausted,
    /// The volume is in a state in which it cannot be done, such as in use while it would have to grow.
    Precondition,
    /// The plugin says that the call cannot be right.
    Invalid,
    /// There is no such volume.
    NotFound,
    /// A number is out of the range that the plugin can do.
    OutOfRange,
    /// The plugin does not know this call.
    Unimplemented,
    /// Anything else.
    Other,
}

impl PluginErrorKind {
    /// Whether what was asked for may have been done, or may still be done. All other failures mean that the call did
    /// nothing, and that nothing of it is under way (gRPC: "Status codes and their use in gRPC"; CSI: "Error scheme").
    #[must_use]
    pub fn is_uncertain(self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable | Self::Cancelled | Self::Pending | Self::Exhausted)
    }

    /// Whether growing a volume to this size will never work (KEP-1790: "Recover from volume expansion failure").
    #[must_use]
    pub fn is_infeasible(self) -> bool {
        matches!(self, Self::Invalid | Self::NotFound | Self::OutOfRange)
    }

    fn of(code: Code) -> Self {
        match code {
            Code::DeadlineExceeded => Self::Timeout,
            Code::Unavailable => Self::Unavailable,
            Code::Cancelled => Self::Cancelled,
            Code::Aborted => Self::Pending,
            Code::ResourceExhausted => Self::Exhausted,
            Code::FailedPrecondition => Self::Precondition,
            Code::InvalidArgument => Self::Invalid,
            Code::NotFound => Self::NotFound,
            Code::OutOfRange => Self::OutOfRange,
            Code::Unimplemented => Self::Unimplemented,
            _ => Self::Other,
        }
    }
}

impl PluginError {
    /// The error of a call that had no answer after `deadline`.
    pub(crate) fn timeout(deadline: Duration) -> (PluginErrorKind, String) {
        (PluginErrorKind::Timeout, format!("there was no answer within {deadline:?}"))
    }

    /// What a gRPC status of the plugin at `socket` means.
    pub(crate) fn meaning(socket: &Path, status: &Status) -> (PluginErrorKind, String) {
        // A status that came over the wire has no source; one with a source was made on the way there.
        if let Some(source) = status.source() {
            if std::iter::successors(Some(source), |&error| error.source())
                .any(<dyn Error>::is::<TimeoutExpired>)
            {
                return (PluginErrorKind::Timeout, "there was no answer in time".to_owned());
            }
            let message = format!("cannot reach it at {}: {}", socket.display(), telemetry::chain(source));
            return (PluginErrorKind::Unavailable, message);
        }
        let message = match status.message() {
            "" => format!("it answered {:?} without a message", status.code()),
            message => message.to_owned(),
        };
        (PluginErrorKind::of(status.code()), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certain_follows_the_code() {
        let table = [
            (Code::Cancelled, true, false),
            (Code::DeadlineExceeded, true, false),
            (Code::Unavailable, true, false),
            (Code::ResourceExhausted, true, false),
            (Code::Aborted, true, false),
            (Code::InvalidArgument, false, true),
            (Code::NotFound, false, true),
            (Code::OutOfRange, false, true),
            (Code::FailedPrecondition, false, false),
            (Code::AlreadyExists, false, false),
            (Code::PermissionDenied, false, false),
            (Code::Unauthenticated, false, false),
            (Code::Unimplemented, false, false),
            (Code::Unknown, false, false),
            (Code::Internal, false, false),
            (Code::DataLoss, false, false),
        ];
        for (code, uncertain, infeasible) in table {
            let kind = PluginErrorKind::of(code);
            assert_eq!((kind.is_uncertain(), kind.is_infeasible()), (uncertain, infeasible), "{code:?}");
        }
    }

    #[test]
    fn what_happened_on_the_way_is_uncertain_and_names_the_socket() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
        let (kind, message) = PluginError::meaning(Path::new("/run/d.sock"), &status);
        assert!(kind.is_uncertain());
        assert!(message.starts_with("cannot reach it at /run/d.sock: "), "{message}");
    }

    #[test]
    fn the_text_says_who_what_and_which_volume() {
        let mut error = PluginError {
            callee: "CSI driver d.example".into(),
            call: "NodeStageVolume",
            volume: Some("vol-1".into()),
            kind: PluginErrorKind::Other,
            message: "disk is broken".into(),
        };
        assert_eq!(
            error.to_string(),
            "NodeStageVolume of CSI driver d.example for volume vol-1: disk is broken"
        );
        error.volume = None;
        assert_eq!(error.to_string(), "NodeStageVolume of CSI driver d.example: disk is broken");
    }
}
