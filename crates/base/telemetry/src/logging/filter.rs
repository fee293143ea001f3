//! Which lines are written.

use tracing::{Level, Metadata};

/// Verbosity, as a whole and of single modules.
///
/// | line | of berth | of a library |
/// |---|---|---|
/// | `error!`, `warn!` | always | always |
/// | `info!` | always | `-v=4` |
/// | `debug!` | `-v=4` | `-v=8` |
/// | `trace!` | `-v=6` | `-v=10` |
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// klog's `-v`.
    pub verbosity: u32,
    /// klog's `--vmodule`; the first that matches goes before [`Filter::verbosity`].
    pub vmodule: Vec<VModule>,
}

/// The verbosity of the modules that a pattern matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VModule {
    /// `*` stands for any text and `?` for any character, neither for a slash. Matched against the module's name: that
    /// of its file without `.rs`, or of its folder for `mod.rs`, or of its crate for `lib.rs` and `main.rs`. A pattern
    /// with a slash is matched against the whole path, such as `crates/pod/sync/src/plan`.
    pub pattern: String,
    /// The verbosity.
    pub verbosity: u32,
}

/// klog's level of a line; 0 for those that are always written.
pub(super) fn level_of(level: Level, own: bool) -> u32 {
    match (level, own) {
        (Level::ERROR | Level::WARN, _) | (Level::INFO, true) => 0,
        (Level::INFO, false) | (Level::DEBUG, true) => 4,
        (Level::TRACE, true) => 6,
        (Level::DEBUG, false) => 8,
        (Level::TRACE, false) => 10,
    }
}

/// Whether a line is of berth itself. The compiler is given the paths of the workspace's own files relative to the
/// workspace, and those of libraries in full.
pub(super) fn is_own(metadata: &Metadata<'_>) -> bool {
    metadata.file().is_some_and(|file| file.starts_with("crates/") || file.starts_with("dev/"))
}

impl Filter {
    pub(super) fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let needed = level_of(*metadata.level(), is_own(metadata));
        needed == 0 || needed <= self.verbosity_of(metadata.file().unwrap_or_default(), metadata.target())
    }

    /// The most detailed level that may be written at all, so that the rest costs nothing.
    pub(super) fn max_level(&self) -> Level {
        let verbosity = self.vmodule.iter().map(|module| module.verbosity).fold(self.verbosity, u32::max);
        match verbosity {
            0..=3 => Level::INFO,
            4..=5 => Level::DEBUG,
            _ => Level::TRACE,
        }
    }

    fn verbosity_of(&self, file: &str, target: &str) -> u32 {
        let path = file.strip_suffix(".rs").unwrap_or(file);
        let module = module_name(path, target);
        let matching = self.vmodule.iter().find(|vmodule| {
            let name = if vmodule.pattern.contains('/') { path } else { module };
            glob(vmodule.pattern.as_bytes(), name.as_bytes())
        });
        matching.map_or(self.verbosity, |vmodule| vmodule.verbosity)
    }
}

fn module_name<'a>(path: &'a str, target: &'a str) -> &'a str {
    let mut parts = path.rsplit('/');
    match parts.next().unwrap_or_default() {
        "mod" => parts.next().unwrap_or_default(),
        "lib" | "main" => target.split("::").next().unwrap_or_default(),
        stem => stem,
    }
}

/// Whether `text` matches `pattern` as a whole. Takes time in the product of the two lengths at the most.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the latest star, and up to where in the text it has been stretched.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            Some(b'?') if text[t] != b'/' => {
                p += 1;
                t += 1;
                continue;
            }
            Some(c) if *c == text[t] => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((after_star, stretched)) if text[stretched] != b'/' => {
                retry = Some((after_star, stretched + 1));
                (p, t) = (after_star, stretched + 1);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("plan", "plan", true),
            ("plan", "planner", false),
            ("pl*", "planner", true),
            ("*an*er", "planner", true),
            ("*an*x", "planner", false),
            ("p?an", "plan", true),
            ("*", "", true),
            ("?", "", false),
            ("", "", true),
            ("", "a", false),
            ("crates/*/plan", "crates/sync/plan", true),
            ("crates/*/plan", "crates/sync/src/plan", false),
            ("crates/*/src/plan", "crates/pod/src/plan", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn verbosity_of_modules() {
        let module = |pattern: &str, verbosity| VModule { pattern: pattern.into(), verbosity };
        let filter = Filter {
            verbosity: 2,
            vmodule: vec![
                module("plan*", 6),
                module("planner", 9),
                module("metrics", 5),
                module("cri", 7),
                module("crates/pod/*/src/*", 8),
            ],
        };
        for (file, target, expected) in [
            ("crates/base/config/src/planner.rs", "config::planner", 6),
            ("crates/base/telemetry/src/metrics/mod.rs", "telemetry::metrics", 5),
            ("crates/platform/cri/src/lib.rs", "cri", 7),
            ("crates/pod/sync/src/executor.rs", "sync::executor", 8),
            ("crates/base/config/src/flags.rs", "config::flags", 2),
        ] {
            assert_eq!(filter.verbosity_of(file, target), expected, "{file}");
        }
        assert_eq!(filter.max_level(), Level::TRACE);
        assert_eq!(Filter { verbosity: 3, vmodule: vec![] }.max_level(), Level::INFO);
    }

    proptest! {
        #[test]
        fn text_matches_itself_and_stars_match_all(text in "[a-z_]{0,20}", at in 0..20usize) {
            let (before, after) = text.split_at(at.min(text.len()));
            let pattern = format!("{before}*{after}");
            prop_assert!(glob(text.as_bytes(), text.as_bytes()));
            prop_assert!(glob(pattern.as_bytes(), text.as_bytes()));
            prop_assert!(glob(b"*", text.as_bytes()));
        }
    }
}
