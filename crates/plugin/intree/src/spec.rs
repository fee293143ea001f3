//! From a PersistentVolume, or from a volume in a pod's spec, to what a pod is to have. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use types::corev1::{self, PersistentVolume, PersistentVolumeSpec, Volume};
use types::{Pod, PodRef, StorageRef, pod};
use volume::claim::VolumeMode;
use volume::ownership::{self, ChangePolicy};

use crate::flexvolume::{self, Flex, Secret};
use crate::iscsi::{self, Credentials};
use crate::layout::{Plugin, Target};
use crate::local::Local;
use crate::nfs::Nfs;
use crate::options;
use crate::wanted::{Group, Kind, Wanted};
use crate::{fc, format};

/// Where a pod has a volume from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// From a PersistentVolume, by a claim.
    Persistent {
        /// The volume.
        volume: &'a PersistentVolume,
        /// Its name in the pod's spec.
        name: &'a str,
        /// Whether the pod wants to read only.
        read_only: bool,
    },
    /// From its own spec.
    Inline(&'a Volume),
}

/// Why it cannot be said what a pod is to have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// It is made by somebody else, or by nobody.
    #[error("volume {0:?} is of a kind that berth does not mount")]
    Foreign(String),
    /// It is to be a device, and its kind has none.
    #[error(
        "PersistentVolume {0:?} is a block device, and volumes of its kind can be had as directories alone"
    )]
    Block(String),
    /// It says nothing of where it is.
    #[error("LocalVolume volume {0:?} path is empty")]
    NoPath(String),
    /// It says nothing of which disk it is.
    #[error("fc: no fc disk information found in volume {0:?}: name its targetWWNs and lun, or its wwids")]
    NoDisk(String),
    /// mount(8) would take it for an option.
    #[error("the server {server:?} of volume {volume:?} begins with a dash, which no name or address does")]
    Server {
        /// The volume.
        volume: String,
        /// The server.
        server: String,
    },
    /// It would be part of the name of a program that is run.
    #[error("{0:?} cannot be the name of a file system: correct the volume's fsType")]
    FsType(String),
    /// No program can have this name.
    #[error("{0:?} cannot be the name of a FlexVolume driver")]
    Driver(String),
    /// A name would lead to another place.
    #[error(
        "volume {0:?} has a name that cannot be that of a directory: look for slashes in what it is reached by"
    )]
    Name(String),
    /// The Secret is not one for this driver.
    #[error(
        "secret {secret:?} has the type {found:?}, and is for the FlexVolume driver {driver} only with its name as type"
    )]
    SecretType {
        /// The Secret.
        secret: String,
        /// Its type.
        found: String,
        /// The driver.
        driver: String,
    },
    /// A key of a Secret is no text, which is all that a command can be given.
    #[error("the key {key:?} of secret {secret:?} is not UTF-8: iscsiadm can be given text only")]
    Binary {
        /// The Secret.
        secret: String,
        /// The key.
        key: String,
    },
}

/// The name of a Secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What an iSCSI volume says, by whichever way a pod has it.
struct Iscsi<'a> {
    target_portal: &'a str,
    portals: &'a [String],
    iqn: &'a str,
    lun: i32,
    interface: Option<&'a str>,
    initiator: Option<&'a str>,
    chap_discovery: bool,
    chap_session: bool,
    fs_type: Option<&'a str>,
}

