//! Which volumes that are attached to the node are used here: what the control plane must not detach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use csi::{Here, Layout, VolumeId};
use node::InUse;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use types::PodUid;
use types::corev1::Node;

/// For how long pods may take to say again what they wait for, after a restart.
const KEPT: Duration = Duration::from_secs(5);

/// The volumes in use, told to the node's task.
#[derive(Debug)]
pub(super) struct UsedVolumes {
    used: Mutex<Used>,
    told: watch::Sender<Option<Arc<InUse>>>,
    doubted: Notify,
}

impl UsedVolumes {
    /// None is known yet. What is known is told to `told`.
    pub(super) fn new(told: watch::Sender<Option<Arc<InUse>>>) -> Self {
        Self { used: Mutex::default(), told, doubted: Notify::new() }
    }

    /// `pod` wants the volume with this unique name. It is in use from now on.
    pub(super) fn want(&self, pod: &PodUid, name: &str) {
        self.change(|used| used.want(pod, name));
    }

    /// `pod` wants nothing any more. What it had is in use until it is seen that it is not here. Returns whether it wanted
    /// anything.
    pub(super) fn leave(&self, pod: &PodUid) -> bool {
        self.lock().wanted.remove(pod).is_some()
    }

    /// `pod` has the volume with this unique name without its being attached. It is in use until it is seen that it is not.
    pub(super) fn need_not(&self, pod: &PodUid, name: &str) {
        if let Some(wanted) = self.lock().wanted.get_mut(pod) {
            wanted.remove(name);
        }
        self.doubt();
    }

    /// Something may be here no longer.
    pub(super) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Returns when a volume may be here no longer.
    pub(super) async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// What is wanted from now on may not be seen by a look that begins now.
    pub(super) fn begin_look(&self) {
        self.lock().fresh.clear();
    }

    /// These were seen here by a look.
    pub(super) fn seen(&self, here: BTreeSet<String>) {
        self.change(|used| used.seen(here));
    }

