//! API servers on demand. See the crate `lab`; this is the same under the name that tests look for.

pub use lab::apiserver::{ApiServer, Kind};
