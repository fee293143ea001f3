//! Volumes that the control plane attaches to the node before they can be used (Kubernetes: "VolumeAttachment"; the Node's
//! `volumesInUse` and `volumesAttached`).
//!
//! First the API server has to know that the volume is used here: from then on it is not detached. Only what it then
//! says of volumes that are attached counts.

use std::collections::BTreeMap;
use std::time::Duration;

use csi::{Policy, VolumeId};
use node::{InUse, Standing};
use task::doubling::Doubling;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use types::PodUid;
use types::k8s::api::storage::v1::VolumeAttachment;
use types::reason::event;
use volume::{Onlooker, Problem};

use super::ClusterDrivers;
use super::error::{AskError, DriversError};
use super::inuse::UsedVolumes;

/// When the VolumeAttachment of a volume that is waited for is first looked at, and the times between two looks. A node may
/// read it by its name, and not watch it.
const LOOKS: Doubling = Doubling::new(Duration::from_secs(1), Duration::from_mins(2));

/// How long a pod waits for a volume for which there is no room on the node, before it makes way for one elsewhere: as
/// long as other kubelets wait for volumes.
const NO_ROOM: Duration = Duration::from_secs(123);

/// The reason of the end of such a pod.
const LIMIT_EXCEEDED: &str = "VolumeAttachmentLimitExceeded";

/// What the waiting goes by.
#[derive(Debug)]
pub(super) struct Attaching {
    /// The node's name.
    pub(super) node: String,
    /// Whether the control plane attaches volumes (`enableControllerAttachDetach`).
    pub(super) by_controller: bool,
    /// What the API server knows of the node.
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) used: UsedVolumes,
    /// Drivers that have no room on the node and are to be asked how much they have.
    pub(super) doubts: mpsc::Sender<String>,
}

/// A volume that has to be attached, and the pod that wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attachable<'a> {
    pub(super) pod: &'a PodUid,
    /// Its name in the pod.
    pub(super) name: &'a str,
    /// The PersistentVolume.
    pub(super) volume: &'a str,
    pub(super) id: &'a VolumeId,
}

/// How far a volume is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The API server does not know yet that it is used here.
    ToReport,
    /// It knows, and the volume is not attached.
    ToAttach,
    Attached,
}

/// How far the volume with this unique name is. What the API server said before it knew of the use does not count: the
/// volume may have been on its way out.
pub(super) fn stage(name: &str, in_use: Option<&InUse>, standing: &Standing) -> Stage {
    let since = in_use.and_then(|in_use| in_use.volumes.get(name).copied());
    if since.is_none_or(|since| standing.in_use.is_none_or(|told| told < since)) {
        return Stage::ToReport;
    }
    let status = standing.node.as_ref().and_then(|node| node.status.as_ref());
    let mut attached = status.and_then(|status| status.volumes_attached.as_ref()).into_iter().flatten();
    if attached.any(|volume| volume.name == name) { Stage::Attached } else { Stage::ToAttach }
}

/// For what is waited, as `berth why` shows it.
pub(super) fn waits_for(stage: Stage, volume: &str, refusal: Option<&str>) -> Option<String> {
    let text = match (stage, refusal) {
        (Stage::Attached, _) => return None,
        (Stage::ToReport, _) => {
            format!("the API server to know that PersistentVolume {volume:?} is used on this node")
        }
        (Stage::ToAttach, None) => {
            format!("PersistentVolume {volume:?} to be attached to this node by the control plane")
        }
        (Stage::ToAttach, Some(why)) => format!(
            "PersistentVolume {volume:?} to be attached to this node by the control plane, which failed so far: {why}"
        ),
    };
    Some(text)
}

