//! The server of a kubeconfig.

use http::Uri;
use kube::config as file;
use rustls::pki_types::ServerName;

use super::error::Place;
use super::{KubeconfigError, Pem};

/// How to reach the API server, and how to know it.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// `https://host[:port][/path]`, or `http`.
    pub(crate) server: Uri,
    /// Whose certificates are trusted; those of the machine if missing.
    pub(crate) authority: Option<Pem>,
    /// Trust any certificate.
    pub(crate) insecure: bool,
    /// The name that its certificate must have, if that is not its host.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// The proxy in front of it, `http://` or `socks5://`.
    pub(crate) proxy: Option<Uri>,
    /// What a credential plugin may be told.
    pub(crate) extension: Option<serde_json::Value>,
}

/// The extension of a cluster that is meant for credential plugins.
const EXEC_EXTENSION: &str = "client.authentication.k8s.io/exec";

impl Cluster {
    pub(super) fn new(cluster: &file::Cluster, place: &Place) -> Result<Self, KubeconfigError> {
        let at = place.at("server");
        let server = cluster.server.as_deref().unwrap_or_default().trim();
        // kubectl takes a server without a scheme for one that speaks HTTP.
        let server = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let server: Uri = server.parse().map_err(|error| at.error(format!("is not a URL: {error}")))?;
        if !matches!(server.scheme_str(), Some("http" | "https")) || server.host().is_none_or(str::is_empty) {
            return Err(at.error("must be https://HOST[:PORT]"));
        }
        let authority = Pem::new(
            place,
            "certificate-authority",
            cluster.certificate_authority_data.as_deref(),
            cluster.certificate_authority.as_deref(),
        )?;
        let insecure = cluster.insecure_skip_tls_verify.unwrap_or_default();
        if insecure && authority.is_some() {
            let reason = "contradicts certificate-authority: with it any certificate is trusted";
            return Err(place.at("insecure-skip-tls-verify").error(reason));
        }
        let server_name = match cluster.tls_server_name.as_deref().filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => {
                let at = place.at("tls-server-name");
                let name = ServerName::try_from(name.to_owned());
                Some(name.map_err(|error| at.error(format!("is not a name of a server: {error}")))?)
            }
        };
        let proxy = match cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
            None => None,
            Some(url) => Some(proxy(url, &place.at("proxy-url"))?),
        };
        let extensions = cluster.extensions.iter().flatten();
        let extension = extensions.filter(|extension| extension.name == EXEC_EXTENSION);
        let extension = extension.map(|extension| extension.extension.clone()).next();
        Ok(Self { server, authority, insecure, server_name, proxy, extension })
    }
}

fn proxy(url: &str, place: &Place) -> Result<Uri, KubeconfigError> {
    let uri: Uri = url.parse().map_err(|error| place.error(format!("is not a URL: {error}")))?;
    match uri.scheme_str() {
        Some("http" | "socks5" | "socks5h") if uri.host().is_some() => Ok(uri),
        _ => Err(place.error("must be http://HOST:PORT or socks5://HOST:PORT")),
    }
}
