//! How a request to the API server fails.

use std::time::Duration;

use http::StatusCode;
use kube::core::Status;

/// A request that did not succeed. Shown in the server's own words where it answered, as users see them in events
/// and statuses.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of failure it is: what callers decide by.
    pub kind: ApiErrorKind,
    /// The HTTP status; 0 if there was no answer.
    pub code: u16,
    /// `reason` of the server's Status object, such as `NotFound`; empty if there was none.
    pub reason: String,
    /// The server's own words, or what happened on the way to it.
    pub message: String,
}

/// Kinds of failures that callers tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ApiErrorKind {
    /// The server could not be reached, or the connection broke. What was asked for may have happened.
    Unreachable,
    /// There was no whole answer before the deadline. What was asked for may have happened.
    Timeout,
    /// berth has no credentials to send: the plugin failed, or a file cannot be read.
    Credentials,
    /// 401: the server does not know who asks.
    Unauthorized,
    /// 403: who asks may not do this. The node authorizer also answers so until it has heard of a new pod.
    Forbidden,
    /// 404: there is no such object.
    NotFound,
    /// 409 `AlreadyExists`: the name is taken.
    AlreadyExists,
    /// 409: the object is another one (UID) or a newer one (resourceVersion) than the caller thinks.
    Conflict,
    /// 410: the resourceVersion or the continue token is too old.
    Gone,
    /// 422: the object is not valid.
    Invalid,
    /// 429: too many requests, with what the server says about when to come back.
    TooManyRequests {
        /// How long to wait before the next attempt, if the server says.
        retry_after: Option<Duration>,
    },
    /// 5xx: the server, or something behind or before it, is not well.
    Server {
        /// How long to wait before the next attempt, if the server says.
        retry_after: Option<Duration>,
    },
    /// Another answer that is no success.
    Refused,
    /// The answer is not what the API says it should be.
    Malformed,
}

impl ApiErrorKind {
    /// Whether the same request may succeed later without anybody changing anything. Credentials count, since they
    /// are renewed while berth runs.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Timeout
            | Self::Credentials
            | Self::Unauthorized
            | Self::TooManyRequests { .. }
            | Self::Server { .. } => true,
            Self::Forbidden
            | Self::NotFound
            | Self::AlreadyExists
            | Self::Conflict
            | Self::Gone
            | Self::Invalid
            | Self::Refused
            | Self::Malformed => false,
        }
    }

    fn of(code: StatusCode, reason: &str, retry_after: Option<Duration>) -> Self {
        // The reason tells more than the code, where it is one of those that share a code.
        match (reason, code.as_u16()) {
            ("AlreadyExists", _) => Self::AlreadyExists,
            ("Expired", _) | (_, 410) => Self::Gone,
            (_, 401) => Self::Unauthorized,
            (_, 403) => Self::Forbidden,
            (_, 404) => Self::NotFound,
            (_, 409) => Self::Conflict,
            (_, 422) => Self::Invalid,
            (_, 429) => Self::TooManyRequests { retry_after },
            (_, 500..=599) => Self::Server { retry_after },
            _ => Self::Refused,
        }
    }
}

