//! From arguments to the effective configuration.

use std::ffi::OsString;
use std::fmt;
use std::path::Path as FilePath;

use document::Path;
use serde_json::{Map, Value, json};

use crate::cpuset;
use crate::file::{self, ConfigFile, FileError};
use crate::flags::{self, Arguments, FlagError, Flags, Request, Target};
use crate::gates::{self, Gate, GateError, Gates};
use crate::kubelet::KubeletConfiguration;
use crate::layer::{Origin, Provenance, dotted, get, merge, put};
use crate::unacted::is_unacted_gate;
use crate::validate::{self, Found};
use crate::{Duration, PullVerification, defaults, unacted};

/// What the arguments lead to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A run with this configuration.
    Run(Box<Loaded>),
    /// Something about the program is to be told.
    Request(Request),
}

/// A configuration that is complete and valid.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// Flags that are no field of the configuration.
    pub flags: Flags,
    /// The effective configuration.
    pub config: KubeletConfiguration,
    /// The feature gates, from both.
    pub gates: Gates,
    /// Where each value came from.
    pub provenance: Provenance,
    /// What an operator should know, to be logged once.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// The fields, flags (with dashes) and feature gates that somebody set but nothing acts on yet, to be logged once.
    #[must_use]
    pub fn unacted(&self) -> Vec<String> {
        let settings = unacted().iter().filter(|name| match name.strip_prefix("--") {
            Some(flag) => self.provenance.is_set(&format!("flags.{flag}")),
            None => self.provenance.is_set(name),
        });
        let gates = self.config.feature_gates.iter().filter(|(name, on)| is_unacted_gate(name, **on));
        let gates = gates.map(|(name, on)| format!("featureGates.{name}={on}"));
        settings.map(|name| (*name).to_owned()).chain(gates).collect()
    }
}

/// Why there is no configuration to run with.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The command line is wrong.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// A file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// Fields have values that they cannot have, or that contradict each other.
    #[error("the configuration is invalid:{}", list(.0))]
    Invalid(Vec<Problem>),
}

/// A value that a field cannot have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Who set it.
    pub origin: Origin,
}

impl Problem {
    /// A contradiction is laid to the other field if this one has its default.
    fn new(found: Found, provenance: &Provenance) -> Self {
        let Found { path, other, message } = found;
        let origin = match (path.strip_prefix("--"), other) {
            (Some(flag), _) => provenance.origin(&format!("flags.{flag}")),
            (None, Some(other)) if *provenance.origin(&path) == Origin::Default => provenance.origin(other),
            (None, _) => provenance.origin(&path),
        };
        Self { origin: origin.clone(), path, message }
    }
}

/// `ORIGIN: PATH: MESSAGE`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.starts_with("--") {
            return write!(f, "flag {}: {}", self.path, self.message);
        }
        write!(f, "{}: {}: {}", self.origin.exact(), self.path, self.message)
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// The effective configuration from `args` (without the program's name) and the files that they name. A flag wins
/// over a drop-in file, that over the configuration file, and that over the default; feature gates are merged one by
/// one.
///
/// # Errors
/// If an argument or a file is wrong, or the result is invalid.
pub fn load(args: impl Iterator<Item = OsString>) -> Result<Outcome, LoadError> {
    let arguments = flags::parse(args)?;
    if let Some(request) = arguments.request {
        return Ok(Outcome::Request(request));
    }
    let path = |name| arguments.get(name).and_then(Value::as_str).filter(|path| !path.is_empty());
    let base = path("config").map(|path| file::read(FilePath::new(path))).transpose()?;
    let drop_ins = match path("config-dir") {
        Some(directory) => file::drop_ins(FilePath::new(directory))?
            .iter()
            .map(|path| file::read(path))
            .collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    combine(&arguments, base.as_ref(), &drop_ins).map(|loaded| Outcome::Run(Box::new(loaded)))
}

/// What [`load`] makes of files that are read.
pub(crate) fn combine(
    arguments: &Arguments,
    base: Option<&ConfigFile>,
    drop_ins: &[ConfigFile],
) -> Result<Loaded, LoadError> {
    let root = Path::default();
    let mut provenance = Provenance::default();
    let mut warnings = arguments.warnings.clone();
    for file in base.into_iter().chain(drop_ins) {
        warnings.extend(lapses(file));
    }

    let mut settings = json!({});
    if let Some(file) = base {
        let origin = |path: &Path| Origin::File {
            file: file.path.clone(),
            at: file.document.nearest_location(&path.to_string()),
        };
        merge(&mut settings, &file.settings, &root, &mut provenance, &origin);
        for (signal, threshold) in defaults::eviction_hard(&settings) {
            if !settings.get("evictionHard").is_some_and(Value::is_object) {
                put(&mut settings, "evictionHard", json!({}));
            }
            if let Some(Value::Object(thresholds)) = settings.get_mut("evictionHard") {
                thresholds.insert(signal, threshold);
            }
        }
    } else {
        settings = defaults::without_file();
    }
    for file in drop_ins {
        let origin = |path: &Path| Origin::DropIn {
            file: file.path.clone(),
            at: file.document.nearest_location(&path.to_string()),
        };
        merge(&mut settings, &file.settings, &root, &mut provenance, &origin);
    }
    defaults::remove_unset(&mut settings);
    defaults::derive(&mut settings);

    let mut effective = serde_json::to_value(KubeletConfiguration::default()).unwrap_or_default();
    merge(&mut effective, &settings, &root, &mut Provenance::default(), &|_| Origin::Default);
    let mut own = Map::new();
    for assignment in &arguments.assignments {
        let (flag, value) = (assignment.flag, assignment.value.clone());
        provenance.note(&root.key("flags").key(flag.name), Origin::Flag(flag.name));
        match flag.target {
            Target::Own => drop(own.insert(flag.name.to_owned(), value)),
            Target::Field(path) => set_field(&mut effective, path, value, flag.name, &mut provenance),
            Target::Nowhere => {}
        }
    }
    let flags: Flags = serde_json::from_value(Value::Object(own)).map_err(|error| unreadable(&error))?;
    let config: KubeletConfiguration =
        serde_json::from_value(effective).map_err(|error| unreadable(&error))?;
    finish(Loaded { flags, config, gates: Gates::default(), provenance, warnings })
}

/// A flag replaces the whole field, except that feature gates are merged one by one.
fn set_field(
    effective: &mut Value,
    path: &'static str,
    value: Value,
    flag: &'static str,
    provenance: &mut Provenance,
) {
    let at = dotted(path);
    if path == "featureGates" {
        let mut gates = get(effective, path).and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, value) in value.as_object().into_iter().flatten() {
            gates.insert(name.clone(), value.clone());
            provenance.note(&at.key(name), Origin::Flag(flag));
        }
        put(effective, path, Value::Object(gates));
        return;
    }
    provenance.note(&at, Origin::Flag(flag));
    put(effective, path, value);
}