impl Attaching {
    /// Tells why the volume could not be attached so far. Without room for it, the pod is given up in the end.
    fn heed(
        &self,
        wanted: Attachable<'_>,
        policy: &Policy,
        attachment: &VolumeAttachment,
        begun: Instant,
        refusal: &mut Option<String>,
        onlooker: &dyn Onlooker,
    ) -> Result<(), Problem> {
        let now = csi::refusal(attachment);
        if let Some(why) = now.as_ref().filter(|now| refusal.as_ref() != Some(now)) {
            let text = format!("AttachVolume.Attach failed for volume {:?} : {why}", wanted.volume);
            onlooker.warn(event::FAILED_ATTACH_VOLUME, text);
        }
        *refusal = now;
        if !csi::is_exhausted(attachment) || policy.limit_period.is_none() {
            return Ok(());
        }
        // One that waits there already is enough.
        let _ = self.doubts.try_send(wanted.id.driver.clone());
        if begun.elapsed() < NO_ROOM {
            return Ok(());
        }
        let message = format!(
            "Node has reached its volume attachment limit, rejecting pod. unmounted volumes=[{name}], unattached volumes=[{name}]",
            name = wanted.name
        );
        Err(Problem::Rejected { reason: LIMIT_EXCEEDED, message })
    }
}

impl ClusterDrivers {
    /// Waits until the volume is attached, and returns what its driver is told of that (`publish_context`): nothing if it turns
    /// out that it has not to be attached.
    pub(super) async fn attached(
        &self,
        wanted: Attachable<'_>,
        onlooker: &dyn Onlooker,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let attaching = &self.attaching;
        if !attaching.by_controller {
            return Err(DriversError::NotByController.into());
        }
        let unique = wanted.id.unique_name();
        attaching.used.want(wanted.pod, &unique);
        let (mut in_use, mut standing) = (attaching.used.subscribe(), attaching.standing.clone());
        let mut objects = self.objects.subscribe();
        let begun = Instant::now();
        let mut pause = LOOKS.next(None);
        let mut look_at = begun + pause;
        let mut refusal: Option<String> = None;
        loop {
            objects.borrow_and_update();
            let policy = self.policy(&wanted.id.driver).await?;
            if !policy.attach {
                attaching.used.need_not(wanted.pod, &unique);
                return Ok(BTreeMap::new());
            }
            let in_use_now = in_use.borrow_and_update().clone();
            let stage = stage(&unique, in_use_now.as_deref(), &standing.borrow_and_update());
            onlooker.waits_for(wanted.name, waits_for(stage, wanted.volume, refusal.as_deref()));
            if stage == Stage::Attached {
                return self.publish_context(wanted.id, wanted.volume).await;
            }
            tokio::select! {
                // The senders live as long as the agent.
                Ok(()) = in_use.changed() => {}
                Ok(()) = standing.changed() => {}
                // Whoever deploys a driver may say after the first pods how it is.
                Ok(()) = objects.changed() => {}
                () = sleep_until(look_at), if stage == Stage::ToAttach => {
                    // One that is not there, or that the node may not read (yet), says nothing.
                    if let Ok(attachment) = self.attachment(wanted.id, false).await {
                        attaching.heed(wanted, &policy, &attachment, begun, &mut refusal, onlooker)?;
                    }
                    pause = LOOKS.next(Some(pause));
                    look_at = Instant::now() + pause;
                }
            }
        }
    }

    /// What the driver is told of a volume that is said to be attached.
    pub(super) async fn publish_context(
        &self,
        id: &VolumeId,
        volume: &str,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let attachment = self.attachment(id, true).await.map_err(|source| {
            let attachment = id.attachment(&self.attaching.node);
            DriversError::Attachment { volume: id.handle.clone(), attachment, source }
        })?;
        csi::publish_context(&attachment, &id.handle)
            .map_err(|error| Problem::NotAttached { volume: volume.to_owned(), why: error.to_string() })
    }

