//! What holds for every pod and every state.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use types::restart::{self, AfterExit};
use types::{ContainerKind, ObservedPod, Pod, Probes, SandboxState, pod};

use super::simulator::Simulator;
use super::{exited, pod as pod_of, second};
use crate::plan::{Plan, PlanInput, plan};

fn plan_of(pod: &Pod, observed: &ObservedPod) -> Plan {
    let back_off = BTreeMap::new();
    plan(&PlanInput {
        pod,
        observed,
        probes: &Probes::default(),
        back_off: &back_off,
        terminating: false,
        now: second(0),
    })
}

fn container(prefix: &'static str) -> impl Strategy<Value = Value> {
    let policy = prop::option::weighted(0.4, prop::sample::select(vec!["Always", "OnFailure", "Never"]));
    let rule = prop::option::weighted(0.3, prop::sample::select(vec!["Restart", "RestartAllContainers"]));
    (policy, rule).prop_map(move |(policy, rule)| {
        let mut container = json!({"name": prefix});
        if let Some(policy) = policy {
            container["restartPolicy"] = policy.into();
        }
        if let Some(rule) = rule {
            container["restartPolicyRules"] =
                json!([{"action": rule, "exitCodes": {"operator": "In", "values": [42]}}]);
        }
        container
    })
}

fn named(mut containers: Vec<Value>) -> Vec<Value> {
    for (index, container) in containers.iter_mut().enumerate() {
        container["name"] = format!("{}{index}", container["name"].as_str().unwrap()).into();
    }
    containers
}

fn pods() -> impl Strategy<Value = Pod> {
    (
        prop::sample::select(vec!["Always", "OnFailure", "Never"]),
        prop::collection::vec(container("init"), 0..4),
        prop::collection::vec(container("web"), 1..4),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(policy, init, regular, debug)| {
            let mut spec =
                json!({"restartPolicy": policy, "initContainers": named(init), "containers": named(regular)});
            if debug {
                spec["ephemeralContainers"] = json!(["debug"]);
            }
            pod_of(spec)
        })
}

/// What no plan may ask for in any state.
fn check(pod: &Pod, observed: &ObservedPod, plan: &Plan) {
    let mut started = BTreeSet::new();
    for start in &plan.start {
        assert!(started.insert(&start.name), "{} is started twice", start.name);
        let live: Vec<_> = observed.live().filter(|container| container.name == start.name).collect();
        assert!(
            plan.kill_pod || live.iter().all(|container| Some(&container.id) == start.replaces.as_ref()),
            "{} is started while it lives",
            start.name
        );
    }
    let killed: BTreeSet<_> = plan.kill.iter().map(|kill| &kill.id).collect();
    assert_eq!(killed.len(), plan.kill.len(), "something is killed twice");
    let removed: BTreeSet<_> = plan.remove.iter().collect();
    assert_eq!(removed.len(), plan.remove.len(), "something is removed twice");
    for id in plan.start.iter().filter_map(|start| start.replaces.as_ref()) {
        assert!(killed.contains(id), "{id} is replaced but not killed");
    }
    assert!(plan.back_off.iter().all(|waiting| !started.contains(&waiting.name)));

    // A healthy container in a healthy sandbox is left alone.
    if plan.restart_all.is_some() {
        return;
    }
    let ready = observed.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count();
    let Some(current) =
        observed.sandboxes.first().filter(|newest| newest.state == SandboxState::Ready && ready == 1)
    else {
        return;
    };
    for container in pod::regular_containers(pod) {
        let instance = observed.newest(&container.name).filter(|newest| newest.state.is_running());
        if let Some(instance) = instance.filter(|instance| instance.sandbox == current.id) {
            assert!(!plan.kill_pod && !killed.contains(&instance.id), "{} was healthy", instance.id);
        }
    }
}

