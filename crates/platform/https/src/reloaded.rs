//! What is made from files, and made again when they have changed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use task::stamp::Stamp;
use tokio::time::Instant;

use crate::{Pem, TlsError};

/// How often files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

type Make<T> = Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>;

/// A value made from files.
pub(crate) struct Reloaded<T> {
    /// What it is, for the log.
    what: &'static str,
    files: Vec<PathBuf>,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// How often the value was made; tells one from the next.
    generation: u64,
    value: Arc<T>,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
}

impl<T> Reloaded<T> {
    /// What `make` makes of `sources` now.
    pub(crate) fn new(
        what: &'static str,
        sources: &[&Pem],
        make: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let files: Vec<PathBuf> =
            sources.iter().filter_map(|pem| pem.file()).map(ToOwned::to_owned).collect();
        // Before they are read: a change in between is then seen at the next look.
        let stamps = stamps(&files);
        let value = Arc::new(make()?);
        let state = State { generation: 0, value, stamps, looked: Instant::now() };
        Ok(Self { what, files, make: Box::new(make), state: Mutex::new(state) })
    }

    /// The value as the files have it now, or had it a second ago; what came before if they cannot be used.
    pub(crate) fn current(&self) -> (u64, Arc<T>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.files.is_empty() && state.looked.elapsed() >= LOOK {
            self.look(&mut state);
        }
        (state.generation, Arc::clone(&state.value))
    }

    fn look(&self, state: &mut State<T>) {
        state.looked = Instant::now();
        let stamps = stamps(&self.files);
        if stamps == state.stamps {
            return;
        }
        state.stamps = stamps;
        match (self.make)() {
            Ok(value) => {
                tracing::info!(files = ?self.files, "{} changed, and counts from now on", self.what);
                state.generation += 1;
                state.value = Arc::new(value);
            }
            // Half of a pair may be written; the other half changes a stamp again.
            Err(error) => tracing::warn!(
                error = telemetry::chain(&error),
                "{} changed and cannot be used; going on with what was there before",
                self.what
            ),
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| Stamp::of(file)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn lengths(path: &Path) -> Reloaded<usize> {
        let path = path.to_owned();
        let source = Pem::File(path.clone());
        Reloaded::new("a file", &[&source], move || {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| TlsError::Read { path: path.clone(), source })?;
            Ok(text.len())
        })
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_counts_after_a_second_and_a_bad_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let length = lengths(&path);
        assert_eq!(length.current(), (0, Arc::new(3)));
        std::fs::write(&path, "three").unwrap();
        assert_eq!(length.current(), (0, Arc::new(3)), "it was looked at just now");
        tokio::time::advance(LOOK).await;
        assert_eq!(length.current(), (1, Arc::new(5)));

        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(LOOK).await;
        assert_eq!(length.current(), (1, Arc::new(5)), "it is gone, so what it said goes on");
        std::fs::write(&path, "seventh").unwrap();
        tokio::time::advance(LOOK).await;
        assert_eq!(length.current(), (2, Arc::new(7)));
    }
}
