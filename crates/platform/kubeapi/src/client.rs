//! Requests to the API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Collected, Full, Limited};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::credentials::{ClusterInfo, Credentials, CredentialsError};
use crate::kubeconfig::{Cluster, Kubeconfig};
use crate::limit::Limiter;
use crate::metrics::{HostMetrics, Metrics};
use crate::presence::Presence;
use crate::transport::{Connections, ResponseBody, TlsError};
use crate::{ApiError, ApiErrorKind};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// `User-Agent` of its requests.
    pub user_agent: String,
    /// How often it may ask.
    pub limits: Limits,
}

/// How often a client may ask, and how long it waits.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// Requests a second on average (`kubeAPIQPS`, `eventRecordQPS`); 0 is no bound.
    pub qps: f64,
    /// Requests at once (`kubeAPIBurst`, `eventBurst`).
    pub burst: u32,
    /// How long a call may take, waiting for its turn included. A watch has this time until it begins.
    pub deadline: Duration,
}

impl Default for Limits {
    /// The kubelet's: 50 a second, 100 at once; 30 s for a call.
    fn default() -> Self {
        Self { qps: 50.0, burst: 100, deadline: Duration::from_secs(30) }
    }
}

/// A client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The user agent has characters that a header cannot have.
    #[error("user agent {0:?} has characters that no HTTP header can have")]
    UserAgent(String),
}

/// A client of one API server. Clones share its connections, credentials and rate. It connects with the first request,
/// and again whenever it must.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    limiter: Limiter,
    deadline: Duration,
}

struct Shared {
    /// For messages: `https://10.0.0.1:6443`.
    server: String,
    base: Uri,
    connections: Connections,
    credentials: Credentials,
    metrics: Arc<HostMetrics>,
    user_agent: HeaderValue,
    presence: Presence,
    /// The server does not know lists that go on as watches.
    lists_apart: AtomicBool,
}

/// The largest answer that is read.
const LARGEST: usize = 128 << 20;
/// How often a request is sent again when the server says when, as client-go does it, and after how long at least.
const RETRIES: u32 = 10;
const SHORTEST: Duration = Duration::from_millis(100);
/// How much is read of an answer that is an error.
const LARGEST_ERROR: usize = 256 << 10;

impl Client {
    /// A client for what `kubeconfig` says. Nothing is sent yet, so the server may be away.
    ///
    /// # Errors
    /// The files that the kubeconfig names cannot be used; the error names file and field.
    pub fn new(kubeconfig: Kubeconfig, options: Options, metrics: &Metrics) -> Result<Self, ClientError> {
        let server = kubeconfig.server();
        let Kubeconfig { mut cluster, mut user, .. } = kubeconfig;
        let info = cluster_info(&server, &cluster);
        let base = cluster.server.clone();
        let host = base.authority().map_or_else(String::new, ToString::to_string);
        let metrics = Arc::new(metrics.of(&host));
        let connections = Connections::new(&mut cluster, &mut user)?;
        let credentials = Credentials::new(user.authorization, info, Arc::clone(&metrics))?;
        let Ok(user_agent) = HeaderValue::from_str(&options.user_agent) else {
            return Err(ClientError::UserAgent(options.user_agent));
        };
        let shared = Shared {
            server,
            base,
            connections,
            credentials,
            metrics,
            user_agent,
            presence: Presence::default(),
            lists_apart: AtomicBool::new(false),
        };
        let Limits { qps, burst, deadline } = options.limits;
        Ok(Self { shared: Arc::new(shared), limiter: Limiter::new(qps, burst), deadline })
    }

