//! Tells the cluster of the drivers: on the Node object, and by the node's CSINode object, which is there as soon as the
//! node is. The Node comes first, as with other kubelets: an attacher takes both for granted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use csi::announce::{self, Known, Write};
use kubeapi::{ApiError, ApiErrorKind, Client, Deletion};
use node::{Obstacle, Standing, Strain};
use task::doubling::Doubling;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use types::corev1::Node;
use types::k8s::api::storage::v1::CSINode;

/// The waits after failures.
const RETRIES: Doubling = Doubling::new(Duration::from_millis(200), Duration::from_secs(30));

/// For how long the API server may refuse the first CSINode until the node is not ready for it: pods must not come to a
/// node whose limits nobody can know.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes in one go, which are three at most if the server takes them.
const WRITES: usize = 6;

/// Tells the cluster of the drivers.
pub(super) struct Announcer {
    pub(super) client: Client,
    /// The node's name.
    pub(super) name: String,
    pub(super) drivers: csi::Drivers,
    pub(super) standing: watch::Receiver<Standing>,
    /// Where it goes that the node is not ready.
    pub(super) strain: watch::Sender<Strain>,
}

/// What is known of the objects.
#[derive(Default)]
struct Objects {
    /// The Node as the server answered last, which may be newer than what its watch shows.
    node: Option<Arc<Node>>,
    /// The CSINode, with the UID of the Node it was found for; `None` if it is to be asked for.
    csi_node: Option<(String, Option<CSINode>)>,
    /// The UID of the Node for which there was a CSINode as it should be.
    settled: Option<String>,
    /// Since when the server refuses to have one.
    refused: Option<Instant>,
    /// What was said of drivers that contradict the Node.
    clashes: BTreeMap<String, String>,
}

/// Why it could not be done now.
#[derive(Debug, thiserror::Error)]
enum AnnounceError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the API server does not keep what it is told of the node's CSI drivers")]
    Unheeded,
}

impl Announcer {
    /// Tells until dropped.
    pub(super) async fn run(mut self) {
        let mut table = self.drivers.subscribe();
        let mut objects = Objects::default();
        let mut failures = 0;
        loop {
            table.borrow_and_update();
            self.standing.borrow_and_update();
            let done = self.round(&mut objects).await;
            let retry = match &done {
                Ok(()) => {
                    failures = 0;
                    None
                }
                Err(error) => {
                    failures += 1;
                    self.failed(&mut objects, error, failures == 1);
                    Some(RETRIES.after(failures))
                }
            };
            tokio::select! {
                changed = table.changed() => if changed.is_err() { return },
                // The sender lives as long as the agent.
                Ok(()) = self.standing.changed() => {}
                () = sleep(retry.unwrap_or_default()), if retry.is_some() => {}
            }
        }
    }

    async fn round(&self, objects: &mut Objects) -> Result<(), AnnounceError> {
        for _ in 0..WRITES {
            let Some(node) = newer(self.standing.borrow().node.clone(), objects.node.clone()) else {
                return Ok(());
            };
            let uid = node.metadata.uid.clone().unwrap_or_default();
            let known = Known::of(&self.drivers);
            let told = announce::told(&node, &known);
            objects.tell_clashes(told.refused);
            if let Some(patch) = told.patch {
                objects.node = Some(Arc::new(self.client.patch_node_status(&self.name, &patch).await?));
                continue;
            }
            let there = match objects.csi_node.take() {
                Some((of, there)) if of == uid => there,
                _ => self.find().await?,
            };
            let silent = |driver: &str| objects.clashes.contains_key(driver);
            let now = match announce::next(there.as_ref(), &self.name, &uid, &known, silent) {
                None => {
                    self.settled(objects, &uid);
                    objects.csi_node = Some((uid, there));
                    return Ok(());
                }
                Some(Write::Create(new)) => Some(self.client.create(None, &*new).await?),
                Some(Write::Patch(patch)) => Some(self.client.patch(None, &self.name, None, &patch).await?),
                Some(Write::Delete { uid }) => {
                    tracing::info!("The CSINode object belongs to a Node that is gone; making it anew");
                    let deletion = Deletion { uid, ..Deletion::default() };
                    self.client.delete::<CSINode>(None, &self.name, &deletion).await?;
                    None
                }
            };
            objects.csi_node = Some((uid, now));
        }
        Err(AnnounceError::Unheeded)
    }

