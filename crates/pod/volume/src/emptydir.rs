//! emptyDir: a directory of the pod's own, on disk or in memory.

use std::path::{Path, PathBuf};

use linux::beneath::{Links, Root, fd_path, is_mount_root};
use linux::mount::{self, Swap, Tmpfs};
use types::corev1::EmptyDirVolumeSource;
use types::resources::{self, Half};
use types::{Pod, Quantity, pod};

use crate::error::Problem;
use crate::ownership::{self, ChangePolicy};
use crate::paths::{DIR_MODE, EMPTY_DIR, PodPaths};
use crate::quota::Quotas;

/// Mode of the directory, which any user of the pod may write to.
const VOLUME_MODE: u32 = 0o777;
const MARK_MODE: u32 = 0o640;

/// What a directory is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Medium {
    Disk,
    /// A tmpfs of at most so many bytes.
    Memory(Option<u64>),
    /// A hugetlbfs with pages of so many bytes.
    HugePages(u64),
}

/// A directory to be set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directory<'a> {
    /// The plugin's name in paths.
    pub(crate) plugin: &'a str,
    /// The volume's name.
    pub(crate) volume: &'a str,
    /// The name in the path of the ready mark.
    pub(crate) mark: &'a str,
    pub(crate) medium: Medium,
    /// Who has its file system count it, if it is on a disk.
    pub(crate) quotas: Option<&'a Quotas>,
}

/// The medium that the volume asks for.
pub(crate) fn medium(
    pod: &Pod,
    source: &EmptyDirVolumeSource,
    allocatable: Option<u64>,
) -> Result<Medium, Problem> {
    let limit = source.size_limit.as_ref().and_then(|limit| Quantity::of(limit).ok());
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(Medium::Disk),
        "Memory" => Ok(Medium::Memory(memory_size(pod, limit, allocatable))),
        "HugePages" => {
            let mut sizes: Vec<u64> = huge_page_sizes(pod).collect();
            sizes.sort_unstable();
            sizes.dedup();
            match sizes[..] {
                [size] => Ok(Medium::HugePages(size)),
                [] => Err(Problem::NoHugePages {
                    medium: "HugePages".into(),
                    wanted: "hugepages-<size>".into(),
                }),
                _ => Err(Problem::SeveralHugePages),
            }
        }
        named => {
            let unknown = || Problem::UnknownMedium(named.to_owned());
            let suffix = named.strip_prefix("HugePages-").ok_or_else(unknown)?;
            let size = page_bytes(suffix).ok_or_else(unknown)?;
            if huge_page_sizes(pod).any(|requested| requested == size) {
                Ok(Medium::HugePages(size))
            } else {
                Err(Problem::NoHugePages { medium: named.into(), wanted: format!("hugepages-{suffix}") })
            }
        }
    }
}

/// How large a tmpfs of the pod may grow: the least of what the node can give, the pod's memory limit, and the
/// volume's own limit.
pub(crate) fn memory_size(pod: &Pod, limit: Option<Quantity>, allocatable: Option<u64>) -> Option<u64> {
    let bytes = |quantity: Quantity| u64::try_from(quantity.value()).ok().filter(|bytes| *bytes > 0);
    [allocatable, memory_limit(pod).and_then(bytes), limit.and_then(bytes)].into_iter().flatten().min()
}

/// The pod's memory limit, which it has when it is given as a whole or when every container has one.
fn memory_limit(pod: &Pod) -> Option<Quantity> {
    let as_a_whole = resources::pod_level(pod, Half::Limits, resources::MEMORY).is_some();
    let mut containers = pod::init_containers(pod).iter().chain(pod::regular_containers(pod));
    let limited =
        |container| resources::limit(container, resources::MEMORY).is_some_and(|limit| !limit.is_zero());
    if as_a_whole || containers.all(limited) {
        resources::pod_limits(pod).get(resources::MEMORY).copied()
    } else {
        None
    }
}

/// The sizes of huge pages that the pod or its containers request, in bytes.
fn huge_page_sizes(pod: &Pod) -> impl Iterator<Item = u64> {
    let whole = pod::spec(pod).resources.as_ref();
    pod::init_containers(pod)
        .iter()
        .chain(pod::regular_containers(pod))
        .map(|container| container.resources.as_ref())
        .chain([whole])
        .flatten()
        .filter_map(|resources| resources.requests.as_ref())
        .flat_map(|requests| requests.keys())
        .filter_map(|name| page_bytes(name.strip_prefix(resources::HUGEPAGES_PREFIX)?))
}

fn page_bytes(size: &str) -> Option<u64> {
    let size: Quantity = size.parse().ok()?;
    u64::try_from(size.value()).ok().filter(|bytes| *bytes > 0)
}

