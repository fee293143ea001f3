//! The end of a log file, found by reading backwards.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::{Decoder, LogOptions, file};

const BLOCK: u64 = 4096;

/// Most lines of a log in a termination message (`FallbackToLogsOnError`).
pub const MESSAGE_LINES: u64 = 80;
/// Most bytes of a log in a termination message.
pub const MESSAGE_BYTES: usize = 2048;

/// Where the last `lines` lines of `file` begin. A last line that is not finished yet comes on top.
///
/// # Errors
/// If the file cannot be read.
pub fn tail_offset(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut found = 0;
    let mut block = [0; BLOCK as usize];
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let piece = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        match file.read_exact(piece) {
            Ok(()) => {}
            // Cut by somebody meanwhile: what is left is read from its beginning.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            Err(error) => return Err(error),
        }
        for (at, _) in piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            found += 1;
            if found > lines {
                return Ok(start + at as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

/// The end of a container's output for its termination message: at most [`MESSAGE_LINES`] lines and [`MESSAGE_BYTES`]
/// bytes, from the end. Empty if there is no such file. Bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// If the file cannot be read.
pub fn termination_message(path: &Path) -> io::Result<String> {
    let mut file = match file::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let start = tail_offset(&mut file, MESSAGE_LINES)?;
    file.seek(SeekFrom::Start(start))?;
    let mut decoder = Decoder::new(LogOptions::default());
    let (mut piece, mut text) = ([0; BLOCK as usize], Vec::new());
    // Not more than was there at the start: a writer that is faster must not keep us here.
    let mut rest = file.metadata()?.len().saturating_sub(start);
    while rest > 0 {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        rest = rest.saturating_sub(read as u64);
        decoder.feed(&piece[..read], &mut text);
        let surplus = text.len().saturating_sub(MESSAGE_BYTES);
        text.drain(..surplus);
    }
    // A character that was cut in two is left out.
    let whole = text.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    let mut message = String::from_utf8_lossy(&text[whole..]).into_owned();
    // Each bad byte became three.
    while message.len() > MESSAGE_BYTES {
        message.remove(0);
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn with(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn offsets() {
        for (content, lines, expected) in [
            ("", 1, 0),
            ("a\nb\n", 0, 4),
            ("a\nb\n", 1, 2),
            ("a\nb\n", 2, 0),
            ("a\nb\n", 9, 0),
            ("a\nb\nc", 0, 4),
            ("a\nb\nc", 1, 2),
        ] {
            let file = with(content.as_bytes());
            assert_eq!(
                tail_offset(&mut file.reopen().unwrap(), lines).unwrap(),
                expected,
                "{content:?} {lines}"
            );
        }
    }

    #[test]
    fn messages_are_short() {
        let line = |n| format!("2024-01-01T00:00:01Z stderr F line {n}\n");
        let log: String = (0..100).map(line).collect();
        let message = termination_message(with(log.as_bytes()).path()).unwrap();
        assert!(message.starts_with("line 20\n") && message.ends_with("line 99\n"), "{message}");

        let long = format!("2024-01-01T00:00:01Z stderr F {}\n", "ä".repeat(5000));
        let message = termination_message(with(long.as_bytes()).path()).unwrap();
        assert!(message.len() <= MESSAGE_BYTES && message.trim_end().chars().all(|c| c == 'ä'));

        assert_eq!(termination_message(Path::new("/no/such/file")).unwrap(), "");
        assert!(termination_message(Path::new("/tmp")).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn offsets_agree_with_counting(content in "[ab\n]{0,9000}", lines in 0..50u64) {
            let ends: Vec<usize> = content.match_indices('\n').map(|(at, _)| at + 1).collect();
            let skip = ends.len().checked_sub(usize::try_from(lines).unwrap() + 1);
            let expected = skip.map_or(0, |at| ends[at]);
            let file = with(content.as_bytes());
            prop_assert_eq!(tail_offset(&mut file.reopen().unwrap(), lines).unwrap(), expected as u64);
        }

        #[test]
        fn messages_never_panic(log in prop::collection::vec(any::<u8>(), 0..6000)) {
            let message = termination_message(with(&log).path()).unwrap();
            prop_assert!(message.len() <= MESSAGE_BYTES);
        }
    }
}
