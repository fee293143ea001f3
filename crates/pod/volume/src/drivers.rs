//! Volumes that are not made by berth but by drivers: those of claims, and inline volumes of CSI drivers.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use async_trait::async_trait;
use types::corev1::Volume;
use types::{Pod, PodUid};

use crate::error::{DriverError, Problem};
use crate::prepared::Mounted;

/// Whoever has drivers make volumes and take them away. Every call may be dropped at any time, and made again.
#[async_trait]
pub trait Drivers: Debug + Send + Sync + 'static {
    /// Finds out what `volume` of `pod` is, and waits until nothing but its driver is in the way of it, however long that
    /// takes: until it is attached to the node, if it is one that has to be. Nothing that others wait for may be held
    /// meanwhile. A volume that is there already is found without asking anybody.
    ///
    /// # Errors
    /// If it cannot be had as things are.
    async fn find(
        &self,
        pod: &Pod,
        volume: &Volume,
        onlooker: &dyn Onlooker,
    ) -> Result<Box<dyn FoundVolume>, Problem>;

    /// The name of the plugin of the volume that the pod `uid` calls `name`, if it is there.
    async fn plugin(&self, uid: &PodUid, name: &str) -> Option<String>;

    /// The groups that all processes of the pod `uid` are in because of volumes that it has, by what is on disk.
    async fn groups(&self, uid: &PodUid) -> Vec<i64>;

    /// Takes away all volumes of drivers that the pod `uid` has or may have, by what is on disk. Nothing of the pod uses
    /// them any more. `onlooker` is told whom each of them waits for.
    ///
    /// # Errors
    /// If some could not be taken away. The others were, and trying again continues.
    async fn take_down(&self, uid: &PodUid, onlooker: &dyn Onlooker) -> Result<(), DriverError>;

    /// Another number than before once it may help to try again at once what failed: a driver has come.
    fn arrivals(&self) -> u64;
}

/// A volume of which all is known that its driver is to be told.
#[async_trait]
pub trait FoundVolume: Debug + Send + Sync {
    /// Shows it to its pod. One that is there stays as it is, whether or not its driver is. May be dropped at any time.
    ///
    /// # Errors
    /// If it cannot be done now.
    async fn show(&self) -> Result<Mounted, NotShown>;

    /// What it depends on.
    fn attempt(&self) -> Attempt;
}

/// What the showing of a volume depends on. Once it is something else, what failed is tried again at once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// What is done once for all pods: the volume's name on the node, and a [`digest`] of all that has a say in that. None if
    /// nothing is.
    pub shared: Option<(String, u64)>,
    /// A digest of all that has a say in the whole.
    pub own: u64,
}

/// A number that stands for `value`, as long as berth runs. Nothing of it can be told from that.
pub fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Why a volume was not shown.
#[derive(Debug)]
pub struct NotShown {
    /// What happened.
    pub error: DriverError,
    /// Whether it happened to what is done once for all pods that have the volume.
    pub of_all: bool,
}

impl<E: Error + Send + Sync + 'static> From<E> for NotShown {
    fn from(error: E) -> Self {
        Self { error: error.into(), of_all: false }
    }
}

/// Who is told how the finding and the taking away of a pod's volumes go.
pub trait Onlooker: Send + Sync {
    /// For what `volume` waits now; `None` once it waits no longer.
    fn waits_for(&self, volume: &str, what: Option<String>);

    /// Something is wrong, and the waiting goes on: the reason and the message of an event.
    fn warn(&self, reason: &'static str, message: String);
}

/// Nobody looks on, as with what is left of a pod that is gone.
impl Onlooker for () {
    fn waits_for(&self, _: &str, _: Option<String>) {}

    fn warn(&self, _: &'static str, _: String) {}
}

/// The volumes of drivers that were found for a pod, by their names in it.
#[derive(Debug, Default)]
pub struct FoundVolumes(pub(crate) HashMap<String, Box<dyn FoundVolume>>);
