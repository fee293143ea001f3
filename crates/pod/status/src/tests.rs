//! Tests of deriving statuses: the rules as named cases, and properties over random histories.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PodStatus;
use proptest::prelude::*;
use serde_json::{Value, json};
use types::observed::{Exit, NamespaceMode, ObservedUser};
use types::{
    ContainerState, Ended, Failure, Failures, ObservedContainer, ObservedPod, ObservedSandbox, Pod, PodRef,
    Probes, SandboxState, Verdict, pod as view,
};

use crate::{DeriveInput, Life, derive, is_over};

fn pod(mut spec: Value) -> Pod {
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec[field].as_array_mut().into_iter().flatten() {
            if container.is_string() {
                *container = json!({"name": container.clone()});
            }
            container["image"] = json!("image");
        }
        if spec[field].is_null() {
            spec.as_object_mut().unwrap().remove(field);
        }
    }
    let metadata = json!({"name": "p", "namespace": "ns", "uid": "u", "generation": 3});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_millis(seconds * 1000 + 250)
}

/// One ready sandbox with these containers in the order of time: `web=run`, `web=1` (exit code), `web=new`, `web=?`.
fn observed(line: &str) -> ObservedPod {
    let mut all = ObservedPod::absent(PodRef::of(&pod(json!({"containers": []}))));
    all.sandboxes.push(ObservedSandbox {
        id: "s0".into(),
        attempt: 0,
        state: SandboxState::Ready,
        created_at: at(0),
        ips: vec!["fd00::2".parse().unwrap(), "10.0.0.2".parse().unwrap()],
        network: Some(NamespaceMode::Pod),
        runtime_handler: "".into(),
    });
    for word in line.split_whitespace() {
        let (name, state) = word.split_once('=').unwrap();
        let state = match state {
            "run" => ContainerState::Running { started_at: at(1) },
            "new" => ContainerState::Created,
            "?" => ContainerState::Unknown,
            code => ContainerState::Exited(Exit {
                code: code.parse().unwrap(),
                reason: if code == "0" { "Completed" } else { "Error" }.to_owned(),
                message: String::new(),
                started_at: Some(at(1)),
                finished_at: at(2),
            }),
        };
        let count = u32::try_from(all.instances(name).count()).unwrap();
        all.containers.insert(
            0,
            ObservedContainer {
                id: format!("{name}.{count}").into(),
                name: name.into(),
                sandbox: "s0".into(),
                state,
                created_at: at(0),
                image: "image".to_owned(),
                image_ref: "image@sha256:0".to_owned(),
                image_id: String::new(),
                hash: String::new(),
                restart_count: count,
                log_path: String::new(),
                mounts: Vec::new(),
                user: Some(ObservedUser { uid: 1, gid: 2, supplemental_groups: vec![3] }),
                resources: None,
                annotations: Arc::default(),
            },
        );
    }
    all
}

struct Case {
    pod: Pod,
    observed: ObservedPod,
    probes: Probes,
    failures: Failures,
    previous: Option<PodStatus>,
    server: Option<PodStatus>,
    life: Life,
    ended: Option<Ended>,
    now: i64,
}

impl Case {
    fn new(spec: Value, line: &str) -> Self {
        Self {
            pod: pod(spec),
            observed: observed(line),
            probes: Probes::default(),
            failures: Failures::new(),
            previous: None,
            server: None,
            life: Life::Running,
            ended: None,
            now: 10,
        }
    }

