//! Events: what a user is told about an object, in the words of the kubelet (`kubectl describe`).

use std::borrow::Cow;

use crate::PodRef;

/// `type` of a Kubernetes event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// Something expected happened.
    Normal,
    /// Something needs a look.
    Warning,
}

impl EventKind {
    /// The API's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Which PersistentVolumeClaim or PersistentVolume.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StorageRef {
    /// The namespace of a claim; a volume is in none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl StorageRef {
    /// The API's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.namespace.is_some() { "PersistentVolumeClaim" } else { "PersistentVolume" }
    }
}

/// One event about a pod, a claim or a volume, or about the node when both are `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The pod it is about; `None` for the node, a claim or a volume.
    pub pod: Option<PodRef>,
    /// The claim or the volume it is about, if it is about one.
    pub storage: Option<StorageRef>,
    /// The part of the pod it is about, such as `spec.containers{web}`.
    pub field_path: Option<String>,
    /// Normal or Warning.
    pub kind: EventKind,
    /// CamelCase reason; the constants are in [`crate::reason`].
    pub reason: Cow<'static, str>,
    /// A sentence for a person.
    pub message: String,
}

impl Event {
    /// A Normal event about `pod`.
    #[must_use]
    pub fn normal(pod: &PodRef, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            pod: Some(pod.clone()),
            storage: None,
            field_path: None,
            kind: EventKind::Normal,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// A Warning event about `pod`.
    #[must_use]
    pub fn warning(pod: &PodRef, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { kind: EventKind::Warning, ..Self::normal(pod, reason, message) }
    }

    /// An event about the node.
    #[must_use]
    pub fn node(kind: EventKind, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            pod: None,
            storage: None,
            field_path: None,
            kind,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// The same event about a claim or a volume.
    #[must_use]
    pub fn about_storage(self, storage: &StorageRef) -> Self {
        Self { pod: None, field_path: None, storage: Some(storage.clone()), ..self }
    }

    /// The same event about one container, named as in `spec.containers{name}`.
    #[must_use]
    pub fn about(self, kind: crate::ContainerKind, container: &str) -> Self {
        Self { field_path: Some(format!("{}{{{container}}}", kind.field())), ..self }
    }
}
