//! Where a node's API is.

use serde_json::Value;

use crate::object::{self, text};

/// Which of a node's addresses is tried, the best first. Names of nodes need not resolve on a machine without DNS.
const PREFERRED: [&str; 5] = ["InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"];

/// Where the API of a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The node, for whose name its certificate has to be.
    pub(crate) node: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Place {
    /// What the status of a Node says; none if it has no address, or no port.
    pub(crate) fn of(node: &Value) -> Option<Self> {
        let addresses = object::list(node, "/status/addresses");
        let host = PREFERRED.iter().find_map(|kind| {
            addresses
                .iter()
                .find(|address| address["type"] == *kind)
                .map(|address| text(address, "/address"))
                .filter(|host| !host.is_empty())
        })?;
        let port = object::number(node, "/status/daemonEndpoints/kubeletEndpoint/Port")?;
        let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
        Some(Self { node: object::name(node).to_owned(), host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_says_where_it_is() {
        let node = json!({"metadata": {"name": "n1"}, "status": {
            "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}});
        assert_eq!(
            Place::of(&node),
            Some(Place { node: "n1".to_owned(), host: "10.0.0.1".to_owned(), port: 10250 })
        );
        for path in ["/status/addresses", "/status/daemonEndpoints"] {
            let mut node = node.clone();
            *node.pointer_mut(path).unwrap() = Value::Null;
            assert_eq!(Place::of(&node), None, "{path}");
        }
    }
}
