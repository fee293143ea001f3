//! Mounts and devices of a container, as CRI carries them.

use std::path::{Component, Path, PathBuf};

use cri::v1::{Device, ImageSpec, Mount, MountPropagation};
use types::corev1::VolumeMount;
use types::expand::expand;

use crate::IdMappings;
use crate::env;
use crate::variable::Variable;

/// What is mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MountSource {
    /// A file or directory of the node; of a volume with its sub-path resolved already.
    Path(PathBuf),
    /// An image, which the runtime mounts (KEP-4639).
    Image {
        /// The image's reference as the runtime gave it.
        image_ref: String,
        /// The image as the volume names it.
        image: String,
        /// The directory in it; empty for all of it.
        sub_path: String,
    },
}

/// A `volumeMount` whose volume is ready.
#[derive(Clone, PartialEq, Debug)]
pub struct ResolvedMount<'a> {
    /// The mount as the container has it.
    pub mount: &'a VolumeMount,
    /// What is mounted.
    pub source: MountSource,
    /// Whether the volume can only be read, whatever the mount says.
    pub read_only: bool,
    /// Whether the runtime is to give the files the container's SELinux label.
    pub relabel: bool,
}

/// A `volumeDevice` whose volume is ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedDevice {
    /// The device on the node.
    pub host_path: PathBuf,
    /// Where the container has it.
    pub container_path: String,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// Why a mount is not possible.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MountError {
    /// `subPathExpr` refers to a variable that is not set.
    #[error("subPathExpr {expression:?} of volume {volume:?} refers to variables that are not set: {}", unknown.join(", "))]
    SubPathExpr {
        /// The volume.
        volume: String,
        /// The expression.
        expression: String,
        /// The variables.
        unknown: Vec<String>,
    },
    /// The sub-path of an image volume, whose variables may say anything, leads out of the image.
    #[error("the subPath {path:?} of the image volume {volume:?} has to be relative and free of `..`")]
    OutOfImage {
        /// The volume.
        volume: String,
        /// The sub-path.
        path: String,
    },
    /// `recursiveReadOnly` on a mount that is not read-only.
    #[error("the mount of volume {0:?} has recursiveReadOnly, and is not readOnly")]
    NotReadOnly(String),
    /// `recursiveReadOnly` together with propagation.
    #[error("the mount of volume {0:?} has recursiveReadOnly, which only goes with mountPropagation None")]
    Propagates(String),
    /// `recursiveReadOnly: Enabled` where the runtime cannot.
    #[error(
        "the mount of volume {0:?} has recursiveReadOnly Enabled, which the container runtime does not support: use IfPossible, or a newer runtime"
    )]
    NoRecursiveReadOnly(String),
}

/// The sub-path of `mount`: as it is, or `subPathExpr` with the container's variables in it. `None` for the whole
/// volume. Whether it leads out of the volume is for the one who opens it.
///
/// # Errors
/// If a variable is not set.
pub fn sub_path(mount: &VolumeMount, variables: &[Variable]) -> Result<Option<String>, MountError> {
    let Some(expression) = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(mount.sub_path.clone().filter(|text| !text.is_empty()));
    };
    let (path, unknown) = expand(expression, |name| env::get(variables, name));
    if unknown.is_empty() {
        return Ok(Some(path));
    }
    Err(MountError::SubPathExpr {
        volume: mount.name.clone(),
        expression: expression.to_owned(),
        unknown: unknown.into_iter().map(str::to_owned).collect(),
    })
}

/// A mount as CRI carries it. `recursive_read_only`: whether the runtime can make mounts read-only all the way down.
///
/// # Errors
/// If its `recursiveReadOnly` cannot be met, or its sub-path leads out of an image.
pub fn to_cri(
    resolved: &ResolvedMount<'_>,
    recursive_read_only: bool,
    userns: Option<&IdMappings>,
) -> Result<Mount, MountError> {
    let mount = resolved.mount;
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => MountPropagation::PropagationBidirectional,
        _ => MountPropagation::PropagationPrivate,
    };
    let recursive_read_only = match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => false,
        Some(_) if mount.read_only != Some(true) => return Err(MountError::NotReadOnly(mount.name.clone())),
        Some(_) if propagation != MountPropagation::PropagationPrivate => {
            return Err(MountError::Propagates(mount.name.clone()));
        }
        Some("Enabled") if !recursive_read_only => {
            return Err(MountError::NoRecursiveReadOnly(mount.name.clone()));
        }
        Some(_) => recursive_read_only,
    };
    let mut out = Mount {
        container_path: absolute(&mount.mount_path),
        readonly: mount.read_only == Some(true) || resolved.read_only,
        selinux_relabel: resolved.relabel,
        propagation: propagation.into(),
        recursive_read_only,
        ..mapped(userns)
    };
    match &resolved.source {
        MountSource::Path(path) => out.host_path = text(path),
        MountSource::Image { image_ref, image, sub_path } => {
            let is_inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
            if !Path::new(sub_path).components().all(is_inside) {
                return Err(MountError::OutOfImage { volume: mount.name.clone(), path: sub_path.clone() });
            }
            out.image = Some(ImageSpec {
                image: image_ref.clone(),
                user_specified_image: image.clone(),
                ..ImageSpec::default()
            });
            out.image_sub_path.clone_from(sub_path);
        }
    }
    Ok(out)
}