    fn with<R>(&self, f: impl FnOnce(&DeriveInput<'_>) -> R) -> R {
        f(&DeriveInput {
            pod: &self.pod,
            observed: &self.observed,
            probes: &self.probes,
            failures: &self.failures,
            previous: self.previous.as_ref(),
            server: self.server.as_ref(),
            life: self.life,
            ended: self.ended.as_ref(),
            host_ips: &["192.168.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            runtime_name: "containerd",
            now: at(self.now),
        })
    }

    fn derive(&self) -> PodStatus {
        self.with(derive)
    }

    /// Derives, and takes the result for the previous status of the next time.
    fn next(&mut self, line: &str) -> PodStatus {
        self.observed = observed(line);
        self.now += 10;
        let status = self.derive();
        self.previous = Some(status.clone());
        status
    }

    fn fail(&mut self, container: &str, reason: &str) {
        let failure = Failure { reason: reason.to_owned(), message: "why".to_owned() };
        self.failures.insert(container.to_owned(), failure);
    }
}

/// A container's status as a few words.
fn words(status: &PodStatus, name: &str) -> String {
    let status = serde_json::to_value(status).unwrap();
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let all = lists.iter().filter_map(|list| status[list].as_array()).flatten();
    let one = all.into_iter().find(|one| one["name"] == name).unwrap();
    let state = |state: &Value| {
        if state["running"].is_object() {
            "running".to_owned()
        } else if state["terminated"].is_object() {
            format!("{}:{}", state["terminated"]["reason"].as_str().unwrap(), state["terminated"]["exitCode"])
        } else if state["waiting"].is_object() {
            state["waiting"]["reason"].as_str().unwrap_or("waiting").to_owned()
        } else {
            "-".to_owned()
        }
    };
    let flag = |name: &str| if one[name] == true { "+" } else { "-" };
    format!(
        "{} last {} #{} {}{}",
        state(&one["state"]),
        state(&one["lastState"]),
        one["restartCount"],
        flag("ready"),
        flag("started")
    )
}

fn condition(status: &PodStatus, kind: &str) -> String {
    let all = status.conditions.as_deref().unwrap_or_default();
    match all.iter().find(|condition| condition.type_ == kind) {
        None => "none".to_owned(),
        Some(found) => {
            let text = format!(
                "{} {} {}",
                found.status,
                found.reason.as_deref().unwrap_or_default(),
                found.message.as_deref().unwrap_or_default()
            );
            text.trim_end().to_owned()
        }
    }
}

#[test]
fn container_states() {
    let plain = || json!({"containers": ["web"]});
    let with_init = || json!({"initContainers": ["init"], "containers": ["web"]});
    for (case, spec, line, name, expected) in [
        ("nothing yet", plain(), "", "web", "ContainerCreating last - #0 --"),
        ("nothing yet, init first", with_init(), "", "web", "PodInitializing last - #0 --"),
        ("created", plain(), "web=new", "web", "waiting last - #0 --"),
        ("running", plain(), "web=run", "web", "running last - #0 ++"),
        ("running again", plain(), "web=0 web=1 web=run", "web", "running last Error:1 #2 ++"),
        ("ended", plain(), "web=7", "web", "Error:7 last - #0 --"),
        ("unknown from the start", plain(), "web=?", "web", "waiting last - #0 --"),
        ("init ended well", with_init(), "init=0", "init", "Completed:0 last - #0 +-"),
        ("init failed", with_init(), "init=1", "init", "Error:1 last - #0 --"),
        ("init runs", with_init(), "init=run", "init", "running last - #0 -+"),
        ("init is forgotten", with_init(), "web=run", "init", "Completed:0 last - #0 +-"),
    ] {
        assert_eq!(words(&Case::new(spec, line).derive(), name), expected, "{case}");
    }
}

#[test]
fn lost_containers() {
    let mut case = Case::new(json!({"containers": ["web"]}), "");
    case.next("web=run");
    let lost = case.next("");
    assert_eq!(words(&lost, "web"), "ContainerCreating last ContainerStatusUnknown:137 #1 --");
    assert_eq!(lost.phase.as_deref(), Some("Running"), "it is restarted, so the pod is not pending again");
    assert_eq!(words(&case.next(""), "web"), words(&lost, "web"), "counted once");

    let mut case = Case::new(json!({"containers": ["web"]}), "");
    case.next("web=run");
    let unknown = "ContainerStatusUnknown:137 last - #1 --";
    assert_eq!(words(&case.next("web=?"), "web"), unknown);
    assert_eq!(words(&case.next("web=?"), "web"), unknown, "counted once");

    let mut case = Case::new(json!({"containers": ["web"]}), "");
    case.next("web=run");
    case.life = Life::Terminating;
    assert_eq!(words(&case.next(""), "web"), "ContainerCreating last ContainerStatusUnknown:137 #0 --");
    case.life = Life::Terminated;
    let status = case.next("");
    assert!(words(&status, "web").starts_with("ContainerStatusUnknown:137"));
    assert_eq!(status.phase.as_deref(), Some("Failed"));

    let mut case = Case::new(json!({"restartPolicy": "Never", "containers": ["web", "job"]}), "");
    case.next("web=run job=0");
    assert_eq!(words(&case.next("web=run"), "job"), "Completed:0 last - #0 --", "its end is remembered");

    let mut case = Case::new(json!({"containers": ["web"]}), "");
    case.next("web=1 web=run");
    case.observed.containers.pop();
    case.now += 1;
    assert_eq!(words(&case.derive(), "web"), "running last Error:1 #1 ++", "so is the end before");
}

#[test]
fn failures_show_as_waiting() {
    let spec =
        |policy: &str| json!({"restartPolicy": policy, "initContainers": ["init"], "containers": ["web"]});
    for (policy, line, name, expected) in [
        ("Always", "init=0", "web", "ErrX last - #0 --"),
        ("Always", "init=0 web=1", "web", "ErrX last Error:1 #0 --"),
        ("Always", "init=0 web=new", "web", "ErrX last - #0 --"),
        ("Always", "init=0 web=run", "web", "running last - #0 ++"),
        ("Never", "init=0 web=1", "web", "Error:1 last - #0 --"),
        ("Always", "init=0", "init", "Completed:0 last - #0 +-"),
        ("Always", "init=1", "init", "ErrX last Error:1 #0 --"),
    ] {
        let mut case = Case::new(spec(policy), line);
        case.fail(name, "ErrX");
        assert_eq!(words(&case.derive(), name), expected, "{policy} {line}");
        case.life = Life::Terminating;
        assert!(!words(&case.derive(), name).starts_with("ErrX"), "nothing starts any more");
    }
}

#[test]
fn a_failure_shows_until_the_next_try() {
    for line in ["", "web=1", "web=1 web=1"] {
        let mut case = Case::new(json!({"containers": ["web"]}), line);
        case.fail("web", "ErrX");
        let before = case.next(line);
        // berth is restarted, and knows no more than the API server does.
        case.failures.clear();
        case.server = case.previous.take();
        case.previous = case.server.clone();
        assert_eq!(case.next(line), before, "{line:?}");
        assert_eq!(words(&case.next(&format!("{line} web=run")), "web").split(' ').next(), Some("running"));
        assert!(!words(&case.next(&format!("{line} web=2")), "web").starts_with("ErrX"), "another end");
    }
}

#[test]
fn phases() {
    let side = json!({"name": "side", "restartPolicy": "Always"});
    let spec = |policy: &str| json!({"restartPolicy": policy, "initContainers": ["init", side], "containers": ["a", "b"]});
    for (policy, life, line, expected, over) in [
        ("Always", Life::Running, "", "Pending", false),
        ("Always", Life::Running, "init=run", "Pending", false),
        ("Always", Life::Running, "init=1", "Pending", false),
        ("Always", Life::Running, "init=0 side=run", "Pending", false),
        ("Always", Life::Running, "init=0 side=run a=run", "Pending", false),
        ("Always", Life::Running, "init=0 side=run a=run b=run", "Running", false),
        ("Always", Life::Running, "init=0 side=1 a=run b=run", "Running", false),
        ("Always", Life::Running, "init=0 side=run a=0 b=1", "Running", false),
        ("Always", Life::Running, "init=0 side=0 a=0 b=1", "Running", false),
        ("OnFailure", Life::Running, "init=0 side=0 a=0 b=1", "Running", false),
        ("OnFailure", Life::Running, "init=0 side=0 a=0 b=0", "Running", true),
        ("OnFailure", Life::Terminated, "init=0 side=0 a=0 b=0", "Succeeded", true),
        ("Never", Life::Running, "init=0 side=0 a=0 b=1", "Running", true),
        ("Never", Life::Terminated, "init=0 side=0 a=0 b=1", "Failed", true),
        ("Never", Life::Terminated, "init=0 side=1 a=0 b=0", "Succeeded", true),
        ("Never", Life::Running, "init=1", "Running", true),
        ("Never", Life::Terminated, "init=1", "Failed", true),
        ("Always", Life::Terminated, "init=0 side=0 a=0 b=0", "Succeeded", true),
        ("Always", Life::Terminated, "init=0 side=0 a=0 b=137", "Failed", true),
        ("Always", Life::Terminated, "init=0", "Failed", true),
        ("Never", Life::Terminated, "init=0 side=run a=0 b=1", "Running", false),
    ] {
        let case = Case::new(spec(policy), line);
        let case = Case { life, ..case };
        assert_eq!(case.derive().phase.as_deref(), Some(expected), "{policy} {life:?} {line}");
        if life == Life::Running {
            assert_eq!(case.with(is_over), over, "{policy} {life:?} {line}");
        }
    }
}

#[test]
fn restart_rules_keep_the_pod_running() {
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    let spec = json!({"restartPolicy": "Never", "containers": [
        {"name": "web", "restartPolicy": "Never", "restartPolicyRules": rules}]});
    assert!(!Case::new(spec.clone(), "web=42").with(is_over));
    assert!(Case::new(spec, "web=41").with(is_over));
}

#[test]
fn what_others_write_comes_from_the_server() {
    let spec = json!({"readinessGates": [{"conditionType": "gate"}], "containers": ["web"]});
    let mut case = Case::new(spec, "web=run");
    let server = |gate: &str, phase: &str| -> Option<PodStatus> {
        let conditions = json!([{"type": "gate", "status": gate}, {"type": "Ready", "status": "False"}]);
        serde_json::from_value(json!({"phase": phase, "reason": "Taken", "nominatedNodeName": "n",
            "conditions": conditions}))
        .unwrap()
    };
    case.server = server("False", "Running");
    let status = case.next("web=run");
    assert!(condition(&status, "Ready").starts_with("False ReadinessGatesNotReady"));
    case.server = server("True", "Running");
    let status = case.next("web=run");
    assert_eq!((condition(&status, "Ready").as_str(), condition(&status, "gate").as_str()), ("True", "True"));
    assert_eq!(status.nominated_node_name.as_deref(), Some("n"));
    assert_eq!(status.conditions.iter().flatten().filter(|one| one.type_ == "Ready").count(), 1);

    // Somebody ended the pod: so be it.
    assert!(!case.with(is_over));
    case.server = server("True", "Failed");
    assert!(case.with(is_over));
    let status = case.next("web=run");
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Taken")));
}

#[test]
fn ends_by_the_node() {
    let mut case = Case::new(json!({"containers": ["web"]}), "");
    case.next("web=run");
    case.ended =
        Some(Ended { reason: "Evicted".to_owned(), message: "no memory".to_owned(), disruption: true });
    assert!(case.with(is_over));
    case.life = Life::Terminating;
    let status = case.next("web=run");
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Running"), None),
        "not while it may run"
    );
    assert_eq!(condition(&status, "DisruptionTarget"), "none", "nor is that said");
    case.life = Life::Terminated;
    let status = case.next("web=137");
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    assert_eq!(condition(&status, "Ready"), "False PodFailed");

    case.ended = None;
    case.life = Life::Running;
    let status = case.next("web=137 web=run");
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("Evicted")),
        "for good"
    );
    assert_eq!(status.message.as_deref(), Some("no memory"));
    assert_eq!(condition(&status, "DisruptionTarget"), "True TerminationByKubelet no memory");

    let mut obeyed = Case::new(json!({"restartPolicy": "Never", "containers": ["web"]}), "web=0");
    obeyed.ended =
        Some(Ended { reason: "DeadlineExceeded".to_owned(), message: "m".to_owned(), disruption: false });
    obeyed.life = Life::Terminated;
    let phase = obeyed.derive().phase;
    assert_eq!(
        phase.as_deref(),
        Some("Failed"),
        "a container that ends well when it is told to has not succeeded"
    );

    let rejected = Ended { reason: "OutOfcpu".to_owned(), message: "m".to_owned(), disruption: false };
    let case = Case {
        ended: Some(rejected),
        life: Life::Terminated,
        ..Case::new(json!({"containers": ["web"]}), "")
    };
    let status = case.derive();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
}

