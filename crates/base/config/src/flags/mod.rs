//! The command line: kubelet's flags, read with pflag's habits.

mod help;
mod own;
mod parse;
mod removed;
mod table;
mod value;

pub use own::Flags;
pub use parse::{Arguments, Assignment, FlagError, Request, parse};
pub use removed::{REMOVED, Removed};
pub use table::{FLAGS, Flag, Target};
pub use value::Kind;

pub use help::help;
