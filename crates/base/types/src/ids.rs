//! Identifiers: one type per kind, so that none is taken for another. All are cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::Pod;

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

string_id! {
    /// A pod's UID (`metadata.uid`). Static pods have a hash here, pods of the API server an RFC 4122 UUID.
    PodUid
}
string_id! {
    /// A container's id as the runtime gave it, without the `containerd://` prefix of the API.
    ContainerId
}
string_id! {
    /// A pod sandbox's id as the runtime gave it.
    SandboxId
}

/// A pod's namespace and name. Two pods with the same name can follow one another under different UIDs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PodName {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`; of a static pod with the node's name at its end.
    pub name: Arc<str>,
}

impl PodName {
    /// A name from its two parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// `name_namespace`, the form that the kubelet uses as a key and in messages.
    #[must_use]
    pub fn full(&self) -> String {
        format!("{}_{}", self.name, self.namespace)
    }

    /// Whether this may be the name of a static pod of the node: those end with the node's.
    #[must_use]
    pub fn is_static_on(&self, node_name: &str) -> bool {
        self.name.strip_suffix(&node_name.to_lowercase()).is_some_and(|name| name.ends_with('-'))
    }
}

/// Shown as `namespace/name`, the form that kubectl prints and `berth why` takes.
impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Who a message, an event or a call is about: name and UID of one pod.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PodRef {
    /// Namespace and name.
    pub name: PodName,
    /// The UID, which tells apart pods that bore the same name.
    pub uid: PodUid,
}

impl PodRef {
    /// The reference of `pod`. Fields that are missing become empty text; sources never let such a pod through.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        Self {
            name: PodName::new(
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
            ),
            uid: meta.uid.as_deref().unwrap_or_default().into(),
        }
    }

    /// `name_namespace(uid)`, the form of the kubelet's messages and of its log lines.
    #[must_use]
    pub fn formatted(&self) -> String {
        format!("{}_{}({})", self.name.name, self.name.namespace, self.uid)
    }
}

/// Shown as `namespace/name`.
impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}