#[test]
fn conditions() {
    let side = json!({"name": "side", "restartPolicy": "Always", "startupProbe": {}});
    let spec = || {
        json!({"initContainers": ["init", side], "readinessGates": [{"conditionType": "gate"}],
                         "containers": [{"name": "web", "readinessProbe": {}}, "other"]})
    };
    let verdict = |id: &str, startup, readiness| (id.into(), Verdict { startup, liveness: None, readiness });
    let all = |case: &Case| {
        let status = case.derive();
        ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"]
            .map(|kind| condition(&status, kind))
    };
    let mut case = Case::new(spec(), "init=run");
    case.probes = Probes::default();
    let unready = "False ContainersNotReady containers with unready status: [side web other]";
    let incomplete = "False ContainersNotInitialized containers with incomplete status: [init side]";
    assert_eq!(all(&case), ["True", incomplete, unready, unready]);

    case.observed = observed("init=0 side=run");
    let incomplete = "False ContainersNotInitialized containers with incomplete status: [side]";
    assert_eq!(all(&case), ["True", incomplete, unready, unready], "not started");

    case.probes = [verdict("side.0", Some(true), None)].into();
    case.observed = observed("init=0 side=run web=run other=run");
    let unready = "False ContainersNotReady containers with unready status: [web]";
    assert_eq!(all(&case), ["True", "True", unready, unready]);

    case.probes = [verdict("side.0", Some(true), None), verdict("web.0", None, Some(true))].into();
    let [_, _, containers, ready] = all(&case);
    assert_eq!(containers, "True");
    assert!(ready.starts_with("False ReadinessGatesNotReady"), "{ready}");

    case.previous =
        Some(serde_json::from_value(json!({"conditions": [{"type": "gate", "status": "True"}]})).unwrap());
    let [_, _, _, ready] = all(&case);
    assert_eq!(ready, "True");
    assert_eq!(condition(&case.derive(), "gate"), "True", "what others say stays");
    assert_eq!(condition(&case.derive(), "PodScheduled"), "True");
    assert_eq!(condition(&case.derive(), "AllContainersRestarting"), "none");

    case.observed.sandboxes[0].ips.clear();
    assert_eq!(all(&case)[0], "False", "no network");

    let done = Case {
        life: Life::Terminated,
        ..Case::new(json!({"restartPolicy": "Never", "containers": ["web"]}), "web=0")
    };
    assert_eq!(condition(&done.derive(), "Ready"), "False PodCompleted");
    assert_eq!(condition(&done.derive(), "Initialized"), "True PodCompleted");
}