    /// The VolumeAttachment of the volume to this node; one that `has_to_be` there may be news to the server.
    async fn attachment(&self, id: &VolumeId, has_to_be: bool) -> Result<VolumeAttachment, AskError> {
        let name = id.attachment(&self.attaching.node);
        if has_to_be { self.get_soon(None, &name).await } else { self.get(None, &name).await }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use types::corev1::Node;

    use super::*;

    #[test]
    fn nothing_counts_before_the_api_server_knows_of_the_use() {
        let node = |attached: &[&str]| -> Option<Arc<Node>> {
            let attached: Vec<_> =
                attached.iter().map(|name| json!({"name": name, "devicePath": ""})).collect();
            Some(Arc::new(serde_json::from_value(json!({"status": {"volumesAttached": attached}})).unwrap()))
        };
        let in_use = |since| InUse { generation: 5, volumes: [("v".to_owned(), since)].into() };
        let other = InUse { generation: 5, volumes: [("w".to_owned(), 1)].into() };
        for (used, told, attached, expected) in [
            (None, Some(5), &["v"][..], Stage::ToReport),
            (Some(other), Some(5), &["v"], Stage::ToReport),
            (Some(in_use(4)), None, &["v"], Stage::ToReport),
            (Some(in_use(4)), Some(3), &["v"], Stage::ToReport),
            (Some(in_use(4)), Some(4), &["v"], Stage::Attached),
            (Some(in_use(4)), Some(5), &["w", "v"], Stage::Attached),
            (Some(in_use(4)), Some(5), &["w"], Stage::ToAttach),
            (Some(in_use(4)), Some(5), &[], Stage::ToAttach),
        ] {
            let standing = Standing { node: node(attached), in_use: told, ..Standing::default() };
            assert_eq!(stage("v", used.as_ref(), &standing), expected, "{used:?} {told:?} {attached:?}");
        }
        let unknown = Standing { in_use: Some(5), ..Standing::default() };
        assert_eq!(stage("v", Some(&in_use(1)), &unknown), Stage::ToAttach);
    }

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Onlooker for Told {
        fn waits_for(&self, _: &str, _: Option<String>) {}

        fn warn(&self, reason: &'static str, message: String) {
            self.0.lock().unwrap().push(format!("{reason}: {message}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_makes_way_in_the_end_where_there_is_no_room() {
        let (doubts, mut doubted) = mpsc::channel(4);
        let attaching = Attaching {
            node: "n".to_owned(),
            by_controller: true,
            standing: watch::Sender::default().subscribe(),
            used: UsedVolumes::new(watch::Sender::new(None)),
            doubts,
        };
        let policy = |spec| {
            let driver = json!({"metadata": {"name": "d"}, "spec": spec});
            Policy::of(Some(&serde_json::from_value(driver).unwrap()))
        };
        let (asks, never) = (policy(json!({"nodeAllocatableUpdatePeriodSeconds": 60})), policy(json!({})));
        let refused = |message: &str, code: Option<i32>| -> VolumeAttachment {
            let error = json!({"message": message, "errorCode": code});
            let attachment = json!({
                "metadata": {"name": "csi-1"}, "status": {"attached": false, "attachError": error},
                "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "pv"}},
            });
            serde_json::from_value(attachment).unwrap()
        };
        let (pod, id) = (PodUid::from("u"), VolumeId { driver: "d".into(), handle: "v".into() });
        let (told, begun, mut refusal) = (Told::default(), Instant::now(), None);
        let mut heed = |policy: &Policy, attachment: VolumeAttachment| {
            let wanted = Attachable { pod: &pod, name: "data", volume: "pv", id: &id };
            attaching.heed(wanted, policy, &attachment, begun, &mut refusal, &told)
        };
        heed(&asks, refused("no", None)).unwrap();
        heed(&asks, refused("no", None)).unwrap();
        assert!(doubted.try_recv().is_err());
        heed(&asks, refused("full", Some(8))).unwrap();
        assert_eq!(doubted.recv().await.as_deref(), Some("d"));
        tokio::time::advance(NO_ROOM).await;
        heed(&never, refused("full", Some(8))).unwrap();
        heed(&asks, refused("full", Some(13))).unwrap();
        let rejected = heed(&asks, refused("full", Some(8))).unwrap_err();
        let Problem::Rejected { reason, message } = rejected else { panic!("{rejected:?}") };
        assert_eq!(reason, "VolumeAttachmentLimitExceeded");
        assert!(
            message.ends_with("rejecting pod. unmounted volumes=[data], unattached volumes=[data]"),
            "{message}"
        );
        let failed = "FailedAttachVolume: AttachVolume.Attach failed for volume \"pv\" : ";
        assert_eq!(
            *told.0.lock().unwrap(),
            [format!("{failed}no"), format!("{failed}full")],
            "each is told once"
        );
    }
}
