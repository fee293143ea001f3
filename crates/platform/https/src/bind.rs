//! Sockets.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// A connection over which nothing came for so long is asked for a sign of life, as in Go.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// So many of these may be lost.
const KEEP_ALIVE_PROBES: u32 = 9;

/// Listens on `address`. As in Go, the unspecified address (`0.0.0.0` or `::`) means all addresses of both families, where
/// the machine has IPv6.
///
/// # Errors
/// As the kernel answers.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if address.ip().is_unspecified() {
        let both = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), address.port());
        match listen(both, TcpSocket::new_v6) {
            Err(error) if !in_use(&error) && address.is_ipv4() => {}
            listening => return listening,
        }
    }
    listen(address, if address.is_ipv4() { TcpSocket::new_v4 } else { TcpSocket::new_v6 })
}

fn in_use(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn listen(address: SocketAddr, socket: fn() -> io::Result<TcpSocket>) -> io::Result<TcpListener> {
    let socket = socket()?;
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Has the kernel notice a peer that is gone without a word, and send small pieces at once.
///
/// # Errors
/// As the kernel answers.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE)?;
    sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_PROBES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_taken_once() {
        let first = bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = first.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let again = bind(SocketAddr::new("0.0.0.0".parse().unwrap(), port)).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let one = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(one.local_addr().unwrap().is_ipv4());
    }
}
