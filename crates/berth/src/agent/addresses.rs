//! The node's addresses, which come and go while it runs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Flags;
use containerconfig::NodeFacts;
use linux::addresses::AddressChanges;
use node::{AddressError, Addresses, Facts, NodeIp};
use tokio::sync::watch;
use tokio::time::sleep;
use worker::Table;

/// Networks are set up in many steps: what comes within this time is looked at together.
const TOGETHER: Duration = Duration::from_secs(1);

/// Finds the node's addresses, and finds them again when the machine's change.
pub(super) struct NodeAddresses {
    flag: NodeIp,
    /// The flag's text.
    node_ip: String,
    external_cloud: bool,
    node_name: String,
    changes: Option<AddressChanges>,
}

impl NodeAddresses {
    /// Finds the addresses that there are now. There may be none yet: a machine's network can come up after berth.
    ///
    /// # Errors
    /// If `--node-ip` names what no node can have as its address.
    pub(super) async fn find(flags: &Flags, node_name: &str) -> Result<(Self, Vec<IpAddr>), AddressError> {
        let changes = AddressChanges::listen().inspect_err(|error| {
            tracing::warn!(%error, "The kernel does not tell of changes of addresses; those of now are kept");
        });
        let addresses = Self {
            flag: NodeIp::parse(&flags.node_ip)?,
            node_ip: flags.node_ip.clone(),
            external_cloud: flags.cloud_provider == "external",
            node_name: node_name.to_owned(),
            changes: changes.ok(),
        };
        let ips = match node::node_ips(&addresses.flag, node_name).await {
            Ok(ips) => ips,
            Err(error) if error.may_pass() => {
                tracing::warn!(
                    error = telemetry::chain(&error),
                    "The node has no address; pods run without knowing one until it has"
                );
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        Ok((addresses, ips))
    }

    /// What the Node object shows when these were found.
    pub(super) fn shown(&self, found: &[IpAddr]) -> Addresses {
        Addresses::of(&self.node_ip, found, self.external_cloud)
    }

    /// Keeps the addresses in what pods and the Node object are told up to date, and wakes the pods. An address that goes
    /// without another one in its place stays: a link that is down for a moment changes nothing.
    pub(super) async fn run(
        mut self,
        pods: watch::Sender<Arc<NodeFacts>>,
        node: Option<watch::Sender<Arc<Facts>>>,
        table: watch::Receiver<Arc<Table>>,
    ) {
        let Some(mut changes) = self.changes.take() else { return std::future::pending().await };
        loop {
            if let Err(error) = changes.changed().await {
                tracing::warn!(%error, "The kernel tells no more of changes of addresses; those of now are kept");
                return std::future::pending().await;
            }
            sleep(TOGETHER).await;
            let ips = match node::node_ips(&self.flag, &self.node_name).await {
                Ok(ips) => ips,
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(error, "The node has lost its address; the last one is kept");
                    continue;
                }
            };
            let news = pods.send_if_modified(|facts| {
                let news = facts.host_ips != ips;
                if news {
                    tracing::info!(before = ?facts.host_ips, now = ?ips, "The node's addresses have changed");
                    Arc::make_mut(facts).host_ips.clone_from(&ips);
                }
                news
            });
            if !news {
                continue;
            }
            if let Some(node) = &node {
                node.send_modify(|facts| Arc::make_mut(facts).addresses = self.shown(&ips));
            }
            for entry in table.borrow().pods.values() {
                entry.cell.wake();
            }
        }
    }
}
