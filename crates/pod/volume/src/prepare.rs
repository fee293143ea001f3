//! Preparing one volume.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use types::corev1::Volume;
use types::objects::Objects;
use types::resources::{self, Amounts};
use types::{Pod, PodUid, pod};

use crate::atomic::{self, Payload};
use crate::emptydir::{self, Directory, Medium};
use crate::error::Problem;
use crate::keys::{self, Keys};
use crate::kind::Kind;
use crate::ownership::{self, ChangePolicy};
use crate::paths::{CONFIG_MAP, DOWNWARD_API, EMPTY_DIR, PROJECTED, PodPaths, SECRET};
use crate::prepared::{MountSource, Mounted};
use crate::quota::Quotas;
use crate::{downward, hostpath, nested, projected};

/// Prepares `volume`; one that is ready stays as it is. Blocks for as long as the file systems do. With the volume comes
/// the reason why it shows what it showed before, if it should show something else.
pub(crate) fn prepare(
    root_dir: &Path,
    allocatable: &Amounts,
    quotas: Option<&Quotas>,
    pod: &Pod,
    volume: &Volume,
    objects: &Objects,
) -> Result<(Mounted, Option<Problem>), Problem> {
    let uid = PodUid::from(pod.metadata.uid.as_deref().unwrap_or_default());
    let paths = PodPaths::new(root_dir, &uid)?;
    let memory = allocatable.get(resources::MEMORY).and_then(|memory| u64::try_from(memory.value()).ok());
    let in_memory = Medium::Memory(emptydir::memory_size(pod, None, memory));
    let shows = |plugin, medium| Shows { paths: &paths, pod, plugin, volume: &volume.name, medium };
    match Kind::of(volume) {
        Kind::EmptyDir(source) => {
            let medium = emptydir::medium(pod, source, memory)?;
            paths.create()?;
            // Users of the node can change what a file counts as.
            let quotas = quotas.filter(|_| pod::spec(pod).host_users == Some(false));
            let (volume, mark) = (&*volume.name, &*volume.name);
            let directory = Directory { plugin: EMPTY_DIR, volume, mark, medium, quotas };
            let path = emptydir::set_up(&paths, directory, ownership::fs_group(pod))?;
            Ok((mounted(path, false, true), None))
        }
        Kind::HostPath(source) => Ok((mounted(hostpath::check(source)?, false, false), None)),
        Kind::DownwardApi(source) => {
            let mut payload = Payload::default();
            let items = source.items.as_deref().unwrap_or_default();
            let added = downward::add(&mut payload, pod, items, source.default_mode, allocatable);
            shows(DOWNWARD_API, in_memory).show(added.map(|()| payload))
        }
        Kind::ConfigMap(source) => {
            let mut payload = Payload::default();
            let keys = Keys {
                object: &source.name,
                items: source.items.as_deref(),
                default_mode: source.default_mode,
                optional: source.optional == Some(true),
            };
            let added = keys::add_config_map(&mut payload, objects, keys);
            shows(CONFIG_MAP, Medium::Disk).show(added.map(|()| payload))
        }
        Kind::Secret(source) => {
            let mut payload = Payload::default();
            let keys = Keys {
                object: source.secret_name.as_deref().unwrap_or_default(),
                items: source.items.as_deref(),
                default_mode: source.default_mode,
                optional: source.optional == Some(true),
            };
            let added = keys::add_secret(&mut payload, objects, keys);
            shows(SECRET, in_memory).show(added.map(|()| payload))
        }
        Kind::Projected(source) => {
            let payload = projected::files(pod, &volume.name, source, objects, allocatable);
            shows(PROJECTED, in_memory).show(payload)
        }
        Kind::Image(source) => {
            let source = MountSource::Image {
                reference: source.reference.clone().unwrap_or_default(),
                pull_policy: source.pull_policy.clone(),
            };
            Ok((Mounted { source, read_only: true, selinux_relabel: true }, None))
        }
        Kind::Driver(field, needs) | Kind::Other(field, needs) => {
            Err(Problem::Unsupported { what: format!("a volume of the kind {field}"), needs })
        }
    }
}

fn mounted(path: PathBuf, read_only: bool, selinux_relabel: bool) -> Mounted {
    Mounted { source: MountSource::HostPath(path), read_only, selinux_relabel }
}

/// A volume whose files are written by berth.
struct Shows<'a> {
    paths: &'a PodPaths,
    pod: &'a Pod,
    /// The plugin's name in paths.
    plugin: &'a str,
    volume: &'a str,
    medium: Medium,
}

impl Shows<'_> {
    /// Shows `payload`, or what was shown before if there is no payload.
    fn show(&self, payload: Result<Payload, Problem>) -> Result<(Mounted, Option<Problem>), Problem> {
        let Self { paths, pod, plugin, volume, medium } = *self;
        let payload = match payload {
            Ok(payload) => payload,
            Err(problem) => {
                let path = paths.volume(plugin, volume);
                return if atomic::is_written(&path)? {
                    Ok((mounted(path, true, true), Some(problem)))
                } else {
                    Err(problem)
                };
            }
        };
        paths.create()?;
        let group = ownership::fs_group(pod);
        let mark = format!("wrapped_{volume}");
        let dir =
            emptydir::set_up(paths, Directory { plugin, volume, mark: &mark, medium, quotas: None }, group)?;
        nested::create(pod, volume, &dir)?;
        atomic::write(&dir, &payload, Timestamp::now(), |dir| {
            group.map_or(Ok(()), |group| ownership::give(dir, group, true, ChangePolicy::Always))
        })?;
        Ok((mounted(dir, true, true), None))
    }
}