#[test]
fn restart_of_all_containers() {
    let rules = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
    let spec =
        json!({"containers": [{"name": "web", "restartPolicy": "Always", "restartPolicyRules": rules}]});
    let of = |line| condition(&Case::new(spec.clone(), line).derive(), "AllContainersRestarting");
    assert_eq!(of("web=run"), "False");
    assert_eq!(of("web=42"), "True RestartAllContainersStarted");
    assert_eq!(of("web=41"), "False");
}

#[test]
fn transition_times_are_kept() {
    let time = |status: &PodStatus, kind: &str| {
        let all = status.conditions.clone().unwrap_or_default();
        all.into_iter().find(|condition| condition.type_ == kind).unwrap().last_transition_time.unwrap().0
    };
    let mut case = Case::new(json!({"containers": ["web"]}), "");
    let first = case.next("");
    let second = case.next("web=run");
    let third = case.next("web=run");
    assert_eq!(time(&second, "PodScheduled"), time(&first, "PodScheduled"));
    assert!(time(&second, "Ready") > time(&first, "Ready"));
    assert_eq!(third, second, "nothing has changed");
    assert_eq!(third.start_time, first.start_time);
    assert_eq!(time(&third, "Ready").subsec_nanosecond(), 0, "whole seconds");
    assert!(third.conditions.iter().flatten().all(|condition| condition.observed_generation == Some(3)));
}

