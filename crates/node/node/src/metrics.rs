//! Metrics of this crate.

use telemetry::metrics::{Gauge, Registry, Stability};

/// The node's name, as a series of its own.
#[derive(Clone)]
pub struct Metrics {
    name: Gauge,
}

impl Metrics {
    /// The family, registered.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let help = "The node's name. The count is always 1.";
        Self { name: registry.gauge("kubelet_node_name", help, Stability::Alpha, &["node"]) }
    }

    /// Says the node's name.
    pub fn node_name(&self, name: &str) {
        self.name.set(&[name], 1.0);
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
}
