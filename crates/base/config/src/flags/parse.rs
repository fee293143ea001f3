//! Arguments to assignments, as pflag does it.

use std::ffi::OsString;

use document::nearest;
use serde_json::Value;

use crate::flags::{FLAGS, Flag, Kind, Target, removed, table};

/// Arguments that are well-formed.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Each flag that was given, once, with all its values taken together.
    pub assignments: Vec<Assignment>,
    /// What an operator should know: deprecated and removed flags.
    pub warnings: Vec<String>,
    /// Set if not the configuration but something about the program was asked for.
    pub request: Option<Request>,
}

/// A flag and its value.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Which flag.
    pub flag: &'static Flag,
    /// Its value, as JSON.
    pub value: Value,
}

/// What the arguments ask for instead of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// `--help`, `-h`.
    Help,
    /// `--version`; `raw` for `--version=raw`.
    Version {
        /// Whether every detail is wanted.
        raw: bool,
    },
}

/// Why arguments are refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FlagError {
    /// It is neither a flag that is, nor one that was.
    #[error("unknown flag {name}{}", hint.as_ref().map(|hint| format!("; did you mean --{hint}?")).unwrap_or_default())]
    Unknown {
        /// The flag, with its dashes.
        name: String,
        /// The flag that was probably meant.
        hint: Option<&'static str>,
    },
    /// A value is missing at the end.
    #[error("flag --{name} needs a value")]
    NoValue {
        /// The flag.
        name: String,
    },
    /// Its value cannot be read.
    #[error("flag --{name}: {reason}")]
    Invalid {
        /// The flag.
        name: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// An argument that belongs to no flag.
    #[error("unknown argument {argument:?}: only flags are expected")]
    Positional {
        /// The argument.
        argument: String,
    },
    /// An argument is not UTF-8.
    #[error("argument {argument:?} is not UTF-8 text")]
    NotText {
        /// The argument, with the bad bytes replaced.
        argument: String,
    },
}

/// Reads `args`, which do not begin with the program's name.
///
/// # Errors
/// At the first argument that is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Arguments, FlagError> {
    let mut args = args.into_iter().map(|arg| {
        arg.into_string().map_err(|arg| FlagError::NotText { argument: arg.to_string_lossy().into_owned() })
    });
    let mut found = Arguments::default();
    while let Some(arg) = args.next() {
        let arg = arg?;
        if arg == "--" {
            if let Some(argument) = args.next() {
                return Err(FlagError::Positional { argument: argument? });
            }
            break;
        }
        let (name, value) = if let Some(long) = arg.strip_prefix("--") {
            long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)))
        } else if arg.len() > 1
            && let Some(short) = arg.strip_prefix('-')
        {
            shorthand(&arg, short)?
        } else {
            return Err(FlagError::Positional { argument: arg });
        };
        let name = name.replace('_', "-");
        found.take(&name, value, &mut || args.next().transpose())?;
        if found.request == Some(Request::Help) {
            break;
        }
    }
    Ok(found)
}

/// `-v4`, `-v=4`, `-v 4`, `-h`.
fn shorthand<'a>(arg: &str, short: &'a str) -> Result<(&'a str, Option<&'a str>), FlagError> {
    if short == "h" {
        return Ok(("help", None));
    }
    match short.strip_prefix('v') {
        Some("") => Ok(("v", None)),
        Some(level) => {
            let level = level.strip_prefix('=').unwrap_or(level);
            if level.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
                return Ok(("v", Some(level)));
            }
            Err(unknown_shorthand(arg, short))
        }
        None => Err(unknown_shorthand(arg, short)),
    }
}

/// `-config` was probably meant to be `--config`.
fn unknown_shorthand(arg: &str, short: &str) -> FlagError {
    let name = short.split('=').next().unwrap_or(short).replace('_', "-");
    FlagError::Unknown { name: arg.to_owned(), hint: table::find(&name).map(|flag| flag.name) }
}

