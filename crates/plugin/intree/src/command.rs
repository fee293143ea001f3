//! The programs that mount, format and attach.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// A command line. Its text leaves out what is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The program: a name that is looked for in the search path, or a path.
    pub program: OsString,
    args: Vec<Arg>,
}

#[derive(Clone, PartialEq, Eq)]
struct Arg {
    text: OsString,
    is_secret: bool,
}

impl Command {
    /// `program` without arguments.
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new() }
    }

    /// With one more argument.
    pub(crate) fn arg(mut self, text: impl Into<OsString>) -> Self {
        self.args.push(Arg { text: text.into(), is_secret: false });
        self
    }

    /// With more arguments.
    pub(crate) fn args<T: Into<OsString>>(self, all: impl IntoIterator<Item = T>) -> Self {
        all.into_iter().fold(self, Self::arg)
    }

    /// With an argument that is shown to nobody.
    pub(crate) fn secret(mut self, text: impl Into<OsString>) -> Self {
        self.args.push(Arg { text: text.into(), is_secret: true });
        self
    }

    /// All arguments, as the program gets them.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = &OsStr> {
        self.args.iter().map(|arg| arg.text.as_os_str())
    }

    /// Whether one of them is secret.
    pub(crate) fn has_secret(&self) -> bool {
        self.args.iter().any(|arg| arg.is_secret)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.to_string_lossy())?;
        for arg in &self.args {
            let text = if arg.is_secret { "***".into() } else { arg.text.to_string_lossy() };
            write!(f, " {text}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let command =
            Command::new("iscsiadm").args(["-n", "node.session.auth.password", "-v"]).secret("hunter2");
        assert_eq!(command.to_string(), "iscsiadm -n node.session.auth.password -v ***");
        assert!(!format!("{command:?}").contains("hunter2") && command.has_secret());
        assert_eq!(command.exposed().last().unwrap(), "hunter2");
    }
}