/// Makes the directory, or finds it as it is: what is in it already, from an earlier run of a container or of berth,
/// stays. Given to the group only when it is new.
pub(crate) fn set_up(
    paths: &PodPaths,
    directory: Directory<'_>,
    group: Option<u32>,
) -> Result<PathBuf, Problem> {
    let root = Root::open(paths.dir())?;
    let plugin = Path::new("volumes").join(directory.plugin);
    let relative = plugin.join(directory.volume);
    let mark = Path::new("plugins").join(EMPTY_DIR).join(directory.mark);
    let mark_file = mark.join("ready");
    let path = paths.volume(directory.plugin, directory.volume);

    let there = match root.open_path(&relative, Links::Refuse) {
        Ok(fd) => Some(is_mount_root(&fd).map_err(linux::PathError::on("look for a mount at", &path))?),
        Err(e) if e.is_not_found() => None,
        Err(e) => return Err(e.into()),
    };
    let is_ready = root.stat(&mark_file)?.is_some();
    let mounted = there == Some(true);
    let in_place = if directory.medium == Medium::Disk { there.is_some() } else { mounted };
    if is_ready && in_place {
        return Ok(path);
    }

    root.create_dir_all(&plugin, DIR_MODE)?;
    let dir = root.create_dir_all(&relative, VOLUME_MODE)?;
    if !mounted {
        match directory.medium {
            Medium::Disk => {
                // One that a crash left half made may not have its mode yet.
                let mode = rustix::fs::Mode::from_bits_truncate(VOLUME_MODE);
                rustix::fs::fchmod(&dir, mode).map_err(linux::PathError::on("chmod", &path))?;
            }
            Medium::Memory(size_bytes) => {
                let options = Tmpfs { size_bytes, mode: None, noswap: true };
                let swap = mount::tmpfs(&fd_path(&dir), options).map_err(at(&path))?;
                if swap == Swap::Possible
                    && linux::proc::memory().is_ok_and(|memory| memory.swap_total_bytes > 0)
                {
                    tracing::warn!(
                        path = %path.display(),
                        "what is written to this volume can end up in swap: the kernel cannot prevent it (Linux 6.4 can)"
                    );
                }
            }
            Medium::HugePages(page_bytes) => {
                mount::hugetlbfs(&fd_path(&dir), page_bytes).map_err(at(&path))?;
            }
        }
    }
    if let Some(group) = group {
        ownership::give(&path, group, false, ChangePolicy::Always)?;
    }
    if let (Medium::Disk, false, Some(quotas)) = (directory.medium, mounted, directory.quotas) {
        // Before the mark: nobody has written to a volume without it.
        quotas.count(&path, &dir);
    }
    if !is_ready {
        root.create_dir_all(&mark, DIR_MODE)?;
        root.create_file(&mark_file, MARK_MODE)?;
    }
    Ok(path)
}

/// Names the real path in an error about a mount through an open file.
fn at(path: &Path) -> impl FnOnce(mount::MountError) -> mount::MountError {
    let path = path.to_owned();
    move |error| mount::MountError { path, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"spec": spec})).unwrap()
    }

    #[test]
    fn sizes_in_memory() {
        let limited = pod(serde_json::json!({"containers": [
            {"name": "a", "resources": {"limits": {"memory": "100"}}},
            {"name": "b", "resources": {"limits": {"memory": "50"}}}]}));
        let half = pod(serde_json::json!({"containers": [
            {"name": "a", "resources": {"limits": {"memory": "100"}}}, {"name": "b"}]}));
        let whole = pod(serde_json::json!({
            "resources": {"limits": {"memory": "70"}}, "containers": [{"name": "a"}]}));
        let limit = |bytes| Some(Quantity::bytes(bytes));
        for (pod, limit, allocatable, size) in [
            (&limited, None, Some(1000), Some(150)),
            (&limited, limit(120), Some(1000), Some(120)),
            (&limited, limit(0), Some(1000), Some(150)),
            (&limited, limit(200), Some(90), Some(90)),
            (&half, None, Some(1000), Some(1000)),
            (&half, limit(10), None, Some(10)),
            (&half, None, None, None),
            (&whole, None, Some(1000), Some(70)),
        ] {
            assert_eq!(memory_size(pod, limit, allocatable), size);
        }
    }

    #[test]
    fn media() {
        let none = pod(serde_json::json!({"containers": [{"name": "a"}]}));
        let one = pod(serde_json::json!({"containers": [
            {"name": "a", "resources": {"requests": {"hugepages-2Mi": "4Mi"}}}]}));
        let two = pod(serde_json::json!({
            "initContainers": [{"name": "i", "resources": {"requests": {"hugepages-1Gi": "1Gi"}}}],
            "containers": [{"name": "a", "resources": {"requests": {"hugepages-2Mi": "4Mi"}}}]}));
        let get = |pod: &Pod, name: &str| {
            medium(pod, &EmptyDirVolumeSource { medium: Some(name.into()), size_limit: None }, None)
        };
        assert_eq!(get(&none, "").unwrap(), Medium::Disk);
        assert_eq!(get(&none, "Memory").unwrap(), Medium::Memory(None));
        assert_eq!(get(&one, "HugePages").unwrap(), Medium::HugePages(2 << 20));
        assert_eq!(get(&two, "HugePages-1Gi").unwrap(), Medium::HugePages(1 << 30));
        assert!(matches!(get(&none, "HugePages"), Err(Problem::NoHugePages { .. })));
        assert!(matches!(get(&two, "HugePages"), Err(Problem::SeveralHugePages)));
        assert!(matches!(get(&one, "HugePages-1Gi"), Err(Problem::NoHugePages { .. })));
        for unknown in ["memory", "HugePages-", "HugePages-x", "HugePages-0"] {
            assert!(matches!(get(&one, unknown), Err(Problem::UnknownMedium(_))), "{unknown}");
        }
    }
}
