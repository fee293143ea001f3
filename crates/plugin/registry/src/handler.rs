//! Whoever handles the plugins of one type.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use pluginapi::registration::Plugin;

/// What is done with plugins of one type.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Takes `plugin` into service. It is told what came of it. Has a deadline of its own for everything it awaits.
    ///
    /// # Errors
    /// Why it is not taken. It is tried again later, and sooner when any plugin goes.
    async fn register(&self, plugin: &Plugin) -> Result<(), Refused>;

    /// Takes `plugin`, which was registered, out of service: its socket is gone or another one, or it did not hear that it
    /// was registered.
    async fn deregister(&self, plugin: &Plugin);
}

/// Why a plugin was not taken into service, in words for the plugin and for the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(
    /// The words.
    pub String,
);

/// The handlers by the type of plugin that they handle, such as `CSIPlugin`.
#[derive(Clone, Default)]
pub struct Handlers(BTreeMap<&'static str, Arc<dyn Handler>>);

impl Handlers {
    /// These handlers, and `handler` for plugins of the type `kind`.
    #[must_use]
    pub fn with(mut self, kind: &'static str, handler: Arc<dyn Handler>) -> Self {
        self.0.insert(kind, handler);
        self
    }

    /// The one for plugins of the type `kind`.
    pub(crate) fn of(&self, kind: &str) -> Option<&Arc<dyn Handler>> {
        self.0.get(kind)
    }

    /// The types that are handled, for messages.
    pub(crate) fn kinds(&self) -> String {
        self.0.keys().copied().collect::<Vec<_>>().join(", ")
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
