//! The node's own registry credentials, as its files have them when a pull needs them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::keyring::Keyring;

/// How long reading the files may take: home directories can be on a server that hangs.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Credentials that are read again for each pull. Clones share what was read last.
#[derive(Clone, Debug)]
pub struct NodeCredentials {
    root_dir: PathBuf,
    home: Option<PathBuf>,
    last: Arc<Mutex<Last>>,
}

#[derive(Default, Debug)]
struct Last {
    keyring: Arc<Keyring>,
    /// What was wrong with the files, so that it is told once.
    problem: Option<String>,
}

impl NodeCredentials {
    /// Those of the files that [`Keyring::load`] finds with these directories.
    #[must_use]
    pub fn new(root_dir: PathBuf, home: Option<PathBuf>) -> Self {
        Self { root_dir, home, last: Arc::default() }
    }

    /// What the files say now; if they cannot be read, what they said last.
    pub async fn keyring(&self) -> Arc<Keyring> {
        let (root_dir, home) = (self.root_dir.clone(), self.home.clone());
        let reading = spawn_blocking(move || Keyring::load(&root_dir, home.as_deref()));
        let read = match timeout(READ_WITHIN, reading).await {
            Ok(Ok(read)) => read.map_err(|error| telemetry::chain(&error)),
            Ok(Err(_)) => Err("reading the credentials files was given up".to_owned()),
            Err(_) => Err(format!("credentials files cannot be read within {READ_WITHIN:?}")),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(keyring) => *last = Last { keyring: Arc::new(keyring), problem: None },
            Err(problem) => {
                if last.problem.as_ref() != Some(&problem) {
                    tracing::warn!(
                        error = problem,
                        "Images are pulled with the credentials read last, if any"
                    );
                    last.problem = Some(problem);
                }
            }
        }
        Arc::clone(&last.keyring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ImageName;

    #[tokio::test]
    async fn the_files_are_followed_and_the_last_good_ones_kept() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = NodeCredentials::new(dir.path().to_owned(), None);
        let users = async || {
            let keyring = credentials.keyring().await;
            let image = ImageName::parse("q.io/a").unwrap();
            keyring.lookup(&image).map(|credential| credential.username.clone()).collect::<Vec<_>>()
        };
        let write = |text: &str| std::fs::write(dir.path().join("config.json"), text).unwrap();
        assert_eq!(users().await, [""; 0]);
        write(r#"{"auths": {"q.io": {"username": "first"}}}"#);
        assert_eq!(users().await, ["first"]);
        write(r#"{"auths": {"q.io": {"#);
        assert_eq!(users().await, ["first"]);
        write(r#"{"auths": {"q.io": {"username": "second"}}}"#);
        assert_eq!(users().await, ["second"]);
        write("{}");
        assert_eq!(users().await, [""; 0]);
    }
}
