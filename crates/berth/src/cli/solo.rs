//! `berth solo`: an API server for this one machine, and the node agent beside it.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use config::{AuthorizationMode, KubeletConfiguration, Loaded};
use node::NodeIp;
use solo::{Settings, Solo};
use telemetry::logging::{Filter, Format, LogHandle, LoggingOptions};
use tokio_util::sync::CancellationToken;

use crate::console::{tell, tell_error};
use crate::process::{self, StopSignals};
use crate::{FAILED, MISUSED, agent};

#[derive(Args)]
pub(super) struct SoloArgs {
    /// Where objects, certificates and kubeconfigs are kept
    #[arg(long, default_value = "/var/lib/berth-solo")]
    dir: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// The name of this machine as a node (the host name)
    #[arg(long, default_value = "")]
    node_name: String,
    /// How much to log
    #[arg(short, default_value_t = 2)]
    v: u32,
    /// Run the API server alone
    #[arg(long, conflicts_with = "agent")]
    no_agent: bool,
    /// Flags of the node agent, which are the kubelet's
    #[arg(last = true, value_name = "FLAGS")]
    agent: Vec<OsString>,
}

/// Runs both until the process is told to stop, or one of them cannot go on.
pub(super) fn run(args: SoloArgs) -> ExitCode {
    process::run(|stop| async {
        match prepare(args) {
            Ok((settings, loaded)) => agent::ended(live(&settings, loaded, stop).await),
            Err(status) => status,
        }
    })
}

/// What the API server is told, and what the agent, if there is to be one.
fn prepare(args: SoloArgs) -> Result<(Settings, Option<(Loaded, LogHandle)>), ExitCode> {
    let (loaded, name) = if args.no_agent {
        let options = LoggingOptions {
            format: Format::Text,
            filter: Filter { verbosity: args.v, vmodule: Vec::new() },
            split_stream: false,
        };
        telemetry::logging::init(options).map_err(|error| failed(FAILED, &telemetry::chain(&error)))?;
        (None, args.node_name)
    } else {
        let own = [format!("-v={}", args.v), format!("--hostname-override={}", args.node_name)];
        let (loaded, log) = agent::load(own.into_iter().map(OsString::from).chain(args.agent).collect())?;
        if !loaded.flags.kubeconfig.as_os_str().is_empty() {
            let why = "the agent of `berth solo` has a kubeconfig already; for another API server run `berth` itself";
            return Err(failed(MISUSED, why));
        }
        let name = loaded.flags.hostname_override.clone();
        (Some((loaded, log)), name)
    };
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let node =
        node::node_name(Some(&name), &hostname).map_err(|error| failed(FAILED, &telemetry::chain(&error)))?;
    let mut settings = Settings::new(args.dir, args.listen, node);
    if let Some((loaded, _)) = &loaded {
        let config = &loaded.config;
        settings.stream_idle = config.streaming_connection_idle_timeout.get();
        settings.node_certificate = has_certificate(config).then(|| config.tls_cert_file.clone());
    }
    Ok((settings, loaded))
}

/// Whether somebody said with which certificate the agent's own API is to be served.
fn has_certificate(config: &KubeletConfiguration) -> bool {
    !config.tls_cert_file.as_os_str().is_empty() || !config.tls_private_key_file.as_os_str().is_empty()
}

/// The addresses that the certificate of the agent's own API is for. If none is found, the agent says so itself.
async fn addresses(loaded: Option<&Loaded>, name: &str) -> Vec<IpAddr> {
    let mut addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let flag = loaded.and_then(|loaded| NodeIp::parse(&loaded.flags.node_ip).ok());
    if let Some(flag) = flag {
        addresses.extend(node::node_ips(&flag, name).await.unwrap_or_default());
    }
    addresses
}

fn failed(status: u8, why: &str) -> ExitCode {
    tell_error(why);
    ExitCode::from(status)
}

