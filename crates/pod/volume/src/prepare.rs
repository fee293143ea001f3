//! Preparing one volume.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use types::corev1::Volume;
use types::resources::{self, Amounts};
use types::{Pod, PodUid};

use crate::atomic::{self, Payload};
use crate::emptydir::{self, Directory, Medium};
use crate::kind::Kind;
use crate::ownership::{self, ChangePolicy};
use crate::paths::{DOWNWARD_API, EMPTY_DIR, PROJECTED, PodPaths};
use crate::prepared::{MountSource, Mounted};
use crate::{Problem, downward, hostpath, nested};

/// Prepares `volume`; one that is ready stays as it is. Blocks for as long as the file systems do.
pub(crate) fn prepare(
    root_dir: &Path,
    allocatable: &Amounts,
    pod: &Pod,
    volume: &Volume,
) -> Result<Mounted, Problem> {
    let uid = PodUid::from(pod.metadata.uid.as_deref().unwrap_or_default());
    let paths = PodPaths::new(root_dir, &uid)?;
    let memory = allocatable.get(resources::MEMORY).and_then(|memory| u64::try_from(memory.value()).ok());
    match Kind::of(volume) {
        Kind::EmptyDir(source) => {
            let medium = emptydir::medium(pod, source, memory)?;
            paths.create()?;
            let directory = Directory { plugin: EMPTY_DIR, volume: &volume.name, mark: &volume.name, medium };
            let path = emptydir::set_up(&paths, directory, ownership::fs_group(pod))?;
            Ok(mounted(path, false, true))
        }
        Kind::HostPath(source) => Ok(mounted(hostpath::check(source)?, false, false)),
        Kind::DownwardApi(source) => {
            let mut payload = Payload::default();
            let items = source.items.as_deref().unwrap_or_default();
            downward::add(&mut payload, pod, items, source.default_mode, allocatable)?;
            let path = show(&paths, pod, DOWNWARD_API, &volume.name, &payload, memory)?;
            Ok(mounted(path, true, true))
        }
        Kind::Projected(source) => {
            let payload = downward::projected(pod, source, allocatable)?;
            let path = show(&paths, pod, PROJECTED, &volume.name, &payload, memory)?;
            Ok(mounted(path, true, true))
        }
        Kind::Image(source) => Ok(Mounted {
            source: MountSource::Image {
                reference: source.reference.clone().unwrap_or_default(),
                pull_policy: source.pull_policy.clone(),
            },
            read_only: true,
            selinux_relabel: true,
        }),
        Kind::Other(field, needs) => {
            Err(Problem::Unsupported { what: format!("a volume of the kind {field}"), needs })
        }
    }
}

fn mounted(path: PathBuf, read_only: bool, selinux_relabel: bool) -> Mounted {
    Mounted { source: MountSource::HostPath(path), read_only, selinux_relabel }
}

/// Shows `payload` in a tmpfs.
fn show(
    paths: &PodPaths,
    pod: &Pod,
    plugin: &str,
    volume: &str,
    payload: &Payload,
    memory: Option<u64>,
) -> Result<PathBuf, Problem> {
    paths.create()?;
    let group = ownership::fs_group(pod);
    let medium = Medium::Memory(emptydir::memory_size(pod, None, memory));
    let mark = format!("wrapped_{volume}");
    let dir = emptydir::set_up(paths, Directory { plugin, volume, mark: &mark, medium }, group)?;
    nested::create(pod, volume, &dir)?;
    atomic::write(&dir, payload, Timestamp::now(), |dir| {
        group.map_or(Ok(()), |group| ownership::give(dir, group, true, ChangePolicy::Always))
    })?;
    Ok(dir)
}
