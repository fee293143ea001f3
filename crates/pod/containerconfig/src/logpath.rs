//! Where logs are.

use std::path::{Path, PathBuf};

use types::PodRef;

/// The longest name of a link in `/var/log/containers`, as file systems have it.
const MAX_NAME: usize = 255;

/// The directory of a pod's logs: `<namespace>_<name>_<uid>` in `pod_logs_dir`.
#[must_use]
pub fn pod_log_dir(pod_logs_dir: &Path, pod: &PodRef) -> PathBuf {
    pod_logs_dir.join(format!("{}_{}_{}", pod.name.namespace, pod.name.name, pod.uid))
}

/// A container's log file, relative to [`pod_log_dir`]: `<container>/<restart count>.log`.
#[must_use]
pub fn container_log_path(container: &str, restart_count: u32) -> String {
    format!("{container}/{restart_count}.log")
}

/// The link by which log collectors find a container's log: `<pod>_<namespace>_<container>-<id>.log`, what is before
/// the suffix cut so that it makes a file name.
#[must_use]
pub fn legacy_link_name(pod: &PodRef, container: &str, id: &str) -> String {
    const SUFFIX: &str = ".log";
    let mut name = format!("{}_{}_{container}-{id}", pod.name.name, pod.name.namespace);
    name.truncate(name.floor_char_boundary(MAX_NAME - SUFFIX.len()));
    name.push_str(SUFFIX);
    name
}

#[cfg(test)]
mod tests {
    use types::PodName;

    use super::*;

    #[test]
    fn paths() {
        let pod = PodRef { name: PodName::new("default", "web"), uid: "u-1".into() };
        assert_eq!(pod_log_dir(Path::new("/var/log/pods"), &pod), Path::new("/var/log/pods/default_web_u-1"));
        assert_eq!(container_log_path("nginx", 3), "nginx/3.log");
        assert_eq!(legacy_link_name(&pod, "nginx", "abc"), "web_default_nginx-abc.log");
        let long = legacy_link_name(&pod, &"é".repeat(300), "abc");
        assert!(long.len() <= MAX_NAME && long.ends_with("é.log"), "{long}");
    }
}
