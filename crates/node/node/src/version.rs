//! The version under which berth shows itself as a kubelet.

/// What `status.nodeInfo.kubeletVersion` says: the version of Kubernetes that berth stands in for, with berth's own as
/// build metadata (`v1.36.0+berth.0.1.0`). Programs that check version skew compare semantic versions, where build
/// metadata does not count; a pre-release (`-berth`) would sort below the version that it belongs to.
#[must_use]
pub fn kubelet_version(kubernetes: &str, berth: &str) -> String {
    // Build metadata is letters, digits, dots and hyphens.
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' };
    let berth: String = berth.chars().map(plain).collect();
    format!("{kubernetes}+berth.{berth}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_semantic_version_of_the_kubernetes_one() {
        assert_eq!(kubelet_version("v1.36.0", "0.1.0"), "v1.36.0+berth.0.1.0");
        assert_eq!(kubelet_version("v1.36.0", "0.2.0-rc.1+git_5"), "v1.36.0+berth.0.2.0-rc.1.git.5");
    }
}
