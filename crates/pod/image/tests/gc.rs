//! Images that nobody uses go when the disk fills up.

#![allow(clippy::unwrap_used, reason = "it is a test")]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{LONG, Node, node, node_on, pod, request};
use image::gc::{Collector, Disk, DiskError, Needs, Policy};
use image::policy::PullPolicy;
use image::{Options, Verification};
use testkit::fake::{FakeRuntime, Fault, Match};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::Code;

const MINUTE: Duration = Duration::from_secs(60);

/// A node as tests want it to be.
#[derive(Clone)]
struct Wanted {
    used: Arc<Mutex<Option<Vec<&'static str>>>>,
    disk: Arc<Mutex<Option<Disk>>>,
}

impl Wanted {
    fn new(used: &[&'static str], capacity: u64, available: u64) -> Self {
        Self {
            used: Arc::new(Mutex::new(Some(used.to_vec()))),
            disk: Arc::new(Mutex::new(Some(Disk { capacity, available }))),
        }
    }
}

impl Needs for Wanted {
    async fn images_in_use(&self) -> Option<BTreeSet<String>> {
        self.used.lock().unwrap().as_ref().map(|used| used.iter().map(ToString::to_string).collect())
    }

    async fn disk(&self) -> Result<Disk, DiskError> {
        self.disk.lock().unwrap().ok_or(DiskError::Unknown(None))
    }
}

fn collect(node: &Node, policy: Policy, needs: &Wanted) -> JoinHandle<()> {
    let collector = Collector::new(
        node.runtime.clone(),
        node.access.clone(),
        policy,
        node.recorder.clone(),
        node.metrics.clone(),
    );
    tokio::spawn(collector.run(needs.clone()))
}

fn names(node: &Node) -> Vec<String> {
    node.fake.read(|store| store.images().keys().cloned().collect())
}

async fn rounds(node: &Node, rounds: u64) {
    let lists = |store: &testkit::fake::Store| store.calls("ListImages");
    node.fake.wait_for("a round", LONG, |store| lists(store) >= rounds).await.unwrap();
    // The round goes on after the list; the next one is minutes away.
    sleep(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn room_is_made_down_to_the_low_threshold() {
    let mut node = node(Options::default()).await;
    for (name, size, pinned) in
        [("used:1", 100, false), ("pinned:1", 100, true), ("a:1", 60, false), ("b:1", 60, false)]
    {
        node.fake.add_image(name, size, pinned);
    }
    let needs = Wanted::new(&["used:1"], 1000, 150);
    let _task = collect(&node, Policy::default(), &needs);
    rounds(&node, 1).await;
    // 50 bytes were to be freed.
    assert_eq!(names(&node).len(), 3, "{:?}", names(&node));
    assert_eq!(
        node.metric("kubelet_image_garbage_collected_total"),
        ["kubelet_image_garbage_collected_total{reason=\"space\"} 1"]
    );
    assert_eq!(node.events(), Vec::<String>::new());

    // Now everything else is wanted, and there is too little.
    *needs.disk.lock().unwrap() = Some(Disk { capacity: 1000, available: 0 });
    rounds(&node, 2).await;
    assert_eq!(names(&node), ["pinned:1", "used:1"]);
    let message = "Failed to garbage collect required amount of images. Attempted to free 200 bytes, but only found 60 bytes eligible to free.";
    assert_eq!(node.events(), [format!("Warning FreeDiskSpaceFailed : {message}")]);
    // A second failure in a row is told as such too.
    rounds(&node, 3).await;
    let message = message.replace(" 60 ", " 0 ");
    assert_eq!(
        node.events(),
        [format!("Warning FreeDiskSpaceFailed : {message}"), format!("Warning ImageGCFailed : {message}")]
    );
}

#[tokio::test(start_paused = true)]
async fn the_image_of_sandboxes_stays_also_where_it_is_not_pinned() {
    let node = node(Options::default()).await;
    node.fake.add_image("pause:3.6", 10, false);
    node.fake.add_image("a:1", 10, false);
    node.fake.set_sandbox_image("pause:3.6");
    let _task = collect(&node, Policy::default(), &Wanted::new(&[], 1000, 0));
    rounds(&node, 1).await;
    assert_eq!(names(&node), ["pause:3.6"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_young_stays_and_age_alone_is_enough() {
    let node = node(Options::default()).await;
    node.fake.add_image("old:1", 10, false);
    let needs = Wanted::new(&[], 1000, 1000);
    let policy = Policy { maximum_age: 7 * MINUTE, ..Policy::default() };
    let _task = collect(&node, policy, &needs);
    rounds(&node, 1).await;
    node.fake.add_image("new:1", 10, false);
    *needs.disk.lock().unwrap() = Some(Disk { capacity: 1000, available: 190 });
    rounds(&node, 2).await;
    assert_eq!(names(&node), ["new:1", "old:1"], "the disk is not full enough");
    rounds(&node, 3).await;
    assert_eq!(names(&node), ["new:1"], "the other was not used for longer than seven minutes");
    assert_eq!(
        node.metric("kubelet_image_garbage_collected_total"),
        ["kubelet_image_garbage_collected_total{reason=\"age\"} 1"]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_removed_is_passed_over() {
    let mut node = node(Options::default()).await;
    let ids = ["a:1", "b:1"].map(|name| {
        node.fake.add_image(name, 100, false);
        name
    });
    let fault = Fault::Fail(Code::Internal, "busy".into());
    let _up = node.fake.fault(Match::call("RemoveImage").times(1), fault);
    let _task = collect(&node, Policy::default(), &Wanted::new(&[], 1000, 150));
    rounds(&node, 1).await;
    assert_eq!(names(&node).len(), ids.len() - 1);
    assert_eq!(node.fake.calls("RemoveImage"), 2);
    assert_eq!(node.events(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_removed_while_too_little_is_known() {
    let mut node = node(Options::default()).await;
    node.fake.add_image("a:1", 100, false);
    let needs = Wanted::new(&[], 1000, 0);
    *needs.used.lock().unwrap() = None;
    let _task = collect(&node, Policy::default(), &needs);
    rounds(&node, 1).await;
    assert_eq!((node.fake.calls("RemoveImage"), node.events().len()), (0, 0));
    *needs.used.lock().unwrap() = Some(vec![]);
    *needs.disk.lock().unwrap() = Some(Disk { capacity: 0, available: 0 });
    rounds(&node, 2).await;
    let message = "invalid capacity 0 on image filesystem";
    assert_eq!(
        node.events(),
        [format!("Warning InvalidDiskCapacity : {message}"), format!("Warning ImageGCFailed : {message}")]
    );
    assert_eq!(node.fake.calls("RemoveImage"), 0);
}

#[tokio::test(start_paused = true)]
async fn off_is_off() {
    let node = node(Options::default()).await;
    let policy = Policy { high_threshold_percent: 100, ..Policy::default() };
    let task = collect(&node, policy, &Wanted::new(&[], 1000, 0));
    sleep(LONG).await;
    assert_eq!(node.fake.calls("ListImages"), 0);
    assert!(!task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn records_of_images_that_are_gone_go() {
    let root = tempfile::tempdir().unwrap();
    let fake = FakeRuntime::start().await.unwrap();
    let node = node_on(fake, Options::default(), Some((root.path(), Verification::Pulled)));
    let (web, policy) = (pod("web"), PullPolicy::IfNotPresent);
    for image in ["kept:1", "gone:1"] {
        node.images.ensure(&request(&web, image, policy)).await.unwrap();
    }
    let dir = root.path().join("image_manager/pulled");
    let records = || std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    for path in records() {
        let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record["lastUpdatedTime"] = "2020-01-01T00:00:00Z".into();
        std::fs::write(path, record.to_string()).unwrap();
    }
    // Its record may be newer than the list: another pull may have brought the image back.
    node.images.ensure(&request(&web, "new:1", policy)).await.unwrap();
    let newest = records();
    for path in newest.iter().filter(|path| std::fs::read_to_string(path).unwrap().contains("\"new\"")) {
        let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        record["lastUpdatedTime"] = "2999-01-01T00:00:00Z".into();
        std::fs::write(path, record.to_string()).unwrap();
    }
    for image in ["gone:1", "new:1"] {
        let spec = cri::v1::ImageSpec { image: image.to_owned(), ..cri::v1::ImageSpec::default() };
        node.runtime.remove_image(spec).await.unwrap();
    }
    assert_eq!((names(&node).len(), records().len()), (1, 3));
    let needs = Wanted::new(&[], 1000, 1000);
    let _task = collect(&node, Policy::default(), &needs);
    rounds(&node, 1).await;
    let text: Vec<String> = records().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(text.len() == 2 && !text.iter().any(|record| record.contains("\"gone\"")), "{text:?}");
}
