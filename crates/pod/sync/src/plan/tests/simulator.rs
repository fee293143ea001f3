//! A runtime as a value: it does what a plan says, one action at a time, and checks that none is out of place.

use types::{ContainerId, ContainerState, ObservedPod, Pod, PodRef, SandboxState};

use super::{container, exited, sandbox, second};
use crate::plan::{Plan, Sandbox, termination};

pub(super) struct Simulator {
    pub(super) observed: ObservedPod,
    made: u32,
}

impl Simulator {
    pub(super) fn new(pod: &Pod) -> Self {
        Self { observed: ObservedPod::absent(PodRef::of(pod)), made: 0 }
    }

    /// Carries out at most `steps` actions of `plan`: less than all is a crash of berth in between.
    pub(super) fn apply(&mut self, pod: &Pod, plan: &Plan, steps: usize) {
        let mut steps = steps;
        let mut go = || {
            let goes = steps > 0;
            steps = steps.saturating_sub(1);
            goes
        };
        if plan.kill_pod {
            for kill in termination(pod, &self.observed, None).stages.iter().flatten() {
                if !go() {
                    return;
                }
                self.stop(&kill.id);
            }
        }
        for id in &plan.stop_sandboxes {
            if !go() {
                return;
            }
            let lives = self.observed.live().any(|container| container.sandbox == *id);
            assert!(!lives, "sandbox {id} is stopped under its containers");
            let stopped = self.observed.sandboxes.iter_mut().find(|sandbox| sandbox.id == *id).unwrap();
            stopped.state = SandboxState::NotReady;
        }
        for kill in &plan.kill {
            if !go() {
                return;
            }
            self.stop(&kill.id);
        }
        for id in &plan.remove {
            if !go() {
                return;
            }
            let gone = self.observed.containers.iter().position(|container| container.id == *id).unwrap();
            let gone = self.observed.containers.remove(gone);
            assert!(!gone.state.may_run(), "{id} is removed alive");
        }
        let current = match &plan.sandbox {
            Sandbox::None => return assert!(plan.start.is_empty(), "a start without a sandbox"),
            Sandbox::Keep(id) => id.clone(),
            Sandbox::Create { attempt } => {
                if !go() {
                    return;
                }
                assert!(self.observed.sandboxes.iter().all(|old| old.state == SandboxState::NotReady));
                let id = format!("s{attempt}");
                assert!(self.observed.sandboxes.iter().all(|old| old.attempt != *attempt), "{id} exists");
                self.observed.sandboxes.insert(0, sandbox(&id, *attempt, true));
                id.as_str().into()
            }
        };
        for start in &plan.start {
            if !go() {
                return;
            }
            let live = self.observed.live().any(|container| container.name == start.name);
            assert!(!live, "{} is started while it lives", start.name);
            let count = start.restart_count.unwrap_or(self.made);
            let state = if go() {
                ContainerState::Running { started_at: second(1) }
            } else {
                ContainerState::Created
            };
            let mut new = container(current.as_str(), &start.name, count, state);
            self.made += 1;
            new.id = format!("{}.{}", start.name, self.made).into();
            self.observed.containers.insert(0, new);
        }
    }

    /// An event that nobody asked for, chosen by `choice`.
    pub(super) fn disturb(&mut self, choice: u32) {
        let index = usize::try_from(choice / 8).unwrap();
        let containers = self.observed.containers.len();
        let victim = index.checked_rem(containers).map(|index| &mut self.observed.containers[index]);
        match (choice % 8, victim) {
            (0, Some(victim)) if victim.state.may_run() => victim.state = exited(0),
            (1, Some(victim)) if victim.state.may_run() => victim.state = exited(1),
            (2, Some(victim)) if victim.state.may_run() => victim.state = exited(42),
            (3, Some(victim)) if victim.state.is_running() => victim.state = ContainerState::Unknown,
            (4, Some(victim)) if !victim.state.may_run() => {
                self.observed.containers.remove(index % containers);
            }
            (5, _) => {
                if let Some(newest) = self.observed.sandboxes.first_mut() {
                    newest.state = SandboxState::NotReady;
                }
            }
            (6, _) if choice.is_multiple_of(3) => {
                self.observed.sandboxes.clear();
                self.observed.containers.clear();
            }
            _ => {}
        }
    }

    fn stop(&mut self, id: &ContainerId) {
        let stopped = self.observed.containers.iter_mut().find(|container| container.id == *id).unwrap();
        assert!(stopped.state.may_run(), "{id} is killed dead");
        stopped.state = exited(137);
    }
}