impl Source<'_> {
    /// Whether the volume is of a kind that is made here.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Persistent { volume, .. } => volume.spec.as_ref().is_some_and(|spec| {
                spec.local.is_some()
                    || spec.nfs.is_some()
                    || spec.iscsi.is_some()
                    || spec.fc.is_some()
                    || spec.flex_volume.is_some()
            }),
            Self::Inline(volume) => {
                volume.nfs.is_some()
                    || volume.iscsi.is_some()
                    || volume.fc.is_some()
                    || volume.flex_volume.is_some()
            }
        }
    }

    /// The Secret that the volume needs.
    #[must_use]
    pub fn secret(&self, pod: &Pod) -> Option<SecretName> {
        let ours = || pod.metadata.namespace.clone().unwrap_or_default();
        let (namespace, name) = match self {
            Self::Persistent { volume, .. } => {
                let spec = volume.spec.as_ref()?;
                let iscsi = spec.iscsi.as_ref().filter(|iscsi| {
                    iscsi.chap_auth_discovery == Some(true) || iscsi.chap_auth_session == Some(true)
                });
                let of_iscsi = iscsi.and_then(|iscsi| iscsi.secret_ref.as_ref());
                let of_flex = spec.flex_volume.as_ref().and_then(|flex| flex.secret_ref.as_ref());
                let found = of_iscsi.or(of_flex)?;
                let namespace = found.namespace.clone().filter(|namespace| !namespace.is_empty());
                (namespace.unwrap_or_else(ours), found.name.clone()?)
            }
            Self::Inline(volume) => {
                let iscsi = volume.iscsi.as_ref().filter(|iscsi| {
                    iscsi.chap_auth_discovery == Some(true) || iscsi.chap_auth_session == Some(true)
                });
                let of_iscsi = iscsi.and_then(|iscsi| iscsi.secret_ref.as_ref());
                let of_flex = volume.flex_volume.as_ref().and_then(|flex| flex.secret_ref.as_ref());
                (ours(), of_iscsi.or(of_flex)?.name.clone())
            }
        };
        (!name.is_empty()).then_some(SecretName { namespace, name })
    }

    fn iscsi(&self) -> Option<Iscsi<'_>> {
        // Two types with the same fields but for the Secret's name.
        macro_rules! given {
            ($source:expr) => {
                Iscsi {
                    target_portal: &$source.target_portal,
                    portals: $source.portals.as_deref().unwrap_or_default(),
                    iqn: &$source.iqn,
                    lun: $source.lun,
                    interface: $source.iscsi_interface.as_deref(),
                    initiator: $source.initiator_name.as_deref(),
                    chap_discovery: $source.chap_auth_discovery == Some(true),
                    chap_session: $source.chap_auth_session == Some(true),
                    fs_type: $source.fs_type.as_deref(),
                }
            };
        }
        match self {
            Self::Persistent { volume, .. } => {
                volume.spec.as_ref()?.iscsi.as_ref().map(|source| given!(source))
            }
            Self::Inline(volume) => volume.iscsi.as_ref().map(|source| given!(source)),
        }
    }

    /// Driver, file system and options.
    #[expect(clippy::type_complexity, reason = "of the API's own types")]
    fn flex(&self) -> Option<(&str, Option<&str>, Option<&BTreeMap<String, String>>)> {
        match self {
            Self::Persistent { volume, .. } => {
                let flex = volume.spec.as_ref()?.flex_volume.as_ref()?;
                Some((&flex.driver, flex.fs_type.as_deref(), flex.options.as_ref()))
            }
            Self::Inline(volume) => {
                let flex = volume.flex_volume.as_ref()?;
                Some((&flex.driver, flex.fs_type.as_deref(), flex.options.as_ref()))
            }
        }
    }

    /// The name of its directories.
    fn spec_name(&self) -> String {
        match self {
            Self::Persistent { volume, .. } => volume.metadata.name.clone().unwrap_or_default(),
            Self::Inline(volume) => volume.name.clone(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Persistent { name, .. } => (*name).to_owned(),
            Self::Inline(volume) => volume.name.clone(),
        }
    }

    /// The PersistentVolume, for events about it.
    fn reference(&self) -> Option<StorageRef> {
        let Self::Persistent { volume, .. } = self else { return None };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let meta = &volume.metadata;
        Some(StorageRef { namespace: None, name: text(&meta.name), uid: text(&meta.uid) })
    }

    fn persistent(&self) -> Option<&PersistentVolumeSpec> {
        match self {
            Self::Persistent { volume, .. } => volume.spec.as_ref(),
            Self::Inline(_) => None,
        }
    }

    fn inline(&self) -> Option<&Volume> {
        match self {
            Self::Persistent { .. } => None,
            Self::Inline(volume) => Some(volume),
        }
    }
}

