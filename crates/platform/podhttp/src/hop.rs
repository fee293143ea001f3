//! One request of a chain of redirects.

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use crate::Get;

/// The statuses that redirect a GET.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// A request of the chain.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) url: Uri,
    /// Whether a Host header of the action's own is sent: not where a whole URL redirected it to.
    own_host: bool,
}

impl Hop {
    /// The first one.
    pub(crate) fn first(get: &Get) -> Self {
        Self { url: get.url.clone(), own_host: true }
    }

    /// Where an answer redirects a GET to, if it does.
    pub(crate) fn location<B>(answer: &http::Response<B>) -> Option<String> {
        let location =
            answer.headers().get(http::header::LOCATION).filter(|location| !location.is_empty())?;
        let redirects = REDIRECTS.contains(&answer.status().as_u16());
        redirects.then(|| String::from_utf8_lossy(location.as_bytes()).into_owned())
    }

    /// Where `location` leads from here: a whole URL, one without a scheme, a path, or a path beside this one. `None` if
    /// it is none of these.
    pub(crate) fn next(&self, location: &str) -> Option<Self> {
        let (scheme, authority) = (self.url.scheme_str()?, self.url.authority()?);
        let whole = location.starts_with("http://") || location.starts_with("https://");
        let text = if whole {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else {
            let here = self.url.path();
            let kept = if location.starts_with('?') { here } else { here.rsplit_once('/')?.0 };
            let slash = if location.starts_with('?') { "" } else { "/" };
            format!("{scheme}://{authority}{kept}{slash}{location}")
        };
        let url: Uri = text.parse().ok()?;
        url.host()?;
        Some(Self { url, own_host: self.own_host && !whole && !location.starts_with("//") })
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    /// The host's name or address, without brackets.
    pub(crate) fn host(&self) -> &str {
        self.url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        let usual = if self.is_encrypted() { 443 } else { 80 };
        let port = self.url.port_u16().unwrap_or(usual);
        format!("{}:{port}", self.url.host().unwrap_or_default())
    }

    /// The request itself. An error if a header is none.
    pub(crate) fn request<B>(&self, get: &Get, body: B) -> Result<http::Request<B>, http::Error> {
        let path = self.url.path_and_query().map_or("/", PathAndQuery::as_str);
        let here = self.url.authority().map_or("", Authority::as_str);
        let host = get.host.as_deref().filter(|_| self.own_host).unwrap_or(here);
        let mut request = http::Request::get(path).header(http::header::HOST, host);
        for (name, value) in &get.headers {
            request = request.header(name, value);
        }
        request.header(http::header::CONNECTION, "close").body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_redirects_lead() {
        let hop = Hop { url: "http://10.0.0.1:8080/a/b?c=d".parse().unwrap(), own_host: true };
        for (location, url, own_host) in [
            ("/x?y", Some("http://10.0.0.1:8080/x?y"), true),
            ("x", Some("http://10.0.0.1:8080/a/x"), true),
            ("?y", Some("http://10.0.0.1:8080/a/b?y"), true),
            ("//10.0.0.2/x", Some("http://10.0.0.2/x"), false),
            ("https://10.0.0.1/x", Some("https://10.0.0.1/x"), false),
            ("http://", None, false),
            ("http:// /", None, false),
        ] {
            let next = hop.next(location);
            assert_eq!(next.as_ref().map(|next| next.url.to_string()).as_deref(), url, "{location}");
            assert_eq!(next.is_some_and(|next| next.own_host), own_host, "{location}");
        }
    }

    #[test]
    fn what_redirects() {
        let answer = |status: u16, location: Option<&str>| {
            let mut answer = http::Response::builder().status(status);
            if let Some(location) = location {
                answer = answer.header("location", location);
            }
            Hop::location(&answer.body(()).unwrap())
        };
        for status in REDIRECTS {
            assert_eq!(answer(status, Some("/x")).as_deref(), Some("/x"), "{status}");
            assert_eq!(answer(status, None), None, "{status} to nowhere is an answer");
            assert_eq!(answer(status, Some("")), None, "{status}");
        }
        for status in [200, 201, 300, 304, 404] {
            assert_eq!(answer(status, Some("/x")), None, "{status}");
        }
    }
}
