//! One line of a container's log file, as CRI runtimes write it (Kubernetes: "CRI logging format"):
//! `<time> <stream> <tags> <content>`, where the time is RFC 3339 with nanoseconds, the stream `stdout` or `stderr`,
//! and the first tag `F` for a full line or `P` for a part of one that goes on in the next record of its stream.

use jiff::Timestamp;

/// Longest head of a record: time, stream and tags. What is longer was written by no runtime.
pub(crate) const MAX_HEAD: usize = 256;

/// Which of its two outputs a container wrote to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What stands before the content of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// When it was written.
    pub time: Timestamp,
    /// The same as text, with the offset that the runtime chose.
    pub time_text: &'a str,
    /// Where it was written to.
    pub stream: Stream,
    /// Whether the line goes on in the next record of its stream.
    pub partial: bool,
}

impl<'a> Head<'a> {
    /// The head of `line`, and how many bytes it takes up with the space after it. `None` if it is none.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<(Self, usize)> {
        let head = &line[..line.len().min(MAX_HEAD)];
        let mut parts = head.splitn(4, |byte| *byte == b' ');
        let (time, stream, tags) = (parts.next()?, parts.next()?, parts.next()?);
        // An empty line may come without the last space.
        let len = (time.len() + stream.len() + tags.len() + 3).min(line.len());
        if parts.next().is_none() && head.len() == MAX_HEAD {
            return None;
        }
        let stream = match stream {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let partial = match tags.split(|byte| *byte == b':').next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        let time_text = std::str::from_utf8(time).ok()?;
        let time = time_text.parse().ok()?;
        Some((Self { time, time_text, stream, partial }, len))
    }

    /// The time with all nine digits of its fraction, as `timestamps` shows it.
    #[must_use]
    pub fn fixed_time(&self) -> String {
        let text = self.time_text;
        // The offset begins after the time of day: `Z`, `z`, `+` or `-`.
        let zone = text
            .find(['Z', 'z', '+'])
            .or_else(|| text.rfind('-').filter(|at| *at > 10))
            .unwrap_or(text.len());
        let (clock, zone) = text.split_at(zone);
        let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        format!("{seconds}.{fraction:0<9}{zone}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads() {
        let line = b"2016-10-06T00:17:09.669794202Z stderr P:x some text";
        let (head, len) = Head::parse(line).unwrap();
        assert_eq!((head.stream, head.partial, &line[len..]), (Stream::Stderr, true, &b"some text"[..]));
        assert_eq!(head.time.as_nanosecond(), 1_475_713_029_669_794_202);

        for line in ["2016-10-06T00:17:09Z stdout F ", "2016-10-06T00:17:09Z stdout F"] {
            let (head, len) = Head::parse(line.as_bytes()).unwrap();
            assert_eq!((head.partial, len), (false, line.len()), "{line}");
        }
    }

    #[test]
    fn no_heads() {
        for line in [
            "",
            "hello",
            "2016-10-06T00:17:09Z stdin F x",
            "2016-10-06T00:17:09Z stdout X x",
            "yesterday stdout F x",
            "2016-10-06T00:17:09Z stdout",
            "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09Z\"}",
        ] {
            assert_eq!(Head::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn times_are_shown_with_nine_digits() {
        for (text, expected) in [
            ("2016-10-06T00:17:09.6697Z", "2016-10-06T00:17:09.669700000Z"),
            ("2016-10-06T00:17:09Z", "2016-10-06T00:17:09.000000000Z"),
            ("2016-10-06T00:17:09.123456789+02:00", "2016-10-06T00:17:09.123456789+02:00"),
            ("2016-10-06T00:17:09.1-07:00", "2016-10-06T00:17:09.100000000-07:00"),
        ] {
            let line = format!("{text} stdout F x");
            assert_eq!(Head::parse(line.as_bytes()).unwrap().0.fixed_time(), expected);
        }
    }

    proptest! {
        #[test]
        fn never_panics(line in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Some((head, len)) = Head::parse(&line) {
                prop_assert!(len <= line.len());
                let _ = head.fixed_time();
            }
        }
    }
}
