//! The CSI drivers that are registered on the node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pluginapi::PluginError;
use pluginapi::csi::{Capabilities, Driver, Metrics, NodeInfo};
use registry::{Handler, Plugin, Refused};
use tokio::sync::{OnceCell, watch};

use crate::layout::is_name;
use crate::version::Version;

/// A driver that is registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The driver.
    pub driver: Driver,
    /// What it calls the node: what the node's CSINode says of it.
    pub node: NodeInfo,
    endpoint: PathBuf,
    version: Version,
    capabilities: Arc<OnceCell<Capabilities>>,
    instance: u64,
    /// The one whose place it took, if that is still there.
    displaced: Option<Box<Registered>>,
}

impl Registered {
    fn is(&self, plugin: &Plugin) -> bool {
        // The one that took its place may serve at the same socket.
        let version = Version::highest(&plugin.versions).ok();
        self.endpoint == plugin.endpoint && Some(&self.version) == version.as_ref()
    }

    /// What is left of it and those whose place it took when `plugin` goes.
    fn without(mut self, plugin: &Plugin) -> Option<Self> {
        if self.is(plugin) {
            return self.displaced.map(|displaced| *displaced);
        }
        self.displaced = self.displaced.and_then(|displaced| displaced.without(plugin)).map(Box::new);
        Some(self)
    }

    /// What it can do. It is asked once: a driver that has changed registers again.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn capabilities(&self) -> Result<&Capabilities, PluginError> {
        self.capabilities.get_or_try_init(|| self.driver.capabilities()).await
    }
}

#[cfg(test)]
impl Registered {
    /// A driver that nobody asks.
    pub(crate) fn for_tests(name: &str, node: NodeInfo) -> Self {
        let metrics = Metrics::register(&telemetry::metrics::Registry::new());
        let driver = Driver::new(name.to_owned(), PathBuf::new(), metrics);
        let version = Version::highest(&["1.0.0".to_owned()]).unwrap();
        Self {
            driver,
            node,
            endpoint: PathBuf::new(),
            version,
            capabilities: Arc::default(),
            instance: 0,
            displaced: None,
        }
    }
}

/// The drivers by name.
pub type Table = BTreeMap<String, Registered>;

/// The drivers that are registered. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Drivers {
    table: watch::Sender<Table>,
    /// The names of all that were ever registered since berth started.
    seen: Arc<Mutex<BTreeSet<String>>>,
    /// How many registrations there were.
    arrivals: Arc<AtomicU64>,
    metrics: Metrics,
}

impl Drivers {
    /// No driver yet. Calls to drivers are counted in `metrics`.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self {
            table: watch::Sender::new(Table::new()),
            seen: Arc::default(),
            arrivals: Arc::default(),
            metrics,
        }
    }

    /// The driver `name`, if it is registered.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Registered> {
        self.table.borrow().get(name).cloned()
    }

    /// How many registrations there were since berth started.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// Which of those the driver `name` is registered by, if it is.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<u64> {
        Some(self.table.borrow().get(name)?.instance)
    }

    /// The table, and its changes: what the node's CSINode is written from, and what wakes pods that wait for a driver.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Table> {
        self.table.subscribe()
    }

    /// The drivers that were registered since berth started, and are no longer.
    #[must_use]
    pub fn gone(&self) -> BTreeSet<String> {
        let table = self.table.borrow();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|name| !table.contains_key(*name)).cloned().collect()
    }

    /// Asks the driver `name` anew what it calls the node and how many volumes it can have there, if it is registered.
    ///
    /// # Errors
    /// If it does not answer. What it said before stays.
    pub async fn ask_again(&self, name: &str) -> Result<(), PluginError> {
        let Some(asked) = self.get(name) else { return Ok(()) };
        let node = asked.driver.node_info().await?;
        self.table.send_if_modified(|table| {
            let same = |known: &&mut Registered| known.endpoint == asked.endpoint && known.node != node;
            let Some(known) = table.get_mut(name).filter(same) else { return false };
            known.node = node;
            true
        });
        Ok(())
    }

    fn arrive(&self) -> u64 {
        self.arrivals.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn checked(&self, plugin: &Plugin) -> Result<Version, Refused> {
        if !is_name(&plugin.name) {
            return Err(Refused(format!("{:?} cannot be the name of a CSI driver", plugin.name)));
        }
        let version = Version::highest(&plugin.versions).map_err(|error| Refused(error.to_string()))?;
        room(&self.table.borrow(), plugin, &version).map(|()| version)
    }
}

/// Whether there is room in `table` for `plugin`, which speaks `version`.
fn room(table: &Table, plugin: &Plugin, version: &Version) -> Result<(), Refused> {
    match table.get(&plugin.name) {
        Some(present) if present.version >= *version => Err(Refused(format!(
            "the CSI driver {} is registered already, at {}: it has to go first",
            plugin.name,
            present.endpoint.display()
        ))),
        _ => Ok(()),
    }
}

