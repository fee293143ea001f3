//! One round of planning: the input, the sandbox it goes by, and the plan as far as it has got.

use types::corev1::EphemeralContainer;
use types::{Container, ContainerKind, ContainerState, ObservedContainer, ObservedSandbox, hash, pod};

use super::{BackedOff, Kill, KillReason, Plan, PlanInput, Sandbox, Start, grace_seconds};

/// A plan in the making.
pub(super) struct Round<'a> {
    pub(super) input: &'a PlanInput<'a>,
    current: Option<&'a ObservedSandbox>,
    pub(super) plan: Plan,
}

impl<'a> Round<'a> {
    /// A round for a pod with a sandbox that is fit for use.
    pub(super) fn new(input: &'a PlanInput<'a>, current: &'a ObservedSandbox) -> Self {
        let plan = Plan { sandbox: Sandbox::Keep(current.id.clone()), ..Plan::default() };
        Self { input, current: Some(current), plan }
    }

    /// A round for a pod that gets a new sandbox.
    pub(super) fn without_sandbox(input: &'a PlanInput<'a>) -> Self {
        Self { input, current: None, plan: Plan::default() }
    }

    /// All instances of the container `name` in the current sandbox, newest first.
    fn instances(&self, name: &'a str) -> impl Iterator<Item = &'a ObservedContainer> {
        let current = self.current.map(|sandbox| &sandbox.id);
        self.input.observed.instances(name).filter(move |instance| Some(&instance.sandbox) == current)
    }

    /// The instance of `name` that counts in the current sandbox: the newest of those that live, else the newest.
    pub(super) fn instance(&self, name: &'a str) -> Option<&'a ObservedContainer> {
        let live = self.instances(name).find(|instance| instance.state.may_run());
        live.or_else(|| self.instances(name).next())
    }

    /// Whether the image or the name in the spec is another than `instance` was made from. One without a hash is not
    /// of a kubelet's making and cannot be compared.
    pub(super) fn changed(&self, container: &Container, instance: &ObservedContainer) -> bool {
        let image = container.image.as_deref().unwrap_or_default();
        !instance.hash.is_empty() && instance.hash != hash::container_hash(&container.name, image)
    }

    /// Plans the start of a container, now or once its back-off is over. `replaces` is its live instance, which the
    /// same plan kills.
    pub(super) fn start(
        &mut self,
        kind: ContainerKind,
        container: &Container,
        replaces: Option<&ObservedContainer>,
    ) {
        let name: &str = &container.name;
        // Two of the same must never live at once: those elsewhere end first, and the next round starts it.
        let elsewhere = |other: &&ObservedContainer| {
            &*other.name == name && replaces.is_none_or(|old| old.id != other.id)
        };
        if !self.plan.kill_pod && self.input.observed.live().any(|other| elsewhere(&other)) {
            return;
        }
        if let Some(back_off) = self.input.back_off.get(name).filter(|entry| self.input.now < entry.until) {
            self.plan.back_off.push(BackedOff {
                kind,
                name: name.into(),
                until: back_off.until,
                message: back_off.message(name, self.input.pod),
            });
            return;
        }
        self.plan.start.push(Start {
            kind,
            name: name.into(),
            restart_count: self.input.observed.newest(name).map(|last| last.restart_count.saturating_add(1)),
            replaces: replaces.map(|instance| instance.id.clone()),
        });
    }

    /// Plans the start of an ephemeral container, which happens once.
    pub(super) fn start_ephemeral(&mut self, ephemeral: &EphemeralContainer) {
        if self.input.observed.newest(&ephemeral.name).is_none() {
            let container = pod::ephemeral_as_container(ephemeral);
            self.start(ContainerKind::Ephemeral, &container, None);
        }
    }

    /// Plans the end of one instance.
    pub(super) fn kill(
        &mut self,
        kind: ContainerKind,
        container: &Container,
        instance: &ObservedContainer,
        reason: KillReason,
        message: String,
    ) {
        self.plan.kill.push(Kill {
            id: instance.id.clone(),
            name: instance.name.clone(),
            kind: Some(kind),
            reason,
            message,
            grace_seconds: grace_seconds(self.input.pod, Some(container), reason, None),
        });
    }

    /// Plans the end and the new start of an instance of which the runtime does not know whether it lives.
    pub(super) fn replace_unknown(
        &mut self,
        kind: ContainerKind,
        container: &Container,
        instance: &ObservedContainer,
    ) {
        debug_assert_eq!(instance.state, ContainerState::Unknown);
        let subject = if kind == ContainerKind::Regular { "Container" } else { "Init container" };
        let message = format!("{subject} is in \"unknown\" state, try killing it before restart");
        self.kill(kind, container, instance, KillReason::Unknown, message);
        self.start(kind, container, Some(instance));
    }

    /// Plans the end of everything that lives beside the instances that count.
    pub(super) fn kill_surplus(&mut self) {
        let PlanInput { pod, observed, .. } = *self.input;
        for instance in observed.live() {
            let counts = |name| self.instance(name).is_some_and(|kept| kept.id == instance.id);
            let known = pod::container(pod, &instance.name);
            if known.is_some() && counts(&instance.name) {
                continue;
            }
            let (kind, container) =
                known.map_or((None, None), |(kind, container)| (Some(kind), Some(container)));
            self.plan.kill.push(Kill {
                id: instance.id.clone(),
                name: instance.name.clone(),
                kind,
                reason: KillReason::Surplus,
                message: format!("Stopping container {}", instance.name),
                grace_seconds: grace_seconds(pod, container.as_deref(), KillReason::Surplus, None),
            });
        }
    }

    /// The plan, with what follows from the rest of it.
    pub(super) fn finish(mut self) -> Plan {
        self.prune();
        let PlanInput { now, .. } = *self.input;
        let waits = self.plan.back_off.iter().map(|entry| entry.until.duration_since(now));
        self.plan.next_wake = waits.min().map(|wait| wait.try_into().unwrap_or_default());
        self.plan
    }

    /// Before an init container or a sidecar is started, all but the newest dead instance of each are removed.
    fn prune(&mut self) {
        let starts_init = |start: &Start| matches!(start.kind, ContainerKind::Init | ContainerKind::Sidecar);
        if self.plan.restart_all.is_some() || !self.plan.start.iter().any(starts_init) {
            return;
        }
        for container in pod::init_containers(self.input.pod) {
            let dead = self.input.observed.instances(&container.name).filter(|old| !old.state.may_run());
            for old in dead.skip(1) {
                if !self.plan.remove.contains(&old.id) {
                    self.plan.remove.push(old.id.clone());
                }
            }
        }
    }
}