/// Whether every container is where it ought to be, given that nothing is left to do.
fn settled(pod: &Pod, observed: &ObservedPod) -> bool {
    let ends = |kind, container: &types::Container| match observed.newest(&container.name) {
        Some(last) => last
            .state
            .exit()
            .is_some_and(|exit| restart::after_exit(pod, kind, container, exit.code) == AfterExit::Stay),
        None => false,
    };
    let runs = |container: &types::Container| {
        observed.newest(&container.name).is_some_and(|last| last.state.is_running())
    };
    let regular = pod::regular_containers(pod);
    let failed_init = pod::init_containers(pod).iter().any(|container| {
        let exit = observed.newest(&container.name).and_then(|last| last.state.exit());
        exit.is_some_and(|exit| exit.code != 0) && ends(ContainerKind::of_init(container), container)
    });
    let over = observed.live().next().is_none();
    if regular.iter().any(runs) {
        let sidecars = pod::init_containers(pod)
            .iter()
            .filter(|container| ContainerKind::of_init(container) == ContainerKind::Sidecar);
        return sidecars.into_iter().all(runs)
            && regular.iter().all(|container| runs(container) || ends(ContainerKind::Regular, container));
    }
    let all_ended = regular.iter().all(|container| ends(ContainerKind::Regular, container));
    // In a pod that may not restart anything, what a lost sandbox took with it stays lost.
    let abandoned = observed.sandboxes.first().is_some_and(|newest| newest.state == SandboxState::NotReady);
    over && (failed_init || all_ended || abandoned)
}

fn finish_init(pod: &Pod, simulator: &mut Simulator) {
    for container in &mut simulator.observed.containers {
        let kind = pod::container(pod, &container.name).map(|(kind, _)| kind);
        if kind == Some(ContainerKind::Init) && container.state.is_running() {
            container.state = exited(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever exits, is lost or cut short: the same state gives the same plan, no plan asks for anything out of
    /// place, and once the disturbances end, a few rounds bring the pod where it ought to be.
    #[test]
    fn converges(pod in pods(), rounds in prop::collection::vec((any::<u16>(), any::<u16>(), 0usize..12), 0..30)) {
        let mut simulator = Simulator::new(&pod);
        for (first, second, steps) in rounds {
            let plan = plan_of(&pod, &simulator.observed);
            prop_assert_eq!(&plan, &plan_of(&pod, &simulator.observed.clone()));
            check(&pod, &simulator.observed, &plan);
            simulator.apply(&pod, &plan, steps);
            simulator.disturb(first.into());
            if second % 4 == 0 {
                simulator.disturb((second / 4).into());
            }
        }
        for round in 0.. {
            finish_init(&pod, &mut simulator);
            let plan = plan_of(&pod, &simulator.observed);
            check(&pod, &simulator.observed, &plan);
            if plan.is_empty() {
                break;
            }
            prop_assert!(round < 30, "no end: {:?}", plan);
            simulator.apply(&pod, &plan, usize::MAX);
        }
        prop_assert!(settled(&pod, &simulator.observed), "{:#?}", simulator.observed);
    }

    /// A pod that is being stopped comes to rest in one round, and nothing of it is started.
    #[test]
    fn stops(pod in pods(), disturbances in prop::collection::vec(any::<u16>(), 0..10)) {
        let mut simulator = Simulator::new(&pod);
        for disturbance in disturbances {
            let plan = plan_of(&pod, &simulator.observed);
            simulator.apply(&pod, &plan, usize::MAX);
            finish_init(&pod, &mut simulator);
            simulator.disturb(disturbance.into());
        }
        let stop = |observed: &ObservedPod| {
            let (probes, back_off) = (Probes::default(), BTreeMap::new());
            let input = PlanInput {
                pod: &pod, observed, probes: &probes, back_off: &back_off, terminating: true, now: second(0),
            };
            plan(&input)
        };
        let plan = stop(&simulator.observed);
        prop_assert!(plan.start.is_empty());
        simulator.apply(&pod, &plan, usize::MAX);
        prop_assert!(stop(&simulator.observed).is_empty());
        prop_assert!(simulator.observed.live().next().is_none());
    }
}
