//! Who asks.

use std::collections::BTreeMap;

/// All of them may do everything.
pub(crate) const MASTERS: &str = "system:masters";
/// Nodes.
pub(crate) const NODES: &str = "system:nodes";
/// Everybody who is known.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";

/// Who asks, as a certificate or a token says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct User {
    /// As in `system:node:NAME`.
    pub(crate) name: String,
    /// Of a service account its object's UID.
    pub(crate) uid: String,
    /// As in `system:nodes`.
    pub(crate) groups: Vec<String>,
    /// What else is known, by name.
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of a client certificate: common name and organizations.
    #[must_use]
    pub(crate) fn of_certificate(name: String, mut groups: Vec<String>) -> Self {
        groups.push(AUTHENTICATED.to_owned());
        Self { name, groups, ..Self::default() }
    }

    /// Whether they may do everything.
    #[must_use]
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// The name of the node that they are.
    #[must_use]
    pub(crate) fn node(&self) -> Option<&str> {
        self.name.strip_prefix("system:node:").filter(|_| self.groups.iter().any(|group| group == NODES))
    }
}