impl Arguments {
    fn take(
        &mut self,
        name: &str,
        value: Option<&str>,
        next: &mut dyn FnMut() -> Result<Option<String>, FlagError>,
    ) -> Result<(), FlagError> {
        let invalid = |reason: String| FlagError::Invalid { name: name.to_owned(), reason };
        match (name, value) {
            ("help", value) => {
                if Kind::Bool.read(value.unwrap_or("true"), None).map_err(invalid)? == Value::Bool(true) {
                    self.request = Some(Request::Help);
                }
                return Ok(());
            }
            ("version", Some("raw")) => self.request = Some(Request::Version { raw: true }),
            ("version", Some("false")) => self.request = None,
            ("version", _) => self.request = Some(Request::Version { raw: false }),
            _ => {}
        }
        if name == "version" {
            return Ok(());
        }
        let flag = table::find(name);
        let gone = removed::find(name);
        let is_bool = flag.is_some_and(|flag| flag.kind == Kind::Bool) || gone.is_some_and(|gone| gone.bool);
        if flag.is_none() && gone.is_none() {
            let hint = nearest(name, FLAGS.iter().map(|flag| flag.name));
            return Err(FlagError::Unknown { name: format!("--{name}"), hint });
        }
        let text = match value {
            Some(text) => text.to_owned(),
            None if is_bool => "true".to_owned(),
            None => next()?.ok_or_else(|| FlagError::NoValue { name: name.to_owned() })?,
        };
        if let Some(flag) = flag {
            let before = self.assignments.iter().position(|known| known.flag.name == flag.name);
            let before = before.map(|index| self.assignments.remove(index).value);
            let first = before.is_none();
            let value = flag.kind.read(&text, before).map_err(invalid)?;
            self.assignments.push(Assignment { flag, value });
            if first && let Some(instead) = flag.deprecated {
                self.warnings.push(match flag.target {
                    Target::Field(path) => {
                        format!("flag --{name} is deprecated: use the field {path} of the configuration file")
                    }
                    _ => format!("flag --{name} is deprecated; what took its place: {instead}"),
                });
            }
        } else if let Some(gone) = gone {
            let instead = gone.instead;
            self.warnings
                .push(format!("flag --{name} has no effect any more; what took its place: {instead}"));
        }
        Ok(())
    }

