//! How many tests there were.

/// What a suite or a check came to.
#[derive(Default, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}
