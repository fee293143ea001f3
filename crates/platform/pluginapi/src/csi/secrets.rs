//! What must not reach a log.

use std::collections::BTreeMap;
use std::fmt;

/// Key and value pairs that are credentials, from a Secret or made for a pod. Their `Debug` shows the keys alone.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Adds one, in the place of one of the same key.
    pub fn insert(&mut self, key: String, value: String) {
        self.0.insert(key, value);
    }

    /// All of them, to be put on the wire.
    pub(super) fn wire(&self) -> std::collections::HashMap<String, String> {
        self.0.clone().into_iter().collect()
    }
}

impl FromIterator<(String, String)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|key| (key, "[redacted]"))).finish()
    }
}