/// A file of the kubelet's own, such as `/etc/hosts`, that the container may write to.
#[must_use]
pub fn own_file(host_path: &Path, container_path: &str, relabel: bool, userns: Option<&IdMappings>) -> Mount {
    Mount {
        container_path: absolute(container_path),
        host_path: text(host_path),
        selinux_relabel: relabel,
        ..mapped(userns)
    }
}

/// A device as CRI carries it.
#[must_use]
pub fn device(resolved: &ResolvedDevice) -> Device {
    Device {
        container_path: resolved.container_path.clone(),
        host_path: text(&resolved.host_path),
        permissions: if resolved.read_only { "r" } else { "mrw" }.to_owned(),
    }
}

/// Files keep their owners as the container sees them: its root is root on them, and nobody on the rest of the node.
fn mapped(userns: Option<&IdMappings>) -> Mount {
    let ids = userns.cloned().unwrap_or_default();
    Mount { uid_mappings: ids.uids, gid_mappings: ids.gids, ..Mount::default() }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mount(extra: Value) -> VolumeMount {
        let mut all = json!({"name": "v", "mountPath": "data"});
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn convert(extra: Value, supported: bool) -> Result<Mount, MountError> {
        let mount = mount(extra);
        let source = MountSource::Path("/host".into());
        to_cri(&ResolvedMount { mount: &mount, source, read_only: false, relabel: true }, supported, None)
    }

    #[test]
    fn propagation_and_read_only() {
        let plain = convert(json!({}), true).unwrap();
        assert_eq!((plain.container_path.as_str(), plain.host_path.as_str()), ("/data", "/host"));
        assert!(!plain.readonly && plain.selinux_relabel && plain.propagation == 0);
        for (text, expected) in [("None", 0), ("HostToContainer", 1), ("Bidirectional", 2)] {
            assert_eq!(convert(json!({"mountPropagation": text}), true).unwrap().propagation, expected);
        }
    }

    #[test]
    fn recursive_read_only() {
        let mode = |mode: &str, supported| {
            convert(json!({"readOnly": true, "recursiveReadOnly": mode}), supported)
                .map(|m| m.recursive_read_only)
        };
        assert_eq!(mode("Disabled", true), Ok(false));
        assert_eq!(mode("IfPossible", true), Ok(true));
        assert_eq!(mode("IfPossible", false), Ok(false));
        assert_eq!(mode("Enabled", true), Ok(true));
        assert_eq!(mode("Enabled", false), Err(MountError::NoRecursiveReadOnly("v".into())));
        let writable = convert(json!({"recursiveReadOnly": "IfPossible"}), true);
        assert_eq!(writable, Err(MountError::NotReadOnly("v".into())));
        let extra =
            json!({"readOnly": true, "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"});
        assert_eq!(convert(extra, true), Err(MountError::Propagates("v".into())));
    }

    #[test]
    fn sub_paths() {
        let variables = [Variable { name: "POD".into(), value: b"web".to_vec() }];
        let of = |extra| sub_path(&mount(extra), &variables);
        assert_eq!(of(json!({})), Ok(None));
        assert_eq!(of(json!({"subPath": "a/$(POD)"})), Ok(Some("a/$(POD)".into())));
        assert_eq!(of(json!({"subPathExpr": "a/$(POD)"})), Ok(Some("a/web".into())));
        let error = of(json!({"subPathExpr": "$(NONE)"})).unwrap_err();
        assert!(error.to_string().ends_with("not set: NONE"), "{error}");
    }

    #[test]
    fn images_and_devices() {
        let mount = mount(json!({}));
        let image = |sub_path: &str| {
            let source = MountSource::Image {
                image_ref: "sha256:1".into(),
                image: "data:1".into(),
                sub_path: sub_path.into(),
            };
            to_cri(&ResolvedMount { mount: &mount, source, read_only: true, relabel: false }, false, None)
        };
        for path in ["/etc", "..", "a/../../b"] {
            assert!(matches!(image(path), Err(MountError::OutOfImage { .. })), "{path}");
        }
        assert_eq!(image("").unwrap().image_sub_path, "");
        let image = image("dir").unwrap();
        assert_eq!(
            (image.host_path.as_str(), image.image_sub_path.as_str(), image.readonly),
            ("", "dir", true)
        );
        assert_eq!(image.image.unwrap().image, "sha256:1");
        let read_only =
            ResolvedDevice { host_path: "/dev/a".into(), container_path: "/dev/b".into(), read_only: true };
        assert_eq!(device(&read_only).permissions, "r");
        assert_eq!(device(&ResolvedDevice { read_only: false, ..read_only }).permissions, "mrw");
    }
}
