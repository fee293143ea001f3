//! The generator over a fake runtime.

#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::sync::Arc;
use std::time::Duration;

use cri::{Endpoint, Runtime};
use pleg::{Metrics, Mode, Options, Pleg};
use telemetry::metrics::Registry;
use testkit::fake::{FakeRuntime, Fault, Match};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use types::{ContainerState, ObservedPod, PodName, PodRef};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(1000);
const SECOND: Duration = Duration::from_secs(1);

struct Node {
    fake: FakeRuntime,
    runtime: Runtime,
    pleg: Pleg,
    registry: Registry,
    task: Option<JoinHandle<()>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn pod(name: &str) -> PodRef {
    PodRef { name: PodName::new("default", name), uid: format!("uid-{name}").into() }
}

/// A node whose generator does not run yet.
async fn node() -> Node {
    node_with(Options::default()).await
}

async fn node_with(options: Options) -> Node {
    let fake = FakeRuntime::start().await.unwrap();
    let registry = Registry::default();
    let runtime = Runtime::new(
        &Endpoint::at(fake.socket()),
        None,
        cri::Options::default(),
        cri::Metrics::register(&registry),
    );
    let pleg = Pleg::new(runtime.clone(), options, Metrics::register(&registry));
    Node { fake, runtime, pleg, registry, task: None }
}

/// A node that runs pods of these names with a container `app` each, and listens to events.
async fn running(pods: &[&str]) -> Node {
    let mut node = node().await;
    for name in pods {
        node.fake.run_pod(&pod(name), &["app"]).unwrap();
    }
    node.run();
    node.mode(Mode::Events).await;
    node.fake.wait_for_subscriber(LONG).await.unwrap();
    for name in pods {
        node.until(&mut node.pleg.observed(&pod(name)), app_runs).await;
    }
    // Looks and lists of the start are over.
    sleep(SECOND).await;
    node
}

impl Node {
    fn run(&mut self) {
        self.task = Some(tokio::spawn(self.pleg.clone().run()));
    }

    async fn mode(&self, mode: Mode) {
        let mut health = self.pleg.health();
        timeout(LONG, health.wait_for(|health| health.mode == mode)).await.unwrap().unwrap();
    }

    /// Waits until `pod` is as `wanted`, and tells how long that took.
    async fn until(
        &self,
        pod: &mut watch::Receiver<Arc<ObservedPod>>,
        wanted: fn(&ObservedPod) -> bool,
    ) -> Duration {
        let begun = Instant::now();
        timeout(LONG, pod.wait_for(|pod| wanted(pod))).await.unwrap().unwrap();
        begun.elapsed()
    }

    /// Ends the container of `pod`, and tells how long it takes until that is published.
    async fn notices_exit(&self, name: &str) -> Duration {
        let mut observed = self.pleg.observed(&pod(name));
        self.fake.exit_container(name, "app", 3);
        self.until(&mut observed, app_exited).await
    }

