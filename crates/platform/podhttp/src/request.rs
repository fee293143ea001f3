//! A GET that is to be made.

use std::net::IpAddr;

use http::Uri;
use types::Container;
use types::corev1::HTTPGetAction;

use crate::{GetError, Target};

/// On whose behalf a pod is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// A probe.
    Probe,
    /// A lifecycle hook.
    Hook,
}

impl Caller {
    /// The name of the client: that of the kubelet's of the Kubernetes version that berth follows.
    #[must_use]
    pub fn user_agent(self) -> &'static str {
        match self {
            Self::Probe => "kube-probe/1.36",
            Self::Hook => "kube-lifecycle/1.36",
        }
    }
}

/// A GET: where it goes and what goes with it.
#[derive(Clone, Debug)]
pub struct Get {
    pub(crate) url: Uri,
    /// The Host header that the action asks for; `None`: that of the URL.
    pub(crate) host: Option<String>,
    /// All other headers, but for those that belong to the connection.
    pub(crate) headers: Vec<(String, String)>,
    /// How much of the answer's body is wanted, in bytes.
    pub(crate) body_limit: usize,
}

impl Get {
    /// The request that `action` of `container` asks for, in a pod with the address `ip`. Of the answer's body,
    /// `body_limit` bytes are kept.
    ///
    /// # Errors
    /// The port is unknown, the pod has no address, or what comes out is no URL.
    pub fn new(
        action: &HTTPGetAction,
        container: &Container,
        ip: Option<IpAddr>,
        caller: Caller,
        body_limit: usize,
    ) -> Result<Self, GetError> {
        let target = Target::of(action.host.as_deref(), &action.port, container, ip)?;
        let scheme = if action.scheme.as_deref() == Some("HTTPS") { "https" } else { "http" };
        let path = escaped(action.path.as_deref().unwrap_or("/"));
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = format!("{scheme}://{target}{slash}{path}");
        let url = url.parse().map_err(|source| GetError::Url { url, source })?;

        let mut headers: Vec<(String, String)> = Vec::new();
        let mut host = None;
        for header in action.http_headers.iter().flatten() {
            if !header.name.eq_ignore_ascii_case("host") {
                headers.push((header.name.clone(), header.value.clone()));
            } else if host.is_none() {
                host = Some(header.value.clone()).filter(|host| !host.is_empty());
            }
        }
        for (name, value) in [("user-agent", caller.user_agent()), ("accept", "*/*")] {
            let is = |header: &(String, String)| header.0.eq_ignore_ascii_case(name);
            match headers.iter().find(|header| is(header)) {
                None => headers.push((name.to_owned(), value.to_owned())),
                // Whoever sets it to nothing wants none.
                Some((_, own)) if own.is_empty() => headers.retain(|header| !is(header)),
                Some(_) => {}
            }
        }
        Ok(Self { url, host, headers, body_limit })
    }

    /// The URL that is asked first.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// The `host:port` that is asked first.
    #[must_use]
    pub fn address(&self) -> String {
        self.url.authority().map(ToString::to_string).unwrap_or_default()
    }

    /// The same request in clear text, without what was meant for an encrypted connection only.
    #[must_use]
    pub fn in_clear(mut self) -> Self {
        let mut parts = self.url.into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        // The parts are those of a URL.
        self.url = Uri::from_parts(parts).unwrap_or_default();
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        self
    }
}

/// `path` with what a URL must not contain in percent signs.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn get(action: Value, caller: Caller) -> Get {
        let action = serde_json::from_value(action).unwrap();
        let ip = Some("10.0.0.1".parse().unwrap());
        Get::new(&action, &Container::default(), ip, caller, 0).unwrap()
    }

    #[test]
    fn urls() {
        for (action, url) in [
            (json!({"port": 80}), "http://10.0.0.1:80/"),
            (json!({"port": 80, "path": "healthz?a=b"}), "http://10.0.0.1:80/healthz?a=b"),
            (json!({"port": 443, "scheme": "HTTPS", "path": "/"}), "https://10.0.0.1:443/"),
            (
                json!({"port": 80, "host": "fd00::1", "path": "/é {x}"}),
                "http://[fd00::1]:80/%C3%A9%20%7Bx%7D",
            ),
        ] {
            assert_eq!(get(action, Caller::Probe).url(), url);
        }
        let clear = get(json!({"port": 443, "scheme": "HTTPS", "path": "/x"}), Caller::Hook).in_clear();
        assert_eq!(clear.url(), "http://10.0.0.1:443/x");
    }

    #[test]
    fn headers() {
        let with = |headers: Value| {
            let get = get(json!({"port": 80, "httpHeaders": headers}), Caller::Probe);
            let all: Vec<_> = get.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            (get.host, all.join(", "))
        };
        let usual = "user-agent: kube-probe/1.36, accept: */*";
        assert_eq!(with(json!([])), (None, usual.to_owned()));
        let header = |name: &str, value: &str| json!({"name": name, "value": value});
        assert_eq!(
            with(json!([header("X", "1"), header("X", "2"), header("HOST", "a.b")])),
            (Some("a.b".to_owned()), format!("X: 1, X: 2, {usual}"))
        );
        assert_eq!(
            with(json!([header("Accept", ""), header("User-Agent", "mine"), header("Host", "")])),
            (None, "User-Agent: mine".to_owned())
        );
        assert_eq!(
            with(json!([header("accept", "text/plain")])).1,
            "accept: text/plain, user-agent: kube-probe/1.36"
        );
    }
}