    /// What is told.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<InUse>>> {
        self.told.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Used)) {
        let mut used = self.lock();
        change(&mut used);
        let Some(now) = used.now(self.told.borrow().as_deref()) else { return };
        self.told.send_replace(Some(Arc::new(now)));
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of volumes in use.
#[derive(Debug, Default)]
struct Used {
    /// By the pods that want them.
    wanted: BTreeMap<PodUid, BTreeSet<String>>,
    /// Those that were seen here, and those that were wanted since; `None` before the first look.
    here: Option<BTreeSet<String>>,
    /// Those that were wanted since the last look began.
    fresh: BTreeSet<String>,
}

impl Used {
    fn want(&mut self, pod: &PodUid, name: &str) {
        self.wanted.entry(pod.clone()).or_default().insert(name.to_owned());
        self.fresh.insert(name.to_owned());
        if let Some(here) = &mut self.here {
            here.insert(name.to_owned());
        }
    }

    fn seen(&mut self, mut here: BTreeSet<String>) {
        here.extend(self.fresh.iter().cloned());
        self.here = Some(here);
    }

    /// What is to be told after `before`, if that is another thing.
    fn now(&self, before: Option<&InUse>) -> Option<InUse> {
        let names: BTreeSet<&String> =
            self.here.as_ref()?.iter().chain(self.wanted.values().flatten()).collect();
        if before.is_some_and(|before| before.volumes.keys().eq(names.iter().copied())) {
            return None;
        }
        let generation = before.map_or(1, |before| before.generation + 1);
        let since =
            |name: &String| before.and_then(|before| before.volumes.get(name)).copied().unwrap_or(generation);
        let volumes = names.into_iter().map(|name| (name.clone(), since(name))).collect();
        Some(InUse { generation, volumes })
    }
}

/// Volumes that were in use before berth started, and of which nothing is here: pods that still wait for them say so again
/// soon, and what they waited for is not taken back before.
#[derive(Debug, Default)]
pub(super) struct Kept(Option<(BTreeSet<String>, Instant)>);

impl Kept {
    /// Adds them to the `names` of those that are here, and returns for how long they are kept on. `node` is the Node as it
    /// was found, at first.
    pub(super) fn add_to(
        &mut self,
        names: &mut BTreeSet<String>,
        node: &Node,
        now: Instant,
    ) -> Option<Duration> {
        let (kept, until) = self.0.get_or_insert_with(|| {
            let said = node.status.iter().flat_map(|status| status.volumes_in_use.iter().flatten());
            (said.filter(|name| !names.contains(*name)).cloned().collect(), now + KEPT)
        });
        let left = until.saturating_duration_since(now);
        if kept.is_empty() || left.is_zero() {
            kept.clear();
            return None;
        }
        names.extend(kept.iter().cloned());
        Some(left)
    }
}

/// The unique names of the volumes that are in use by what is `here` of drivers, and by `ours`, what is here of those that
/// berth mounts itself. `attaches` tells drivers whose volumes are attached;
/// what `node` says of volumes holds where nothing else is known.
pub(super) fn used_by(
    here: &Here,
    ours: &intree::Here,
    layout: &Layout,
    node: &Node,
    attaches: impl Fn(&str) -> bool,
) -> BTreeSet<String> {
    let status = node.status.as_ref();
    let said: BTreeSet<&String> =
        status.and_then(|status| status.volumes_in_use.as_ref()).into_iter().flatten().collect();
    let attached = status.and_then(|status| status.volumes_attached.as_ref()).into_iter().flatten();
    let attached: BTreeSet<&String> = attached.map(|volume| &volume.name).collect();
    let named = here.volumes.iter().filter_map(|volume| {
        let name = volume.unique_name();
        (attaches(&volume.driver) || attached.contains(&name)).then_some(name)
    });
    let kept = said.union(&attached).filter(|name| match VolumeId::of_unique_name(name) {
        // Something is staged where it would be, and no note says what.
        Some(volume) => here.may_have(&volume, layout) && !here.volumes.contains(&volume),
        None if is_ours(name) => said.contains(*name) && ours.has_unknown,
        // Of another plugin, which another kubelet had: nothing is known of it here.
        None => said.contains(*name),
    });
    named.chain(kept.map(|name| (*name).clone())).chain(ours.names.iter().cloned()).collect()
}

/// Whether a name is that of a volume of a kind that berth mounts itself. Those of FlexVolume drivers begin with anything.
fn is_ours(name: &str) -> bool {
    ["kubernetes.io/iscsi/", "kubernetes.io/fc/"].iter().any(|kind| name.starts_with(kind))
        || !name.starts_with("kubernetes.io/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn told(used: &UsedVolumes) -> Option<String> {
        let told = used.told.borrow().clone()?;
        let all: Vec<String> = told.volumes.iter().map(|(name, since)| format!("{name}{since}")).collect();
        Some(format!("{}: {}", told.generation, all.join(" ")))
    }

    #[test]
    fn what_is_wanted_is_told_at_once_and_leaves_when_it_was_seen_to_be_gone() {
        let used = UsedVolumes::new(watch::Sender::new(None));
        let (a, b) = (PodUid::from("a"), PodUid::from("b"));
        used.want(&a, "u");
        assert_eq!(told(&used), None, "what else is here is not known yet");
        used.begin_look();
        used.want(&b, "v");
        used.seen(set(&["w"]));
        assert_eq!(told(&used).as_deref(), Some("1: u1 v1 w1"));
        used.want(&b, "u");
        assert_eq!(told(&used).as_deref(), Some("1: u1 v1 w1"), "no news");
        used.want(&b, "x");
        assert_eq!(told(&used).as_deref(), Some("2: u1 v1 w1 x2"));
        used.leave(&b);
        used.want(&a, "y");
        assert_eq!(told(&used).as_deref(), Some("3: u1 v1 w1 x2 y3"), "nobody has looked");
        used.begin_look();
        used.want(&b, "z");
        used.leave(&b);
        used.seen(set(&["x"]));
        assert_eq!(told(&used).as_deref(), Some("5: u1 x2 y3 z4"), "z was wanted after the look began");
        used.begin_look();
        used.seen(set(&[]));
        assert_eq!(told(&used).as_deref(), Some("6: u1 y3"));
        used.want(&b, "x");
        assert_eq!(told(&used).as_deref(), Some("7: u1 x7 y3"), "it was away in between");
    }

    #[test]
    fn what_was_waited_for_before_a_restart_is_kept_for_a_while() {
        let node = json!({"status": {"volumesInUse": ["gone", "here"]}});
        let node: Node = serde_json::from_value(node).unwrap();
        let (mut kept, begun) = (Kept::default(), Instant::now());
        for (secs, here, expected, left) in [
            (0, &["here"][..], &["gone", "here"][..], Some(5)),
            (3, &[], &["gone"], Some(2)),
            (5, &["here"], &["here"], None),
            (6, &[], &[], None),
        ] {
            let mut names = set(here);
            let then = kept.add_to(&mut names, &node, begun + Duration::from_secs(secs));
            assert_eq!((names, then), (set(expected), left.map(Duration::from_secs)), "after {secs} s");
        }
    }

    #[test]
    fn what_is_here_is_in_use() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = Layout::new(tmp.path().to_owned());
        let id = |driver: &str, handle: &str| VolumeId { driver: driver.into(), handle: handle.into() };
        let (a, b, c) = (id("attaches", "a"), id("does-not", "b"), id("does-not", "c"));
        let node = json!({"status": {
            "volumesInUse": ["kubernetes.io/iscsi/1", a.unique_name(), id("attaches", "gone").unique_name()],
            "volumesAttached": [{"name": c.unique_name(), "devicePath": ""}, {"name": "kubernetes.io/fc/2", "devicePath": ""}],
        }});
        let node: Node = serde_json::from_value(node).unwrap();
        let here = Here { volumes: BTreeSet::from([a.clone(), b, c.clone()]), ..Here::default() };
        let ours = intree::Here { names: set(&["kubernetes.io/fc/3"]), has_unknown: true };
        let names = used_by(&here, &ours, &layout, &node, |driver| driver == "attaches");
        let mut expected = BTreeSet::from([a.unique_name(), c.unique_name()]);
        expected.extend(["kubernetes.io/iscsi/1", "kubernetes.io/fc/3"].map(str::to_owned));
        assert_eq!(names, expected);
        let ours = intree::Here { has_unknown: false, ..ours };
        let names = used_by(&here, &ours, &layout, &node, |driver| driver == "attaches");
        expected.remove("kubernetes.io/iscsi/1");
        assert_eq!(names, expected, "nothing of it is here");
    }
}
