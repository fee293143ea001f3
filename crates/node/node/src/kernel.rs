//! What the kernel has to be set to for pods to be run.

use linux::sysctl;

/// Settings that the memory accounting of pods and the handling of a node in trouble rely on.
const TUNABLES: [(&str, &str); 6] = [
    ("vm.overcommit_memory", "1"),
    ("vm.panic_on_oom", "0"),
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000"),
];

/// A setting that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deviation {
    /// The sysctl.
    pub name: &'static str,
    /// What it is; `None` if it could not be read.
    pub is: Option<String>,
    /// What it should be.
    pub should_be: &'static str,
}

/// Settings that are not as they should be and were not changed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// They may not be changed (`protectKernelDefaults`).
    #[error("the kernel's settings are not those that pods need, and protectKernelDefaults forbids to change them; set with sysctl: {}", list(.0))]
    Protected(Vec<Deviation>),
    /// They could not be changed.
    #[error(
        "the kernel's settings are not those that pods need and could not be changed; set with sysctl: {}",
        list(deviations)
    )]
    Refused {
        /// Those that could not be changed.
        deviations: Vec<Deviation>,
        /// What the kernel said to the first.
        source: linux::PathError,
    },
}

fn list(deviations: &[Deviation]) -> String {
    let item = |d: &Deviation| match &d.is {
        Some(is) => format!("{}={} (is {is})", d.name, d.should_be),
        None => format!("{}={}", d.name, d.should_be),
    };
    deviations.iter().map(item).collect::<Vec<_>>().join(", ")
}

/// The settings that are not as they should be, with `read` to read one.
fn deviations(read: impl Fn(&str) -> Option<String>) -> Vec<Deviation> {
    let tunables = TUNABLES.iter().map(|(name, should_be)| Deviation { name, is: read(name), should_be });
    tunables.filter(|d| d.is.as_deref() != Some(d.should_be)).collect()
}

/// Sets the kernel to what pods need, or only checks it if `protect` (`protectKernelDefaults`). Gives what was changed.
///
/// # Errors
/// If it is set otherwise and may not or cannot be changed.
pub fn ensure_tunables(protect: bool) -> Result<Vec<Deviation>, KernelError> {
    let deviations = deviations(|name| sysctl::read(name).ok());
    if protect {
        return if deviations.is_empty() { Ok(deviations) } else { Err(KernelError::Protected(deviations)) };
    }
    let (mut changed, mut refused, mut first) = (Vec::new(), Vec::new(), None);
    for deviation in deviations {
        match sysctl::write(deviation.name, deviation.should_be) {
            Ok(()) => changed.push(deviation),
            Err(error) => {
                refused.push(deviation);
                first.get_or_insert(error);
            }
        }
    }
    match first {
        None => Ok(changed),
        Some(source) => Err(KernelError::Refused { deviations: refused, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let found = deviations(|name| match name {
            "vm.overcommit_memory" => Some("0".to_owned()),
            "kernel.keys.root_maxkeys" => None,
            _ => TUNABLES.iter().find(|(tunable, _)| *tunable == name).map(|(_, value)| (*value).to_owned()),
        });
        let error = KernelError::Protected(found).to_string();
        assert!(
            error.ends_with("vm.overcommit_memory=1 (is 0), kernel.keys.root_maxkeys=1000000"),
            "{error}"
        );
    }

    #[test]
    fn nothing_is_changed_when_protected() {
        let before = deviations(|name| sysctl::read(name).ok());
        match ensure_tunables(true) {
            Ok(changed) => assert_eq!(changed, []),
            Err(KernelError::Protected(found)) => assert_eq!(found, before),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(deviations(|name| sysctl::read(name).ok()), before);
    }
}