/// What `pod` is to have from `source`, whose Secret ([`Source::secret`]) is `secret`.
///
/// # Errors
/// If that cannot be said.
pub fn wanted(pod: &Pod, source: Source<'_>, secret: Option<&corev1::Secret>) -> Result<Wanted, SpecError> {
    let spec_name = source.spec_name();
    let (plugin, kind, unique_name) = kind(pod, source, secret, &spec_name)?;
    let (read_only, mount_options, mode) = match source {
        Source::Persistent { volume, read_only, .. } => {
            (read_only, options::of(volume), VolumeMode::of(volume))
        }
        Source::Inline(volume) => (is_read_only(volume), Vec::new(), VolumeMode::Filesystem),
    };
    if mode == VolumeMode::Block && !plugin.has_devices() {
        return Err(SpecError::Block(spec_name));
    }
    if let Some(fs_type) = fs_type(&kind).filter(|name| !format::is_fs_type(name)) {
        return Err(SpecError::FsType(fs_type.to_owned()));
    }
    let wanted = Wanted {
        pod: PodRef::of(pod),
        target: Target { pod: PodRef::of(pod).uid, plugin, mode, spec_name },
        name: source.name(),
        read_only,
        mount_options,
        group: group(pod),
        unique_name,
        device_path: None,
        label: None,
        persistent: source.reference(),
        kind,
    };
    if wanted.device().is_none() && !matches!(wanted.kind, Kind::Nfs(_)) {
        return Err(SpecError::Name(wanted.name));
    }
    Ok(wanted)
}

/// What the volume is, and how the control plane calls it.
pub(crate) fn kind(
    pod: &Pod,
    source: Source<'_>,
    secret: Option<&corev1::Secret>,
    spec_name: &str,
) -> Result<(Plugin, Kind, Option<String>), SpecError> {
    let (persistent, inline) = (source.persistent(), source.inline());
    if let Some(local) = persistent.and_then(|spec| spec.local.as_ref()) {
        if local.path.is_empty() {
            return Err(SpecError::NoPath(spec_name.to_owned()));
        }
        let fs_type = local.fs_type.clone().unwrap_or_else(|| format::DEFAULT.to_owned());
        return Ok((Plugin::Local, Kind::Local(Local { path: local.path.clone().into(), fs_type }), None));
    }
    let nfs = persistent.and_then(|spec| spec.nfs.as_ref());
    if let Some(nfs) = nfs.or_else(|| inline.and_then(|volume| volume.nfs.as_ref())) {
        let (server, path) = (nfs.server.clone(), nfs.path.clone());
        if server.starts_with('-') {
            return Err(SpecError::Server { volume: spec_name.to_owned(), server });
        }
        return Ok((Plugin::Nfs, Kind::Nfs(Nfs { server, path }), None));
    }
    if let Some(given) = source.iscsi() {
        let unique = format!("kubernetes.io/iscsi/{}:{}:{}", given.target_portal, given.iqn, given.lun);
        let disk = iscsi_disk(&given, spec_name, secret)?;
        return Ok((Plugin::Iscsi, Kind::Iscsi(disk), Some(unique)));
    }
    let fc = persistent.and_then(|spec| spec.fc.as_ref());
    if let Some(fc) = fc.or_else(|| inline.and_then(|volume| volume.fc.as_ref())) {
        let wwns = fc.target_wwns.as_deref().unwrap_or_default();
        let wwids = fc.wwids.as_deref().unwrap_or_default();
        let naming = fc::Naming::of(wwns, fc.lun, wwids);
        let naming = naming.ok_or_else(|| SpecError::NoDisk(spec_name.to_owned()))?;
        let unique = match &naming {
            fc::Naming::Targets { wwns, lun } => format!("kubernetes.io/fc/[{}]:{lun}", wwns.join(" ")),
            fc::Naming::Own(_) => format!("kubernetes.io/fc/[{}]", wwids.join(" ")),
        };
        let disk = fc::Disk { naming, fs_type: fc.fs_type.clone().unwrap_or_default() };
        return Ok((Plugin::Fc, Kind::Fc(disk), Some(unique)));
    }
    if let Some((driver, fs_type, options)) = source.flex() {
        if !flexvolume::is_driver(driver) {
            return Err(SpecError::Driver(driver.to_owned()));
        }
        let flex = Flex {
            driver: driver.to_owned(),
            fs_type: fs_type.unwrap_or_default().to_owned(),
            options: options.cloned().unwrap_or_default(),
            secret: flex_secret(driver, secret)?,
            pod: about(pod),
        };
        let unique = format!("{driver}/{spec_name}");
        return Ok((Plugin::Flex(driver.to_owned()), Kind::Flex(flex), Some(unique)));
    }
    Err(SpecError::Foreign(spec_name.to_owned()))
}

