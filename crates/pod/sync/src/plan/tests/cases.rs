//! Every rule of what to start, kill and remove, as a named case.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use types::{ContainerId, ObservedPod, Pod, Probes, Verdict};

use super::{line, observed, pod, second};
use crate::plan::{BackOff, Plan, PlanInput, Sandbox, plan};

fn plan_of(pod: &Pod, observed: &ObservedPod, probes: &Probes, back_off: &BTreeMap<String, BackOff>) -> Plan {
    plan(&PlanInput { pod, observed, probes, back_off, terminating: false, now: second(100) })
}

fn check(case: &str, spec: &Value, observed_line: &str, expected: &str) {
    let plan = plan_of(&pod(spec.clone()), &observed(observed_line), &Probes::default(), &BTreeMap::new());
    assert_eq!(line(&plan), expected, "{case}: {observed_line}");
    assert_eq!(plan.is_empty(), expected.is_empty(), "{case}");
}

fn verdicts(entries: &[(&str, Verdict)]) -> Probes {
    let verdicts = entries.iter().map(|(id, verdict)| (ContainerId::from(*id), *verdict)).collect();
    Probes { verdicts, awaited: false }
}

const FAILED_LIVENESS: Verdict = Verdict { startup: None, liveness: Some(false), readiness: None };
const FAILED_STARTUP: Verdict = Verdict { startup: Some(false), liveness: None, readiness: None };
const STARTED: Verdict = Verdict { startup: Some(true), liveness: None, readiness: None };

#[test]
fn sandbox() {
    let always = json!({"containers": ["web"]});
    let never = json!({"restartPolicy": "Never", "containers": ["web"]});
    let on_failure = json!({"restartPolicy": "OnFailure", "containers": ["web", "job"]});
    let with_init = json!({"initContainers": ["one", "two"], "containers": ["web"]});
    for (case, spec, state, expected) in [
        ("nothing yet", &always, "", "create:0 start:web"),
        ("all is well", &always, "s0+ web=run", ""),
        ("newest not ready", &always, "s0- web=137", "kill-pod stop:s0 create:1 start:web#1"),
        ("live container of a lost sandbox", &always, "s0- web=run", "kill-pod stop:s0 create:1 start:web#1"),
        ("more than one ready", &always, "s0+ s1+", "kill-pod stop:s1 stop:s0 create:2 start:web"),
        ("an older one not ready", &always, "s0- s1+ web=run", ""),
        ("only an older one ready", &always, "s0+ s1-", "kill-pod stop:s1 stop:s0 create:2 start:web"),
        (
            "init begins again",
            &with_init,
            "s0- one=0 two=0 web=137",
            "kill-pod stop:s0 remove:one.0 remove:two.0 create:1 start:one#1",
        ),
        ("init of the new sandbox runs", &with_init, "s0- web=137 s1+ one=run", ""),
        ("Never, containers existed", &never, "s0- web=run", "kill-pod stop:s0"),
        ("Never, containers existed and ended", &never, "s0- web=137", ""),
        ("Never, no container existed", &never, "s0-", "kill-pod stop:s0 create:1 start:web"),
        (
            "OnFailure skips success",
            &on_failure,
            "s0- web=137 job=0",
            "kill-pod stop:s0 create:1 start:web#1",
        ),
        ("OnFailure, all succeeded", &on_failure, "s0- web=0 job=0", ""),
        ("OnFailure, new sandbox skips success", &on_failure, "s0- web=137 job=0 s1+ web=run", ""),
        (
            "Never, but one container has its own policy",
            &json!({"restartPolicy": "Never", "containers": ["once", {"name": "web", "restartPolicy": "Always"}]}),
            "s0- once=run web=run",
            "kill-pod stop:s0 create:1 start:web#1",
        ),
        (
            "an init container had failed for good",
            &json!({"initContainers": [{"name": "one", "restartPolicy": "Never"}], "containers": ["web"]}),
            "s0- one=1",
            "",
        ),
    ] {
        check(case, spec, state, expected);
    }
}

#[test]
fn sandbox_network() {
    let spec = json!({"containers": ["web"]});
    let plan_with = |change: &dyn Fn(&mut ObservedPod), spec: &Value| {
        let mut state = observed("s0+ web=run");
        change(&mut state);
        line(&plan_of(&pod(spec.clone()), &state, &Probes::default(), &BTreeMap::new()))
    };
    let replaced = "kill-pod stop:s0 create:1 start:web#1";
    assert_eq!(plan_with(&|state| state.sandboxes[0].ips.clear(), &spec), replaced, "no IP");
    assert_eq!(
        plan_with(
            &|state| {
                state.sandboxes[0].ips.clear();
                state.sandboxes[0].network = None;
            },
            &spec
        ),
        "",
        "only listed"
    );
    let host = json!({"hostNetwork": true, "containers": ["web"]});
    assert_eq!(plan_with(&|_| {}, &host), replaced, "network namespace changed");
    assert_eq!(
        plan_with(
            &|state| {
                state.sandboxes[0].ips.clear();
                state.sandboxes[0].network = Some(types::observed::NamespaceMode::Node);
            },
            &host
        ),
        "",
        "host network has no IP of its own"
    );
}

