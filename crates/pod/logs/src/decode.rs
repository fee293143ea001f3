//! From the records of a log file back to what the container wrote, in constant memory: a line may be longer than
//! memory, and its content is passed on as it comes.

use crate::LogOptions;
use crate::record::{Head, MAX_HEAD};

/// Takes the bytes of a log file in pieces of any size and gives the text of the log.
#[derive(Debug)]
pub struct Decoder {
    options: LogOptions,
    state: State,
    /// The beginning of a record whose head is not complete yet; never longer than [`MAX_HEAD`].
    head: Vec<u8>,
    /// Whether the next content begins a line of the output.
    line_start: bool,
    left: Option<u64>,
    records: u64,
    unreadable: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Before the content of a record.
    Head,
    /// Within the content of a record that is wanted.
    Content { partial: bool },
    /// Within a record that is not wanted, or not readable.
    Skip,
}

impl Decoder {
    /// A decoder at the beginning of a line. Of `options`, `tail` is for whoever chooses that line.
    #[must_use]
    pub fn new(options: LogOptions) -> Self {
        Self {
            options,
            state: State::Head,
            head: Vec::with_capacity(MAX_HEAD),
            line_start: true,
            left: options.limit_bytes,
            records: 0,
            unreadable: 0,
        }
    }

    /// Decodes `input` and adds the text to `out`.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() && !self.is_full() {
            let newline = input.iter().position(|byte| *byte == b'\n');
            let line = &input[..newline.unwrap_or(input.len())];
            match self.state {
                State::Head => self.feed_head(line, newline.is_some(), out),
                State::Content { .. } => self.put(line, out),
                State::Skip => {}
            }
            let Some(newline) = newline else { return };
            self.end_of_record(out);
            input = &input[newline + 1..];
        }
    }

    /// Begins anew at the beginning of a line, as when the next file is read.
    pub fn next_file(&mut self) {
        self.state = State::Head;
        self.head.clear();
    }

    /// Whether `limit_bytes` is reached, so that nothing more will come.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// How many records could be read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many lines were no records. They are left out.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn feed_head(&mut self, line: &[u8], whole: bool, out: &mut Vec<u8>) {
        let known = self.head.len();
        let room = MAX_HEAD - known;
        self.head.extend_from_slice(&line[..line.len().min(room)]);
        let complete = self.head.iter().filter(|byte| **byte == b' ').nth(2).is_some();
        if !complete && !whole && self.head.len() < MAX_HEAD {
            return;
        }
        let head = std::mem::take(&mut self.head);
        match Head::parse(&head) {
            Some((parsed, len)) => {
                self.records += 1;
                let wanted = self.options.since.is_none_or(|since| parsed.time >= since)
                    && self.options.stream.is_none_or(|stream| parsed.stream == stream);
                if wanted {
                    self.state = State::Content { partial: parsed.partial };
                    if self.options.timestamps && self.line_start {
                        self.put(format!("{} ", parsed.fixed_time()).as_bytes(), out);
                    }
                    // What the head did not use of this piece. The rest of a buffered head was in earlier pieces.
                    self.put(line.get(len.saturating_sub(known)..).unwrap_or_default(), out);
                } else {
                    self.state = State::Skip;
                }
            }
            None => {
                self.unreadable += u64::from(!head.is_empty());
                self.state = State::Skip;
            }
        }
        self.head = head;
        self.head.clear();
    }

    fn end_of_record(&mut self, out: &mut Vec<u8>) {
        if let State::Content { partial } = self.state {
            if !partial {
                self.put(b"\n", out);
            }
            self.line_start = !partial;
        }
        self.state = State::Head;
    }

    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let take = match &mut self.left {
            None => bytes.len(),
            Some(left) => {
                let take = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                take
            }
        };
        out.extend_from_slice(&bytes[..take]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Stream;

    const LOG: &str = "\
2024-01-01T00:00:01Z stdout F one
2024-01-01T00:00:02.5Z stderr P tw
2024-01-01T00:00:02.6Z stderr F o
not a record
2024-01-01T00:00:03Z stdout F
2024-01-01T00:00:04Z stdout F th ree\n";

    fn decode(options: LogOptions, log: &[u8], piece: usize) -> (String, Decoder) {
        let (mut decoder, mut out) = (Decoder::new(options), Vec::new());
        log.chunks(piece).for_each(|piece| decoder.feed(piece, &mut out));
        (String::from_utf8_lossy(&out).into_owned(), decoder)
    }

    #[test]
    fn the_text_comes_back() {
        let (text, decoder) = decode(LogOptions::default(), LOG.as_bytes(), 1000);
        assert_eq!(text, "one\ntwo\n\nth ree\n");
        assert_eq!((decoder.records(), decoder.unreadable()), (5, 1));
    }

    #[test]
    fn options() {
        let since = Some("2024-01-01T00:00:02.6Z".parse().unwrap());
        for (options, expected) in [
            (LogOptions { since, ..Default::default() }, "o\n\nth ree\n"),
            (LogOptions { stream: Some(Stream::Stderr), ..Default::default() }, "two\n"),
            (LogOptions { limit_bytes: Some(6), ..Default::default() }, "one\ntw"),
            (
                LogOptions { timestamps: true, stream: Some(Stream::Stderr), ..Default::default() },
                "2024-01-01T00:00:02.500000000Z two\n",
            ),
        ] {
            assert_eq!(decode(options, LOG.as_bytes(), 7).0, expected, "{options:?}");
        }
    }

    #[test]
    fn an_unfinished_line_is_passed_on_as_it_is() {
        assert_eq!(decode(LogOptions::default(), b"2024-01-01T00:00:01Z stdout F unfini", 100).0, "unfini");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(piece in 1..120usize, timestamps: bool, limit in prop::option::of(0..60u64)) {
            let options = LogOptions { timestamps, limit_bytes: limit, ..Default::default() };
            prop_assert_eq!(
                decode(options, LOG.as_bytes(), piece).0,
                decode(options, LOG.as_bytes(), LOG.len()).0
            );
        }

        #[test]
        fn never_panics_and_never_grows(
            log in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b' ')], 0..400),
            piece in 1..300usize,
        ) {
            let (text, decoder) = decode(LogOptions::default(), &log, piece);
            prop_assert!(text.len() <= 3 * log.len());
            prop_assert!(decoder.head.len() <= MAX_HEAD);
        }

        #[test]
        fn lines_round_trip(lines in prop::collection::vec("[^\n]{0,300}", 0..20), piece in 1..500usize) {
            let log: String = lines.iter().map(|line| format!("2024-01-01T00:00:01Z stdout F {line}\n")).collect();
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            prop_assert_eq!(decode(LogOptions::default(), log.as_bytes(), piece).0, text);
        }
    }
}