    /// A client over the same connections with a rate and a deadline of its own, so that heartbeats and events wait for
    /// nobody else's requests.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            limiter: Limiter::new(limits.qps, limits.burst),
            deadline: limits.deadline,
        }
    }

    /// The server's address, such as `https://10.0.0.1:6443`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// Looks at the files of certificates now, after they were changed. Without it they are looked at with the first
    /// request after a second. If they changed, all connections are closed, and watches go on over new ones.
    pub fn reload_certificates(&self) {
        self.shared.connections.look();
    }

    /// Closes all connections, as when requests fail again and again: one of them may be dead without anybody having
    /// said so. Watches go on over new ones.
    pub fn reconnect(&self) {
        self.shared.connections.renew();
    }

    /// Sends `request`, a path and query with a body, and reads the answer. Waits and tries again, within the deadline,
    /// where the server says when.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: Request<Vec<u8>>) -> Result<T, ApiError> {
        let body = self.call_bytes(request).await?;
        serde_json::from_slice(&body).map_err(|error| ApiError::malformed(&error))
    }

    /// As [`Self::call`], for an answer that nobody reads.
    pub(crate) async fn call_bytes(&self, request: Request<Vec<u8>>) -> Result<Bytes, ApiError> {
        let request = Prepared::new(request);
        let end = Instant::now() + self.deadline;
        let calling = async {
            let mut left = RETRIES;
            loop {
                let error = match self.attempt(&request, false).await {
                    Ok(response) => match self.read(&request, response).await {
                        Ok(body) => return Ok(body),
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
                let wait = error.retry_after().map(|wait| wait.max(SHORTEST));
                match wait {
                    Some(wait) if left > 0 && Instant::now() + wait < end => {
                        left -= 1;
                        self.shared.metrics.retried(request.method.as_str(), &error.code.to_string());
                        tokio::time::sleep(wait).await;
                    }
                    _ => return Err(error),
                }
            }
        };
        match tokio::time::timeout_at(end, calling).await {
            Ok(result) => result,
            Err(_) => Err(ApiError::timeout(&self.shared.server, self.deadline)),
        }
    }

    /// Sends the `request` of a watch, and returns the body of its answer once it has begun.
    pub(crate) async fn open(&self, request: Request<Vec<u8>>) -> Result<ResponseBody, ApiError> {
        let request = Prepared::new(request);
        match tokio::time::timeout(self.deadline, self.attempt(&request, true)).await {
            Ok(opened) => opened.map(Response::into_body),
            Err(_) => Err(ApiError::timeout(&self.shared.server, self.deadline)),
        }
    }

    /// Whether the server was found not to know lists that go on as watches (KEP-3157).
    pub(crate) fn lists_apart(&self) -> bool {
        self.shared.lists_apart.load(Relaxed)
    }

    /// Notes that it does not.
    pub(crate) fn list_apart(&self) {
        self.shared.lists_apart.store(true, Relaxed);
    }

    /// Returns when the server answers anybody after it was away.
    pub(crate) async fn recovered(&self) {
        self.shared.presence.returned().await;
    }

    /// Sends a request once, or twice if the server does not know the credentials and there are newer ones.
    async fn attempt(&self, request: &Prepared, watch: bool) -> Result<Response<ResponseBody>, ApiError> {
        let shared = &*self.shared;
        let method = request.method.as_str();
        // Watches do not count, as in client-go: they are few, and what waits for them would ask in another way.
        if !watch {
            shared.metrics.waited(method, self.limiter.turn().await);
        }
        let mut again = true;
        loop {
            let proof = shared
                .credentials
                .proof()
                .await
                .map_err(|error| ApiError::new(ApiErrorKind::Credentials, telemetry::chain(&error)))?;
            let sent = request.build(shared, proof.authorization.clone())?;
            let started = Instant::now();
            let answered = shared.connections.send(sent, watch, proof.identity.clone()).await;
            let code = answered
                .as_ref()
                .map_or_else(|_| "<error>".to_owned(), |response| response.status().as_str().to_owned());
            shared.metrics.answered(method, &code, started.elapsed(), request.body.len());
            shared.presence.note(answered.is_ok());
            let response = answered.map_err(|error| ApiError::unreachable(&shared.server, &error))?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && again && shared.credentials.refused(&proof) {
                again = false;
                shared.metrics.retried(method, &code);
                continue;
            }
            if status.is_success() {
                return Ok(response);
            }
            let retry_after = retry_after(&response);
            let body = Limited::new(response.into_body(), LARGEST_ERROR).collect().await;
            let body = body.map_or_else(|_| Bytes::new(), Collected::to_bytes);
            return Err(ApiError::answered(status, retry_after, &body));
        }
    }

    async fn read(&self, request: &Prepared, response: Response<ResponseBody>) -> Result<Bytes, ApiError> {
        match Limited::new(response.into_body(), LARGEST).collect().await {
            Ok(body) => {
                let body = body.to_bytes();
                self.shared.metrics.received(request.method.as_str(), body.len());
                Ok(body)
            }
            Err(error) => Err(ApiError::unreachable(&self.shared.server, &*error)),
        }
    }
}

/// A request that can be sent several times.
struct Prepared {
    method: http::Method,
    path_and_query: String,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

impl Prepared {
    fn new(request: Request<Vec<u8>>) -> Self {
        let (parts, body) = request.into_parts();
        let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Self {
            method: parts.method,
            path_and_query: path_and_query.trim_end_matches('?').to_owned(),
            content_type: parts.headers.get(http::header::CONTENT_TYPE).cloned(),
            body: body.into(),
        }
    }

    fn build(
        &self,
        shared: &Shared,
        authorization: Option<HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        let mut uri = shared.base.clone().into_parts();
        // A server may be below a path of its host.
        let prefix = shared.base.path().trim_end_matches('/');
        let path = format!("{prefix}{}", self.path_and_query).parse();
        uri.path_and_query = Some(path.map_err(|error: http::uri::InvalidUri| refused(&error))?);
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from_parts(uri).map_err(|error| refused(&error))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, shared.user_agent.clone());
        let optional: [(HeaderName, Option<HeaderValue>); 2] =
            [(http::header::CONTENT_TYPE, self.content_type.clone()), (AUTHORIZATION, authorization)];
        for (name, value) in optional {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        Ok(request)
    }
}

/// The error of a request that cannot even be written.
pub(crate) fn refused(error: &dyn std::error::Error) -> ApiError {
    ApiError::new(ApiErrorKind::Refused, format!("no such request can be made: {}", telemetry::chain(error)))
}

/// `Retry-After` in seconds. The API server never sends a date.
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What a credential plugin is told of the cluster, in the words of `ExecCredential`.
fn cluster_info(server: &str, cluster: &Cluster) -> ClusterInfo {
    use base64::Engine;
    let mut info = serde_json::Map::new();
    info.insert("server".to_owned(), server.into());
    if cluster.insecure {
        info.insert("insecure-skip-tls-verify".to_owned(), true.into());
    }
    if let Some(name) = &cluster.server_name {
        info.insert("tls-server-name".to_owned(), name.to_str().into());
    }
    if let Some(Ok(authority)) = cluster.authority.as_ref().map(crate::kubeconfig::Pem::read) {
        let data = base64::engine::general_purpose::STANDARD.encode(authority);
        info.insert("certificate-authority-data".to_owned(), data.into());
    }
    if let Some(proxy) = &cluster.proxy {
        info.insert("proxy-url".to_owned(), proxy.to_string().into());
    }
    if let Some(extension) = &cluster.extension {
        info.insert("config".to_owned(), extension.clone());
    }
    ClusterInfo(info)
}
