//! Lines out of a body that comes in pieces.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

use crate::ApiError;

/// The longest line. An object of the API is a few MiB at most.
const LONGEST: usize = 16 << 20;
/// How much room is kept between lines.
const KEPT: usize = 16 << 10;

/// Lines of a body.
pub(super) struct Lines<B> {
    body: B,
    server: String,
    buffer: BytesMut,
    /// How much of the buffer has no end of a line.
    searched: usize,
}

impl<B> Lines<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: std::error::Error,
{
    pub(super) fn new(body: B, server: String) -> Self {
        Self { body, server, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line, without its end. Half a line at the end of the body is none. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end + 1).freeze();
                self.searched = 0;
                return Some(Ok(line.slice(..line.len() - 1)));
            }
            self.searched = self.buffer.len();
            if self.searched > LONGEST {
                let error = std::io::Error::other(format!("an event is longer than {LONGEST} bytes"));
                return Some(Err(ApiError::malformed(&error)));
            }
            if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
                self.buffer = BytesMut::new();
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Err(error) => return Some(Err(ApiError::unreachable(&self.server, &error))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;

    async fn lines(pieces: Vec<Vec<u8>>) -> Vec<Bytes> {
        let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let mut lines = Lines::new(StreamBody::new(stream::iter(frames)), String::new());
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line.unwrap());
        }
        all
    }

    proptest! {
        /// However the body is cut into pieces, the lines are the same.
        #[test]
        fn pieces_do_not_matter(text in "[ab\n]{0,60}", cuts in prop::collection::vec(1..8usize, 1..60)) {
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = left;
            }
            pieces.push(rest.to_vec());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let whole = text.rfind('\n').map(|end| &text[..end]);
            let expected: Vec<&[u8]> =
                whole.map_or_else(Vec::new, |whole| whole.as_bytes().split(|byte| *byte == b'\n').collect());
            prop_assert_eq!(runtime.block_on(lines(pieces)), expected);
        }
    }

    #[tokio::test]
    async fn a_line_that_never_ends_is_an_error() {
        let frames =
            stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 1 << 20]))));
        let mut lines = Lines::new(StreamBody::new(frames), String::new());
        assert!(lines.next().await.unwrap().unwrap_err().message.contains("longer than"));
    }
}