#[test]
fn restart_policies() {
    let spec = |policy: &str| json!({"restartPolicy": policy, "containers": ["web", "other"]});
    for (policy, state, expected) in [
        ("Always", "s0+ other=run web=0", "start:web#1"),
        ("Always", "s0+ other=run web=1", "start:web#1"),
        ("Always", "s0+ other=run web=1 web=1 web=1", "start:web#3"),
        ("OnFailure", "s0+ other=run web=0", ""),
        ("OnFailure", "s0+ other=run web=1", "start:web#1"),
        ("Never", "s0+ other=run web=1", ""),
        ("Never", "s0+ other=run", "start:web"),
        ("Never", "s0+ other=run web=new", "start:web#1"),
        ("Never", "s0+ other=run web=?", "kill:web.0(Unknown) start:web#1"),
        ("OnFailure", "s0+ other=0 web=0", "kill-pod stop:s0"),
        ("Never", "s0+ other=1 web=0", "kill-pod stop:s0"),
        ("Never", "s0- other=1 web=0", ""),
    ] {
        check(policy, &spec(policy), state, expected);
    }
}

#[test]
fn restart_rules() {
    let rule = |action: &str| json!([{"action": action, "exitCodes": {"operator": "In", "values": [42]}}]);
    let spec = |action: &str| {
        json!({"restartPolicy": "Never", "initContainers": ["init", {"name": "side", "restartPolicy": "Always"}],
               "ephemeralContainers": ["debug"],
               "containers": [{"name": "web", "restartPolicy": "Never", "restartPolicyRules": rule(action)}, "other"]})
    };
    let before = "s0+ init=0 side=run other=run debug=run";
    check("rule", &spec("Restart"), &format!("{before} web=42"), "start:web#1");
    check("no rule matches", &spec("Restart"), &format!("{before} web=41"), "");
    check(
        "restart all",
        &spec("RestartAllContainers"),
        &format!("{before} web=7 web=42"),
        "kill:other.0(RestartAll) kill:side.0(RestartAll) remove:other.0 remove:init.0 remove:side.0 remove:web.0 remove:web.1",
    );
    check(
        "restart all, resumed half way",
        &spec("RestartAllContainers"),
        "s0+ side=137 debug=run web=42",
        "remove:side.0 remove:web.0",
    );
    check("restart all, removed", &spec("RestartAllContainers"), "s0+ debug=run", "start:init");
    let plan = plan_of(
        &pod(spec("RestartAllContainers")),
        &observed(&format!("{before} web=42")),
        &Probes::default(),
        &BTreeMap::new(),
    );
    assert_eq!(plan.restart_all.as_deref(), Some("web"));
    assert!(plan.kill.iter().all(|kill| kill.grace_seconds == 0));
}

#[test]
fn definition_changed() {
    for policy in ["Always", "Never"] {
        let pod =
            pod(json!({"restartPolicy": policy, "terminationGracePeriodSeconds": 7, "containers": ["web"]}));
        let mut state = observed("s0+ web=run");
        state.containers[0].hash = "1234".to_owned();
        let plan = plan_of(&pod, &state, &Probes::default(), &BTreeMap::new());
        assert_eq!(line(&plan), "kill:web.0(DefinitionChanged) start:web#1");
        assert_eq!(plan.kill[0].message, "Container web definition changed, will be restarted");
        assert_eq!(plan.kill[0].grace_seconds, 7);
        assert_eq!(plan.start[0].replaces, Some("web.0".into()));
        assert_eq!(plan.sandbox, Sandbox::Keep("s0".into()));

        state.containers[0].hash.clear();
        assert!(plan_of(&pod, &state, &Probes::default(), &BTreeMap::new()).is_empty(), "not to be compared");
    }
}

