//! Metrics of this crate.

use std::time::Duration;

use telemetry::metrics::{Gauge, Registry, Stability};
use tokio::time::Instant;

/// The node's name, as a series of its own, and how long it took to become one.
#[derive(Clone)]
pub struct Metrics {
    name: Gauge,
    pre_kubelet: Gauge,
    pre_registration: Gauge,
    registration: Gauge,
    post_registration: Gauge,
    startup: Gauge,
}

impl Metrics {
    /// The families, registered.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let gauge = |name, help| registry.gauge(name, help, Stability::Alpha, &[]);
        let help = "The node's name. The count is always 1.";
        Self {
            name: registry.gauge("kubelet_node_name", help, Stability::Alpha, &["node"]),
            pre_kubelet: gauge(
                "kubelet_node_startup_pre_kubelet_duration_seconds",
                "From the machine's boot to the start of the agent, when it created its Node object.",
            ),
            pre_registration: gauge(
                "kubelet_node_startup_pre_registration_duration_seconds",
                "From the start of the agent to its first attempt to register.",
            ),
            registration: gauge(
                "kubelet_node_startup_registration_duration_seconds",
                "From the first attempt to register until the Node object was created.",
            ),
            post_registration: gauge(
                "kubelet_node_startup_post_registration_duration_seconds",
                "From the creation of the Node object until it was ready.",
            ),
            startup: gauge(
                "kubelet_node_startup_duration_seconds",
                "From the machine's boot until the Node object was ready.",
            ),
        }
    }

    /// Says the node's name.
    pub fn node_name(&self, name: &str) {
        self.name.set(&[name], 1.0);
    }
}

/// How far a new node has come. What happened first counts; a node that was registered before this start of the agent is
/// not measured.
pub(crate) struct Startup {
    metrics: Metrics,
    started: Instant,
    /// How long the machine had been running then.
    booted_before: Duration,
    attempted: Option<Instant>,
    registered: Option<Instant>,
    ready: bool,
}

impl Startup {
    pub(crate) fn begin(metrics: Metrics, started: Instant, booted_before: Duration) -> Self {
        Self { metrics, started, booted_before, attempted: None, registered: None, ready: false }
    }

    /// The first attempt to register begins.
    pub(crate) fn attempted(&mut self, at: Instant) {
        self.attempted.get_or_insert(at);
    }

    /// The Node object was created.
    pub(crate) fn registered(&mut self, at: Instant) {
        let Some(attempted) = self.attempted.filter(|_| self.registered.is_none()) else { return };
        self.registered = Some(at);
        self.metrics.pre_kubelet.set(&[], self.booted_before.as_secs_f64());
        self.metrics.pre_registration.set(&[], (attempted - self.started).as_secs_f64());
        self.metrics.registration.set(&[], (at - attempted).as_secs_f64());
    }

    /// The Node object says that it is ready.
    pub(crate) fn ready(&mut self, at: Instant) {
        let Some(registered) = self.registered.filter(|_| !self.ready) else { return };
        self.ready = true;
        self.metrics.post_registration.set(&[], (at - registered).as_secs_f64());
        self.metrics.startup.set(&[], (self.booted_before + (at - self.started)).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_a_label() {
        let registry = Registry::new();
        Metrics::register(&registry).node_name("node-1");
        assert!(registry.encode().contains("kubelet_node_name{node=\"node-1\"} 1\n"));
    }

    #[test]
    fn a_new_node_is_measured_once() {
        let registry = Registry::new();
        let begun = Instant::now();
        let at = |secs| begun + Duration::from_secs(secs);
        let mut startup = Startup::begin(Metrics::register(&registry), begun, Duration::from_secs(100));
        startup.ready(at(1));
        startup.attempted(at(2));
        startup.attempted(at(3));
        for secs in [5, 50] {
            startup.registered(at(secs));
            startup.ready(at(secs + 4));
        }
        let text = registry.encode();
        for (stage, secs) in [
            ("pre_kubelet_", 100),
            ("pre_registration_", 2),
            ("registration_", 3),
            ("post_registration_", 4),
            ("", 109),
        ] {
            let line = format!("kubelet_node_startup_{stage}duration_seconds {secs}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
