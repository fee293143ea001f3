//! Where the files of volumes are: the kubelet's layout, so that a node can be handed from one to the other.

use std::path::{Path, PathBuf};

use types::PodUid;
use volume::claim::VolumeMode;
use volume::{PodPaths, UnusableUid};

/// The kinds of volumes that are made here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Plugin {
    /// `local`.
    Local,
    /// `nfs`.
    Nfs,
    /// `iscsi`.
    Iscsi,
    /// `fc`.
    Fc,
    /// `flexVolume`, by its driver's name.
    Flex(String),
}

impl Plugin {
    /// Its name, as in directory names of pods.
    #[must_use]
    pub fn dir(&self) -> String {
        match self {
            Self::Local => "kubernetes.io~local-volume".to_owned(),
            Self::Nfs => "kubernetes.io~nfs".to_owned(),
            Self::Iscsi => "kubernetes.io~iscsi".to_owned(),
            Self::Fc => "kubernetes.io~fc".to_owned(),
            Self::Flex(driver) => driver.replace('/', "~"),
        }
    }

    /// Its name, as metrics have it.
    #[must_use]
    pub fn qualified_name(&self) -> String {
        match self {
            Self::Flex(driver) => format!("flexvolume-{driver}"),
            _ => self.dir().replace('~', "/"),
        }
    }

    /// The kind whose volumes are in the directory `name` of a pod; none for one of somebody else. All that Kubernetes has
    /// not given a name to is the driver of a flexVolume.
    #[must_use]
    pub fn of_dir(name: &str) -> Option<Self> {
        match name {
            "kubernetes.io~local-volume" => Some(Self::Local),
            "kubernetes.io~nfs" => Some(Self::Nfs),
            "kubernetes.io~iscsi" => Some(Self::Iscsi),
            "kubernetes.io~fc" => Some(Self::Fc),
            _ if name.starts_with("kubernetes.io~") => None,
            _ => is_name(name).then(|| Self::Flex(name.replace('~', "/"))),
        }
    }

    /// Whether pods can have its volumes as devices.
    #[must_use]
    pub fn has_devices(&self) -> bool {
        matches!(self, Self::Local | Self::Iscsi | Self::Fc)
    }

    /// The name of the directory of a pod's files about its volumes.
    pub(crate) fn files_dir(&self, mode: VolumeMode) -> String {
        match mode {
            VolumeMode::Filesystem => self.dir(),
            VolumeMode::Block => self.dir() + OF_DEVICES,
        }
    }

    /// The kind and the mode of the volumes that the files in a pod's directory `name` are about.
    pub(crate) fn of_files_dir(name: &str) -> Option<(Self, VolumeMode)> {
        let of_devices = name.strip_suffix(OF_DEVICES).and_then(Self::of_dir).filter(Self::has_devices);
        match of_devices {
            Some(plugin) => Some((plugin, VolumeMode::Block)),
            None => Some((Self::of_dir(name)?, VolumeMode::Filesystem)),
        }
    }
}

/// A volume of a pod: where it is shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Target {
    /// The pod.
    pub pod: PodUid,
    /// Its kind.
    pub plugin: Plugin,
    /// As what the pod gets it.
    pub mode: VolumeMode,
    /// The name of the PersistentVolume, or of the volume in the pod's spec.
    pub spec_name: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of pod {}", self.spec_name, self.pod)
    }
}

/// A device that is mounted or attached once on the node for all pods that have a volume on it: its directory, below the
/// directory of plugins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Device(PathBuf);

/// Below the directory of plugins.
const LOCAL: &str = "kubernetes.io/local-volume/mounts";
const ISCSI: &str = "kubernetes.io/iscsi";
const FC: &str = "kubernetes.io/fc";
const FLEX: &str = "kubernetes.io/flexvolume";

/// The same for those that pods get as devices. Other kubelets write the first of them in this way.
const LOCAL_DEVICES: &str = "kubernetes.io~local-volume/volumeDevices";
const ISCSI_DEVICES: &str = "kubernetes.io/iscsi/volumeDevices";
const FC_DEVICES: &str = "kubernetes.io/fc/volumeDevices";

