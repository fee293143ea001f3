//! One call that hangs, fails, or whose answer is lost, for one pod: the others start and stop as before, and
//! `berth why` names the call.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::containerd::BUSYBOX;
use testkit::fake::{Code, Fault, FaultGuard, Match, Script};
use testkit::pod::{PodBuilder, pod};
use tokio::time::{Instant, timeout};

use crate::rig::{DEADLINE, Rig, full};

/// How soon `berth why` has to name a call.
const NAMED_WITHIN: Duration = Duration::from_secs(1);
/// How soon another pod has to start and to stop: each takes milliseconds, on a machine that has nothing else to do.
const PROMPT: Duration = Duration::from_secs(3);
/// How long the start of a container goes on when its pod is removed.
const CARRIED: Duration = Duration::from_secs(5);
/// What a fault says.
const MESSAGE: &str = "shim disconnected";

/// The pods that a fault strikes, and how.
fn victims() -> [(&'static str, Fault); 3] {
    [
        ("hangs", Fault::Hang),
        ("fails", Fault::Fail(Code::Unknown, MESSAGE.to_owned())),
        ("loses", Fault::LoseAnswer),
    ]
}

fn image_of(name: &str) -> String {
    format!("registry.example/{name}:1")
}

fn victim(name: &str) -> PodBuilder {
    let hook = json!({
        "image": image_of(name),
        "lifecycle": {"postStart": {"exec": {"command": ["warm-up"]}}},
    });
    pod(name).container("main", &["run"]).with_container("main", &hook)
}

fn raise(rig: &Rig, call: &'static str, name: &str, fault: Fault) -> FaultGuard {
    let calls = Match::call(call);
    // What is asked about an image is asked for no pod.
    let calls = if call == "ImageStatus" { calls.container(&image_of(name)) } else { calls.pod(&full(name)) };
    rig.runtime.fault(calls, fault)
}

/// Waits until the call has been made for the pod, and then a second at most until `berth why` names it.
async fn is_named(rig: &Rig, call: &'static str, name: &str) {
    rig.until_store(&format!("{call} of {name}"), |store| {
        let made = |made: &testkit::fake::Call| {
            let about =
                made.pod.as_deref() == Some(&full(name)) || made.container.as_ref() == Some(&image_of(name));
            made.call == call && about
        };
        store.journal().iter().any(made)
    })
    .await;
    let named = |why: &Value| {
        let text = [&why["waitingFor"], &why["failures"]].map(Value::to_string).concat();
        text.contains(call) && (name != "fails" || text.contains(MESSAGE))
    };
    rig.until(&format!("why {name}: names {call}"), NAMED_WITHIN, || rig.why(name), named).await;
}

/// Another pod starts and stops as if nothing were the matter.
async fn others_go_on(rig: &Rig) {
    let begun = Instant::now();
    let others = async {
        rig.put(&pod("other"));
        rig.until_ready("other").await;
        rig.remove("other");
        rig.until_gone("other").await;
    };
    assert!(timeout(PROMPT, others).await.is_ok(), "another pod was held up: {:?}", begun.elapsed());
    assert_eq!(rig.ask("/healthz").await.as_deref(), Some("ok"));
}

/// `call` is struck while pods are started.
async fn starting(call: &'static str) {
    let rig = Rig::start().await;
    rig.runtime.add_image(BUSYBOX, 1, false);
    rig.put(&pod("bystander"));
    rig.until_ready("bystander").await;
    let mut guards = Vec::new();
    for (name, fault) in victims() {
        guards.push(raise(&rig, call, name, fault));
        rig.put(&victim(name));
    }
    for (name, _) in victims() {
        is_named(&rig, call, name).await;
    }
    others_go_on(&rig).await;
    drop(guards);
    rig.until_ready("hangs").await;
    rig.until_ready("loses").await;
    assert_eq!(rig.runtime.starts("bystander-node", "main"), 1);
    rig.assert_proper();
}

/// `call` is struck while pods are stopped.
async fn stopping(call: &'static str) {
    let rig = Rig::start().await;
    rig.runtime.add_image(BUSYBOX, 1, false);
    for name in ["bystander", "hangs", "fails", "loses"] {
        rig.put(&victim(name));
        rig.until_ready(name).await;
    }
    rig.runtime.clear_journal();
    let mut guards = Vec::new();
    for (name, fault) in victims() {
        guards.push(raise(&rig, call, name, fault));
        rig.remove(name);
    }
    for (name, _) in victims() {
        is_named(&rig, call, name).await;
    }
    others_go_on(&rig).await;
    drop(guards);
    rig.until_gone("hangs").await;
    rig.until_gone("loses").await;
    assert_eq!(rig.runtime.starts("bystander-node", "main"), 1);
    rig.assert_proper();
}

#[tokio::test]
async fn run_pod_sandbox() {
    starting("RunPodSandbox").await;
}

#[tokio::test]
async fn pod_sandbox_status() {
    starting("PodSandboxStatus").await;
}

#[tokio::test]
async fn image_status() {
    starting("ImageStatus").await;
}

#[tokio::test]
async fn pull_image() {
    starting("PullImage").await;
}

#[tokio::test]
async fn create_container() {
    starting("CreateContainer").await;
}

#[tokio::test]
async fn start_container() {
    starting("StartContainer").await;
}

#[tokio::test]
async fn exec_sync() {
    starting("ExecSync").await;
}

#[tokio::test]
async fn list_pod_sandbox() {
    starting("ListPodSandbox").await;
}

#[tokio::test]
async fn list_containers() {
    starting("ListContainers").await;
}

#[tokio::test]
async fn container_status() {
    starting("ContainerStatus").await;
}

#[tokio::test]
async fn stop_container() {
    stopping("StopContainer").await;
}

#[tokio::test]
async fn stop_pod_sandbox() {
    stopping("StopPodSandbox").await;
}

/// What is stopped goes with its sandbox; the call is made for a pod that goes on and has more dead containers than are
/// kept.
#[tokio::test]
async fn remove_container() {
    let mut rig = Rig::prepare("crashLoopBackOff:\n  maxContainerRestartPeriod: 1s\n").await;
    rig.launch();
    rig.runtime.add_image(BUSYBOX, 1, false);
    rig.put(&pod("hangs"));
    rig.until_ready("hangs").await;
    let guard = raise(&rig, "RemoveContainer", "hangs", Fault::Hang);
    rig.runtime.kill_sandbox(&full("hangs"));
    rig.until_store("the container in a new sandbox", |store| {
        store.starts("hangs-node", "main") == 2 && store.is_running("hangs-node", "main")
    })
    .await;
    rig.runtime.kill_sandbox(&full("hangs"));
    is_named(&rig, "RemoveContainer", "hangs").await;
    others_go_on(&rig).await;
    drop(guard);
    rig.remove("hangs");
    rig.until_gone("hangs").await;
    rig.assert_proper();
}

#[tokio::test]
async fn remove_pod_sandbox() {
    stopping("RemovePodSandbox").await;
}

/// A pod whose start hangs in `call` can be removed `within` that time.
async fn giving_up(call: &'static str, within: Duration) {
    let rig = Rig::start().await;
    let _guard = raise(&rig, call, "hangs", Fault::Hang);
    rig.put(&victim("hangs"));
    is_named(&rig, call, "hangs").await;
    let begun = Instant::now();
    rig.remove("hangs");
    rig.until_gone("hangs").await;
    assert!(begun.elapsed() < within, "{call} held up the removal for {:?}", begun.elapsed());
    rig.assert_proper();
}

#[tokio::test]
async fn a_start_that_hangs_is_given_up_when_its_pod_is_removed() {
    for call in ["RunPodSandbox", "ImageStatus", "PullImage", "CreateContainer", "ExecSync"] {
        giving_up(call, PROMPT).await;
    }
    giving_up("StartContainer", CARRIED + PROMPT).await;
}

/// containerd may keep a container for ever if its start is cut short.
#[tokio::test]
async fn a_start_under_way_goes_on_when_its_pod_is_removed() {
    let rig = Rig::start().await;
    let guard = raise(&rig, "StartContainer", "web", Fault::Hang);
    rig.put(&pod("web"));
    is_named(&rig, "StartContainer", "web").await;
    rig.remove("web");
    rig.until_why("web", "stopping", |why| why["step"] == "Stopping").await;
    drop(guard);
    rig.until_gone("web").await;
    let journal = rig.journal("web");
    assert!(journal.contains(&"StopContainer main".to_owned()), "{journal:?}");
    rig.assert_proper();
}

/// Nobody has looked at the pod since: its round has gone on to the next container.
#[tokio::test]
async fn what_was_started_just_before_its_pod_is_removed_does_not_die_with_its_sandbox() {
    let rig = Rig::start().await;
    let done = Script { exits_at_once: Some(0), ..Script::default() };
    rig.runtime.script(None, "prepare", done);
    let of = |call, container| Match::call(call).pod(&full("web")).container(container);
    let _creation = rig.runtime.fault(of("CreateContainer", "other"), Fault::Hang);
    let look = rig.runtime.fault(of("ContainerStatus", "main"), Fault::Hang);
    let web = pod("web").init_container("prepare", &["true"]).container("main", &["run"]);
    rig.put(&web.container("other", &["run"]));
    rig.until_store("main runs, and other is to be created", |store| {
        let other = |call: &testkit::fake::Call| call.container.as_deref() == Some("other");
        store.is_running("web-node", "main") && store.journal().iter().any(other)
    })
    .await;
    rig.remove("web");
    rig.until_why("web", "no longer started", |why| why["step"] != "Create").await;
    drop(look);
    rig.until_gone("web").await;
    let journal = rig.journal("web");
    let at = |made: &str| journal.iter().position(|call| call == made);
    let stopped = at("StopContainer main").is_some_and(|stop| Some(stop) < at("StopPodSandbox"));
    assert!(stopped, "{journal:?}");
    rig.assert_proper();
}

#[tokio::test]
async fn a_start_under_way_goes_on_when_berth_ends() {
    let mut rig = Rig::start().await;
    let guard = raise(&rig, "StartContainer", "web", Fault::Hang);
    rig.put(&pod("web"));
    is_named(&rig, "StartContainer", "web").await;
    rig.tell_to_end();
    rig.until("berth is ending", DEADLINE, || rig.get("/pods"), Value::is_null).await;
    drop(guard);
    assert!(rig.ended().await.success());
    assert!(rig.runtime.read(|store| store.is_running("web-node", "main")));
    rig.launch();
    rig.until_ready("web").await;
    assert_eq!(rig.runtime.read(|store| store.starts("web-node", "main")), 1);
    rig.assert_proper();
}

#[tokio::test]
async fn what_was_done_and_told_to_have_failed_is_not_done_twice() {
    let rig = Rig::start().await;
    let calls = [
        "RunPodSandbox",
        "PodSandboxStatus",
        "PullImage",
        "CreateContainer",
        "StartContainer",
        "ContainerStatus",
    ];
    let mut guards = Vec::new();
    for call in calls {
        let name = call.to_lowercase();
        let fault = Fault::DoThenFail(Code::Unavailable, MESSAGE.to_owned());
        guards.push(rig.runtime.fault(Match::call(call).pod(&full(&name)).times(1), fault));
        rig.put(&pod(&name));
    }
    for call in calls {
        rig.until_ready(&call.to_lowercase()).await;
    }
    rig.assert_proper();
}

#[tokio::test]
async fn a_look_that_hangs_when_a_container_ends_is_named() {
    let rig = Rig::start().await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    let guard = raise(&rig, "ContainerStatus", "web", Fault::Hang);
    rig.runtime.clear_journal();
    rig.runtime.exit_container("web-node", "main", 1);
    is_named(&rig, "ContainerStatus", "web").await;
    others_go_on(&rig).await;
    drop(guard);
    rig.until_store("it is started again", |store| store.starts("web-node", "main") == 2).await;
    rig.assert_proper();
}

#[tokio::test]
async fn as_many_hanging_starts_as_there_are_places_do_not_hold_up_the_next_for_long() {
    let rig = Rig::start().await;
    rig.runtime.add_image(BUSYBOX, 1, false);
    let mut guards = Vec::new();
    for number in 0..8 {
        let name = format!("hangs-{number}");
        guards.push(raise(&rig, "RunPodSandbox", &name, Fault::Hang));
        rig.put(&pod(&name));
        rig.until_why(&name, "hangs", |why| why["step"] == "Sandbox").await;
    }
    rig.put(&pod("next"));
    rig.until_why("next", "waits for its turn, or starts", |why| !why.is_null()).await;
    rig.until_ready("next").await;
    rig.assert_proper();
}

#[tokio::test]
async fn a_status_call_that_hangs_holds_up_nobody() {
    let rig = Rig::start().await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    let _guard = rig.runtime.fault(Match::call("Status"), Fault::Hang);
    others_go_on(&rig).await;
}

#[tokio::test]
async fn a_runtime_that_hangs_from_the_start_is_named() {
    for call in ["Version", "RuntimeConfig", "Status", "ListPodSandbox", "ListContainers"] {
        let mut rig = Rig::prepare("").await;
        let guard = rig.runtime.fault(Match::call(call), Fault::Hang);
        rig.put(&pod("web"));
        rig.launch();
        rig.until_why("web", "waits for the runtime", |why| {
            ["Runtime", "Cgroup"].contains(&why["step"].as_str().unwrap_or_default())
                && why["waitingFor"].as_str().is_some_and(|text| text.contains("runtime"))
        })
        .await;
        drop(guard);
        rig.until_ready("web").await;
        rig.assert_proper();
    }
}

#[tokio::test]
async fn questions_at_the_start_are_asked_again_when_they_fail() {
    for call in
        ["Version", "RuntimeConfig", "Status", "ListPodSandbox", "ListContainers", "GetContainerEvents"]
    {
        let mut rig = Rig::prepare("").await;
        let fault = Fault::Fail(Code::Unknown, MESSAGE.to_owned());
        let _guard = rig.runtime.fault(Match::call(call).times(1), fault);
        rig.put(&pod("web"));
        rig.launch();
        rig.until_ready("web").await;
        rig.assert_proper();
    }
}
