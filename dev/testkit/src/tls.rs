//! Authorities, those that they vouch for, and clients that speak HTTP over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that clients call servers by.
const HOST: &str = "localhost";

/// Who vouches for others.
pub struct Authority {
    /// Its certificate, in PEM.
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// If the name cannot be one.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        Ok(Self { certificate: params.self_signed(&key)?.pem(), issuer: Issuer::new(params, key) })
    }

    /// A server by the name of `localhost` and 127.0.0.1.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn server(&self) -> anyhow::Result<Identity> {
        let mut params = named("server", &[]);
        params.subject_alt_names =
            vec![SanType::DnsName(HOST.try_into()?), SanType::IpAddress([127, 0, 0, 1].into())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// A client with a name and groups.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn client(&self, name: &str, groups: &[&str]) -> anyhow::Result<Identity> {
        let mut params = named(name, groups);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// A client whose certificate has ended.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn expired_client(&self, name: &str) -> anyhow::Result<Identity> {
        let mut params = named(name, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(2020, 1, 2);
        self.sign(&params)
    }

    /// What stands in for a signer: the certificate, in PEM, that `request` (PKCS #10) asks for, from `from` on for `lasts`.
    ///
    /// # Errors
    /// If the request cannot be read or is not signed with its key, or the key is one that the library does not know.
    pub fn issue(&self, request: &[u8], from: SystemTime, lasts: Duration) -> anyhow::Result<String> {
        let mut request = CertificateSigningRequestParams::from_der(&request.into())?;
        let from = date_time_ymd(1970, 1, 1) + from.duration_since(UNIX_EPOCH)?;
        (request.params.not_before, request.params.not_after) = (from, from + lasts);
        Ok(request.signed_by(&self.issuer)?.pem())
    }

    fn sign(&self, params: &CertificateParams) -> anyhow::Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params.clone().signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

fn named(name: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    params
}

/// A client of one server.
#[derive(Clone)]
pub struct TlsClient {
    address: SocketAddr,
    config: ClientConfig,
}

impl TlsClient {
    /// A client that trusts the authority `trusted` (PEM), and shows `identity` if there is one. It speaks HTTP/1.1.
    ///
    /// # Errors
    /// If certificate and key do not fit.
    pub fn new(address: SocketAddr, trusted: &str, identity: Option<&Identity>) -> anyhow::Result<Self> {
        Self::with_versions(address, trusted, identity, rustls::DEFAULT_VERSIONS)
    }

    /// As [`TlsClient::new`], with these versions of TLS.
    ///
    /// # Errors
    /// If certificate and key do not fit.
    pub fn with_versions(
        address: SocketAddr,
        trusted: &str,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
                builder.with_client_auth_cert(vec![certificate], key)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { address, config })
    }

    /// The same client, that speaks HTTP/2.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.config.alpn_protocols = vec![b"h2".to_vec()];
        self
    }

    /// A connection on which nothing was said yet.
    ///
    /// # Errors
    /// If the server is not there, or TLS cannot be agreed on.
    pub async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(self.config.clone())).connect(name, stream).await
    }

    /// Sends `request` over a connection of its own.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>> {
        let stream = TokioIo::new(self.connect().await?);
        let newer = self.config.alpn_protocols == [b"h2".to_vec()];
        if newer {
            let target = format!("https://{HOST}{}", request.uri());
            *request.uri_mut() = target.parse().map_err(io::Error::other)?;
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
            let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            return sender.send_request(request).await.map_err(io::Error::other);
        }
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static(HOST));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(io::Error::other)
    }

    /// Sends a request without a body, and reads the whole answer: its status and its text.
    ///
    /// # Errors
    /// If there is no whole answer.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<(u16, String)> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).map_err(io::Error::other)?;
        let response = self.send(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// GETs `path`.
    ///
    /// # Errors
    /// If there is no whole answer.
    pub async fn get(&self, path: &str) -> io::Result<(u16, String)> {
        self.ask("GET", path, &[]).await
    }
}
