//! SPDY/3.1 as a client needs it to have a runtime run a command: streams are opened, bytes go both ways. (The protocol:
//! "SPDY Protocol - Draft 3.1", sections 2.2 and 2.6.)
//!
//! Headers go out uncompressed, inside of what the decompressor of the other side takes for compressed. Those that come in
//! say nothing that is needed, and are not read. Runtimes neither send pings nor keep to the windows of flow control.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

const VERSION: [u8; 2] = [0x80, 3];
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const GOAWAY: u16 = 7;
/// The last frame of its side of a stream.
const FIN: u8 = 1;
/// The largest frame that is read, in bytes. Runtimes send what they read at once, which is 32 KiB.
const LARGEST: usize = 4 << 20;
/// The length of what is before each frame's bytes.
const HEAD: usize = 8;
/// How much is read at once, in bytes: two frames of a runtime that has much to say.
const PIECE: usize = 64 << 10;
/// How a zlib stream (RFC 1950) begins that uses SPDY's dictionary, which it names by its checksum.
const ZLIB: [u8; 6] = [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    /// Bytes of a stream.
    Data { stream: u32, fin: bool, bytes: Payload },
    /// The other side has taken a stream.
    Reply { stream: u32, fin: bool },
    /// The other side has given a stream up.
    Reset { stream: u32 },
    /// The other side is about to end.
    GoAway,
    /// Something else.
    Other,
}

/// Opens streams, one after the other.
#[derive(Default)]
pub(super) struct Opener {
    begun: bool,
}

impl Opener {
    /// The frame that opens `stream` with one header, whose name is in lower case.
    pub(super) fn open(&mut self, stream: u32, name: &str, value: &str) -> Vec<u8> {
        let mut block = Vec::new();
        block.extend(1u32.to_be_bytes());
        for text in [name, value] {
            block.extend(length(text.len()).to_be_bytes());
            block.extend(text.as_bytes());
        }
        let mut payload = Vec::new();
        payload.extend(stream.to_be_bytes());
        // No stream that it belongs to, the highest priority, no slot.
        payload.extend([0; 6]);
        if !std::mem::replace(&mut self.begun, true) {
            payload.extend(ZLIB);
        }
        // A stored block of deflate (RFC 1951), and an empty one, after which a decompressor hands out what it has.
        for stored in [block.as_slice(), &[]] {
            let length = u16::try_from(stored.len()).unwrap_or(u16::MAX);
            payload.push(0);
            payload.extend(length.to_le_bytes());
            payload.extend((!length).to_le_bytes());
            payload.extend(stored);
        }
        let mut frame = VERSION.to_vec();
        frame.extend(SYN_STREAM.to_be_bytes());
        frame.extend(length(payload.len()).to_be_bytes());
        frame.extend(payload);
        frame
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What is before `length` bytes of `stream`, fewer than 16 MiB; with `fin`, they are the last.
pub(super) fn head(stream: u32, length: usize, fin: bool) -> [u8; HEAD] {
    let [_, lengths @ ..] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&stream.to_be_bytes());
    head[4] = if fin { FIN } else { 0 };
    head[5..].copy_from_slice(&lengths);
    head
}

/// The bytes of a frame, with room before them for one more: they are passed on without being copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Payload(BytesMut);

impl Payload {
    /// What was said.
    pub(super) fn said(&self) -> &[u8] {
        &self.0[1..]
    }

    /// The same after `first`.
    pub(super) fn after(mut self, first: u8) -> Bytes {
        self.0[0] = first;
        self.0.freeze()
    }
}

/// The frames that come from the other side.
pub(super) struct Frames<R> {
    from: R,
    ahead: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Those that `from` says.
    pub(super) fn of(from: R) -> Self {
        Self { from, ahead: BytesMut::new() }
    }

    /// The next frame, if the whole of it is here already.
    ///
    /// # Errors
    /// It is larger than any that is read.
    pub(super) fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some(whole) = self.length()?.filter(|whole| *whole <= self.ahead.len()) else { return Ok(None) };
        let mut frame = self.ahead.split_to(whole);
        let (first, fin) = (word(&frame, 0), frame[4] & FIN != 0);
        if first >> 31 == 0 {
            // What is left of the head is the room.
            frame.advance(HEAD - 1);
            return Ok(Some(Frame::Data { stream: first, fin, bytes: Payload(frame) }));
        }
        let stream = if whole < HEAD + 4 { 0 } else { word(&frame, HEAD) & (u32::MAX >> 1) };
        Ok(Some(match u16::from_be_bytes([frame[2], frame[3]]) {
            SYN_REPLY => Frame::Reply { stream, fin },
            RST_STREAM => Frame::Reset { stream },
            GOAWAY => Frame::GoAway,
            _ => Frame::Other,
        }))
    }

