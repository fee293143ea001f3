//! A token in a file that somebody renews.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use task::stamp::Stamp;

use super::{CredentialsError, Proof};

/// The token in a file. Read again when the file has changed; if it is gone by then, the last token goes on.
pub(crate) struct TokenFile {
    path: PathBuf,
    last: Mutex<Option<(Stamp, Proof)>>,
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, last: Mutex::new(None) }
    }

    pub(super) fn proof(&self) -> Result<Proof, CredentialsError> {
        let stamp = Stamp::of(&self.path);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, proof)) = &*last
            && stamp.as_ref().is_none_or(|stamp| stamp == seen)
        {
            return Ok(proof.clone());
        }
        match (self.read(), &*last) {
            (Ok(proof), _) => {
                // Without a stamp the file came or went meanwhile: the next request looks again.
                *last = stamp.map(|stamp| (stamp, proof.clone()));
                Ok(proof)
            }
            (Err(_), Some((_, proof))) => Ok(proof.clone()),
            (Err(error), None) => Err(error),
        }
    }

    /// A file can change twice within what its time tells apart, so its content decides.
    pub(super) fn refused(&self, proof: &Proof) -> bool {
        let read = self.read();
        let better = read.is_ok_and(|read| read.authorization != proof.authorization);
        if better {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        better
    }

    fn read(&self) -> Result<Proof, CredentialsError> {
        let token = std::fs::read_to_string(&self.path)
            .map_err(|source| CredentialsError::TokenFile { path: self.path.clone(), source })?;
        if token.trim().is_empty() {
            return Err(CredentialsError::EmptyTokenFile(self.path.clone()));
        }
        Proof::token(&token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_file_and_outlives_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let file = TokenFile::new(path.clone());
        let shown = || file.proof().map(|proof| proof.authorization.unwrap().to_str().unwrap().to_owned());
        assert!(shown().unwrap_err().to_string().starts_with("token file "));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(shown().unwrap(), "Bearer one");
        std::fs::write(folder.path().join("new"), "two").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(shown().unwrap(), "Bearer two");
        let two = file.proof().unwrap();
        assert!(!file.refused(&two));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(shown().unwrap(), "Bearer two");
        std::fs::write(&path, "six").unwrap();
        assert!(file.refused(&two));
        assert_eq!(shown().unwrap(), "Bearer six");
    }
}
