//! Mount options. Pure.

use linux::mount::Flag;
use types::corev1::PersistentVolume;

/// The annotation that mount options were in before there was a field for them.
const ANNOTATION: &str = "volume.beta.kubernetes.io/mount-options";

/// The options that a PersistentVolume asks for.
pub(crate) fn of(volume: &PersistentVolume) -> Vec<String> {
    let annotations = volume.metadata.annotations.as_ref();
    if let Some(options) = annotations.and_then(|all| all.get(ANNOTATION)) {
        return options.split(',').map(str::to_owned).collect();
    }
    volume.spec.as_ref().and_then(|spec| spec.mount_options.clone()).unwrap_or_default()
}

/// All options in order, each once.
pub(crate) fn joined(asked: &[String], ours: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = asked.iter().filter(|option| !option.is_empty()).cloned().collect();
    all.extend(ours.iter().map(|option| (*option).to_owned()));
    all.sort_unstable();
    all.dedup();
    all
}

/// Those that one mount of a file system has for itself: the others are the file system's, and were set when that was
/// mounted.
pub(crate) fn flags(options: &[String], read_only: bool) -> Vec<Flag> {
    let mut flags: Vec<Flag> = options.iter().filter_map(|option| Flag::of_option(option)).collect();
    flags.extend(read_only.then_some(Flag::ReadOnly));
    flags.sort_unstable();
    flags.dedup();
    flags
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_annotation_comes_first() {
        let mut volume: PersistentVolume = serde_json::from_value(json!({
            "metadata": {"annotations": {ANNOTATION: "hard,nfsvers=4.1"}}, "spec": {"mountOptions": ["soft"]},
        }))
        .unwrap();
        assert_eq!(of(&volume), ["hard", "nfsvers=4.1"]);
        volume.metadata.annotations = None;
        assert_eq!(of(&volume), ["soft"]);
    }

    #[test]
    fn sorted_and_each_once() {
        let asked = ["soft", "", "ro", "nosuid", "soft"].map(str::to_owned);
        assert_eq!(joined(&asked, &["ro"]), ["nosuid", "ro", "soft"]);
        assert_eq!(flags(&asked, false), [Flag::ReadOnly, Flag::NoSuid]);
        assert_eq!(flags(&asked[..1], true), [Flag::ReadOnly]);
        assert_eq!(flags(&[], false), []);
    }
}