impl ApiError {
    pub(crate) fn new(kind: ApiErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: 0, reason: String::new(), message: message.into() }
    }

    /// The error of a server that could not be reached.
    pub(crate) fn unreachable(server: &str, error: &dyn std::error::Error) -> Self {
        let why = telemetry::chain(error);
        Self::new(ApiErrorKind::Unreachable, format!("cannot reach the API server {server}: {why}"))
    }

    /// The error of a server that did not answer within `deadline`.
    pub(crate) fn timeout(server: &str, deadline: Duration) -> Self {
        let message = format!("the API server {server} did not answer within {deadline:?}");
        Self::new(ApiErrorKind::Timeout, message)
    }

    /// The error of an answer that cannot be read.
    pub(crate) fn malformed(error: &dyn std::error::Error) -> Self {
        let why = telemetry::chain(error);
        Self::new(ApiErrorKind::Malformed, format!("the API server's answer cannot be read: {why}"))
    }

    /// The error of an answer with `code` and `body`, a Status object or what a proxy wrote.
    pub(crate) fn answered(code: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Self {
        if let Ok(status) = serde_json::from_slice::<Status>(body)
            && status.is_failure()
        {
            return Self::from_status(code, retry_after, status);
        }
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        let shown: String = text.chars().take(SHOWN).collect();
        let message = match shown.as_str() {
            "" => format!("the API server answered {code}"),
            shown => format!("the API server answered {code}: {shown}"),
        };
        let kind = ApiErrorKind::of(code, "", retry_after);
        Self { kind, code: code.as_u16(), reason: String::new(), message }
    }

    /// The error that a Status object tells, which came with an answer or as an event of a watch.
    pub(crate) fn from_status(code: StatusCode, retry_after: Option<Duration>, status: Status) -> Self {
        let code = StatusCode::from_u16(status.code).unwrap_or(code);
        let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let retry_after = retry_after.or((seconds > 0).then(|| Duration::from_secs(seconds.into())));
        let message = match status.message.as_str() {
            "" => format!("the API server answered {code} {}", status.reason),
            _ => status.message,
        };
        let mut kind = ApiErrorKind::of(code, &status.reason, retry_after);
        // A patch that names the UID of another object is told to be not valid, where a deletion is a conflict.
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        if kind == ApiErrorKind::Invalid && causes.any(|cause| cause.field == "metadata.uid") {
            kind = ApiErrorKind::Conflict;
        }
        Self { kind, code: code.as_u16(), reason: status.reason, message }
    }

    /// The 404 of an object that a watch says is not there, in the server's words: `secret "x" not found`.
    pub(crate) fn not_found(kind: &str, name: &str) -> Self {
        Self {
            kind: ApiErrorKind::NotFound,
            code: 404,
            reason: "NotFound".to_owned(),
            message: format!("{} \"{name}\" not found", kind.to_lowercase()),
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }

    /// How long the server asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            ApiErrorKind::TooManyRequests { retry_after } | ApiErrorKind::Server { retry_after } => {
                retry_after
            }
            _ => None,
        }
    }
}

/// How many characters of an answer that is no Status object are shown.
const SHOWN: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str) -> ApiErrorKind {
        let body = serde_json::json!({
            "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "m",
            "details": {"retryAfterSeconds": 3},
        });
        let error = ApiError::answered(
            StatusCode::from_u16(code).unwrap(),
            None,
            serde_json::to_vec(&body).unwrap().as_slice(),
        );
        assert_eq!((error.code, error.reason.as_str(), error.to_string().as_str()), (code, reason, "m"));
        error.kind
    }

    #[test]
    fn kinds_follow_reason_and_code() {
        use ApiErrorKind as Kind;
        let retry_after = Some(Duration::from_secs(3));
        for (code, reason, kind) in [
            (401, "Unauthorized", Kind::Unauthorized),
            (403, "Forbidden", Kind::Forbidden),
            (404, "NotFound", Kind::NotFound),
            (409, "AlreadyExists", Kind::AlreadyExists),
            (409, "Conflict", Kind::Conflict),
            (410, "Expired", Kind::Gone),
            (410, "Gone", Kind::Gone),
            (422, "Invalid", Kind::Invalid),
            (429, "TooManyRequests", Kind::TooManyRequests { retry_after }),
            (500, "InternalError", Kind::Server { retry_after }),
            (504, "Timeout", Kind::Server { retry_after }),
            (400, "BadRequest", Kind::Refused),
        ] {
            assert_eq!(status(code, reason), kind, "{code} {reason}");
        }
    }

    #[test]
    fn another_uid_is_a_conflict() {
        let body = br#"{"kind":"Status","status":"Failure","code":422,"reason":"Invalid","message":"m",
            "details":{"causes":[{"field":"metadata.uid","reason":"FieldValueInvalid"}]}}"#;
        let error = ApiError::answered(StatusCode::UNPROCESSABLE_ENTITY, None, body);
        assert_eq!((error.kind, error.code), (ApiErrorKind::Conflict, 422));
    }

    #[test]
    fn an_answer_that_is_no_status_is_shown_in_part() {
        let body = format!("<html>{}", "x".repeat(5000));
        let error = ApiError::answered(StatusCode::BAD_GATEWAY, None, body.as_bytes());
        assert_eq!(error.kind, ApiErrorKind::Server { retry_after: None });
        assert!(error.is_transient());
        assert!(error.message.starts_with("the API server answered 502 Bad Gateway: <html>xx"));
        assert!(error.message.len() < 600);
    }

    #[test]
    fn not_found_reads_as_the_servers() {
        assert_eq!(ApiError::not_found("ConfigMap", "web").to_string(), "configmap \"web\" not found");
    }
}
