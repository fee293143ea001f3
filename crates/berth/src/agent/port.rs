//! The node's own API: port 10250, and the port without authentication.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use config::{AuthorizationMode, Gate, Loaded};
use https::{Authorities, Pem, Tls, TlsPolicy};
use jiff::Timestamp;
use server::auth::{Authenticator, Authorizer, Guard, Reviews};
use server::{Containers, Local, Metrics, Needs, Process, Settings, Usage, port, read_only_port, serve_port};
use task::supervisor::Supervisor;
use telemetry::logging::LogHandle;
use tokio::sync::watch;

use super::cluster::Cluster;
use super::reviews::ApiReviews;
use super::settings::KUBERNETES_VERSION;

/// The directory of the node's logs.
const LOG_DIR: &str = "/var/log";

/// What the ports answer from.
pub(super) struct Answers {
    pub(super) local: Arc<dyn Local>,
    pub(super) containers: Arc<dyn Containers>,
    pub(super) usage: Arc<dyn Usage>,
    pub(super) metrics: Metrics,
    pub(super) answered: watch::Sender<()>,
    pub(super) log: LogHandle,
    pub(super) started: Timestamp,
}

/// Begins to serve the ports that the configuration asks for. `name` is the node's.
pub(super) fn serve(
    loaded: &Loaded,
    name: &str,
    cluster: Option<&Cluster>,
    answers: &Answers,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let config = &loaded.config;
    let ip: IpAddr = config.address.parse().context("address")?;
    if config.enable_server {
        let address = SocketAddr::new(ip, u16::try_from(config.port).context("port")?);
        let clients = authorities(loaded)?;
        let tls = tls(loaded, name, clients.clone())?;
        let guard = guard(loaded, name, cluster, clients, &answers.metrics);
        let router = port(needs(loaded, answers), guard);
        supervisor.spawn_finishing("node API", move |shutdown| async move {
            let served = serve_port(address, Some(tls), router, shutdown).await;
            served.map_err(|error| telemetry::chain(&error))
        });
    }
    if config.read_only_port > 0 {
        let address = SocketAddr::new(ip, u16::try_from(config.read_only_port).context("readOnlyPort")?);
        let router = read_only_port(needs(loaded, answers));
        supervisor.spawn_finishing("node API without authentication", move |shutdown| async move {
            let served = serve_port(address, None, router, shutdown).await;
            served.map_err(|error| telemetry::chain(&error))
        });
    }
    Ok(())
}

/// The port of the node's API; 0 if there is none.
pub(super) fn port_number(loaded: &Loaded) -> u16 {
    let config = &loaded.config;
    if config.enable_server { u16::try_from(config.port).unwrap_or(0) } else { 0 }
}

fn needs(loaded: &Loaded, answers: &Answers) -> Needs {
    let (config, flags, gates) = (&loaded.config, &loaded.flags, &loaded.gates);
    let log = answers.log.clone();
    Needs {
        local: Arc::clone(&answers.local),
        containers: Arc::clone(&answers.containers),
        usage: Arc::clone(&answers.usage),
        process: Process {
            configuration: config::print::object(config),
            flags: config::print::flags(loaded),
            version: node::kubelet_version(KUBERNETES_VERSION, env!("CARGO_PKG_VERSION")),
            started: answers.started,
            set_verbosity: Box::new(move |verbosity| log.set_verbosity(verbosity)),
        },
        metrics: answers.metrics.clone(),
        answered: answers.answered.clone(),
        settings: Settings {
            debugging: config.enable_debugging_handlers,
            system_logs: config.enable_system_log_handler,
            log_query: config.enable_system_log_query,
            profiling: config.enable_profiling_handler,
            debug_flags: config.enable_debug_flags_handler,
            checkpoint: gates.enabled(Gate::ContainerCheckpoint),
            flagz: gates.enabled(Gate::ComponentFlagz),
            statusz: gates.enabled(Gate::ComponentStatusz),
            split_streams: gates.enabled(Gate::PodLogsQuerySplitStreams),
            websockets: gates.enabled(Gate::ExtendWebSocketsToKubelet),
            stream_idle: config.streaming_connection_idle_timeout.get(),
            log_dir: LOG_DIR.into(),
            checkpoint_dir: flags.root_dir.join("checkpoints"),
        },
    }
}