#[async_trait]
impl Handler for Drivers {
    /// A driver is registered when it has said what it calls the node. Of two of one name the one with the higher version
    /// counts.
    async fn register(&self, plugin: &Plugin) -> Result<(), Refused> {
        let version = self.checked(plugin)?;
        let driver = Driver::new(plugin.name.clone(), plugin.endpoint.clone(), self.metrics.clone());
        let node = driver.node_info().await.map_err(|error| Refused(error.to_string()))?;
        if node.id.is_empty() {
            return Err(Refused("it does not say what it calls the node (NodeGetInfo: node_id)".to_owned()));
        }
        let endpoint = plugin.endpoint.clone();
        let instance = self.arrive();
        let capabilities = Arc::default();
        let mut registered =
            Registered { driver, node, endpoint, version, capabilities, instance, displaced: None };
        let mut registers = Ok(());
        self.table.send_if_modified(|table| {
            // Another one may have come meanwhile. One that is not in the table yet must not be taken for gone.
            registers = room(table, plugin, &registered.version);
            if registers.is_ok() {
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(plugin.name.clone());
                registered.displaced = table.remove(&plugin.name).map(Box::new);
                table.insert(plugin.name.clone(), registered);
            }
            registers.is_ok()
        });
        registers
    }

    /// One that has taken the place of `plugin` stays; one whose place it took, and that is still there, has it again.
    async fn deregister(&self, plugin: &Plugin) {
        self.table.send_if_modified(|table| {
            let Some(present) = table.remove(&plugin.name) else { return false };
            let goes = present.is(plugin);
            if let Some(mut left) = present.without(plugin) {
                if goes {
                    // What failed with the other one may work with this one.
                    left.instance = self.arrive();
                }
                table.insert(plugin.name.clone(), left);
            }
            goes
        });
    }
}

#[cfg(test)]
mod tests {
    use pluginapi::csi::Capability;
    use telemetry::metrics::Registry;
    use testkit::csi::{DriverOptions, Mounting, TestDriver};
    use testkit::plugin::{Code, Fault, Moment, Strike};

    use super::*;

    fn start(dir: &tempfile::TempDir) -> (TestDriver, Drivers) {
        let fake = TestDriver::start(dir.path(), DriverOptions::new("d.example", Mounting::Pretended));
        (fake.unwrap(), Drivers::new(Metrics::register(&Registry::new())))
    }

    fn plugin(endpoint: PathBuf, version: &str) -> Plugin {
        let versions = vec![version.to_owned()];
        Plugin { kind: "CSIPlugin".into(), name: "d.example".into(), endpoint, versions }
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_with_one_name_the_higher_version_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (fake, drivers) = start(&dir);
        let link = dir.path().join("other.sock");
        std::os::unix::fs::symlink(fake.socket(), &link).unwrap();
        let (old, new) = (plugin(fake.socket().to_owned(), "1.0.0"), plugin(link, "1.5.0"));
        drivers.register(&old).await.unwrap();
        let refused = drivers.register(&plugin("/elsewhere.sock".into(), "1.0.0")).await.unwrap_err();
        assert!(refused.to_string().contains("registered already"), "{refused}");
        let before = (drivers.instance("d.example"), drivers.arrivals());
        drivers.register(&new).await.unwrap();
        assert_ne!(before, (drivers.instance("d.example"), drivers.arrivals()), "what failed may work now");
        drivers.deregister(&old).await;
        assert_eq!(drivers.get("d.example").unwrap().endpoint, new.endpoint, "the new one stays");
        // A newer one at the same socket, as after the driver was replaced in its place.
        let newer = plugin(new.endpoint.clone(), "1.6.0");
        drivers.register(&newer).await.unwrap();
        drivers.deregister(&new).await;
        assert!(drivers.get("d.example").is_some(), "the newer one stays");
        // An older one that is still there has its place again.
        let newest = plugin(dir.path().join("newest.sock"), "1.7.0");
        std::os::unix::fs::symlink(fake.socket(), &newest.endpoint).unwrap();
        drivers.register(&newest).await.unwrap();
        let with_newest = drivers.instance("d.example");
        drivers.deregister(&newest).await;
        assert_eq!(drivers.get("d.example").unwrap().endpoint, newer.endpoint);
        assert!(drivers.instance("d.example") > with_newest, "what failed may work now");
        drivers.deregister(&newer).await;
        assert!(drivers.get("d.example").is_none());
        assert_eq!(drivers.gone(), BTreeSet::from(["d.example".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_is_asked_again_tells_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let (fake, drivers) = start(&dir);
        drivers.ask_again("d.example").await.unwrap();
        drivers.register(&plugin(fake.socket().to_owned(), "1.0.0")).await.unwrap();
        assert_eq!(drivers.gone(), BTreeSet::new());
        let mut table = drivers.subscribe();
        drivers.ask_again("d.example").await.unwrap();
        assert!(!table.has_changed().unwrap(), "nothing is new");
        fake.set_max_volumes(7);
        drivers.ask_again("d.example").await.unwrap();
        assert!(table.has_changed().unwrap());
        assert_eq!(table.borrow_and_update()["d.example"].node.max_volumes, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_know_the_node_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (fake, drivers) = start(&dir);
        let plugin = plugin(fake.socket().to_owned(), "1.0.0");
        let fail = Fault::Fail(Code::Internal, "no metadata service".into());
        let fault = fake.raise(Strike::new("NodeGetInfo", Moment::Before, fail));
        let refused = drivers.register(&plugin).await.unwrap_err();
        assert_eq!(refused.to_string(), "NodeGetInfo of CSI driver d.example: no metadata service");
        assert!(drivers.get("d.example").is_none());
        drop(fault);
        drivers.register(&plugin).await.unwrap();
        let registered = drivers.get("d.example").unwrap();
        assert_eq!(registered.node.id, "node-of-the-driver");
        for _ in 0..2 {
            assert!(registered.capabilities().await.unwrap().has(Capability::StageUnstage));
        }
        let asked = fake.calls().into_iter().filter(|call| call.name == "NodeGetCapabilities");
        assert_eq!(asked.count(), 1, "it is asked once");
    }
}
