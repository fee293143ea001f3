//! The server as a whole.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use https::{Authorities, Tls, TlsError};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::auth::{Issuer, TokenError};
use crate::authority::{Authority, AuthorityError, CA, token_key};
use crate::control;
use crate::error::ApiError;
use crate::node::{NodeClient, NodeError};
use crate::store::{self, DiskError, Store};
use crate::usage::Usages;
use crate::{kubeconfig, listen, rest, rules};

/// Connections have so long to let go of the store.
const CLOSING: Duration = Duration::from_secs(2);

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything is kept: the store, certificates, kubeconfigs. Made with mode 0700 if it is not there.
    pub dir: PathBuf,
    /// Where to listen; port 0 for any that is free.
    pub listen: SocketAddr,
    /// The name of the node for which an identity is made.
    pub node: String,
    /// The certificate that the node's API is served with, if that is not of this server's authority: whoever shows it is
    /// the node.
    pub node_certificate: Option<PathBuf>,
    /// A stream between a client and a node on which nothing was said for so long is ended.
    pub stream_idle: Duration,
}

impl Settings {
    /// Settings with the defaults for the rest: certificates of nodes have to be of this server's authority, and streams
    /// may be silent for 4 h, which is what nodes let them (`streamingConnectionIdleTimeout`).
    #[must_use]
    pub fn new(dir: PathBuf, listen: SocketAddr, node: String) -> Self {
        Self { dir, listen, node, node_certificate: None, stream_idle: Duration::from_secs(4 * 3600) }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum SoloError {
    /// The directory could not be made.
    #[error("cannot make the directory {}", dir.display())]
    Dir {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A kubeconfig could not be written.
    #[error("cannot write {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address could not be bound.
    #[error("cannot listen on {address}; is another API server running?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The store could not be opened.
    #[error("the store cannot be used")]
    Disk(#[from] DiskError),
    /// The first objects could not be written.
    #[error("the first objects cannot be written")]
    Establish(#[from] ApiError),
    /// There are no certificates.
    #[error("there are no certificates to serve with")]
    Authority(#[from] AuthorityError),
    /// There is no key for tokens.
    #[error("tokens of service accounts cannot be signed")]
    Token(#[from] TokenError),
    /// Nodes cannot be asked.
    #[error("nodes cannot be asked")]
    Node(#[from] NodeError),
    /// There is no TLS.
    #[error("TLS cannot be served")]
    Tls(#[from] TlsError),
    /// The store's writer ended: nothing can be written any more.
    #[error("the store's writer ended")]
    WriterEnded,
}

/// A server that listens, and answers once it is [served](Solo::serve).
pub struct Solo {
    api: Arc<Api>,
    authority: Authority,
    listener: TcpListener,
    tls: Arc<Tls>,
    clients: Arc<Authorities>,
    address: SocketAddr,
    admin: PathBuf,
    node: PathBuf,
    node_name: String,
    pki: PathBuf,
}

impl Solo {
    /// Opens the store, makes what is missing of certificates, kubeconfigs and first objects, and begins to listen.
    ///
    /// # Errors
    /// If a file or the address cannot be used.
    pub async fn open(settings: &Settings) -> Result<Self, SoloError> {
        let dir = &settings.dir;
        let pki = dir.join("pki");
        for dir in [dir, &pki] {
            private_dir(dir).map_err(|source| SoloError::Dir { dir: dir.clone(), source })?;
        }
        let store = Store::open(&dir.join("store.redb"))?;
        let authority = Authority::open(&pki)?;
        let unbound = |source| SoloError::Listen { address: settings.listen, source };
        let listener = https::bind(settings.listen).map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        let ca: Arc<str> = authority.certificate.as_str().into();
        {
            let (ca, port) = (ca.clone(), address.port());
            store
                .write(move |txn| {
                    control::establish(txn, &ca, port);
                    Ok(())
                })
                .await?;
        }
        let (names, addresses) = own_names(&settings.node, address.ip());
        let (tls, clients) = listen::tls(&ca, &authority.server(&names, &addresses)?)?;
        let (admin, node) = (dir.join("admin.kubeconfig"), dir.join("node.kubeconfig"));
        let node_user = format!("system:node:{}", settings.node);
        let url = format!("https://{}", reached_at(address));
        for (path, file, user, group) in [
            (&admin, "admin", "admin", "system:masters"),
            (&node, &*format!("node-{}", settings.node), &*node_user, "system:nodes"),
        ] {
            let identity = authority.client(&pki, file, user, &[group])?;
            kubeconfig::write(path, &url, &ca, user, &identity)
                .map_err(|source| SoloError::Kubeconfig { path: path.clone(), source })?;
        }
        let issuer = Arc::new(Issuer::new(&token_key(&pki)?)?);
        let to_nodes = authority.client(
            &pki,
            "apiserver-kubelet-client",
            "kube-apiserver-kubelet-client",
            &["system:masters"],
        )?;
        let nodes = NodeClient::new(&to_nodes, &ca, settings.node_certificate.clone())?;
        let api = Arc::new(Api {
            store,
            nodes,
            usages: Usages::default(),
            stream_idle: settings.stream_idle,
            issuer,
            ca,
            address: reached_at(address).to_string(),
        });
        let node_name = settings.node.clone();
        Ok(Self { api, authority, listener, tls, clients, address, admin, node, node_name, pki })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The kubeconfig of somebody who may do everything.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin
    }

    /// The kubeconfig of the node.
    #[must_use]
    pub fn node_kubeconfig(&self) -> &Path {
        &self.node
    }

    /// The certificate of the authority that vouches for clients, and for this server.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.pki.join(CA)
    }

    /// Makes a certificate for the node's API to be served with, by the node's name and `addresses`, and says where it and
    /// its key are. By the name this server knows the node: addresses change.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn node_server(&self, addresses: &[IpAddr]) -> Result<(PathBuf, PathBuf), AuthorityError> {
        let file = |ending: &str| self.pki.join(format!("node-{}-server.{ending}", self.node_name));
        let (certificate, key) = (file("crt"), file("key"));
        self.authority.node(&self.node_name, addresses)?.write(&certificate, &key)?;
        Ok((certificate, key))
    }

    /// Serves until `shutdown`, and closes the store.
    ///
    /// # Errors
    /// If the store can no longer be written.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), SoloError> {
        self.serve_through(shutdown, |router| router).await
    }

    /// As [`Solo::serve`], with something around the router: tests of clients count requests there, and have them fail.
    ///
    /// # Errors
    /// If the store can no longer be written.
    pub async fn serve_through(
        self,
        shutdown: CancellationToken,
        wrap: impl FnOnce(Router) -> Router,
    ) -> Result<(), SoloError> {
        let closed = self.api.store.commits();
        let router = listen::identified(wrap(rest::router(self.api.clone())), self.clients);
        let outcome = tokio::select! {
            () = https::serve(self.listener, Some(self.tls), router, listen::LIMITS, shutdown.clone()) => Ok(()),
            () = control::run(self.api.clone(), self.authority, shutdown.clone()) => Ok(()),
            () = control::expire_events(self.api, shutdown) => Ok(()),
            () = store::closed(closed.clone()) => Err(SoloError::WriterEnded),
        };
        // Every handle to the store is gone by now, or will be as soon as its task is dropped.
        let _ = timeout(CLOSING, store::closed(closed)).await;
        outcome
    }
}

fn private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The address by which this machine itself reaches the server.
fn reached_at(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The names and addresses by which clients may call the server.
fn own_names(node: &str, listens: IpAddr) -> (Vec<String>, Vec<IpAddr>) {
    let mut names: Vec<String> = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(node.to_owned());
    let mut addresses: Vec<IpAddr> =
        vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), rules::SERVICE_ADDRESS.into()];
    if !listens.is_unspecified() && !addresses.contains(&listens) {
        addresses.push(listens);
    }
    (names, addresses)
}