/// What depends on feature gates and flags; then validation.
fn finish(mut loaded: Loaded) -> Result<Loaded, LoadError> {
    let Loaded { flags, config, gates: switched, provenance, warnings } = &mut loaded;
    if flags.seccomp_default && !config.seccomp_default {
        config.seccomp_default = true;
        provenance.note(&Path::default().key("seccompDefault"), Origin::Flag("seccomp-default"));
    }
    for (name, reason) in
        config.feature_gates.keys().filter_map(|name| Some((name, gates::without_effect(name)?)))
    {
        warnings.push(format!("feature gate {name} {reason}"));
    }
    let mut problems = Vec::new();
    match Gates::new(config.feature_gates.iter().map(|(name, on)| (name.as_str(), *on))) {
        Ok(found) => *switched = found,
        Err(errors) => problems.extend(errors.into_iter().map(gate_problem)),
    }
    if switched.enabled(Gate::KubeletCrashLoopBackOffMax) {
        let longest = &mut config.crash_loop_back_off.max_container_restart_period;
        longest.get_or_insert(Duration::seconds(300));
    }
    let verification = "imagePullCredentialsVerificationPolicy";
    if !switched.enabled(Gate::KubeletEnsureSecretPulledImages) && !provenance.is_set(verification) {
        config.image_pull_credentials_verification_policy = PullVerification::Unset;
    }
    problems.extend(validate::config(config, switched));
    problems.extend(validate::flags(flags));
    if !problems.is_empty() {
        let problem = |found| Problem::new(found, provenance);
        return Err(LoadError::Invalid(problems.into_iter().map(problem).collect()));
    }
    reserve_system_cpus(config);
    Ok(loaded)
}

fn gate_problem(error: GateError) -> Found {
    let name = match &error {
        GateError::Unknown { name, .. } => name.as_str(),
        GateError::Locked { name, .. } => name,
    };
    let path = Path::default().key("featureGates").key(name).to_string();
    Found { path, other: None, message: error.to_string() }
}

/// CPUs that are named are the ones that are reserved; the amounts of CPU in the reservations no longer count.
fn reserve_system_cpus(config: &mut KubeletConfiguration) {
    if let Ok(cpus) = cpuset::parse(&config.reserved_system_cpus)
        && !cpus.is_empty()
    {
        config.kube_reserved.remove("cpu");
        config.system_reserved.insert("cpu".to_owned(), cpus.len().to_string());
    }
}

fn lapses(file: &ConfigFile) -> impl Iterator<Item = String> {
    file.lapses.iter().map(|lapse| {
        let hint = lapse.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}:{}: {}: {}{hint}", file.path.display(), lapse.at, lapse.path, lapse.message)
    })
}

/// Each layer has been read into its type before, so that this names a field only in the rarest cases.
fn unreadable(error: &serde_json::Error) -> LoadError {
    let (path, message) = ("configuration".to_owned(), error.to_string());
    LoadError::Invalid(vec![Problem { path, message, origin: Origin::Default }])
}

#[cfg(test)]
mod tests;
