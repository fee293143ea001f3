//! Many pulls at once.

#![allow(clippy::unwrap_used, reason = "it is a test")]

mod common;

use std::time::Duration;

use common::{APP, LONG, node, pod, request};
use futures::future::{join_all, select};
use image::Options;
use image::policy::PullPolicy::Always;
use testkit::fake::{Fault, Match};
use tokio::time::{Instant, timeout};

const PULL: Duration = Duration::from_secs(10);

fn parallel(parallel: Option<usize>) -> Options {
    Options { parallel, registry_pull_qps: 0, ..Options::default() }
}

/// How long it takes to pull six images, one for each of six pods.
async fn six(options: Options) -> u64 {
    let node = node(options).await;
    node.fake.set_latency("PullImage", PULL);
    let begun = Instant::now();
    let pulls = (0..6).map(|i| {
        let images = node.images.clone();
        async move {
            let (pod, image) = (pod(&format!("web-{i}")), format!("app-{i}"));
            images.ensure(&request(&pod, &image, Always)).await.unwrap();
        }
    });
    join_all(pulls).await;
    begun.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn as_many_at_once_as_allowed() {
    assert_eq!(six(parallel(Some(1))).await, 60);
    assert_eq!(six(parallel(Some(3))).await, 20);
    assert_eq!(six(parallel(None)).await, 10);
}

#[tokio::test(start_paused = true)]
async fn many_pods_want_one_image() {
    let options = Options { registry_pull_qps: 1, registry_burst: 1, ..Options::default() };
    let mut node = node(options).await;
    node.fake.set_latency("PullImage", PULL);
    let pods: Vec<_> = (0..50).map(|i| pod(&format!("web-{i}"))).collect();
    let all = join_all(pods.iter().map(|pod| {
        let (images, request) = (node.images.clone(), request(pod, APP, Always));
        async move { images.ensure(&request).await }
    }));
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(node.fake.calls("PullImage"), 1);
    let pulled = node.events().iter().filter(|event| event.contains("Successfully pulled")).count();
    assert_eq!(pulled, 50);
    let count = "kubelet_image_pull_duration_seconds_count{image_size_in_bytes=\"0-10MB\"} 1";
    assert_eq!(node.metric("kubelet_image_pull_duration_seconds_count"), [count]);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_hangs_gives_its_place_up() {
    let node = node(parallel(Some(1))).await;
    let fault = node.fake.fault(Match::call("PullImage").container("stuck:1"), Fault::Hang);
    let (stuck, web) = (pod("stuck"), pod("web"));
    let hanging = {
        let images = node.images.clone();
        tokio::spawn(async move { images.ensure(&request(&stuck, "stuck:1", Always)).await })
    };
    node.fake.wait_for("the pull that hangs", LONG, |store| store.calls("PullImage") == 1).await.unwrap();
    let begun = Instant::now();
    node.images.ensure(&request(&web, APP, Always)).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 60);
    drop(fault);
    hanging.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_ends_nobody_elses_pull() {
    let node = node(Options::default()).await;
    node.fake.set_latency("PullImage", PULL);
    let (first, second) = (pod("first"), pod("second"));
    let first = request(&first, APP, Always);
    let second = request(&second, APP, Always);
    let asked = Box::pin(node.images.ensure(&first));
    // The first one asks, and stops waiting after a while.
    let left = select(asked, Box::pin(tokio::time::sleep(PULL / 2))).await;
    let other = {
        let pulled = node.images.ensure(&second);
        drop(left);
        pulled.await
    };
    other.unwrap();
    assert_eq!(node.fake.calls("PullImage"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pull_waits_a_while_for_who_comes_back() {
    let node = node(Options::default()).await;
    let fault = node.fake.fault(Match::call("PullImage").times(1), Fault::Hang);
    let web = pod("web");
    let request = request(&web, APP, Always);
    assert!(timeout(PULL, node.images.ensure(&request)).await.is_err());
    tokio::time::sleep(PULL).await;
    assert!(timeout(PULL, node.images.ensure(&request)).await.is_err());
    assert_eq!(node.fake.calls("PullImage"), 1, "it was the same pull");
    // Nobody comes back: the pull that hangs ends, and the next one is another.
    tokio::time::sleep(Duration::from_secs(180)).await;
    timeout(PULL, node.images.ensure(&request)).await.unwrap().unwrap();
    assert_eq!(node.fake.calls("PullImage"), 2);
    drop(fault);
}
