//! The node's name.

/// There is no name to go by.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the node has no name: the machine's host name is empty; set one, or pass --hostname-override")]
pub struct NoNodeName;

/// The node's name: what `--hostname-override` says, or else the host name; without blanks around it and in lower case.
///
/// # Errors
/// If nothing is left.
pub fn node_name(hostname_override: Option<&str>, hostname: &str) -> Result<String, NoNodeName> {
    let chosen = hostname_override.filter(|name| !name.is_empty()).unwrap_or(hostname);
    let name = chosen.trim().to_lowercase();
    if name.is_empty() { Err(NoNodeName) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (over, host, expected) in [
            (None, "Node-1", Ok("node-1")),
            (Some(""), "node-1", Ok("node-1")),
            (Some(" Other \n"), "node-1", Ok("other")),
            (Some("  "), "node-1", Err(NoNodeName)),
            (None, "", Err(NoNodeName)),
        ] {
            assert_eq!(node_name(over, host), expected.map(str::to_owned), "{over:?} {host:?}");
        }
    }
}
