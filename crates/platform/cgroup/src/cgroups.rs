//! Cgroups by name, through either driver.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::metrics::Metrics;
use crate::systemd::Systemd;
use crate::tree::Tree;
use crate::{CgroupError, CgroupName, Driver, Hierarchies, Limits, Version};

/// How often the processes of a cgroup are killed before its removal is given up for this time.
const KILL_ROUNDS: u32 = 5;
/// First wait for killed processes to be gone; it doubles with each round. There is no event for that on cgroup v1.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// The node's cgroups. Cheap to clone.
///
/// Every call is level-triggered and may be repeated: it makes what is missing and writes what differs.
#[derive(Clone, Debug)]
pub struct Cgroups {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tree: Arc<Tree>,
    driver: Driver,
    systemd: Option<Systemd>,
    root: CgroupName,
    metrics: Metrics,
}

impl Cgroups {
    /// Looks at the hierarchies of `version` below `mount_point` ([`crate::version::MOUNT_POINT`], or a directory in
    /// tests) and, for the systemd driver, connects to systemd. `root` (`cgroupRoot`) is the cgroup that all pods are
    /// put under.
    ///
    /// # Errors
    /// If required controllers are not mounted, `root` does not exist, or systemd cannot be reached.
    pub async fn open(
        version: Version,
        driver: Driver,
        mount_point: &Path,
        root: CgroupName,
        metrics: Metrics,
    ) -> Result<Self, CgroupError> {
        let hierarchies = Hierarchies::find(version, mount_point)
            .map_err(|e| CgroupError::io("look at", mount_point, e))?;
        let controllers = hierarchies.missing();
        if !controllers.is_empty() {
            return Err(CgroupError::RequiredMissing { controllers, mount_point: mount_point.to_owned() });
        }
        metrics.version(version);
        let systemd = match driver {
            Driver::Cgroupfs => None,
            Driver::Systemd => Some(Systemd::connect().await?),
        };
        let inner = Inner { tree: Arc::new(Tree::new(hierarchies)), driver, systemd, root, metrics };
        let cgroups = Self { inner: Arc::new(inner) };
        let root = cgroups.root().clone();
        // Controllers that it lacks, as a slice that was just started does, are passed down to it with the first pod.
        if root.leaf().is_some() && !cgroups.is_present(&root).await? {
            return Err(CgroupError::NoSuchCgroup { name: root, field: "cgroupRoot" });
        }
        Ok(cgroups)
    }

    /// The version in use.
    #[must_use]
    pub fn version(&self) -> Version {
        self.inner.tree.version()
    }

    /// The driver in use.
    #[must_use]
    pub fn driver(&self) -> Driver {
        self.inner.driver
    }

    /// The cgroup that all pods are put under.
    #[must_use]
    pub fn root(&self) -> &CgroupName {
        &self.inner.root
    }

    /// The cgroup's path below the mount points, as this driver lays it out: what a runtime takes as `cgroup_parent`.
    #[must_use]
    pub fn path(&self, name: &CgroupName) -> String {
        self.inner.driver.path(name)
    }

    /// Whether the cgroup exists in every hierarchy and with every controller that the node has.
    ///
    /// # Errors
    /// If the program is ending.
    pub async fn exists(&self, name: &CgroupName) -> Result<bool, CgroupError> {
        self.blocking(name, |tree, path| Ok(tree.exists(path))).await
    }

    /// Whether anything of the cgroup is there, in whichever hierarchy.
    ///
    /// # Errors
    /// If the program is ending.
    pub async fn is_present(&self, name: &CgroupName) -> Result<bool, CgroupError> {
        self.blocking(name, |tree, path| Ok(tree.is_present(path))).await
    }

