//! What a pod waits for before it may run: others that make way, and a look.

use std::collections::BTreeSet;

use types::{Ended, PodRef, PodUid, Step};

use super::{Life, Workers, give};
use crate::Phase;
use crate::lifecycle::Lifecycle;
use crate::order::{Order, Stop};

impl<L: Lifecycle> Workers<L> {
    /// Ends `victims`, and has the pod `uid` wait until nothing of them runs. Then it is asked anew.
    pub(super) fn preempt(&mut self, uid: &PodUid, victims: &[PodRef], ended: &Ended) {
        let mut waits_for = BTreeSet::new();
        for victim in victims {
            let Some(member) = self.members.get(&victim.uid) else { continue };
            let cell = &member.entry.cell;
            if !member.is_stopping() {
                tracing::warn!(pod = %victim, reason = ended.reason, message = ended.message, "Pod is stopped");
                cell.ended.send_if_modified(|why| {
                    let first = why.is_none();
                    first.then(|| *why = Some(ended.clone())).is_some()
                });
                give(&member.orders, &Order::Stop(Stop::default()));
            }
            let mut phase = cell.phase.subscribe();
            let gone = victim.uid.clone();
            self.making_way.spawn(async move {
                // It fails only when the pod is gone altogether.
                let _ = phase.wait_for(|phase| *phase >= Phase::Terminated).await;
                gone
            });
            waits_for.insert(victim.uid.clone());
        }
        if waits_for.is_empty() {
            // They are gone already.
            return self.start_actor(uid);
        }
        let Some(member) = self.members.get_mut(uid) else { return };
        let names: Vec<_> = victims.iter().map(ToString::to_string).collect();
        let cell = &member.entry.cell;
        cell.phase.send_replace(Phase::Queued);
        cell.at(Step::Admission, None, format!("pods to make way for it: {}", names.join(", ")));
        member.waits_for = waits_for;
    }

    /// Has something looked up for the pod `uid`, which is then asked anew.
    pub(super) fn look_first(&mut self, uid: &PodUid) {
        let Some(member) = self.members.get_mut(uid) else { return };
        let cell = &member.entry.cell;
        cell.phase.send_replace(Phase::Queued);
        cell.at(Step::Admission, None, "a look at what the node and its container runtime are");
        member.waits_for.insert(uid.clone());
        let (look, uid) = (self.lifecycle.look(&cell.pod), uid.clone());
        self.making_way.spawn(async move {
            look.await;
            uid
        });
    }

    /// Asks again those that waited for the pod `gone` alone.
    pub(super) fn made_way(&mut self, gone: &PodUid) {
        let mut ready = Vec::new();
        for (uid, member) in &mut self.members {
            if member.waits_for.remove(gone) && member.waits_for.is_empty() {
                ready.push((member.first_seen, uid.clone()));
            }
        }
        ready.sort();
        for (_, uid) in ready {
            if self.members.get(&uid).is_some_and(|member| matches!(member.life, Life::Queued)) {
                self.admit(&uid);
            }
        }
    }
}