    async fn find(&self) -> Result<Option<CSINode>, ApiError> {
        match self.client.get(None, &self.name).await {
            Ok(there) => Ok(Some(there)),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All is as it should be for the Node with this UID.
    fn settled(&self, objects: &mut Objects, uid: &str) {
        (objects.settled, objects.refused) = (Some(uid.to_owned()), None);
        self.strain.send_if_modified(|strain| strain.obstacles.remove(&Obstacle::CsiNode).is_some());
    }

    /// What is known of the objects may be wrong. A server that answers, and refuses, makes the node not ready in the end.
    fn failed(&self, objects: &mut Objects, error: &AnnounceError, is_first: bool) {
        (objects.node, objects.csi_node) = (None, None);
        let chain = telemetry::chain(error);
        if is_first {
            tracing::warn!(
                error = chain,
                "The cluster cannot be told of the node's CSI drivers; it is tried again"
            );
        } else {
            tracing::debug!(error = chain, "The cluster still cannot be told of the node's CSI drivers");
        }
        let is_answer = match error {
            AnnounceError::Unheeded => true,
            AnnounceError::Api(error) => error.code != 0,
        };
        let uid = self.standing.borrow().uid().map(str::to_owned);
        if objects.is_unfit(is_answer, uid.as_deref(), Instant::now()) {
            let text = format!("failed to initialize CSINode: {chain}");
            self.strain.send_if_modified(|strain| {
                let before = strain.obstacles.insert(Obstacle::CsiNode, text.clone());
                before.as_ref() != Some(&text)
            });
        }
    }
}

impl Objects {
    /// Whether the node is not fit for pods, after a failure `now`: the server `answered`, and refuses to have a CSINode of
    /// the Node with this UID. A server that is away says nothing, and one that had it knows the node.
    fn is_unfit(&mut self, answered: bool, uid: Option<&str>, now: Instant) -> bool {
        if !answered || uid.is_none() || self.settled.as_deref() == uid {
            self.refused = None;
            return false;
        }
        now.duration_since(*self.refused.get_or_insert(now)) >= PATIENCE
    }

    /// Says which drivers contradict the Node, when that is news.
    fn tell_clashes(&mut self, clashes: BTreeMap<String, String>) {
        for (driver, clash) in
            clashes.iter().filter(|(driver, clash)| self.clashes.get(*driver) != Some(*clash))
        {
            tracing::warn!(driver, clash, "The cluster is not told of a CSI driver");
        }
        self.clashes = clashes;
    }
}

/// The newer one of what the watch shows and of what was answered. What was answered of another Node of the name counts
/// for nothing.
fn newer(shown: Option<Arc<Node>>, answered: Option<Arc<Node>>) -> Option<Arc<Node>> {
    let version = |node: &Node| node.metadata.resource_version.as_ref()?.parse::<u64>().ok();
    match (shown, answered) {
        (Some(shown), Some(answered))
            if shown.metadata.uid == answered.metadata.uid && version(&answered) > version(&shown) =>
        {
            Some(answered)
        }
        (shown, _) => shown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newer_node_counts() {
        let node = |uid: &str, version: &str| -> Option<Arc<Node>> {
            let node = json!({"metadata": {"uid": uid, "resourceVersion": version}});
            Some(Arc::new(serde_json::from_value(node).unwrap()))
        };
        for (shown, answered, expected) in [
            (node("u", "9"), node("u", "10"), node("u", "10")),
            (node("u", "11"), node("u", "10"), node("u", "11")),
            (node("v", "9"), node("u", "10"), node("v", "9")),
            (node("u", "9"), None, node("u", "9")),
            (None, node("u", "10"), None),
        ] {
            assert_eq!(newer(shown, answered), expected);
        }
    }

    #[test]
    fn a_server_that_refuses_for_long_makes_the_node_unfit() {
        let (mut objects, begun) = (Objects::default(), Instant::now());
        for (secs, answered, settled, unfit) in [
            (0, true, None, false),
            (29, true, None, false),
            (30, true, None, true),
            (31, false, None, false),
            (40, true, None, false),
            (69, true, None, false),
            (70, true, Some("before"), true),
            (71, true, Some("u"), false),
        ] {
            objects.settled = settled.map(str::to_owned);
            let is = objects.is_unfit(answered, Some("u"), begun + Duration::from_secs(secs));
            assert_eq!(is, unfit, "after {secs} s");
        }
    }

    #[test]
    fn pauses() {
        let all: Vec<u128> =
            [1, 2, 3, 8, 9, 1000].into_iter().map(|failures| RETRIES.after(failures).as_millis()).collect();
        assert_eq!(all, [200, 400, 800, 25_600, 30_000, 30_000]);
    }
}