/// The file system that is asked for.
fn fs_type(kind: &Kind) -> Option<&str> {
    let asked = match kind {
        Kind::Local(local) => &local.fs_type,
        Kind::Iscsi(disk) => &disk.fs_type,
        Kind::Fc(disk) => &disk.fs_type,
        Kind::Flex(flex) => &flex.fs_type,
        Kind::Nfs(_) => return None,
    };
    Some(asked.as_str()).filter(|name| !name.is_empty())
}

fn iscsi_disk(
    given: &Iscsi<'_>,
    spec_name: &str,
    secret: Option<&corev1::Secret>,
) -> Result<iscsi::Disk, SpecError> {
    let all = [given.target_portal].into_iter().chain(given.portals.iter().map(String::as_str));
    let portals = iscsi::each_once(all.map(iscsi::portal));
    let initial_iface = given.interface.filter(|iface| !iface.is_empty()).unwrap_or("default").to_owned();
    let initiator = given.initiator.unwrap_or_default().to_owned();
    let iface =
        if initiator.is_empty() { initial_iface.clone() } else { format!("{}:{spec_name}", portals[0]) };
    let mut credentials = Credentials::default();
    for (secret, key, value) in entries(secret) {
        let text = String::from_utf8(value.to_vec())
            .map_err(|_| SpecError::Binary { secret: secret.to_owned(), key: key.to_owned() })?;
        credentials.0.insert(key.to_owned(), text);
    }
    Ok(iscsi::Disk {
        volume: spec_name.to_owned(),
        portals,
        iqn: given.iqn.to_owned(),
        lun: given.lun,
        initial_iface,
        iface,
        initiator,
        chap_discovery: given.chap_discovery,
        chap_session: given.chap_session,
        secret: credentials,
        fs_type: given.fs_type.unwrap_or_default().to_owned(),
    })
}

fn flex_secret(driver: &str, secret: Option<&corev1::Secret>) -> Result<Secret, SpecError> {
    if let Some(secret) = secret
        && secret.type_.as_deref() != Some(driver)
    {
        return Err(SpecError::SecretType {
            secret: secret.metadata.name.clone().unwrap_or_default(),
            found: secret.type_.clone().unwrap_or_default(),
            driver: driver.to_owned(),
        });
    }
    let encoded = |value: &[u8]| base64::engine::general_purpose::STANDARD.encode(value);
    Ok(Secret(entries(secret).map(|(_, key, value)| (key.to_owned(), encoded(value))).collect()))
}

/// The name of the Secret, and each of its keys and values.
fn entries(secret: Option<&corev1::Secret>) -> impl Iterator<Item = (&str, &str, &[u8])> {
    secret.into_iter().flat_map(|secret| {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let data = secret.data.iter().flatten();
        data.map(move |(key, value)| (name, key.as_str(), value.0.as_slice()))
    })
}

/// What a FlexVolume driver is told of the pod.
fn about(pod: &Pod) -> BTreeMap<String, String> {
    let meta = &pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        ("kubernetes.io/pod.name", text(&meta.name)),
        ("kubernetes.io/pod.namespace", text(&meta.namespace)),
        ("kubernetes.io/pod.uid", text(&meta.uid)),
        ("kubernetes.io/serviceAccount.name", text(&pod::spec(pod).service_account_name)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Whether a volume in a pod's spec that is made here may only be read.
#[must_use]
pub fn is_read_only(volume: &Volume) -> bool {
    let all = [
        volume.nfs.as_ref().and_then(|source| source.read_only),
        volume.iscsi.as_ref().and_then(|source| source.read_only),
        volume.fc.as_ref().and_then(|source| source.read_only),
        volume.flex_volume.as_ref().and_then(|source| source.read_only),
    ];
    all.contains(&Some(true))
}

fn group(pod: &Pod) -> Option<Group> {
    let context = pod::spec(pod).security_context.as_ref();
    let policy = match context.and_then(|context| context.fs_group_change_policy.as_deref()) {
        Some("OnRootMismatch") => ChangePolicy::OnRootMismatch,
        _ => ChangePolicy::Always,
    };
    ownership::fs_group(pod).map(|id| Group { id, policy })
}

#[cfg(test)]
mod tests;
