//! What is counted about plugins (name and labels are the kubelet's).

use std::fmt;
use std::path::Path;

use telemetry::metrics::{Gauge, Registry, Stability};

/// The families that the registry feeds.
#[derive(Clone)]
pub struct Metrics {
    plugins: Gauge,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            plugins: registry.gauge(
                "plugin_manager_total_plugins",
                "Number of plugins in Plugin Manager",
                Stability::Alpha,
                &["socket_path", "state"],
            ),
        }
    }

    /// Whether a socket is there.
    pub(crate) fn seen(&self, socket: &Path, is_there: bool) {
        self.show(socket, "desired_state_of_world", is_there);
    }

    /// Whether a socket is registered.
    pub(crate) fn registered(&self, socket: &Path, is_registered: bool) {
        self.show(socket, "actual_state_of_world", is_registered);
    }

    fn show(&self, socket: &Path, state: &str, shown: bool) {
        let path = socket.to_string_lossy();
        if shown {
            self.plugins.set(&[&path, state], 1.0);
        } else {
            self.plugins.remove(&[&path, state]);
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