#[test]
fn addresses_and_details() {
    let mut case = Case::new(
        json!({"containers": [{"name": "web", "volumeMounts": [
        {"name": "v", "mountPath": "/v", "readOnly": true}]}, "also"]}),
        "web=run",
    );
    let status = case.next("web=run");
    assert_eq!(status.host_ip.as_deref(), Some("192.168.0.1"));
    assert_eq!(status.host_ips.as_ref().map(Vec::len), Some(2));
    let ips: Vec<_> = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    assert_eq!(
        (status.pod_ip.as_deref(), ips),
        (Some("10.0.0.2"), vec!["10.0.0.2", "fd00::2"]),
        "the node's order"
    );
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    let web = &status.container_statuses.as_ref().unwrap()[1];
    assert_eq!(web.container_id.as_deref(), Some("containerd://web.0"));
    assert_eq!((web.image.as_str(), web.image_id.as_str()), ("image", "image@sha256:0"));
    assert_eq!(web.user.as_ref().and_then(|user| user.linux.as_ref()).map(|user| user.uid), Some(1));
    assert_eq!(web.volume_mounts.as_ref().unwrap()[0].recursive_read_only.as_deref(), Some("Disabled"));

    case.life = Life::Terminating;
    case.observed.sandboxes[0].state = SandboxState::NotReady;
    assert_eq!(case.derive().pod_ip, status.pod_ip, "they outlive the sandbox");

    // berth is restarted, and finds a pod that had ended.
    case.life = Life::Running;
    assert_eq!(case.derive().pod_ip, None, "a pod that lives waits for its next sandbox");
    case.server = Some(PodStatus { phase: Some("Succeeded".to_owned()), ..status.clone() });
    case.previous = case.server.clone();
    assert_eq!(case.derive().pod_ip, status.pod_ip);

    let host = Case::new(json!({"hostNetwork": true, "containers": ["web"]}), "").derive();
    assert_eq!(host.pod_ip.as_deref(), Some("192.168.0.1"));
}

