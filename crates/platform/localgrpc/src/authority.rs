//! The name that a client calls its server by: the pseudo-header `:authority` of HTTP/2 (RFC 9113, section 8.3.1).
//!
//! Over a unix socket it means nothing, and clients send what they have: grpc-go the socket's path when it is given a dialer
//! of its own, old versions as it is and new ones percent-encoded; old clients in C++ the same, new ones `localhost`. The
//! HTTP/2 library takes neither form of a path for a host, and resets the request. So the name is replaced by one that is
//! good before the library sees it.
//!
//! Headers are compressed by tables that both sides keep (RFC 7541). An entry of the library's table may be smaller than that
//! of the client's, never larger: then whatever the client refers to is there, in the same place, since entries are counted
//! from the newest one. That is why the new name is one letter, and why nothing else needs to be decoded.

use bytes::{Buf as _, BytesMut};

/// What a client says first.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const FRAME_HEAD: usize = 9;
/// The most that a frame may have behind its head: as long as the server asks for no more, which it does not.
const LARGEST_FRAME: usize = 16 << 10;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The place of `:authority` in the table that both sides have from the start.
const AUTHORITY: usize = 1;
const AUTHORITY_NAME: &[u8] = b":authority";
/// The new name as a string literal: its length, and itself.
const NEW: [u8; 2] = [1, b'x'];

/// The bytes of one connection, as they come from the client and as the library is to see them.
#[derive(Debug)]
pub struct Renamed {
    /// What has come and cannot be judged yet: at most a frame of headers that is not whole.
    held: BytesMut,
    /// So many bytes to come are passed on as they are.
    passing: usize,
    ready: BytesMut,
}

impl Default for Renamed {
    fn default() -> Self {
        Self { held: BytesMut::new(), passing: PREFACE, ready: BytesMut::new() }
    }
}

impl Renamed {
    /// Takes bytes from the client.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        loop {
            let passed = self.passing.min(self.held.len());
            self.ready.extend_from_slice(&self.held.split_to(passed));
            self.passing -= passed;
            if self.held.len() < FRAME_HEAD {
                return;
            }
            let frame = Frame::of(&self.held);
            if !frame.is_judged() {
                self.passing = frame.size();
            } else if self.held.len() < frame.size() {
                return;
            } else {
                rename(&self.held.split_to(frame.size()), &mut self.ready);
            }
        }
    }

    /// The client will send nothing more: what is held is no whole frame, and is passed on as it is.
    pub fn end(&mut self) {
        self.ready.extend_from_slice(&self.held.split());
    }

    /// What the library may see now.
    #[must_use]
    pub fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// The library has seen the first `count` bytes of what was ready.
    pub fn seen(&mut self, count: usize) {
        self.ready.advance(count.min(self.ready.len()));
    }
}

/// The head of a frame (RFC 9113, section 4.1).
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
}

impl Frame {
    fn of(bytes: &[u8]) -> Self {
        let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
        let length = [at(0), at(1), at(2)].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        Self { length, kind: at(3), flags: at(4) }
    }

    fn size(&self) -> usize {
        FRAME_HEAD + self.length
    }

    /// Whether this is a whole set of headers. One that goes on in further frames is passed on as it is: no client of such
    /// a service has as many.
    fn is_judged(&self) -> bool {
        self.kind == HEADERS && self.flags & END_HEADERS != 0 && self.length <= LARGEST_FRAME
    }
}

/// Adds a frame of headers to `out`, with the new name in place of the client's.
fn rename(frame: &[u8], out: &mut BytesMut) {
    let Some((start, end)) = block(frame).and_then(|block| name(frame, block)) else {
        out.extend_from_slice(frame);
        return;
    };
    let shorter = end - start - NEW.len();
    let length = frame.len() - FRAME_HEAD - shorter;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a frame is at most as long as its head could say before"
    )]
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&frame[3..start]);
    out.extend_from_slice(&NEW);
    out.extend_from_slice(&frame[end..]);
}

/// Where in the frame the compressed headers are (RFC 9113, section 6.2).
fn block(frame: &[u8]) -> Option<(usize, usize)> {
    let flags = Frame::of(frame).flags;
    let (mut start, mut end) = (FRAME_HEAD, frame.len());
    if flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*frame.get(start)?))?;
        start += 1;
    }
    if flags & PRIORITY != 0 {
        start += 5;
    }
    (start <= end).then_some((start, end))
}

/// Where in the frame the value of `:authority` is, with its length before it; none if it is not spelt out, or if the headers
/// make no sense.
fn name(frame: &[u8], (start, end): (usize, usize)) -> Option<(usize, usize)> {
    let mut reader = Reader { bytes: frame.get(..end)?, at: start };
    while let Some(first) = reader.peek() {
        // The kinds of fields of RFC 7541, section 6.
        let index = match first {
            0x80.. => {
                reader.integer(7)?;
                continue;
            }
            0x20..=0x3f => {
                reader.integer(5)?;
                continue;
            }
            0x40..=0x7f => reader.integer(6)?,
            _ => reader.integer(4)?,
        };
        let named = index == AUTHORITY || (index == 0 && reader.string()? == AUTHORITY_NAME);
        let value = reader.at;
        let length = reader.string()?.len();
        if named {
            return (length > 0).then_some((value, reader.at));
        }
    }
    None
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// An integer whose first `bits` are in the byte that is next (RFC 7541, section 5.1). None of use here has more than
    /// three bytes behind that.
    fn integer(&mut self, bits: u32) -> Option<usize> {
        let most = (1 << bits) - 1;
        let mut value = usize::from(self.next()?) & most;
        if value < most {
            return Some(value);
        }
        for place in 0..3 {
            let byte = self.next()?;
            value += usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A string as it is on the wire: it may be in Huffman's code (RFC 7541, section 5.2).
    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.integer(7)?;
        let string = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(string)
    }
}

#[cfg(test)]
mod tests;
