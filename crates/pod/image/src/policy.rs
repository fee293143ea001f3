//! Pull policies (Kubernetes: "Images", image pull policy).

/// `imagePullPolicy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PullPolicy {
    /// Ask the registry each time a container starts.
    Always,
    /// Pull what is not on the node.
    IfNotPresent,
    /// Never pull.
    Never,
}

impl PullPolicy {
    /// The policy of the API's text. Unknown and empty ones cannot get past validation; they count as
    /// `IfNotPresent`.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        match text {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            _ => Self::IfNotPresent,
        }
    }

    /// The API's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// What to do about an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Use the one on the node.
    Present,
    /// Pull it.
    Pull,
    /// It may not be pulled and is not there.
    Refused,
}

/// What `policy` asks for when the image is on the node, or is not.
#[must_use]
pub fn need(policy: PullPolicy, present: bool) -> Need {
    match (policy, present) {
        (PullPolicy::Always, _) | (PullPolicy::IfNotPresent, false) => Need::Pull,
        (PullPolicy::IfNotPresent | PullPolicy::Never, true) => Need::Present,
        (PullPolicy::Never, false) => Need::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs() {
        for (policy, present, expected) in [
            (PullPolicy::Always, true, Need::Pull),
            (PullPolicy::Always, false, Need::Pull),
            (PullPolicy::IfNotPresent, true, Need::Present),
            (PullPolicy::IfNotPresent, false, Need::Pull),
            (PullPolicy::Never, true, Need::Present),
            (PullPolicy::Never, false, Need::Refused),
        ] {
            assert_eq!(need(policy, present), expected, "{policy:?} {present}");
        }
    }
}