#[test]
fn resources_in_force() {
    let amounts = json!({"limits": {"cpu": "0.5", "memory": "64Mi"}, "requests": {"cpu": "0.1"}});
    let mut case = Case::new(json!({"containers": [{"name": "web", "resources": amounts}]}), "web=run");
    let web = |case: &Case| case.derive().container_statuses.unwrap().remove(0);
    let mut actual = types::observed::ObservedResources {
        cpu_shares: 102,
        cpu_quota: 50_000,
        cpu_period: 100_000,
        memory_limit: 64 << 20,
    };
    case.observed.containers[0].resources = Some(actual);
    assert_eq!(serde_json::to_value(web(&case).resources).unwrap(), amounts, "as the spec words it");
    actual.cpu_quota = 100_000;
    actual.memory_limit = 128 << 20;
    case.observed.containers[0].resources = Some(actual);
    let limits = serde_json::to_value(web(&case).resources.unwrap().limits).unwrap();
    assert_eq!(limits, json!({"cpu": "1", "memory": "128Mi"}));
}

#[test]
fn termination_messages_share_12_kib() {
    let mut case = Case::new(json!({"containers": ["a", "b", "c"]}), "a=1 b=1");
    for container in &mut case.observed.containers {
        if let ContainerState::Exited(exit) = &mut container.state {
            exit.message = "ä".repeat(4000);
        }
    }
    let status = case.derive();
    let lengths: Vec<_> = status
        .container_statuses
        .iter()
        .flatten()
        .filter_map(|status| Some(status.state.as_ref()?.terminated.as_ref()?.message.as_ref()?.len()))
        .collect();
    assert_eq!(lengths, [4096, 4096]);
}