    /// The value of the flag `name`, if it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.assignments.iter().find(|known| known.flag.name == name).map(|known| &known.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(args: &[&str]) -> Result<Arguments, FlagError> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn habits_of_pflag() {
        for (args, name, expected) in [
            (&["--fail-swap-on=false"][..], "fail-swap-on", json!(false)),
            (&["--fail-swap-on"], "fail-swap-on", json!(true)),
            (&["--fail_swap_on=0"], "fail-swap-on", json!(false)),
            (&["-v", "4"], "v", json!(4)),
            (&["-v=4"], "v", json!(4)),
            (&["-v4"], "v", json!(4)),
            (&["--v=4"], "v", json!(4)),
            (&["--v", "4", "--v=2"], "v", json!(2)),
            (&["--sync-frequency", "1m30s"], "sync-frequency", json!("1m30s")),
            (&["--sync-frequency=90s"], "sync-frequency", json!("1m30s")),
            (
                &["--node-labels=a=b,c=d", "--node-labels", "e="],
                "node-labels",
                json!({"a": "b", "c": "d", "e": ""}),
            ),
            (&["--cluster-dns=10.0.0.10, 10.0.0.11"], "cluster-dns", json!(["10.0.0.10", "10.0.0.11"])),
            (
                &["--cluster-dns=1.1.1.1", "--cluster-dns=2.2.2.2"],
                "cluster-dns",
                json!(["1.1.1.1", "2.2.2.2"]),
            ),
            (
                &["--eviction-hard=memory.available<1Gi,nodefs.available<10%"],
                "eviction-hard",
                json!({"memory.available": "1Gi", "nodefs.available": "10%"}),
            ),
            (&["--feature-gates=A=true,B=false"], "feature-gates", json!({"A": true, "B": false})),
            (
                &["--manifest-url-header=a:b,a:c,d:e"],
                "manifest-url-header",
                json!({"a": ["b", "c"], "d": ["e"]}),
            ),
            (
                &["--register-with-taints=k=v:NoSchedule,x:NoExecute"],
                "register-with-taints",
                json!([{"key": "k", "value": "v", "effect": "NoSchedule"}, {"key": "x", "value": "", "effect": "NoExecute"}]),
            ),
            (
                &["--reserved-memory=0:memory=1Gi,hugepages-1Gi=2Gi;1:memory=1Gi"],
                "reserved-memory",
                json!([{"numaNode": 0, "limits": {"memory": "1Gi", "hugepages-1Gi": "2Gi"}}, {"numaNode": 1, "limits": {"memory": "1Gi"}}]),
            ),
            (
                &["--vmodule=a=2,b*=3"],
                "vmodule",
                json!([{"filePattern": "a", "verbosity": 2}, {"filePattern": "b*", "verbosity": 3}]),
            ),
            (&["--oom-score-adj", "-500"], "oom-score-adj", json!(-500)),
            (&["--config="], "config", json!("")),
            (&["--port=10250", "--"], "port", json!(10250)),
        ] {
            assert_eq!(read(args).unwrap().get(name), Some(&expected), "{args:?}");
        }
    }

    #[test]
    fn requests() {
        for (args, expected) in [
            (&["--help"][..], Some(Request::Help)),
            (&["-h", "rest"], Some(Request::Help)),
            (&["--version"], Some(Request::Version { raw: false })),
            (&["--version=raw"], Some(Request::Version { raw: true })),
            (&["--version=false"], None),
            (&[], None),
        ] {
            assert_eq!(read(args).unwrap().request, expected, "{args:?}");
        }
    }

    #[test]
    fn refused() {
        for (args, expected) in [
            (&["--max-pod=5"][..], "unknown flag --max-pod; did you mean --max-pods?"),
            (&["--frobnicate"], "unknown flag --frobnicate"),
            (&["-config=x"], "unknown flag -config=x; did you mean --config?"),
            (&["run"], "unknown argument \"run\": only flags are expected"),
            (&["--", "run"], "unknown argument \"run\": only flags are expected"),
            (&["-"], "unknown argument \"-\": only flags are expected"),
            (&["--port"], "flag --port needs a value"),
            (&["--port=x"], "flag --port: \"x\" is not a whole number"),
            (&["--port=99999999999"], "flag --port: \"99999999999\" is not a whole number of that size"),
            (&["--fail-swap-on=maybe"], "flag --fail-swap-on: \"maybe\" is neither true nor false"),
            (
                &["--eviction-hard=memory.available=1Gi"],
                "flag --eviction-hard: \"memory.available=1Gi\" has no '<' in it",
            ),
        ] {
            assert_eq!(read(args).unwrap_err().to_string(), expected, "{args:?}");
        }
    }

    #[test]
    fn old_flags_are_taken_with_a_word() {
        let args = read(&[
            "--network-plugin",
            "cni",
            "--register-schedulable=false",
            "--pod-manifest-path=/m",
            "--docker-only",
        ]);
        let args = args.unwrap();
        assert_eq!(args.assignments.len(), 1);
        assert_eq!(args.warnings.len(), 4, "{:?}", args.warnings);
        assert!(args.warnings[2].ends_with("use the field staticPodPath of the configuration file"));
    }

    #[test]
    fn no_flag_is_both_known_and_removed() {
        for (index, flag) in FLAGS.iter().enumerate() {
            assert!(removed::find(flag.name).is_none(), "{}", flag.name);
            assert!(FLAGS[index + 1..].iter().all(|other| other.name != flag.name), "{}", flag.name);
        }
    }

    proptest! {
        #[test]
        fn never_panics(index in 0..FLAGS.len(), text in "\\PC{0,30}|[-a0=<:;,.%]{0,30}", rest in prop::collection::vec("\\PC{0,10}", 0..3)) {
            let mut args = vec![format!("--{}={text}", FLAGS[index].name), text];
            args.extend(rest);
            let _ = parse(args.into_iter().map(OsString::from));
        }
    }
}