#[test]
fn probes_kill() {
    let probed = |policy: &str| {
        json!({"restartPolicy": policy, "containers": ["other", {"name": "web", "restartPolicyRules": [],
               "livenessProbe": {"terminationGracePeriodSeconds": 3}, "startupProbe": {}}]})
    };
    for (policy, verdict, expected) in [
        ("Always", FAILED_LIVENESS, "kill:web.0(LivenessProbe) start:web#1"),
        ("OnFailure", FAILED_LIVENESS, "kill:web.0(LivenessProbe) start:web#1"),
        ("Never", FAILED_LIVENESS, "kill:web.0(LivenessProbe)"),
        ("Always", FAILED_STARTUP, "kill:web.0(StartupProbe) start:web#1"),
        ("Never", FAILED_STARTUP, "kill:web.0(StartupProbe)"),
        ("Always", STARTED, ""),
    ] {
        let probes = verdicts(&[("web.0", verdict)]);
        let plan =
            plan_of(&pod(probed(policy)), &observed("s0+ other=run web=run"), &probes, &BTreeMap::new());
        assert_eq!(line(&plan), expected, "{policy} {verdict:?}");
        for kill in &plan.kill {
            assert_eq!(kill.grace_seconds, if verdict == FAILED_LIVENESS { 3 } else { 30 });
        }
    }
    let only = pod(json!({"restartPolicy": "Never", "containers": ["web"]}));
    let plan =
        plan_of(&only, &observed("s0+ web=run"), &verdicts(&[("web.0", FAILED_LIVENESS)]), &BTreeMap::new());
    assert_eq!(line(&plan), "kill-pod stop:s0", "the last one, never to come back");
    let old = verdicts(&[("web.0", FAILED_LIVENESS)]);
    let plan =
        plan_of(&pod(probed("Always")), &observed("s0+ other=run web=1 web=run"), &old, &BTreeMap::new());
    assert_eq!(line(&plan), "", "the verdict is about an earlier instance");
}

#[test]
fn init_chain() {
    let spec = |policy: &str| json!({"restartPolicy": policy, "initContainers": ["one", "two", "three"], "containers": ["web"]});
    for (case, policy, state, expected) in [
        ("first", "Always", "s0+", "start:one"),
        ("running", "Always", "s0+ one=run", ""),
        ("next", "Always", "s0+ one=0", "start:two"),
        ("earlier ones are forgotten", "Always", "s0+ two=0", "start:three"),
        ("all through", "Always", "s0+ one=0 two=0 three=0", "start:web"),
        ("only the last is left", "Always", "s0+ three=0", "start:web"),
        ("failed", "Always", "s0+ one=1", "start:one#1"),
        ("failed, OnFailure", "OnFailure", "s0+ one=0 two=1", "start:two#1"),
        ("failed, Never", "Never", "s0+ one=0 two=1", "kill-pod stop:s0"),
        ("created", "Always", "s0+ one=new", "start:one#1"),
        ("unknown", "Always", "s0+ one=?", "kill:one.0(Unknown) start:one#1"),
        ("unknown, Never", "Never", "s0+ one=?", "kill-pod stop:s0"),
        ("web ran: nothing is run again", "Always", "s0+ web=run", ""),
        ("web ended: nothing is run again", "Always", "s0+ web=1", "start:web#1"),
        (
            "pruned but for the newest",
            "Always",
            "s0+ one=1 one=1 one=0",
            "remove:one.1 remove:one.0 start:two",
        ),
        ("of another sandbox", "Always", "s0- one=0 two=0 three=0 s1+", "start:one#1"),
    ] {
        check(case, &spec(policy), state, expected);
    }
}

#[test]
fn sidecars() {
    let side = |name: &str| json!({"name": name, "restartPolicy": "Always"});
    let spec = json!({"restartPolicy": "Never", "initContainers": [side("a"), "init", side("b")], "containers": ["web"]});
    for (case, state, expected) in [
        ("first", "s0+", "start:a"),
        ("running lets the next begin", "s0+ a=run", "start:init"),
        ("init after it runs", "s0+ a=run init=run", ""),
        ("restarted while init runs", "s0+ a=1 init=run", "start:a#1"),
        ("restarted beside the next step", "s0+ a=0 init=0", "start:a#1 start:b"),
        ("last one lets web begin", "s0+ a=run init=0 b=run", "start:web"),
        ("exited before the next began", "s0+ a=1", "start:a#1"),
        ("created", "s0+ a=new", "start:a#1"),
        ("unknown", "s0+ a=?", "kill:a.0(Unknown) start:a#1"),
        ("all is well", "s0+ a=run init=0 b=run web=run", ""),
        ("restarted, init is not", "s0+ a=1 b=1 web=run", "start:a#1 start:b#1"),
        ("missing after init", "s0+ b=run web=run", "start:a"),
        ("not restarted when the pod has ended", "s0+ a=1 init=0 b=run web=0", "kill-pod stop:s0"),
        ("ended whole", "s0- a=0 init=0 b=137 web=0", ""),
    ] {
        check(case, &spec, state, expected);
    }
}