/// A file, which is read again when it changes unless the gate is off.
fn source(loaded: &Loaded, path: &Path, reload: Gate) -> anyhow::Result<Pem> {
    if loaded.gates.enabled(reload) {
        return Ok(Pem::File(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Pem::Text(text.into()))
}

fn authorities(loaded: &Loaded) -> anyhow::Result<Option<Arc<Authorities>>> {
    let file = &loaded.config.authentication.x509.client_ca_file;
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let pem = source(loaded, file, Gate::ReloadKubeletClientCAFile)?;
    Authorities::new(pem).context("authentication.x509.clientCAFile").map(Some)
}

fn tls(loaded: &Loaded, name: &str, clients: Option<Arc<Authorities>>) -> anyhow::Result<Arc<Tls>> {
    let (config, flags) = (&loaded.config, &loaded.flags);
    let policy =
        TlsPolicy::new(&config.tls_min_version, &config.tls_cipher_suites, &config.tls_curve_preferences)?;
    if !policy.left_out.is_empty() {
        let settings = policy.left_out.join(", ");
        tracing::warn!(settings, "These settings of TLS are not supported, and left out");
    }
    let (certificate, key) = (&config.tls_cert_file, &config.tls_private_key_file);
    let (certificate, key) = match (certificate.as_os_str().is_empty(), key.as_os_str().is_empty()) {
        (true, true) => https::self_signed(&flags.cert_dir, name).context("--cert-dir")?,
        (false, false) => (certificate.clone(), key.clone()),
        _ => bail!("tlsCertFile and tlsPrivateKeyFile belong together: set both, or none"),
    };
    let reload = Gate::ReloadKubeletServerCertificateFile;
    let (certificate, key) = (source(loaded, &certificate, reload)?, source(loaded, &key, reload)?);
    Tls::new(policy, certificate, key, clients).context("the node's API has no certificate to be served with")
}

fn guard(
    loaded: &Loaded,
    name: &str,
    cluster: Option<&Cluster>,
    clients: Option<Arc<Authorities>>,
    metrics: &Metrics,
) -> Guard {
    let (authentication, authorization) = (&loaded.config.authentication, &loaded.config.authorization);
    let reviews: Option<Arc<dyn Reviews>> =
        cluster.map(|cluster| Arc::new(ApiReviews::new(&cluster.client)) as _);
    let mut authenticator = Authenticator::new(metrics.clone());
    if let Some(clients) = clients {
        authenticator = authenticator.certificates(clients);
    }
    let webhook = &authentication.webhook;
    if let Some(reviews) = reviews.clone().filter(|_| webhook.enabled) {
        authenticator = authenticator.tokens(reviews, webhook.cache_ttl.get());
    }
    if authentication.anonymous.enabled {
        authenticator = authenticator.anonymous();
    }
    let decided = authorization.mode == AuthorizationMode::Webhook;
    let authorizer = match reviews {
        _ if !decided => Authorizer::AlwaysAllow,
        Some(reviews) => {
            let ttl = &authorization.webhook;
            let (yes, no) = (ttl.cache_authorized_ttl.get(), ttl.cache_unauthorized_ttl.get());
            Authorizer::webhook(reviews, yes, no, metrics.clone())
        }
        None => Authorizer::Nobody,
    };
    if authentication.anonymous.enabled && !decided {
        tracing::warn!(
            "Whoever reaches the node's API may run commands in its pods: authentication.anonymous is enabled, and \
             authorization.mode is AlwaysAllow"
        );
    }
    if cluster.is_none() && decided {
        tracing::warn!(
            "Without an API server nobody may use the node's API: authorization.mode is Webhook; `berth` on this machine can"
        );
    }
    Guard { authenticator, authorizer, node: name.to_owned() }
}
