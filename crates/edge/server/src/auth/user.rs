//! Users.

use std::collections::BTreeMap;

/// The group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";
/// The name and the group of those who are not.
const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Who asks (`UserInfo` of `TokenReview`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct User {
    /// As in `system:serviceaccount:monitoring:prometheus`.
    pub name: String,
    /// What tells one bearer of the name from the next; may be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else is known, by name.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of that name, who is known.
    #[must_use]
    pub fn named(name: impl Into<String>, groups: Vec<String>) -> Self {
        Self { name: name.into(), groups, ..Self::default() }.known()
    }

    /// The user as a member of the group that all known users are in.
    #[must_use]
    pub fn known(mut self) -> Self {
        if !self.groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }

    /// Somebody who showed nothing.
    pub(super) fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }
}