    /// Makes the cgroup where it is missing, with those above it, and sets its limits.
    ///
    /// # Errors
    /// If the kernel or systemd refuses.
    pub async fn ensure(&self, name: &CgroupName, limits: &Limits) -> Result<(), CgroupError> {
        if self.exists(name).await? {
            return self.update(name, limits).await;
        }
        let started = Instant::now();
        if let Some(systemd) = &self.inner.systemd {
            systemd.ensure(name, limits, self.version()).await?;
        }
        let writes = limits.writes(self.version());
        let result = self
            .blocking(name, move |tree, path| {
                // systemd makes only the hierarchies that it accounts in; the rest, and what it has no property for, is
                // made here.
                tree.create(path)?;
                let news = tree.news(path, writes);
                tree.write(path, &news)
            })
            .await;
        self.inner.metrics.observe("create", started.elapsed());
        result
    }

    /// Sets the limits of a cgroup that exists, where they differ.
    ///
    /// # Errors
    /// If the kernel or systemd refuses, such as a memory limit below what is in use.
    pub async fn update(&self, name: &CgroupName, limits: &Limits) -> Result<(), CgroupError> {
        let started = Instant::now();
        let writes = limits.writes(self.version());
        let news = self.blocking(name, move |tree, path| Ok(tree.news(path, writes))).await?;
        if news.is_empty() {
            return Ok(());
        }
        if let Some(systemd) = &self.inner.systemd {
            systemd.ensure(name, limits, self.version()).await?;
        }
        let result = self.blocking(name, move |tree, path| tree.write(path, &news)).await;
        self.inner.metrics.observe("update", started.elapsed());
        result
    }

    /// Kills whatever still runs in the cgroup and removes it with all below it. One that does not exist is removed.
    ///
    /// # Errors
    /// If processes outlive five rounds of SIGKILL (they hang in the kernel), or the kernel or systemd refuses.
    pub async fn destroy(&self, name: &CgroupName) -> Result<(), CgroupError> {
        let started = Instant::now();
        let result = self.destroy_inner(name).await;
        self.inner.metrics.observe("destroy", started.elapsed());
        result
    }

    async fn destroy_inner(&self, name: &CgroupName) -> Result<(), CgroupError> {
        let mut wait = FIRST_WAIT;
        for round in 0..KILL_ROUNDS {
            let killed = self.blocking(name, Tree::kill).await?;
            if killed > 0 {
                tracing::warn!(cgroup = %name, killed, "Killed processes left in a cgroup that is to go");
            }
            if round == 0
                && let Some(systemd) = &self.inner.systemd
            {
                systemd.stop(name).await?;
            }
            if self.blocking(name, Tree::remove).await? {
                return Ok(());
            }
            sleep(wait).await;
            wait *= 2;
        }
        let pids = self.pids(name).await?.into_iter().take(16).collect();
        Err(CgroupError::Busy { name: name.clone(), pids, rounds: KILL_ROUNDS })
    }

    /// The processes in the cgroup and in those below it; none if it does not exist.
    ///
    /// # Errors
    /// If a list of processes cannot be read.
    pub async fn pids(&self, name: &CgroupName) -> Result<Vec<u32>, CgroupError> {
        self.blocking(name, |tree, path| Ok(tree.pids(path)?.into_iter().collect())).await
    }

    /// The cgroups right below that have a name of ours. Other directories there are passed over.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub async fn children(&self, name: &CgroupName) -> Result<Vec<CgroupName>, CgroupError> {
        let directories = self.blocking(name, Tree::children).await?;
        Ok(directories.iter().filter_map(|directory| self.inner.driver.child(name, directory)).collect())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        name: &CgroupName,
        work: impl FnOnce(&Tree, &str) -> Result<T, CgroupError> + Send + 'static,
    ) -> Result<T, CgroupError> {
        let (tree, path) = (Arc::clone(&self.inner.tree), self.path(name));
        tokio::task::spawn_blocking(move || work(&tree, &path))
            .await
            .unwrap_or_else(|_| Err(CgroupError::Abandoned { name: name.clone() }))
    }
}
