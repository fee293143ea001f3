//! From a pod and what the runtime has of it to what has to be done: pure, without memory. Each round compares the
//! whole of both, so that a round that was cut short anywhere, by a crash of berth for instance, is simply gone on
//! with by the next.
//!
//! A container of an earlier sandbox is history: it says how the container ended last, and how often it was started,
//! but not how far the pod has got in its present sandbox.

mod action;
mod back_off;
mod grace;
mod init;
mod input;
mod regular;
mod restart_all;
mod round;
mod sandbox;
mod termination;
#[cfg(test)]
mod tests;

pub use action::{BackedOff, Kill, KillReason, Plan, Sandbox, Start, Termination};
pub use back_off::{BackOff, CrashLoop};
pub use grace::{grace_seconds, stop_timeout_seconds};
pub use input::PlanInput;
pub use termination::termination;

use init::Initialization;
use round::Round;
use sandbox::Verdict;
use types::pod;

/// What has to be done to bring the runtime to what the pod asks for. Empty when nothing has.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> Plan {
    if input.terminating || pod::is_deleting(input.pod) {
        return end(input);
    }
    let current = match sandbox::judge(input.pod, input.observed) {
        Verdict::Fit(current) => current,
        Verdict::Replace { attempt } => return sandbox::replace(input, attempt),
    };
    let mut round = Round::new(input, current);
    if restart_all::plan(&mut round) {
        return round.finish();
    }
    for ephemeral in pod::ephemeral_containers(input.pod) {
        round.start_ephemeral(ephemeral);
    }
    match init::plan(&mut round) {
        Initialization::Failed => return end(input),
        Initialization::Pending => {}
        Initialization::Done => {
            if !regular::plan(&mut round) {
                return end(input);
            }
        }
    }
    round.kill_surplus();
    round.finish()
}

/// The plan for a pod of which nothing shall run any more.
fn end(input: &PlanInput<'_>) -> Plan {
    let live = input.observed.live().next().is_some();
    let stop_sandboxes = sandbox::to_stop(input.observed, live);
    Plan { kill_pod: live || !stop_sandboxes.is_empty(), stop_sandboxes, ..Plan::default() }
}