/// What the names of directories end with that have the files about such volumes of a pod.
const OF_DEVICES: &str = "~volumeDevices";

impl Device {
    /// The device of the local volume `name`.
    pub(crate) fn local(name: &str, mode: VolumeMode) -> Option<Self> {
        Self::below(either(mode, LOCAL, LOCAL_DEVICES), &[name])
    }

    /// The disk `disk` that is reached over the iSCSI interface `iface`.
    pub(crate) fn iscsi(iface: &str, disk: &str, mode: VolumeMode) -> Option<Self> {
        Self::below(either(mode, ISCSI, ISCSI_DEVICES), &[&format!("iface-{iface}"), disk])
    }

    /// The Fibre Channel disk `disk`.
    pub(crate) fn fc(disk: &str, mode: VolumeMode) -> Option<Self> {
        Self::below(either(mode, FC, FC_DEVICES), &[disk])
    }

    /// The device that the driver `driver` has for the volume `name`.
    pub(crate) fn flex(driver: &str, name: &str) -> Option<Self> {
        let mut names: Vec<&str> = driver.split('/').collect();
        names.extend(["mounts", name]);
        Self::below(FLEX, &names)
    }

    /// None if a name would lead elsewhere.
    fn below(base: &str, names: &[&str]) -> Option<Self> {
        let all_names = names.iter().all(|name| is_name(name));
        all_names.then(|| Self(Path::new(base).join(names.iter().collect::<PathBuf>())))
    }

    /// The device whose directory is `path`, which another pod's note or a listing says; none if it is not one.
    pub(crate) fn parse(path: &Path) -> Option<Self> {
        let device = Self(path.to_owned());
        let (plugin, mode) = (device.plugin()?, device.mode());
        let names: Option<Vec<&str>> = path.iter().map(|name| name.to_str()).collect();
        let names = names?;
        let is_deep = match plugin {
            Plugin::Local => names.len() == either(mode, 4, 3),
            Plugin::Iscsi => names.len() == either(mode, 4, 5),
            Plugin::Fc => names.len() == either(mode, 3, 4),
            // The driver's name has a vendor or none.
            Plugin::Flex(_) => matches!(names.len(), 5 | 6) && names[names.len() - 2] == "mounts",
            Plugin::Nfs => false,
        };
        let is_plain = is_deep && names.iter().all(|name| is_name(name));
        is_plain.then_some(device)
    }

    /// The kind of its volumes.
    #[must_use]
    pub fn plugin(&self) -> Option<Plugin> {
        if self.0.starts_with(LOCAL) || self.0.starts_with(LOCAL_DEVICES) {
            Some(Plugin::Local)
        } else if self.0.starts_with(ISCSI) {
            Some(Plugin::Iscsi)
        } else if self.0.starts_with(FC) {
            Some(Plugin::Fc)
        } else {
            let (driver, _) = self.0.strip_prefix(FLEX).ok()?.to_str()?.rsplit_once("/mounts/")?;
            Some(Plugin::Flex(driver.to_owned()))
        }
    }

    /// As what pods get its volumes.
    #[must_use]
    pub fn mode(&self) -> VolumeMode {
        let is_device =
            [LOCAL_DEVICES, ISCSI_DEVICES, FC_DEVICES].iter().any(|base| self.0.starts_with(base));
        if is_device { VolumeMode::Block } else { VolumeMode::Filesystem }
    }

    /// The same disk as it is for pods that have it in the other mode; none of a FlexVolume driver.
    pub(crate) fn twin(&self) -> Option<Self> {
        let swap = |from: &str, to: &str| self.0.strip_prefix(from).ok().map(|rest| Path::new(to).join(rest));
        let pairs = [(LOCAL, LOCAL_DEVICES), (ISCSI, ISCSI_DEVICES), (FC, FC_DEVICES)];
        let found = pairs.into_iter().find_map(|(mounted, device)| match self.mode() {
            VolumeMode::Filesystem => swap(mounted, device),
            VolumeMode::Block => swap(device, mounted),
        });
        found.map(Self)
    }

