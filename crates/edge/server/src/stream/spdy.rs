//! SPDY/3.1 as a client needs it to have a runtime run a command: streams are opened, bytes go both ways. (The protocol:
//! "SPDY Protocol - Draft 3.1", sections 2.2 and 2.6.)
//!
//! Headers go out uncompressed, inside of what the decompressor of the other side takes for compressed. Those that come in
//! say nothing that is needed, and are not read. Runtimes neither send pings nor keep to the windows of flow control.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

const VERSION: [u8; 2] = [0x80, 3];
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const GOAWAY: u16 = 7;
/// The last frame of its side of a stream.
const FIN: u8 = 1;
/// The largest frame that is read, in bytes. Runtimes send what they read at once, which is 32 KiB.
const LARGEST: u32 = 4 << 20;
/// How a zlib stream (RFC 1950) begins that uses SPDY's dictionary, which it names by its checksum.
const ZLIB: [u8; 6] = [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    /// Bytes of a stream.
    Data { stream: u32, fin: bool, bytes: Vec<u8> },
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

/// A frame with bytes of `stream`, fewer than 16 MiB; with `fin`, the last one.
pub(super) fn data(stream: u32, bytes: &[u8], fin: bool) -> Vec<u8> {
    let mut frame = Vec::with_capacity(8 + bytes.len());
    frame.extend(stream.to_be_bytes());
    frame.extend((length(bytes.len()) | u32::from(if fin { FIN } else { 0 }) << 24).to_be_bytes());
    frame.extend(bytes);
    frame
}

/// The next frame; `None` at the end.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 8];
    match from.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => drop(read?),
    }
    let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let (fin, length) = (head[4] & FIN != 0, u32::from_be_bytes([0, head[5], head[6], head[7]]));
    if length > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too large"));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    from.read_exact(&mut bytes).await?;
    if first >> 31 == 0 {
        return Ok(Some(Frame::Data { stream: first, fin, bytes }));
    }
    let stream = bytes.first_chunk().map_or(0, |id| u32::from_be_bytes(*id) & (u32::MAX >> 1));
    Ok(Some(match u16::from_be_bytes([head[2], head[3]]) {
        SYN_REPLY => Frame::Reply { stream, fin },
        RST_STREAM => Frame::Reset { stream },
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    }))
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn frames_are_read_as_they_were_written() {
        let mut all = data(5, b"hello", false);
        all.extend(data(7, b"", true));
        all.extend([0x80, 3, 0, 2, 0, 0, 0, 6, 0, 0, 0, 1, 9, 9]);
        all.extend([0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 1]);
        all.extend([0x80, 3, 0, 7, 0, 0, 0, 0]);
        all.extend([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2]);
        let mut from = all.as_slice();
        for expected in [
            Some(Frame::Data { stream: 5, fin: false, bytes: b"hello".to_vec() }),
            Some(Frame::Data { stream: 7, fin: true, bytes: Vec::new() }),
            Some(Frame::Reply { stream: 1, fin: false }),
            Some(Frame::Reset { stream: 3 }),
            Some(Frame::GoAway),
            Some(Frame::Other),
            None,
        ] {
            assert_eq!(read(&mut from).await.unwrap(), expected);
        }
        assert!(read(&mut &[0, 0, 0, 1, 0, 0xff, 0xff, 0xff][..]).await.is_err(), "too large");
        assert!(read(&mut &[0, 0, 0, 1, 0, 0, 0, 3, 1][..]).await.is_err(), "cut off");
    }
}