    fn metric(&self, name: &str) -> Option<String> {
        let text = self.registry.encode();
        text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    }
}

fn app_runs(pod: &ObservedPod) -> bool {
    pod.newest("app").is_some_and(|app| app.state.is_running())
}

fn app_exited(pod: &ObservedPod) -> bool {
    pod.newest("app").is_some_and(|app| matches!(&app.state, ContainerState::Exited(exit) if exit.code == 3))
}

fn ended_by(pod: &ObservedPod, reason: &str) -> bool {
    pod.newest("app").and_then(|app| app.state.exit()).is_some_and(|exit| exit.reason == reason)
}

#[tokio::test(start_paused = true)]
async fn an_event_tells_of_an_exit_at_once() {
    let node = running(&["web", "other"]).await;
    assert_eq!(node.metric("kubelet_running_pods").as_deref(), Some("2"));
    assert_eq!(node.metric("kubelet_running_containers{container_state=\"running\"}").as_deref(), Some("2"));
    assert!(node.notices_exit("web").await < SECOND);
    assert_eq!(node.metric("kubelet_running_containers{container_state=\"exited\"}").as_deref(), Some("1"));
    assert_eq!(node.metric("kubelet_evented_pleg_connection_success_count").as_deref(), Some("1"));
    assert_eq!(node.metric("kubelet_evented_pleg_connection_error_count").as_deref(), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn lack_of_memory_that_is_told_late_is_seen() {
    let node = running(&["web"]).await;
    let mut observed = node.pleg.observed(&pod("web"));
    node.fake.exit_container("web", "app", 137);
    assert!(node.until(&mut observed, |pod| ended_by(pod, "Error")).await < SECOND);
    // There is no event of that.
    node.fake.oom_kill_container("web", "app");
    assert!(node.until(&mut observed, |pod| ended_by(pod, "OOMKilled")).await < SECOND);
}

#[tokio::test(start_paused = true)]
async fn without_events_a_relist_finds_it() {
    let mut node = node().await;
    node.fake.events_unimplemented();
    node.fake.run_pod(&pod("web"), &["app"]).unwrap();
    node.run();
    node.until(&mut node.pleg.observed(&pod("web")), app_runs).await;
    sleep(10 * SECOND).await;
    assert_eq!(node.pleg.health().borrow().mode, Mode::Polling);
    assert!(node.notices_exit("web").await <= SECOND);
    // Nobody asks again, until the runtime went away and came back.
    let asked = node.fake.calls("GetContainerEvents");
    sleep(60 * SECOND).await;
    assert_eq!(node.fake.calls("GetContainerEvents"), asked);
    node.fake.events_resume();
    node.fake.restart().await.unwrap();
    let _fault = node
        .fake
        .fault(Match::call("ListContainers").times(1), Fault::Fail(Code::Unavailable, "restarting".into()));
    node.mode(Mode::Events).await;
}

#[tokio::test(start_paused = true)]
async fn events_that_are_off_are_not_asked_for() {
    let mut node = node_with(Options { events: false, ..Options::default() }).await;
    node.fake.run_pod(&pod("web"), &["app"]).unwrap();
    node.run();
    node.until(&mut node.pleg.observed(&pod("web")), app_runs).await;
    assert!(node.notices_exit("web").await <= SECOND);
    node.fake.restart().await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(node.pleg.health().borrow().mode, Mode::Polling);
    assert_eq!(node.fake.calls("GetContainerEvents"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_dies_is_replaced() {
    let node = running(&["web", "other"]).await;
    node.fake.events_die();
    node.mode(Mode::Polling).await;
    assert!(node.notices_exit("web").await <= SECOND, "nobody listens");
    node.mode(Mode::Events).await;
    assert!(node.notices_exit("other").await < SECOND);
    // No event was due for what happened in between.
    sleep(30 * SECOND).await;
    assert_eq!(node.metric("kubelet_evented_pleg_connection_success_count").as_deref(), Some("2"));
    assert_eq!(node.metric("kubelet_evented_pleg_connection_error_count").as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_not_relied_on() {
    let node = running(&["web", "second", "third"]).await;
    node.fake.events_silent();
    let web = node.pleg.refresh(&pod("web")).await.unwrap();
    let begun = Instant::now();
    node.runtime.stop_container(&web.newest("app").unwrap().id, SECOND).await.unwrap();
    node.pleg.refresh(&pod("web")).await.unwrap();
    node.mode(Mode::Polling).await;
    assert!(begun.elapsed() <= 6 * SECOND, "{:?}", begun.elapsed());
    // A new stream that says nothing either is not believed.
    sleep(30 * SECOND).await;
    assert_eq!(node.pleg.health().borrow().mode, Mode::Polling);
    assert!(node.notices_exit("second").await <= SECOND);
    sleep(30 * SECOND).await;
    node.fake.events_resume();
    assert!(node.notices_exit("third").await <= SECOND);
    node.mode(Mode::Events).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_runtime_loses_nothing() {
    let mut node = running(&["web", "other"]).await;
    node.fake.stop();
    node.mode(Mode::Polling).await;
    let mut health = node.pleg.health();
    timeout(LONG, health.wait_for(|health| health.error.is_some())).await.unwrap().unwrap();
    node.fake.exit_container("web", "app", 3);
    sleep(10 * SECOND).await;
    node.fake.restart().await.unwrap();
    node.until(&mut node.pleg.observed(&pod("web")), app_exited).await;
    node.mode(Mode::Events).await;
    assert_eq!(node.pleg.health().borrow().error, None);
    assert!(node.notices_exit("other").await < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_hangs_delays_no_other() {
    let node = running(&["stuck", "web"]).await;
    let fault = node.fake.fault(Match::call("ListContainers").pod("stuck"), Fault::Hang);
    let mut stuck = node.pleg.observed(&pod("stuck"));
    node.fake.exit_container("stuck", "app", 3);
    let lists = node.fake.calls("ListContainers");
    node.fake.wait_for("a look", LONG, |store| store.calls("ListContainers") > lists).await.unwrap();
    assert!(node.notices_exit("web").await < SECOND);
    assert!(app_runs(&stuck.borrow()));
    drop(fault);
    assert!(node.until(&mut stuck, app_exited).await < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_relist_that_hangs_does_not_stop_events() {
    let node = running(&["web"]).await;
    let _fault = node.fake.fault(Match::call("ListPodSandbox").times(1), Fault::Hang);
    let lists = node.fake.calls("ListPodSandbox");
    node.pleg.relist_now();
    node.fake.wait_for("the relist", LONG, |store| store.calls("ListPodSandbox") > lists).await.unwrap();
    let took = node.notices_exit("web").await;
    assert!(took < SECOND, "{took:?}");
    // It fails in the end, and the next one works.
    let mut health = node.pleg.health();
    timeout(LONG, health.wait_for(|health| health.error.is_some())).await.unwrap().unwrap();
    timeout(2 * SECOND, health.wait_for(|health| health.error.is_none())).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_made_again() {
    let node = running(&["web"]).await;
    let fault = Fault::Fail(Code::Internal, "busy".into());
    let _up = node.fake.fault(Match::call("ContainerStatus").times(3), fault);
    assert_eq!(node.notices_exit("web").await.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_without_asking() {
    let mut node = node().await;
    node.fake.run_pod(&pod("web"), &["app"]).unwrap();
    assert_eq!(node.pleg.known(&pod("web")), None);
    assert_eq!(node.pleg.known(&pod("none")), None);
    let _watched = node.pleg.observed(&pod("none"));
    node.run();
    let mut pods = node.pleg.pods();
    timeout(LONG, pods.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert!(node.pleg.known(&pod("none")).unwrap().is_absent());
    node.until(&mut node.pleg.observed(&pod("web")), app_runs).await;
    assert!(app_runs(&node.pleg.known(&pod("web")).unwrap()));
    // A pod that was made a moment ago is known by the look of who made it.
    node.fake.run_pod(&pod("new"), &["app"]).unwrap();
    node.pleg.refresh(&pod("new")).await.unwrap();
    assert!(app_runs(&node.pleg.known(&pod("new")).unwrap()));
    assert!(pods.borrow().as_ref().unwrap().contains(&pod("new")));
}

#[tokio::test(start_paused = true)]
async fn a_stale_look_is_not_published() {
    let node = node().await;
    node.fake.run_pod(&pod("web"), &["app"]).unwrap();
    let fault = node.fake.fault(Match::call("PodSandboxStatus").times(1), Fault::Hang);
    let slow = {
        let pleg = node.pleg.clone();
        tokio::spawn(async move { pleg.refresh(&pod("web")).await })
    };
    node.fake.wait_for("its answer", LONG, |store| store.calls("ContainerStatus") == 1).await.unwrap();
    sleep(SECOND).await;
    node.fake.exit_container("web", "app", 3);
    assert!(app_exited(&node.pleg.refresh(&pod("web")).await.unwrap()));
    drop(fault);
    assert!(app_runs(&slow.await.unwrap().unwrap()), "it saw the container before it ended");
    assert!(app_exited(&node.pleg.observed(&pod("web")).borrow()));
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_gone_leave_nothing() {
    let names: Vec<_> = (0..20).map(|i| format!("web-{i}")).collect();
    let node = running(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(node.pleg.tracked(), 20);
    for name in &names {
        let pod = node.pleg.refresh(&pod(name)).await.unwrap();
        node.runtime.remove_pod_sandbox(&pod.sandboxes[0].id).await.unwrap();
    }
    let mut pods = node.pleg.pods();
    let empty = |all: &Option<Arc<_>>| {
        all.as_ref().is_some_and(|all: &Arc<std::collections::BTreeSet<_>>| all.is_empty())
    };
    timeout(LONG, pods.wait_for(empty)).await.unwrap().unwrap();
    node.pleg.relist_now();
    sleep(SECOND).await;
    assert_eq!(node.pleg.tracked(), 0);
    assert_eq!(node.metric("kubelet_running_containers{container_state=\"running\"}").as_deref(), Some("0"));
}
