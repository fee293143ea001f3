//! Environment variables.

/// One variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, which need not be text: a Secret can hold anything.
    pub value: Vec<u8>,
}
