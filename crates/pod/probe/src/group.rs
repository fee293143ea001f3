//! The probes of one container: which of them ask at a time.

use std::time::Duration;

use tokio::time::Instant;
use types::hash::fnv1a_32;
use types::{Container, ContainerId, ContainerKind, Verdict};

use crate::kind::{Kind, Timing};
use crate::machine::{Answer, Machine, Pace, Run};
use crate::past::Past;

/// Where the pod is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It runs.
    Running,
    /// It is being stopped. Regular containers are no longer asked whether they are alive, so that nothing gets in the way
    /// of their end; sidecars are, and readiness is told to the end.
    Terminating,
}

/// The newest instance of a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sight {
    pub(crate) id: ContainerId,
    /// Since how long it runs; `None` if it does not.
    pub(crate) running_for: Option<Duration>,
    pub(crate) past: Past,
}

/// The probes.
#[derive(Debug)]
pub(crate) struct Group {
    kind: ContainerKind,
    /// By [`Kind`].
    machines: [Option<Machine>; 3],
    instance: Option<Instance>,
    stage: Stage,
}

#[derive(Debug)]
struct Instance {
    id: ContainerId,
    running: bool,
    past: Past,
}

impl Group {
    /// The probes of `container` of the pod `uid`; `None` if it has none. Init containers end, and have none.
    pub(crate) fn new(uid: &str, kind: ContainerKind, container: &Container) -> Option<Self> {
        let probed = matches!(kind, ContainerKind::Regular | ContainerKind::Sidecar);
        let machines = Kind::ALL.map(|kind| {
            let probe = kind.of(container).filter(|_| probed)?;
            let name = format!("{uid}/{}/{}", container.name, kind.as_str());
            // The low bits of this hash are the ones that similar names spread over.
            let phase = f64::from(fnv1a_32(name.as_bytes()) & 0xffff) / f64::from(0x1_0000);
            Some(Machine::new(Timing::of(probe), phase))
        });
        machines.iter().any(Option::is_some).then_some(Self {
            kind,
            machines,
            instance: None,
            stage: Stage::Running,
        })
    }

    /// Takes what is there of the container now.
    pub(crate) fn see(&mut self, sight: Option<&Sight>, stage: Stage, now: Instant) {
        self.stage = stage;
        let Some(sight) = sight else {
            self.instance = None;
            self.machines.iter_mut().flatten().for_each(|machine| machine.renew(None));
            return;
        };
        if self.instance.as_ref().is_none_or(|instance| instance.id != sight.id) {
            self.renew(sight);
        }
        let unknown = sight.past == Past::Unknown;
        if let Some(instance) = &mut self.instance {
            instance.running = sight.running_for.is_some();
        }
        if let Some(running_for) = sight.running_for {
            for kind in [Kind::Startup, Kind::Readiness] {
                if let Some(machine) = self.machine_mut(kind) {
                    machine.running(running_for, unknown, now);
                }
            }
            if let Some(machine) = self.machine_mut(Kind::Liveness) {
                machine.running(running_for, false, now);
            }
        }
        self.arrange(now);
    }

    fn renew(&mut self, sight: &Sight) {
        for (kind, machine) in Kind::ALL.into_iter().zip(&mut self.machines) {
            let Some(machine) = machine else { continue };
            let known = match (sight.past, kind) {
                (Past::Known { started, .. }, Kind::Startup) => started,
                (Past::Known { ready, .. }, Kind::Readiness) => ready,
                _ => false,
            };
            machine.renew(known.then_some(true));
        }
        self.instance = Some(Instance { id: sight.id.clone(), running: false, past: sight.past });
    }

    /// Something about the pod has changed: a container that is not ready may be by now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let Some(readiness) = self.machine_mut(Kind::Readiness)
            && readiness.result != Some(true)
        {
            readiness.hurry(now);
        }
    }

    pub(crate) fn machine(&self, kind: Kind) -> Option<&Machine> {
        self.machines[kind as usize].as_ref()
    }

    pub(crate) fn machine_mut(&mut self, kind: Kind) -> Option<&mut Machine> {
        self.machines[kind as usize].as_mut()
    }

    /// The instance that is asked.
    pub(crate) fn instance(&self) -> Option<&ContainerId> {
        self.instance.as_ref().map(|instance| &instance.id)
    }

    fn arrange(&mut self, now: Instant) {
        for kind in Kind::ALL {
            let (wanted, pace) = (self.wants(kind), self.pace(kind));
            if let Some(machine) = self.machine_mut(kind) {
                machine.arrange(wanted, pace, now);
            }
        }
    }

    /// Whether the probe of that kind is to ask now. After its result, a startup probe asks no more; nor does a liveness
    /// probe that failed: the container is going to be killed.
    fn wants(&self, kind: Kind) -> bool {
        let running = self.instance.as_ref().is_some_and(|instance| instance.running);
        let quiet = self.stage == Stage::Terminating && self.kind != ContainerKind::Sidecar;
        let result = |kind| self.machine(kind).and_then(|machine: &Machine| machine.result);
        let started = self.machine(Kind::Startup).is_none() || result(Kind::Startup) == Some(true);
        running
            && match kind {
                Kind::Startup => result(kind).is_none() && !quiet,
                Kind::Liveness => started && result(kind) != Some(false) && !quiet,
                Kind::Readiness => started,
            }
    }

    /// Somebody waits for a container to start and to be ready; nobody for it to be still alive.
    fn pace(&self, kind: Kind) -> Pace {
        let result = self.machine(kind).and_then(|machine| machine.result);
        let new = self.instance.as_ref().is_none_or(|instance| instance.past == Past::New);
        match kind {
            Kind::Liveness => Pace::Spread,
            _ if new => Pace::Now,
            _ if result == Some(true) => Pace::Spread,
            _ => Pace::Soon,
        }
    }

    /// The attempt `run` has ended. False if nobody waits for it any more.
    pub(crate) fn finish(&mut self, kind: Kind, run: Run, answer: Answer, now: Instant) -> bool {
        let waited_for = self.machine_mut(kind).is_some_and(|machine| machine.finish(run, answer, now));
        if waited_for {
            self.arrange(now);
        }
        waited_for
    }

    /// What the probes found of the instance.
    pub(crate) fn verdict(&self) -> Option<(ContainerId, Verdict)> {
        let result = |kind| self.machine(kind).and_then(|machine: &Machine| machine.result);
        let verdict = Verdict {
            startup: result(Kind::Startup),
            liveness: result(Kind::Liveness),
            readiness: result(Kind::Readiness),
        };
        Some((self.instance()?.clone(), verdict))
    }

    /// Whether it has yet to be found out whether the instance is started and ready, though it may be.
    pub(crate) fn is_awaited(&self) -> bool {
        let running = self.instance.as_ref().is_some_and(|instance| instance.running);
        let awaited = |kind| self.machine(kind).is_some_and(|machine: &Machine| machine.awaited);
        let starting = self.machine(Kind::Startup).is_some_and(|startup| startup.result != Some(true));
        let asked = if starting { awaited(Kind::Startup) } else { awaited(Kind::Readiness) };
        running && asked && self.stage == Stage::Running
    }
}

#[cfg(test)]
mod tests;
