//! This machine as a node of the cluster: what its Node object is made from, and the task that keeps it.

use std::sync::Arc;

use config::{Gate, Loaded};
use cri::Runtime;
use node::{
    Addresses, Facts, Feeds, InUse, Keeper, Pace, Registration, RuntimeHealth, Settings, Standing, Strain,
};
use task::events::Recorder;
use task::supervisor::Supervisor;
use tokio::sync::watch;

use super::cluster::Cluster;
use super::here::{NodeHere, arch};
use super::nodeapi::NodeCalls;
use super::port::port_number;
use super::runtimefacts::RuntimeFacts;
use super::settings::{self, KUBERNETES_VERSION};

/// Where device managers of the kubelet keep what is allocated, beneath the root directory.
const DEVICE_CHECKPOINT: &str = "device-plugins/kubelet_internal_checkpoint";
/// The features that schedulers and API servers have to know of, by their gates (KEP-5328).
const DECLARED: [Gate; 2] = [Gate::ExtendWebSocketsToKubelet, Gate::RestartAllContainersOnContainerExits];

/// What being a node takes from the rest of the agent.
pub(super) struct Membership {
    pub(super) runtime: Runtime,
    pub(super) health: watch::Receiver<RuntimeHealth>,
    /// Change when an image was pulled, and when one was removed.
    pub(super) images: [watch::Receiver<()>; 2],
    /// Which volumes are in use.
    pub(super) in_use: watch::Receiver<Option<Arc<InUse>>>,
    pub(super) recorder: Recorder,
    pub(super) metrics: node::Metrics,
}

/// A node that is being kept.
pub(super) struct Member {
    /// How it stands from now on.
    pub(super) standing: watch::Receiver<Standing>,
    /// What it is and has.
    pub(super) facts: watch::Sender<Arc<Facts>>,
    /// What weighs on it.
    pub(super) strain: watch::Sender<Strain>,
}

impl Membership {
    /// Begins to keep the node. What is told of it can be changed.
    pub(super) fn begin(
        self,
        loaded: &Loaded,
        here: &NodeHere,
        addresses: Addresses,
        cluster: &Cluster,
        supervisor: &mut Supervisor,
    ) -> Member {
        let pace = pace(loaded);
        let facts = watch::Sender::new(Arc::new(facts(loaded, here, addresses)));
        let strain = watch::Sender::new(Strain::default());
        let feeds = Feeds {
            facts: facts.subscribe(),
            runtime: self.health.clone(),
            strain: strain.subscribe(),
            in_use: self.in_use,
            object: cluster.node.clone(),
        };
        let runtime_facts = RuntimeFacts {
            runtime: self.runtime,
            health: self.health,
            images: self.images,
            facts: facts.clone(),
            least: pace.update,
        };
        supervisor.spawn("runtime's part of the node", runtime_facts.run());
        let calls = NodeCalls::new(&cluster.client, pace);
        let lease = calls.lease(&here.name, pace.lease);
        let settings = Settings { registration: registration(loaded), pace };
        let keeper = Keeper::new(calls, settings, feeds, self.recorder, self.metrics);
        let standing = keeper.standing();
        supervisor.spawn("node", keeper.run(lease));
        Member { standing, facts, strain }
    }
}

fn pace(loaded: &Loaded) -> Pace {
    let config = &loaded.config;
    let lease = u64::try_from(config.node_lease_duration_seconds).unwrap_or(0);
    Pace {
        update: config.node_status_update_frequency.get(),
        report: config.node_status_report_frequency.get(),
        lease: std::time::Duration::from_secs(lease),
    }
}

fn registration(loaded: &Loaded) -> Registration {
    let (config, flags) = (&loaded.config, &loaded.flags);
    Registration {
        register: config.register_node,
        labels: flags.node_labels.clone(),
        taints: settings::taints(config),
        provider_id: config.provider_id.clone(),
        controller_attach: config.enable_controller_attach_detach,
        reset_extended_resources: !flags.root_dir.join(DEVICE_CHECKPOINT).exists(),
    }
}

fn facts(loaded: &Loaded, here: &NodeHere, addresses: Addresses) -> Facts {
    let config = &loaded.config;
    let declares = loaded.gates.enabled(Gate::NodeDeclaredFeatures);
    let declared = DECLARED.into_iter().filter(|gate| declares && loaded.gates.enabled(*gate));
    Facts {
        name: here.name.clone(),
        machine: here.machine.clone(),
        capacity: here.capacity.clone(),
        allocatable: here.allocatable.clone(),
        addresses,
        architecture: arch().to_owned(),
        kubelet_version: node::kubelet_version(KUBERNETES_VERSION, env!("CARGO_PKG_VERSION")),
        runtime: None,
        port: port_number(loaded),
        images: None,
        max_images: usize::try_from(config.node_status_max_images).ok(),
        declared_features: declared.map(|gate| gate.info().name.to_owned()).collect(),
    }
}
