//! Where a runtime listens.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The longest path that the kernel takes for a unix socket (`sun_path` without its terminating zero), in bytes.
const LONGEST_SOCKET_PATH: usize = 107;

/// The unix socket of a container runtime: `containerRuntimeEndpoint` and `imageServiceEndpoint` of
/// `KubeletConfiguration`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    socket: PathBuf,
}

/// Why a text is no endpoint.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EndpointError {
    /// Nothing was given.
    #[error("the endpoint of the container runtime is empty: give the path of its socket, as unix:///path")]
    Empty,
    /// Something else than a unix socket.
    #[error("endpoint {0:?} has an unsupported scheme: only unix:///path works on Linux")]
    Scheme(String),
    /// Not an absolute path.
    #[error("endpoint {0:?} does not name an absolute path: write it as unix:///path")]
    Relative(String),
    /// Longer than the kernel's limit.
    #[error("the socket path of endpoint {0:?} is longer than the 107 bytes that the kernel allows")]
    TooLong(String),
}

impl Endpoint {
    /// The endpoint at the socket `path`, which is taken as it is.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { socket: path.into() }
    }

    /// The path of the socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// Reads `unix:///path`, `unix:/path` or `/path`.
impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let path = match text.split_once(':') {
            _ if text.is_empty() => return Err(EndpointError::Empty),
            _ if text.starts_with('/') => text,
            Some(("unix", rest)) => rest.strip_prefix("//").unwrap_or(rest),
            Some(_) => return Err(EndpointError::Scheme(text.to_owned())),
            None => text,
        };
        if !path.starts_with('/') {
            return Err(EndpointError::Relative(text.to_owned()));
        }
        if path.len() > LONGEST_SOCKET_PATH {
            return Err(EndpointError::TooLong(text.to_owned()));
        }
        Ok(Self { socket: path.into() })
    }
}

/// Shown as `unix:///path`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.socket.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_sockets_only() {
        let socket = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        for text in ["unix:///run/c.sock", "unix:/run/c.sock", "/run/c.sock"] {
            assert_eq!(socket(text), Ok("unix:///run/c.sock".into()), "{text}");
        }
        assert_eq!(socket("/run/a:b.sock"), Ok("unix:///run/a:b.sock".into()));
        assert_eq!(socket(""), Err(EndpointError::Empty));
        assert_eq!(socket("unix://run/c.sock"), Err(EndpointError::Relative("unix://run/c.sock".into())));
        assert_eq!(socket("run/c.sock"), Err(EndpointError::Relative("run/c.sock".into())));
        for text in ["tcp://1.2.3.4:5", "npipe:////./pipe/c", "http://x"] {
            assert_eq!(socket(text), Err(EndpointError::Scheme(text.into())));
        }
        let long = format!("/{}", "x".repeat(107));
        assert_eq!(socket(&long), Err(EndpointError::TooLong(long.clone())));
    }
}