/// Shuts the agent's own API to strangers, as far as nobody said otherwise: the API server beside it, whose authority is
/// `ca`, knows who may do what. The kubelet's defaults without a configuration file would let anybody in. `server` are the
/// certificate and the key by which the API server knows the agent.
fn shut(loaded: &mut Loaded, ca: PathBuf, server: (PathBuf, PathBuf)) {
    let unsaid = |path: &str| !loaded.provenance.is_set(path);
    let config = &mut loaded.config;
    if !has_certificate(config) {
        (config.tls_cert_file, config.tls_private_key_file) = server;
    }
    if unsaid("authentication.x509.clientCAFile") {
        config.authentication.x509.client_ca_file = ca;
    }
    if unsaid("authentication.anonymous.enabled") {
        config.authentication.anonymous.enabled = false;
    }
    if unsaid("authentication.webhook.enabled") {
        config.authentication.webhook.enabled = true;
    }
    if unsaid("authorization.mode") {
        config.authorization.mode = AuthorizationMode::Webhook;
    }
    if unsaid("readOnlyPort") {
        config.read_only_port = 0;
    }
}

async fn live(
    settings: &Settings,
    loaded: Option<(Loaded, LogHandle)>,
    mut stop: StopSignals,
) -> anyhow::Result<()> {
    let addresses = addresses(loaded.as_ref().map(|(loaded, _)| loaded), &settings.node).await;
    let solo = Solo::open(settings).await?;
    let server = solo.node_server(&addresses)?;
    tell(&format!(
        "The API server listens on https://{}\n  export KUBECONFIG={}\n",
        solo.address(),
        solo.admin_kubeconfig().display()
    ));
    let (kubeconfig, ca) = (solo.node_kubeconfig().to_owned(), solo.authority());
    let shutdown = CancellationToken::new();
    let mut serving = tokio::spawn(solo.serve(shutdown.clone()));
    let rest = async {
        match loaded {
            Some((mut loaded, log)) => {
                loaded.flags.kubeconfig = kubeconfig;
                shut(&mut loaded, ca, server);
                agent::live(loaded, log, stop).await
            }
            None => {
                stop.recv().await;
                Ok(())
            }
        }
    };
    let outcome = tokio::select! {
        ended = &mut serving => return Ok(ended??),
        outcome = rest => outcome,
    };
    shutdown.cancel();
    let served = serving.await?;
    outcome.and(served.map_err(Into::into))
}

#[cfg(test)]
mod tests {
    use config::Outcome;

    use super::*;

    fn shut_with(args: &[&str]) -> KubeletConfiguration {
        let Outcome::Run(mut loaded) = config::load(args.iter().map(OsString::from)).unwrap() else {
            unreachable!()
        };
        shut(&mut loaded, "ca.crt".into(), ("node.crt".into(), "node.key".into()));
        loaded.config
    }

    #[test]
    fn strangers_are_shut_out_unless_they_are_asked_in() {
        let config = shut_with(&[]);
        assert_eq!(config.authentication.x509.client_ca_file, PathBuf::from("ca.crt"));
        assert_eq!(config.tls_private_key_file, PathBuf::from("node.key"));
        assert!(!config.authentication.anonymous.enabled && config.authentication.webhook.enabled);
        assert_eq!((config.authorization.mode, config.read_only_port), (AuthorizationMode::Webhook, 0));
        let config = shut_with(&[
            "--anonymous-auth=true",
            "--authorization-mode=AlwaysAllow",
            "--read-only-port=1",
            "--tls-cert-file=own.crt",
        ]);
        assert!(
            config.tls_private_key_file.as_os_str().is_empty(),
            "one without the other is for the agent to refuse"
        );
        assert!(config.authentication.anonymous.enabled);
        assert_eq!((config.authorization.mode, config.read_only_port), (AuthorizationMode::AlwaysAllow, 1));
    }
}
