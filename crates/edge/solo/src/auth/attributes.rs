//! What is asked for, and whether it is allowed.

/// What is asked for, in the words of `SubjectAccessReview`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// Empty if a path is asked for.
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    /// The object's name; of a list or watch, the one name that its field selector allows.
    pub(crate) name: &'a str,
    /// The one node that the field selector of pods allows.
    pub(crate) node: &'a str,
    /// A path that is no resource.
    pub(crate) path: &'a str,
}

/// Whether it is allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    Allow,
    /// Nothing allows it; why, if there is more to say.
    Refuse(String),
}

impl Decision {
    pub(super) fn of(allowed: bool, otherwise: &str) -> Self {
        if allowed { Self::Allow } else { Self::Refuse(otherwise.to_owned()) }
    }
}
