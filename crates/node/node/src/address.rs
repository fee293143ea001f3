//! The node's IP addresses (`status.addresses`, and `status.hostIPs` of pods), the primary one first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::timeout;

/// How long the name service may take. The addresses of the default route come after it.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(5);

/// The family of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Family {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What `--node-ip` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NodeIp {
    /// To find one, of this family if there is one (nothing given, `0.0.0.0` or `::`).
    Find(Family),
    /// These: one, or one of each family, the primary one first.
    Given(Vec<IpAddr>),
}

/// Why the node has no address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// The flag cannot be understood.
    #[error(
        "--node-ip is {text:?}: expected an IP address, or an IPv4 and an IPv6 address with a comma between them"
    )]
    Flag {
        /// What it is.
        text: String,
    },
    /// An address that a node cannot have.
    #[error("the node IP {ip} is {why}: pass an address of one of this machine's interfaces with --node-ip")]
    Unusable {
        /// The address.
        ip: IpAddr,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An address that this machine does not have.
    #[error(
        "the node IP {ip} is on no interface of this machine: give it to one, or pass another one with --node-ip"
    )]
    Elsewhere {
        /// The address.
        ip: IpAddr,
    },
    /// None was found.
    #[error(
        "no address of this node was found: its name is not one of its addresses and has none, and there is no default route; pass one with --node-ip"
    )]
    None,
}

impl AddressError {
    /// Whether it can pass without a change of the flag: networks come and go.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Elsewhere { .. } | Self::None => true,
            Self::Flag { .. } | Self::Unusable { .. } => false,
        }
    }
}

impl NodeIp {
    /// Reads the flag's value.
    ///
    /// # Errors
    /// If it is no address, or two of one family.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Ok(Self::Find(Family::V4));
        }
        let refused = || AddressError::Flag { text: text.chars().take(100).collect() };
        let ips: Vec<IpAddr> =
            text.split(',').map(|ip| ip.trim().parse().map_err(|_| refused())).collect::<Result<_, _>>()?;
        match ips[..] {
            [ip] if ip.is_unspecified() => Ok(Self::Find(Family::of(ip))),
            [_] => Ok(Self::Given(ips)),
            [a, b] if Family::of(a) != Family::of(b) && !a.is_unspecified() && !b.is_unspecified() => {
                Ok(Self::Given(ips))
            }
            _ => Err(refused()),
        }
    }
}

/// The node's addresses: those given, or the first that there is of: the node's name read as an address, the addresses
/// that the name service has for it, the address from which this machine would reach the rest of the world.
///
/// # Errors
/// If a given address is not this machine's, or none is found.
pub async fn node_ips(flag: &NodeIp, node_name: &str) -> Result<Vec<IpAddr>, AddressError> {
    match flag {
        NodeIp::Given(ips) => {
            for ip in ips {
                usable(*ip)?;
            }
            Ok(ips.clone())
        }
        NodeIp::Find(family) => {
            if let Ok(ip) = node_name.parse() {
                return Ok(vec![ip]);
            }
            let found = choose(&look_up(node_name).await, *family, |ip| usable(ip).is_ok());
            let found = found.or_else(|| default_route(*family)).or_else(|| default_route(other(*family)));
            found.map(|ip| vec![ip]).ok_or(AddressError::None)
        }
    }
}

fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

/// The first usable one of `family`, or else the first usable one.
fn choose(ips: &[IpAddr], family: Family, usable: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let usable: Vec<IpAddr> = ips.iter().copied().filter(|ip| usable(*ip)).collect();
    usable.iter().find(|ip| Family::of(**ip) == family).or(usable.first()).copied()
}

async fn look_up(name: &str) -> Vec<IpAddr> {
    match timeout(LOOKUP_DEADLINE, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "The node's name has no address");
            Vec::new()
        }
        Err(_) => {
            tracing::warn!(name, "The name service did not answer for the node's name");
            Vec::new()
        }
    }
}

/// Checks that `ip` can be a node's address and is one of this machine.
fn usable(ip: IpAddr) -> Result<(), AddressError> {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let why = if ip.is_unspecified() {
        "no particular address"
    } else if ip.is_loopback() {
        "a loopback address"
    } else if ip.is_multicast() {
        "a multicast address"
    } else if link_local {
        "a link-local address"
    } else {
        // The kernel binds to no address but its own.
        return UdpSocket::bind((ip, 0)).map(drop).map_err(|_| AddressError::Elsewhere { ip });
    };
    Err(AddressError::Unusable { ip, why })
}

/// The address from which packets to the world would be sent. Connecting a datagram socket looks up the route and sends
/// nothing; the addresses are of the ranges set aside for documentation.
fn default_route(family: Family) -> Option<IpAddr> {
    let (from, to): (SocketAddr, SocketAddr) = match family {
        Family::V4 => ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into()),
        Family::V6 => {
            let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            ((Ipv6Addr::UNSPECIFIED, 0).into(), (documentation, 9).into())
        }
    };
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| usable(*ip).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &[&str]) -> Vec<IpAddr> {
        text.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn flags() {
        for (text, expected) in [
            ("", Some(NodeIp::Find(Family::V4))),
            ("0.0.0.0", Some(NodeIp::Find(Family::V4))),
            ("::", Some(NodeIp::Find(Family::V6))),
            ("10.0.0.1", Some(NodeIp::Given(ips(&["10.0.0.1"])))),
            ("10.0.0.1, fd00::1", Some(NodeIp::Given(ips(&["10.0.0.1", "fd00::1"])))),
            ("10.0.0.1,10.0.0.2", None),
            ("10.0.0.1,::", None),
            ("10.0.0.1,fd00::1,10.0.0.2", None),
            ("node-1", None),
        ] {
            assert_eq!(NodeIp::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_preferred_family_comes_first() {
        let found = ips(&["127.0.1.1", "fd00::1", "10.0.0.1"]);
        let usable = |ip: IpAddr| !ip.is_loopback();
        assert_eq!(choose(&found, Family::V4, usable), Some(found[2]));
        assert_eq!(choose(&found, Family::V6, usable), Some(found[1]));
        assert_eq!(choose(&found[..2], Family::V4, usable), Some(found[1]));
        assert_eq!(choose(&found[..1], Family::V4, usable), None);
    }

    #[tokio::test]
    async fn given_addresses_have_to_be_this_machines() {
        for text in ["127.0.0.1", "224.0.0.1", "169.254.0.1", "fe80::1", "::1"] {
            let flag = NodeIp::parse(text).unwrap();
            let error = node_ips(&flag, "n").await.unwrap_err();
            assert!(matches!(error, AddressError::Unusable { .. }) && !error.may_pass(), "{text}");
        }
        let elsewhere = NodeIp::parse("192.0.2.77").unwrap();
        assert!(node_ips(&elsewhere, "n").await.unwrap_err().may_pass());
    }

    #[tokio::test]
    async fn a_name_that_is_an_address_is_taken() {
        let flag = NodeIp::Find(Family::V4);
        assert_eq!(node_ips(&flag, "10.1.2.3").await.unwrap(), ips(&["10.1.2.3"]));
    }
}
