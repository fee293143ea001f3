//! Takes what `tracing` hands over, and writes it.

use std::io::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use super::line::Line;
use super::{Filter, Format, json, text};

/// Where lines go.
pub(super) trait Output: Send + Sync + 'static {
    /// Writes a whole line; `urgent` for errors and warnings.
    fn write(&self, line: &str, urgent: bool);
}

/// The standard streams of the process.
pub(super) struct Standard {
    /// Only what is urgent goes to stderr, the rest to stdout.
    pub(super) split: bool,
}

impl Output for Standard {
    fn write(&self, line: &str, urgent: bool) {
        // One write per line keeps lines of several threads apart. If it fails there is nobody left to tell.
        let _ = if self.split && !urgent {
            io::stdout().lock().write_all(line.as_bytes())
        } else {
            io::stderr().lock().write_all(line.as_bytes())
        };
    }
}

/// Formats events and writes them; spans are nothing to it.
pub(super) struct KlogSubscriber<O> {
    pub(super) filter: Arc<RwLock<Filter>>,
    pub(super) format: Format,
    pub(super) zone: TimeZone,
    pub(super) output: O,
}

impl<O> KlogSubscriber<O> {
    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.filter.read().unwrap_or_else(PoisonError::into_inner).allows(metadata)
    }
}

impl<O: Output> Subscriber for KlogSubscriber<O> {
    /// What is written depends on the place in the code alone, so each place is asked once and remembers.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.allows(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let level = self.filter.read().unwrap_or_else(PoisonError::into_inner).max_level();
        Some(LevelFilter::from_level(level))
    }

    fn event(&self, event: &Event<'_>) {
        let line = Line::new(event, Timestamp::now());
        let mut out = String::with_capacity(256);
        match self.format {
            Format::Text => text::write(&mut out, &line, &self.zone, std::process::id()),
            Format::Json => json::write(&mut out, &line),
        }
        self.output.write(&out, line.level <= Level::WARN);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::logging::{LogHandle, VModule};

    impl Output for Arc<Mutex<Vec<(String, bool)>>> {
        fn write(&self, line: &str, urgent: bool) {
            self.lock().unwrap().push((line.to_owned(), urgent));
        }
    }

    #[test]
    fn writes_what_the_filter_allows_and_follows_its_changes() {
        let output = Arc::new(Mutex::new(Vec::new()));
        let filter = Arc::new(RwLock::new(Filter::default()));
        let handle = LogHandle { filter: filter.clone() };
        let subscriber =
            KlogSubscriber { filter, format: Format::Text, zone: TimeZone::UTC, output: output.clone() };
        let said = || {
            tracing::error!(error = "cause", "e");
            tracing::warn!(pod = %"default/web", "w");
            tracing::info!(attempt = 3, "i {}", 1);
            tracing::debug!(list = ?[1, 2], "d");
            tracing::trace!("t");
            let bodies = |(line, urgent): (String, bool)| {
                (line.split_once("] ").unwrap().1.trim_end().to_owned(), urgent)
            };
            std::mem::take(&mut *output.lock().unwrap()).into_iter().map(bodies).collect::<Vec<_>>()
        };
        tracing::subscriber::with_default(subscriber, || {
            let line = |text: &str, urgent| (text.to_owned(), urgent);
            let quiet = [
                line(r#""e" err="cause""#, true),
                line(r#""w" pod="default/web""#, true),
                line(r#""i 1" attempt=3"#, false),
            ];
            assert_eq!(said(), quiet);
            handle.set_verbosity(4);
            assert_eq!(said()[3..], [line(r#""d" list="[1, 2]""#, false)]);
            handle.set_verbosity(0);
            handle.set_vmodule(vec![VModule { pattern: "subscrib*".into(), verbosity: 6 }]);
            assert_eq!(said()[4..], [line(r#""t""#, false)]);
            handle.set_vmodule(vec![]);
            assert_eq!(said(), quiet);
            assert_eq!(handle.filter(), Filter::default());
        });
    }
}
