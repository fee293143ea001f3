//! A port of the test's own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use https::{Authorities, Limits, Pem, Tls, TlsPolicy};
use server::auth::{Authenticator, Authorizer, Guard};
use server::{Metrics, Needs, Process, Settings, port, read_only_port};
use telemetry::metrics::Registry;
use testkit::tls::{Authority, Identity, TlsClient};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::reviews::FakeReviews;
use crate::runtime::Runtime;

/// How long anything may take that ought to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);
/// How long reviews are believed.
const TTL: Duration = Duration::from_secs(60);

/// Who guards the port of a test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Certificates and tokens; the API server decides.
    Usual,
    /// Certificates and tokens; whoever is known may do everything.
    AlwaysAllow,
    /// Everybody may do everything.
    Open,
    /// Certificates; there is no API server.
    Alone,
}

pub(crate) struct Rig {
    pub(crate) agent: Arc<Agent>,
    pub(crate) reviews: FakeReviews,
    pub(crate) runtime: Runtime,
    pub(crate) authority: Authority,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) verbosity: Arc<Mutex<Option<u32>>>,
    address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

/// All that there is.
pub(crate) fn everything(dir: &tempfile::TempDir) -> Settings {
    Settings {
        debugging: true,
        system_logs: true,
        log_query: false,
        profiling: true,
        debug_flags: true,
        checkpoint: true,
        flagz: true,
        statusz: true,
        split_streams: false,
        websockets: true,
        stream_idle: Duration::from_secs(3600),
        log_dir: dir.path().join("log"),
        checkpoint_dir: "/checkpoints".into(),
    }
}

impl Rig {
    pub(crate) async fn start(door: Door) -> Self {
        Self::with(door, |_| ()).await
    }

    pub(crate) async fn with(door: Door, change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::start().await;
        let registry = Registry::new();
        let metrics = Metrics::register(&registry);
        let agent = Arc::new(Agent {
            registry,
            runtime: runtime.url.clone(),
            readers: Arc::default(),
            health: Mutex::new(Ok(())),
            unread: Mutex::default(),
            asked: Mutex::default(),
        });
        let mut settings = everything(&dir);
        std::fs::create_dir(&settings.log_dir).unwrap();
        change(&mut settings);
        let verbosity = Arc::new(Mutex::new(None));
        let authority = Authority::new("authority").unwrap();
        let clients = Authorities::new(Pem::Text(authority.certificate.as_str().into())).unwrap();
        let reviews = FakeReviews::default();
        let needs = needs(&agent, &metrics, settings, &verbosity);
        let router = port(needs, guard(door, metrics, Arc::clone(&clients), &reviews));
        let identity = authority.server().unwrap();
        let pem = |text: &str| Pem::Text(text.into());
        let (certificate, key) = (pem(&identity.certificate), pem(&identity.key));
        let tls = Tls::new(TlsPolicy::default(), certificate, key, Some(clients)).unwrap();
        let (address, stop, task) = serve(Some(tls), router);
        Self { agent, reviews, runtime, authority, dir, verbosity, address, stop, task }
    }

    /// A client without a certificate.
    pub(crate) fn nobody(&self) -> TlsClient {
        self.client(None)
    }

    /// A client with a good certificate.
    pub(crate) fn known(&self, name: &str) -> TlsClient {
        self.client(Some(&self.authority.client(name, &[]).unwrap()))
    }

    pub(crate) fn client(&self, identity: Option<&Identity>) -> TlsClient {
        TlsClient::new(self.address, &self.authority.certificate, identity).unwrap()
    }

    /// The value of a series.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let text = self.agent.registry.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Waits until nothing is being answered any more, and nobody reads a log or has a stream.
    pub(crate) async fn until_quiet(&self) {
        use std::sync::atomic::Ordering::SeqCst;
        let quiet = async {
            loop {
                let text = self.agent.registry.encode();
                let mut inflight =
                    text.lines().filter(|line| line.starts_with("kubelet_http_inflight_requests{"));
                let idle = inflight.all(|line| line.ends_with(" 0"));
                let readers = self.agent.readers.load(SeqCst) + self.runtime.open.load(SeqCst);
                if idle && readers == 0 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, quiet).await.expect("everything is given up");
    }
}

fn needs(
    agent: &Arc<Agent>,
    metrics: &Metrics,
    settings: Settings,
    verbosity: &Arc<Mutex<Option<u32>>>,
) -> Needs {
    let set = Arc::clone(verbosity);
    Needs {
        local: Arc::clone(agent) as _,
        containers: Arc::clone(agent) as _,
        usage: Arc::clone(agent) as _,
        process: Process {
            configuration: serde_json::json!({"maxPods": 110}),
            flags: vec![("max-pods".to_owned(), "110".to_owned())],
            version: "v1.36.0+berth.0.1.0".to_owned(),
            started: jiff::Timestamp::now(),
            set_verbosity: Box::new(move |verbosity| *set.lock().unwrap() = Some(verbosity)),
        },
        answered: tokio::sync::watch::Sender::new(()),
        metrics: metrics.clone(),
        settings,
    }
}

fn guard(door: Door, metrics: Metrics, clients: Arc<Authorities>, reviews: &FakeReviews) -> Guard {
    let reviews: Arc<dyn server::auth::Reviews> = Arc::new(reviews.clone());
    let mut authenticator = Authenticator::new(metrics.clone()).certificates(clients);
    if door != Door::Alone {
        authenticator = authenticator.tokens(Arc::clone(&reviews), TTL);
    }
    if door == Door::Open {
        authenticator = authenticator.anonymous();
    }
    let authorizer = match door {
        Door::Usual => Authorizer::webhook(reviews, TTL, TTL, metrics),
        Door::AlwaysAllow | Door::Open => Authorizer::AlwaysAllow,
        Door::Alone => Authorizer::Nobody,
    };
    Guard { authenticator, authorizer, node: "node".to_owned() }
}

fn serve(tls: Option<Arc<Tls>>, router: Router) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = https::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let limits = Limits { grace: Duration::from_millis(100), ..Limits::default() };
    (address, stop.clone(), tokio::spawn(https::serve(listener, tls, router, limits, stop)))
}

/// A port without authentication, and where it listens.
pub(crate) async fn read_only() -> (SocketAddr, CancellationToken) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let metrics = Metrics::register(&registry);
    let agent = Arc::new(Agent {
        registry,
        runtime: String::new(),
        readers: Arc::default(),
        health: Mutex::new(Ok(())),
        unread: Mutex::default(),
        asked: Mutex::default(),
    });
    let needs = needs(&agent, &metrics, everything(&dir), &Arc::default());
    let (address, stop, _) = serve(None, read_only_port(needs));
    (address, stop)
}
