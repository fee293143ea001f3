//! The host and port that a request goes to.

use std::fmt;
use std::net::IpAddr;

use types::Container;
use types::k8s::apimachinery::pkg::util::intstr::IntOrString;

/// Why it is not known where to go.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// The container has no port of that name.
    #[error("container {container:?} has no port named {name:?}")]
    Port {
        /// The container.
        container: String,
        /// The name.
        name: String,
    },
    /// The port is none.
    #[error("{0} is no port")]
    NoPort(i32),
    /// The pod has no address.
    #[error("the pod has no IP")]
    NoIp,
}

/// A host and a port. Shown as `host:port`, with brackets around an IPv6 address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// Where `host` and `port` of an action of `container` mean: a port by its name is one of the container's, or else a
    /// number in quotes; without a host it is the pod's own address, `ip`.
    ///
    /// # Errors
    /// There is no such port, or no address.
    pub fn of(
        host: Option<&str>,
        port: &IntOrString,
        container: &Container,
        ip: Option<IpAddr>,
    ) -> Result<Self, TargetError> {
        let port = match port {
            IntOrString::Int(port) => *port,
            IntOrString::String(name) => {
                let ports = container.ports.as_deref().unwrap_or_default();
                let named = ports.iter().find(|port| port.name.as_ref() == Some(name));
                let number = named.map(|port| port.container_port).or_else(|| name.parse().ok());
                let unknown = || TargetError::Port { container: container.name.clone(), name: name.clone() };
                number.ok_or_else(unknown)?
            }
        };
        let number = u16::try_from(port).ok().filter(|port| *port > 0).ok_or(TargetError::NoPort(port))?;
        let host = match host.filter(|host| !host.is_empty()) {
            Some(host) => host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            None => ip.ok_or(TargetError::NoIp)?.to_string(),
        };
        Ok(Self { host, port: number })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_and_hosts() {
        let container = json!({"name": "web", "ports": [{"name": "admin", "containerPort": 81}]});
        let container: Container = serde_json::from_value(container).unwrap();
        let number = IntOrString::Int;
        let name = |name: &str| IntOrString::String(name.to_owned());
        for (host, port, ip, expected) in [
            (None, number(80), Some("10.0.0.1"), "10.0.0.1:80"),
            (Some(""), name("admin"), Some("10.0.0.1"), "10.0.0.1:81"),
            (Some("else.where"), name("82"), None, "else.where:82"),
            (None, number(80), Some("fd00::1"), "[fd00::1]:80"),
            (Some("[fd00::2]"), number(80), None, "[fd00::2]:80"),
            (None, name("none"), Some("10.0.0.1"), "container \"web\" has no port named \"none\""),
            (None, number(0), Some("10.0.0.1"), "0 is no port"),
            (None, number(65536), Some("10.0.0.1"), "65536 is no port"),
            (None, number(80), None, "the pod has no IP"),
        ] {
            let ip = ip.map(|ip| ip.parse().unwrap());
            let target = Target::of(host, &port, &container, ip);
            assert_eq!(target.map_or_else(|error| error.to_string(), |target| target.to_string()), expected);
        }
    }
}
