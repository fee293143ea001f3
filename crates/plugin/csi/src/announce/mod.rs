//! What the cluster is told of the drivers on the node: the node's CSINode object, and two things on its Node object, the
//! annotation with what drivers call the node and labels of their topology (Kubernetes: "CSINode"; the CSI specification,
//! "NodeGetInfo"). Pure: from what is registered and what the API server has, to the next thing to write.
//!
//! Of drivers that are neither registered nor [gone](Drivers::gone) nothing is known: a restart of berth must not take
//! away what it has not seen going.

mod csinode;
mod node;

use std::collections::BTreeSet;

pub use csinode::{MIGRATED, Write, next};
pub use node::{NODE_ID, Told, told};

use crate::drivers::{Drivers, Table};

/// The drivers as the cluster is told of them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Those that are registered.
    pub registered: Table,
    /// Those that were, and are no longer.
    pub gone: BTreeSet<String>,
}

impl Known {
    /// What is known now.
    #[must_use]
    pub fn of(drivers: &Drivers) -> Self {
        // A driver that comes in between is told of in the next round, which its coming causes.
        let (gone, mut registered) = (drivers.gone(), drivers.subscribe().borrow().clone());
        registered.retain(|name, _| !gone.contains(name));
        Self { registered, gone }
    }
}

#[cfg(test)]
mod testing {
    use std::collections::BTreeMap;

    use pluginapi::csi::NodeInfo;

    use super::Known;
    use crate::drivers::Registered;

    /// A driver, its node id, limit and topology.
    pub(super) type Row<'a> = (&'a str, &'a str, u32, &'a [(&'a str, &'a str)]);

    /// These drivers; those without an id are gone.
    pub(super) fn known(drivers: &[Row<'_>]) -> Known {
        let mut known = Known::default();
        for (name, id, max, topology) in drivers {
            if id.is_empty() {
                known.gone.insert((*name).to_owned());
                continue;
            }
            let topology: BTreeMap<String, String> =
                topology.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let node =
                NodeInfo { id: (*id).to_owned(), max_volumes: Some(*max).filter(|max| *max > 0), topology };
            known.registered.insert((*name).to_owned(), Registered::for_tests(name, node));
        }
        known
    }
}
