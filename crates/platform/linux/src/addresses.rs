//! Watching this machine's addresses and its way to the world (rtnetlink, see rtnetlink(7)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use tokio::io::unix::AsyncFd;

use crate::readable::readable;

/// Groups of messages: addresses and routes of either family (`RTMGRP_IPV4_IFADDR` and so on).
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;

/// Types of messages.
const NEW_ADDRESS: u16 = 20;
const DELETED_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETED_ROUTE: u16 = 25;

/// Addresses of this scope and above reach no further than the link.
const SCOPE_LINK: u8 = 253;

/// The length of a message's header, and of what is looked at behind it.
const HEADER: usize = 16;
const BODY: usize = 4;

/// A listener for changes. Dropping it ends the watch.
#[derive(Debug)]
pub struct AddressChanges {
    socket: AsyncFd<OwnedFd>,
}

impl AddressChanges {
    /// Starts to listen. Changes from now on are told, so the order that misses nothing is: listen, then look.
    ///
    /// # Errors
    /// If the kernel has no rtnetlink, or descriptors are used up.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O, as all of tokio's I/O.
    pub fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Protocol 0 is NETLINK_ROUTE.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self { socket: readable(socket)? })
    }

    /// Waits until an address that others can reach, or a default route, came or went. May be cancelled: then the change
    /// that came meanwhile is told the next time, or was told already.
    ///
    /// # Errors
    /// If the socket fails.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut matters = false;
            loop {
                let mut buffer = [MaybeUninit::uninit(); 8 << 10];
                match rustix::net::recv(self.socket.get_ref(), &mut buffer, RecvFlags::empty()) {
                    Ok(((messages, _), _)) => matters |= any_matters(messages),
                    // Messages were lost.
                    Err(Errno::NOBUFS) => matters = true,
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            ready.clear_ready();
            if matters {
                return Ok(());
            }
        }
    }
}

/// Whether one of these messages is about an address with more than the link's reach, or a default route. What cannot be
/// understood might be.
fn any_matters(mut messages: &[u8]) -> bool {
    while !messages.is_empty() {
        let (Some(header), Some(body)) = (messages.get(..HEADER), messages.get(HEADER..HEADER + BODY)) else {
            return true;
        };
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let matters = match u16::from_ne_bytes([header[4], header[5]]) {
            // struct ifaddrmsg: family, prefix length, flags, scope.
            NEW_ADDRESS | DELETED_ADDRESS => body[3] < SCOPE_LINK,
            // struct rtmsg: family, length of the destination.
            NEW_ROUTE | DELETED_ROUTE => body[1] == 0,
            _ => false,
        };
        if matters || length < HEADER + BODY {
            return true;
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, body: [u8; 4]) -> Vec<u8> {
        let mut message = 24_u32.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend(body);
        message.resize(24, 0);
        message
    }

    #[test]
    fn addresses_of_reach_and_default_routes_matter() {
        const IPV6: u8 = 10;
        let link_local = message(NEW_ADDRESS, [IPV6, 64, 0, SCOPE_LINK]);
        let pod_route = message(NEW_ROUTE, [2, 32, 0, 0]);
        let link = message(16, [0; 4]);
        let noise = [link_local, pod_route, link].concat();
        assert!(!any_matters(&noise));
        for news in [message(NEW_ADDRESS, [2, 24, 0, 0]), message(DELETED_ROUTE, [IPV6, 0, 0, 0])] {
            assert!(any_matters(&[noise.clone(), news].concat()));
        }
        assert!(any_matters(&noise[..30]), "cut short");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            any_matters(&bytes);
        }
    }

    #[tokio::test]
    async fn listens() {
        let mut changes = AddressChanges::listen().unwrap();
        // Whether anything changes meanwhile is not up to this test.
        let _ = futures::poll!(std::pin::pin!(changes.changed()));
    }
}
