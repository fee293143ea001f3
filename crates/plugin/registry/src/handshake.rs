//! Registering one plugin: who are you, take it into service, tell it.

use std::path::Path;
use std::sync::Arc;

use pluginapi::PluginError;
use pluginapi::registration::{Plugin, Registration};

use crate::{Handler, Handlers, Refused};

/// Why a socket was not registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    /// It did not answer.
    #[error(transparent)]
    Call(#[from] PluginError),
    /// Nobody handles plugins of its type.
    #[error("the plugin {name:?} is of the type {kind:?}, which berth does not have: it has {known}")]
    Type { name: String, kind: String, known: String },
    /// Whoever handles its type does not take it.
    #[error("the plugin {name:?} ({kind}) was refused")]
    Refused {
        name: String,
        kind: String,
        #[source]
        source: Refused,
    },
}

/// A plugin that is in service.
pub(crate) struct Registered {
    pub(crate) plugin: Plugin,
    handler: Arc<dyn Handler>,
}

impl Registered {
    /// Takes it out of service.
    pub(crate) async fn end(self) {
        self.handler.deregister(&self.plugin).await;
    }
}

/// Registers the plugin that listens at `socket`. A plugin that does not hear that it was registered is not: it would
/// not serve.
pub(crate) async fn register(socket: &Path, handlers: &Handlers) -> Result<Registered, RegisterError> {
    let asked = Registration::at(socket);
    let plugin = asked.info().await?;
    let registered = match handlers.of(&plugin.kind) {
        None => Err(RegisterError::Type {
            name: plugin.name.clone(),
            kind: plugin.kind.clone(),
            known: handlers.kinds(),
        }),
        Some(handler) => match handler.register(&plugin).await {
            Ok(()) => Ok(Registered { plugin, handler: Arc::clone(handler) }),
            Err(source) => Err(RegisterError::Refused { name: plugin.name, kind: plugin.kind, source }),
        },
    };
    match registered {
        Ok(registered) => {
            if let Err(error) = asked.notify(Ok(())).await {
                registered.end().await;
                return Err(error.into());
            }
            Ok(registered)
        }
        Err(refusal) => {
            if let Err(error) = asked.notify(Err(telemetry::chain(&refusal))).await {
                tracing::debug!(%error, "A plugin did not hear that it was not registered");
            }
            Err(refusal)
        }
    }
}