    /// By what it is told who works on the disk, in whichever mode pods have it.
    pub(crate) fn key(&self) -> Self {
        match self.mode() {
            VolumeMode::Filesystem => self.clone(),
            VolumeMode::Block => self.twin().unwrap_or_else(|| self.clone()),
        }
    }

    /// Its directory, below that of plugins.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The last part of its directory's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "plugins/{}", self.0.display())
    }
}

/// The paths below a root directory.
#[derive(Clone, Debug)]
pub struct Layout {
    root_dir: PathBuf,
}

impl Layout {
    /// The paths below `root_dir`, such as `/var/lib/kubelet`.
    #[must_use]
    pub fn new(root_dir: PathBuf) -> Self {
        Self { root_dir }
    }

    /// The root directory.
    #[must_use]
    pub fn root_dir(&self) -> &Path {
        &self.root_dir
    }

    /// Where `target` is shown to its pod.
    ///
    /// # Errors
    /// If the UID cannot be the name of a directory.
    pub fn target(&self, target: &Target) -> Result<PathBuf, UnusableUid> {
        let paths = PodPaths::new(&self.root_dir, &target.pod)?;
        let dir = either(target.mode, paths.volumes(), paths.volume_devices());
        Ok(dir.join(target.plugin.dir()).join(&target.spec_name))
    }

    /// Where `device` is mounted, or what is known of it while it is attached.
    #[must_use]
    pub fn device(&self, device: &Device) -> PathBuf {
        self.plugins_dir().join(device.path())
    }

    /// The directory of plugins.
    pub(crate) fn plugins_dir(&self) -> PathBuf {
        self.root_dir.join("plugins")
    }

    /// The directory of all pods.
    pub(crate) fn pods_dir(&self) -> PathBuf {
        volume::paths::pods_dir(&self.root_dir)
    }

    /// Where it is kept which commands run.
    pub(crate) fn commands_dir(&self) -> PathBuf {
        self.root_dir.join("volume_commands")
    }
}

/// The directories, below that of plugins, in which devices are found, and how deep at most.
pub(crate) const DEVICE_ROOTS: [(&str, usize); 7] =
    [(LOCAL, 1), (ISCSI, 2), (FC, 1), (FLEX, 4), (LOCAL_DEVICES, 1), (ISCSI_DEVICES, 2), (FC_DEVICES, 1)];

/// The one that is for the mode.
fn either<T>(mode: VolumeMode, mounted: T, device: T) -> T {
    match mode {
        VolumeMode::Filesystem => mounted,
        VolumeMode::Block => device,
    }
}

