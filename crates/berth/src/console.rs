//! What is said to who has started this program.

use std::io::Write;

/// Writes `text` to standard output. That a reader such as `head` has gone away is no failure.
pub(crate) fn tell(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes an error to standard error.
pub(crate) fn tell_error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "berth: {text}");
}
