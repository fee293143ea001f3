//! Ports for servers that have to be told one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of this machine at which a server that sets `SO_REUSEADDR` can listen, again and again. As long as this process
/// lives, the kernel gives it to nobody who asks for any: a port that was only looked at could be another's by then.
///
/// # Errors
/// If there is none.
pub fn reserve() -> io::Result<u16> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let port = socket.local_addr()?.port();
    // Never closed.
    std::mem::forget(socket);
    Ok(port)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_server_can_listen_there_again_and_again() {
        let port = reserve().unwrap();
        for _ in 0..2 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let (client, served) =
                tokio::join!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)), listener.accept());
            drop((client.unwrap(), served.unwrap()));
        }
    }
}