fn histories() -> impl Strategy<Value = (Pod, Vec<(String, Life, bool)>)> {
    let spec = (prop::sample::select(vec!["Always", "OnFailure", "Never"]), prop::bool::ANY, prop::bool::ANY)
        .prop_map(|(policy, init, side)| {
            let mut before = Vec::new();
            if init {
                before.push(json!("init"));
            }
            if side {
                before.push(json!({"name": "side", "restartPolicy": "Always"}));
            }
            pod(json!({"restartPolicy": policy, "initContainers": before, "containers": ["web", "job"]}))
        });
    let word = (
        prop::sample::select(vec!["init", "side", "web", "job"]),
        prop::sample::select(vec!["run", "new", "?", "0", "1"]),
    )
        .prop_map(|(name, state)| format!("{name}={state}"));
    let line = prop::collection::vec(word, 0..7).prop_map(|words| words.join(" "));
    let life = prop::sample::select(vec![Life::Running, Life::Running, Life::Terminating, Life::Terminated]);
    (spec, prop::collection::vec((line, life, prop::bool::ANY), 1..8))
}

fn difference(a: &PodStatus, b: &PodStatus) -> String {
    let pretty = |status| serde_json::to_string_pretty(status).unwrap();
    let (a, b) = (pretty(a), pretty(b));
    let lines = a.lines().zip(b.lines()).filter(|(a, b)| a != b);
    lines.map(|(a, b)| format!("- {a}\n+ {b}\n")).collect()
}

proptest! {
    #[test]
    fn holds_for_every_history((pod, history) in histories()) {
        let mut case = Case::new(json!({"containers": []}), "");
        case.pod = pod;
        let mut terminal: Option<String> = None;
        for (line, life, fails) in history {
            case.life = life;
            case.failures.clear();
            if fails {
                case.fail("web", "ErrImagePull");
            }
            let status = case.next(&line);
            let again = case.derive();
            prop_assert!(again == status, "deriving again from the result changes it:\n{}", difference(&status, &again));

            let phase = status.phase.clone().unwrap();
            if let Some(terminal) = &terminal {
                prop_assert_eq!(&phase, terminal, "a final phase changed");
            }
            if view::is_terminal_phase(&phase) {
                if terminal.is_none() {
                    prop_assert!(life == Life::Terminated && case.observed.live().next().is_none());
                }
                terminal = Some(phase);
            }
            let lists = [&status.init_container_statuses, &status.container_statuses];
            for container in lists.into_iter().flatten().flatten() {
                let state = container.state.as_ref().unwrap();
                let init = container.name == "init";
                let may_be_ready = if init { state.terminated.is_some() } else { state.running.is_some() };
                prop_assert!(!container.ready || may_be_ready);
                prop_assert!(container.started != Some(true) || state.running.is_some());
                let said = [state.running.is_some(), state.waiting.is_some(), state.terminated.is_some()];
                prop_assert_eq!(said.iter().filter(|said| **said).count(), 1);
            }
            let names: Vec<_> = status.container_statuses.iter().flatten().map(|status| &status.name).collect();
            prop_assert!(names.is_sorted());
        }
    }
}