    /// Waits for more of what the other side says. False at its end.
    ///
    /// # Errors
    /// The connection broke, or ended within the bytes of a frame.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        let missing = self.length()?.map_or(HEAD, |whole| whole.saturating_sub(self.ahead.len()));
        self.ahead.reserve(missing.max(PIECE));
        if self.from.read_buf(&mut self.ahead).await? > 0 {
            return Ok(true);
        }
        if self.ahead.len() < HEAD { Ok(false) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// The length of the frame that comes next, with its head, if that is here.
    fn length(&self) -> io::Result<Option<usize>> {
        if self.ahead.len() < HEAD {
            return Ok(None);
        }
        let length = usize::try_from(word(&self.ahead, 4) & 0x00ff_ffff).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too large"));
        }
        Ok(Some(HEAD + length))
    }
}

/// The number at `at`.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    #[test]
    fn headers_are_stored() {
        let mut opener = Opener::default();
        let first = opener.open(1, "streamtype", "error");
        let block = [&[0, 0, 0, 1, 0, 0, 0, 10][..], b"streamtype", &[0, 0, 0, 5], b"error"].concat();
        let expected = [
            &[0x80, 3, 0, 1, 0, 0, 0, 53, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            &ZLIB,
            &[0, 27, 0, 0xe4, 0xff],
            &block,
            &[0, 0, 0, 0xff, 0xff],
        ];
        assert_eq!(first, expected.concat());
        let second = opener.open(3, "streamtype", "error");
        assert_eq!(second.len(), first.len() - ZLIB.len(), "a stream of compressed bytes begins once");
    }

    fn data(stream: u32, bytes: &[u8], fin: bool) -> Vec<u8> {
        [&head(stream, bytes.len(), fin)[..], bytes].concat()
    }

    async fn next(frames: &mut Frames<impl AsyncRead + Unpin>) -> io::Result<Option<Frame>> {
        loop {
            match frames.take()? {
                None if frames.more().await? => {}
                frame => return Ok(frame),
            }
        }
    }

    #[tokio::test]
    async fn frames_are_read_as_they_were_written() {
        let mut all = data(5, b"hello", false);
        all.extend(data(7, b"", true));
        all.extend([0x80, 3, 0, 2, 0, 0, 0, 6, 0, 0, 0, 1, 9, 9]);
        all.extend([0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 1]);
        all.extend([0x80, 3, 0, 7, 0, 0, 0, 0]);
        all.extend([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2]);
        all.extend(data(5, &[7; 3 * PIECE], false));
        let payload = |bytes: &[u8]| Payload(BytesMut::from(&[&[0][..], bytes].concat()[..]));
        let expected = [
            Some(Frame::Data { stream: 5, fin: false, bytes: payload(b"hello") }),
            Some(Frame::Data { stream: 7, fin: true, bytes: payload(b"") }),
            Some(Frame::Reply { stream: 1, fin: false }),
            Some(Frame::Reset { stream: 3 }),
            Some(Frame::GoAway),
            Some(Frame::Other),
            Some(Frame::Data { stream: 5, fin: false, bytes: payload(&[7; 3 * PIECE]) }),
            None,
        ];
        // As they come, and byte by byte.
        for at_once in [usize::MAX, 1] {
            let mut frames = Frames::of(Few { of: &all, at_once });
            for expected in &expected {
                let mut frame = next(&mut frames).await.unwrap();
                if let Some(Frame::Data { bytes, .. }) = &mut frame {
                    *bytes = Payload(BytesMut::from(&bytes.clone().after(0)[..]));
                }
                assert_eq!(frame, *expected);
            }
        }
        for bad in [&[0, 0, 0, 1, 0, 0xff, 0xff, 0xff][..], &[0, 0, 0, 1, 0, 0, 0, 3, 1]] {
            assert!(next(&mut Frames::of(bad)).await.is_err(), "too large, or cut off: {bad:?}");
        }
    }

    /// Bytes that come a few at a time.
    struct Few<'a> {
        of: &'a [u8],
        at_once: usize,
    }

    impl AsyncRead for Few<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let some = self.at_once.min(into.remaining()).min(self.of.len());
            let (now, later) = self.of.split_at(some);
            into.put_slice(now);
            self.of = later;
            Poll::Ready(Ok(()))
        }
    }
}
