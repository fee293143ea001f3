//! Descriptors that are waited for until there is something to read.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `fd`, which does not block, with the runtime.
///
/// # Panics
/// Outside of a tokio runtime with I/O, as all of tokio's I/O.
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor must stay open, and the same one, for as long as it is registered. An `OwnedFd` is one
    // descriptor from its making to its drop, the `AsyncFd` owns it, and it takes it out of the registry before dropping
    // it.
    #[expect(unsafe_code)]
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(registered?)
}
