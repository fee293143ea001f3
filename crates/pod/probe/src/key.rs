//! The name of a probe.

use std::sync::Arc;

use types::PodUid;

use crate::kind::Kind;

/// One probe.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub(crate) pod: PodUid,
    pub(crate) container: Arc<str>,
    pub(crate) kind: Kind,
}