#[test]
fn sidecars_with_probes() {
    let pod = pod(json!({"containers": ["web"], "initContainers": [
        {"name": "side", "restartPolicy": "Always", "startupProbe": {}, "livenessProbe": {}}]}));
    for (case, verdict, state, expected) in [
        ("not started yet", None, "s0+ side=run", ""),
        ("started", Some(STARTED), "s0+ side=run", "start:web"),
        ("startup failed", Some(FAILED_STARTUP), "s0+ side=run", "kill:side.0(StartupProbe) start:side#1"),
        (
            "liveness failed",
            Some(FAILED_LIVENESS),
            "s0+ side=run web=run",
            "kill:side.0(LivenessProbe) start:side#1",
        ),
        ("no verdict after a restart of berth", None, "s0+ side=run web=run", ""),
    ] {
        let probes = verdict.map_or(verdicts(&[]), |verdict| verdicts(&[("side.0", verdict)]));
        let plan = plan_of(&pod, &observed(state), &probes, &BTreeMap::new());
        assert_eq!(line(&plan), expected, "{case}");
    }
}

#[test]
fn ephemeral_containers() {
    let spec = json!({"initContainers": ["init"], "containers": ["web"], "ephemeralContainers": ["debug"]});
    for (case, state, expected) in [
        ("not before there is a sandbox", "", "create:0 start:init"),
        ("during init", "s0+ init=run", "start:debug"),
        ("before anything else", "s0+", "start:debug start:init"),
        ("never again", "s0+ init=0 web=run debug=1", ""),
        ("runs", "s0+ init=0 web=run debug=run", ""),
        ("not in another sandbox either", "s0- debug=137 s1+ init=run", ""),
    ] {
        check(case, &spec, state, expected);
    }
    let ends = json!({"restartPolicy": "Never", "containers": ["web"], "ephemeralContainers": ["debug"]});
    check("does not keep the pod", &ends, "s0+ web=0 debug=run", "kill-pod stop:s0");
}

#[test]
fn surplus() {
    let spec = json!({"containers": ["web"]});
    for (case, state, expected) in [
        ("the spec lacks it", "s0+ web=run other=run", "kill:other.0(Surplus)"),
        ("an older one lives too", "s0+ web=run web=run", "kill:web.0(Surplus)"),
        ("a newer one has ended", "s0+ web=run web=1", ""),
        ("one lives in another sandbox", "s0- web=run s1+", "kill:web.0(Surplus)"),
        ("one lives in another sandbox too", "s0- web=run s1+ web=run", "kill:web.0(Surplus)"),
    ] {
        check(case, &spec, state, expected);
    }
}

#[test]
fn crash_back_off() {
    let pod = pod(json!({"initContainers": ["init"], "containers": ["web", "other"]}));
    let wait = |name: &str, until: i64| {
        (name.to_owned(), BackOff { delay: Duration::from_secs(80), until: second(until) })
    };
    let state = observed("s0+ init=0 web=1 other=1");
    let plan =
        plan_of(&pod, &state, &Probes::default(), &BTreeMap::from([wait("web", 130), wait("other", 100)]));
    assert_eq!(line(&plan), "start:other#1 wait:web", "over when the time has come");
    assert_eq!(plan.next_wake, Some(Duration::from_secs(30)));
    assert_eq!(plan.back_off[0].message, "back-off 1m20s restarting failed container=web pod=p_ns(u)");

    let plan =
        plan_of(&pod, &state, &Probes::default(), &BTreeMap::from([wait("web", 130), wait("other", 101)]));
    assert_eq!(line(&plan), "wait:web wait:other", "the pod has not ended");
    assert_eq!(plan.next_wake, Some(Duration::from_secs(1)), "the shortest");
    assert!(plan.is_empty());

    let plan =
        plan_of(&pod, &observed("s0+ init=1"), &Probes::default(), &BTreeMap::from([wait("init", 130)]));
    assert_eq!(line(&plan), "wait:init");
}

#[test]
fn stopping() {
    let mut pod = pod(json!({"containers": ["web", "other"]}));
    let plan_of = |pod: &Pod, state: &str, terminating| {
        let (observed, back_off) = (observed(state), BTreeMap::new());
        let probes = Probes::default();
        let input = PlanInput {
            pod,
            observed: &observed,
            probes: &probes,
            back_off: &back_off,
            terminating,
            now: second(0),
        };
        line(&plan(&input))
    };
    assert_eq!(plan_of(&pod, "s0+ web=run other=1", true), "kill-pod stop:s0");
    assert_eq!(plan_of(&pod, "s0- web=run", true), "kill-pod stop:s0");
    assert_eq!(plan_of(&pod, "s0- web=0 other=1", true), "");
    assert_eq!(plan_of(&pod, "", true), "");
    pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(second(0)));
    assert_eq!(plan_of(&pod, "s0+ web=run other=1", false), "kill-pod stop:s0", "nothing is restarted");
}
