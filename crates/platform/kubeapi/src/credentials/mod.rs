//! Who berth says it is with each request, beside its certificate: a fixed header, a token in a file, or what a
//! plugin prints.

mod plugin;
mod run;
mod token_file;

pub(crate) use plugin::Plugin;
pub(crate) use run::ClusterInfo;

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::ExposeSecret;

use crate::kubeconfig::Authorization;
use crate::metrics::HostMetrics;
use token_file::TokenFile;

/// Where credentials come from.
pub(crate) enum Credentials {
    /// They never change.
    Fixed(Proof),
    /// A token in a file.
    File(TokenFile),
    /// A credential plugin.
    Plugin(Box<Plugin>),
}

/// What is shown with one request.
#[derive(Clone, Default)]
pub(crate) struct Proof {
    /// The `Authorization` header.
    pub(crate) authorization: Option<HeaderValue>,
    /// A certificate that takes the place of the kubeconfig's.
    pub(crate) identity: Option<Arc<Identity>>,
}

/// A certificate chain and its key, as PEM.
#[derive(PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) certificate: Arc<[u8]>,
    pub(crate) key: Arc<[u8]>,
}

/// There are no credentials to send.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A token or a password has characters that a header cannot have.
    #[error("the {0} has characters that no HTTP header can have")]
    Header(&'static str),
    /// The file of a token cannot be read.
    #[error("token file {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of a token is empty.
    #[error("token file {} is empty", .0.display())]
    EmptyTokenFile(PathBuf),
    /// The plugin could not be started.
    #[error("credential plugin {command} cannot be started{hint}")]
    PluginStart {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
        /// `installHint` of the kubeconfig.
        hint: String,
    },
    /// The plugin ended with an error.
    #[error("credential plugin {command} failed with {status}: {stderr}")]
    PluginFailed {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// The plugin did not end in time, and was killed.
    #[error("credential plugin {command} did not end within {}s", deadline.as_secs())]
    PluginTimeout {
        /// The command.
        command: String,
        /// The time it had.
        deadline: std::time::Duration,
    },
    /// The plugin printed something else than credentials.
    #[error("credential plugin {command} printed no usable ExecCredential: {reason}")]
    PluginOutput {
        /// The command.
        command: String,
        /// What is wrong with it. It has no part of what was printed.
        reason: String,
    },
    /// The failure of a plugin, told to all who waited for it.
    #[error(transparent)]
    Shared(Arc<CredentialsError>),
}

impl Credentials {
    /// Those of a kubeconfig's user. `cluster` is what a plugin is told of the cluster if it wants to know.
    pub(crate) fn new(
        authorization: Authorization,
        cluster: ClusterInfo,
        metrics: Arc<HostMetrics>,
    ) -> Result<Self, CredentialsError> {
        Ok(match authorization {
            Authorization::None => Self::Fixed(Proof::default()),
            Authorization::Basic(user, password) => {
                let both = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                Self::Fixed(Proof::header(&format!("Basic {both}"), "password")?)
            }
            Authorization::Token(token) => Self::Fixed(Proof::token(token.expose_secret())?),
            Authorization::TokenFile(path) => Self::File(TokenFile::new(path)),
            Authorization::Exec(exec) => Self::Plugin(Box::new(Plugin::new(exec, cluster, metrics))),
        })
    }

    /// What to show now.
    pub(crate) async fn proof(&self) -> Result<Proof, CredentialsError> {
        match self {
            Self::Fixed(proof) => Ok(proof.clone()),
            Self::File(file) => file.proof(),
            Self::Plugin(plugin) => plugin.proof().await,
        }
    }

    /// Takes note that the server answered 401 to `proof`. Returns whether there may be a better one by now.
    pub(crate) fn refused(&self, proof: &Proof) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::File(file) => file.refused(proof),
            Self::Plugin(plugin) => plugin.refused(proof),
        }
    }
}

impl Proof {
    fn header(value: &str, what: &'static str) -> Result<Self, CredentialsError> {
        let mut value = HeaderValue::from_str(value).map_err(|_| CredentialsError::Header(what))?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value), identity: None })
    }

    fn token(token: &str) -> Result<Self, CredentialsError> {
        Self::header(&format!("Bearer {}", token.trim()), "token")
    }
}
