//! How many pods there are of each kind.

use std::collections::BTreeMap;

use types::{PodUid, pod};

use super::{Entry, Workers, number, static_label};
use crate::Phase;
use crate::lifecycle::{Lifecycle, Target};

impl<L: Lifecycle> Workers<L> {
    pub(super) fn count(&self, pods: &BTreeMap<PodUid, Entry>) {
        let mut desired = BTreeMap::from([("", 0), ("true", 0)]);
        let mut active = desired.clone();
        let mut ephemeral = 0;
        let mut working: BTreeMap<[&str; 3], usize> = BTreeMap::new();
        for lifecycle in ["sync", "terminating", "terminated"] {
            for (config, is_static) in [
                ("desired", ""),
                ("desired", "true"),
                ("orphan", ""),
                ("orphan", "true"),
                ("runtime_only", "unknown"),
            ] {
                working.insert([lifecycle, config, is_static], 0);
            }
        }
        for entry in pods.values() {
            let label = static_label(&entry.target);
            let config = match &entry.target {
                Target::RuntimeOnly(_) => "runtime_only",
                Target::Configured(_) if entry.removed => "orphan",
                Target::Configured(_) => "desired",
            };
            let phase = *entry.cell.phase.borrow();
            if config == "desired" {
                *desired.entry(label).or_default() += 1;
                if phase != Phase::Finished {
                    *active.entry(label).or_default() += 1;
                    ephemeral += entry.target.pod().map_or(0, |pod| pod::ephemeral_containers(pod).len());
                }
            }
            let lifecycle = match phase {
                Phase::Queued | Phase::Running => "sync",
                Phase::Terminating => "terminating",
                Phase::Terminated | Phase::Finished => "terminated",
            };
            *working.entry([lifecycle, config, label]).or_default() += 1;
        }
        self.metrics.ephemeral_containers.set(&[], number(ephemeral));
        for (label, n) in desired {
            self.metrics.desired_pods.set(&[label], number(n));
        }
        for (label, n) in active {
            self.metrics.active_pods.set(&[label], number(n));
        }
        for (labels, n) in working {
            self.metrics.working_pods.set(&labels, number(n));
        }
    }
}
