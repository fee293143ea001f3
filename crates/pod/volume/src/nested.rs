//! Mount points of other volumes inside one whose content is written by berth. The runtime could not make them there:
//! such a volume is read-only to containers.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use linux::beneath::{BeneathError, Root};
use types::{Pod, pod};

const MODE: u32 = 0o755;

/// The directories to make in the volume `name`, relative to its root.
fn mount_points(pod: &Pod, name: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for (_, container) in pod::containers(pod) {
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        let is_part = |mount: &types::corev1::VolumeMount| {
            [&mount.sub_path, &mount.sub_path_expr].into_iter().flatten().any(|path| !path.is_empty())
        };
        for mine in mounts.iter().filter(|mount| mount.name == name && !is_part(mount)) {
            let below = |mount: &&types::corev1::VolumeMount| {
                let relative = Path::new(&mount.mount_path).strip_prefix(&mine.mount_path).ok()?;
                let is_plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
                Some(relative.to_owned()).filter(|path| is_plain && !path.as_os_str().is_empty())
            };
            let others: Vec<PathBuf> = mounts.iter().filter_map(|mount| below(&mount)).collect();
            // One that lies in another volume that is nested here too is made there.
            let is_outer =
                |path: &&PathBuf| !others.iter().any(|other| *path != other && path.starts_with(other));
            found.extend(others.iter().filter(is_outer).cloned());
        }
    }
    found
}

/// Makes them, where nothing is yet.
pub(crate) fn create(pod: &Pod, name: &str, dir: &Path) -> Result<(), BeneathError> {
    let root = Root::open(dir)?;
    for path in mount_points(pod, name) {
        if root.stat(&path)?.is_none() {
            root.create_dir_all(&path, MODE)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_directly_inside() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"spec": {"containers": [
            {"name": "a", "volumeMounts": [
                {"name": "mine", "mountPath": "/etc/pod/"},
                {"name": "x", "mountPath": "/etc/pod/a/b"},
                {"name": "y", "mountPath": "/etc/pod/a/b/c"},
                {"name": "z", "mountPath": "/etc/pod-not"},
                {"name": "z", "mountPath": "/etc/pod/../out"}]},
            {"name": "b", "volumeMounts": [
                {"name": "mine", "mountPath": "/m", "subPath": "part"}, {"name": "x", "mountPath": "/m/x"}]},
            {"name": "c", "volumeMounts": [
                {"name": "mine", "mountPath": "/"}, {"name": "x", "mountPath": "/d"}]},
        ]}}))
        .unwrap();
        let found: Vec<_> = mount_points(&pod, "mine").into_iter().collect();
        assert_eq!(found, [Path::new("a/b"), Path::new("d")]);
    }
}