/// Whether a text can be the name of one directory and nothing else, on a line of its own.
pub(crate) fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && !text.contains(|c: char| c == '/' || c.is_control())
        && text.len() <= 255
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    const MODES: [VolumeMode; 2] = [VolumeMode::Filesystem, VolumeMode::Block];

    #[test]
    fn paths_are_the_kubelets() {
        let layout = Layout::new("/var/lib/kubelet".into());
        let device = |device: Option<Device>| layout.device(&device.unwrap()).display().to_string();
        let plugins = "/var/lib/kubelet/plugins/kubernetes.io";
        let [mounted, block] = MODES;
        assert_eq!(device(Device::local("pv", mounted)), format!("{plugins}/local-volume/mounts/pv"));
        let local = "/var/lib/kubelet/plugins/kubernetes.io~local-volume/volumeDevices/pv";
        assert_eq!(device(Device::local("pv", block)), local);
        let disk = "10.0.0.1:3260-iqn.2001-04.com.example:sn.42-lun-0";
        for (mode, part) in [(mounted, ""), (block, "/volumeDevices")] {
            let found = device(Device::iscsi("default", disk, mode));
            assert_eq!(found, format!("{plugins}/iscsi{part}/iface-default/{disk}"));
            let found = device(Device::fc("50060e801049cfd1-lun-0", mode));
            assert_eq!(found, format!("{plugins}/fc{part}/50060e801049cfd1-lun-0"));
        }
        assert_eq!(
            device(Device::flex("example.com/lvm", "vol")),
            format!("{plugins}/flexvolume/example.com/lvm/mounts/vol")
        );
        for (plugin, expected) in [
            (Plugin::Local, "kubernetes.io~local-volume"),
            (Plugin::Nfs, "kubernetes.io~nfs"),
            (Plugin::Iscsi, "kubernetes.io~iscsi"),
            (Plugin::Fc, "kubernetes.io~fc"),
            (Plugin::Flex("example.com/lvm".into()), "example.com~lvm"),
        ] {
            assert_eq!(Plugin::of_dir(expected), Some(plugin.clone()));
            let target =
                |mode| Target { pod: "u".into(), plugin: plugin.clone(), mode, spec_name: "v".into() };
            let path = layout.target(&target(mounted)).unwrap();
            assert_eq!(path, Path::new("/var/lib/kubelet/pods/u/volumes").join(expected).join("v"));
            let path = layout.target(&target(block)).unwrap();
            assert_eq!(path, Path::new("/var/lib/kubelet/pods/u/volumeDevices").join(expected).join("v"));
            for mode in MODES.into_iter().filter(|mode| *mode == mounted || plugin.has_devices()) {
                assert_eq!(Plugin::of_files_dir(&plugin.files_dir(mode)), Some((plugin.clone(), mode)));
            }
        }
        for other in ["kubernetes.io~csi", "kubernetes.io~empty-dir", "kubernetes.io~cephfs", ".."] {
            assert_eq!(Plugin::of_dir(other), None, "{other}");
        }
    }

    #[test]
    fn devices_are_found_by_their_directories() {
        for mode in MODES {
            for device in [
                Device::local("pv", mode),
                Device::iscsi("default", "p-iqn.x-lun-0", mode),
                Device::fc("w-lun-0", mode),
            ] {
                let device = device.unwrap();
                assert_eq!(Device::parse(device.path()), Some(device.clone()), "{device}");
                assert_eq!(device.mode(), mode, "{device}");
                let twin = device.twin().unwrap();
                assert!(twin.mode() != mode && twin.plugin() == device.plugin(), "{twin}");
                assert_eq!((twin.twin(), twin.key()), (Some(device.clone()), device.key()));
            }
        }
        for device in [Device::flex("example.com/lvm", "vol"), Device::flex("lvm", "vol")] {
            let device = device.unwrap();
            assert_eq!(Device::parse(device.path()), Some(device.clone()), "{device}");
            assert_eq!((device.twin(), device.key()), (None, device.clone()));
        }
        for path in [
            "kubernetes.io/csi/d/x",
            "kubernetes.io/iscsi/volumeDevices/iface-default",
            "kubernetes.io/fc/volumeDevices",
            "kubernetes.io~local-volume/volumeDevices/a/b",
            "kubernetes.io/iscsi/iface-default",
            "kubernetes.io/fc/../../x",
            "kubernetes.io/fc/a/b",
            "kubernetes.io/local-volume/mounts",
            "/etc",
            "..",
        ] {
            assert_eq!(Device::parse(Path::new(path)), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_note_leads_out_of_the_directory_of_plugins(path in "(kubernetes.io[/~])?[a-z./~\\-]{0,60}") {
            if let Some(device) = Device::parse(Path::new(&path)) {
                prop_assert!(device.path().components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(device.plugin().is_some());
            }
        }
    }

    #[test]
    fn names_that_lead_elsewhere() {
        for name in ["", ".", "..", "a/b", "a\0b", "a\nb", &"x".repeat(256)] {
            assert!(!is_name(name), "{name:?}");
            for mode in MODES {
                assert_eq!(Device::local(name, mode), None, "{name:?}");
                assert_eq!(Device::iscsi("default", name, mode), None, "{name:?}");
            }
        }
        assert_eq!(Device::flex("../../..", "v"), None);
        assert_eq!(Device::iscsi("../x", "v", VolumeMode::Block), None);
    }
}
