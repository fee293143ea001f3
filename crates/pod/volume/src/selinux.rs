//! With which SELinux label volumes are mounted, so that no runtime has to go through their files (KEP-1710: "Speed up SELinux
//! volume relabeling using mounts"). Pure, but for [`FileLabel::of_node`].

use std::collections::BTreeSet;
use std::path::Path;

use types::corev1::SELinuxOptions;
use types::{Pod, pod};

/// What containers' files are labelled with on this node as far as a pod does not say otherwise: all but the level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileLabel {
    user: String,
    role: String,
    kind: String,
}

/// A volume, as far as its label depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// Its name in the pod's spec.
    pub name: &'a str,
    /// Its access modes.
    pub access_modes: &'a [String],
    /// Whether its driver mounts with a label (`CSIDriver.spec.seLinuxMount`).
    pub by_driver: bool,
    /// Whether volumes of all access modes are mounted so, and not only those of one pod (`SELinuxMount`).
    pub any_mode: bool,
}

/// How a volume is mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Label {
    /// Without a label of its own: the runtime labels the files, if it has to.
    None,
    /// With this one.
    Mount(String),
    /// Without a label, for containers of the pod want several, and the access mode lets them.
    Several,
}

/// The containers of a pod want the volume with several labels, and it is to be mounted with one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("multiple SELinux labels found: {}", .0.join(","))]
pub struct SeveralLabels(Vec<String>);

impl FileLabel {
    /// That of a user, a role and a type.
    #[must_use]
    pub fn new(user: &str, role: &str, kind: &str) -> Self {
        Self { user: user.to_owned(), role: role.to_owned(), kind: kind.to_owned() }
    }

    /// That of this node; `None` without SELinux. Reads some small files.
    #[must_use]
    pub fn of_node() -> Option<Self> {
        Self::below(Path::new("/"))
    }

    /// The same of a node with the root directory `root`.
    fn below(root: &Path) -> Option<Self> {
        // The file system is there only where the kernel enforces or warns.
        if !root.join("sys/fs/selinux/enforce").exists() {
            return None;
        }
        let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let contexts = read("usr/share/containers/selinux/contexts").or_else(|| {
            let config = read("etc/selinux/config").unwrap_or_default();
            let policy = setting(&config, "SELINUXTYPE").unwrap_or_else(|| "targeted".to_owned());
            read(&format!("etc/selinux/{policy}/contexts/lxc_contexts"))
        });
        Self::parse(&contexts?)
    }

    /// What a file of contexts says of files.
    fn parse(contexts: &str) -> Option<Self> {
        let file = setting(contexts, "file")?;
        let mut parts = file.splitn(4, ':').map(str::to_owned);
        Some(Self { user: parts.next()?, role: parts.next()?, kind: parts.next()? })
    }

    /// The label of files of a process with these options. Without a level it is the runtime that chooses one, which nobody
    /// knows before.
    fn of(&self, options: &SELinuxOptions) -> Option<String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        // It becomes part of the options of a mount, and nobody else looks at it. The kernel knows no such label.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:,-".contains(&byte);
        if ![&options.level, &options.user].into_iter().flatten().all(|text| text.bytes().all(is_plain)) {
            return None;
        }
        let level = given(&options.level)?;
        let user = given(&options.user).unwrap_or_else(|| self.user.clone());
        // The type and the role of a process are not those of its files.
        Some(format!("{user}:{}:{}:{level}", self.role, self.kind))
    }

    /// How `volume` of `pod` is mounted.
    ///
    /// # Errors
    /// If it is to be mounted with one label, and the pod's containers want several.
    pub fn decide(&self, pod: &Pod, volume: Labelled<'_>) -> Result<Label, SeveralLabels> {
        let of_pod = pod::spec(pod).security_context.as_ref();
        let recursive =
            of_pod.and_then(|context| context.se_linux_change_policy.as_deref()) == Some("Recursive");
        if !volume.by_driver || recursive {
            return Ok(Label::None);
        }
        let mut labels = BTreeSet::new();
        for (_, container) in pod::containers(pod) {
            let mounts = container.volume_mounts.iter().flatten().any(|mount| mount.name == volume.name);
            let own = container.security_context.as_ref().and_then(|own| own.se_linux_options.as_ref());
            let options = own.or(of_pod.and_then(|of_pod| of_pod.se_linux_options.as_ref()));
            labels.extend(options.filter(|_| mounts).map(|options| self.of(options)));
        }
        let supported =
            volume.any_mode || matches!(volume.access_modes, [mode] if mode == "ReadWriteOncePod");
        let first = labels.first().cloned().flatten();
        match (labels.len(), first) {
            (0 | 1, Some(label)) if supported => Ok(Label::Mount(label)),
            (0 | 1, _) => Ok(Label::None),
            _ if supported => Err(SeveralLabels(labels.into_iter().map(Option::unwrap_or_default).collect())),
            _ => Ok(Label::Several),
        }
    }
}

/// The value of `key` in lines of `key = value`, without quotes.
fn setting(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let mut pairs = lines.filter_map(|line| line.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim() == key)?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// The mount option for `label`, which has commas in it.
#[must_use]
pub fn mount_option(label: &str) -> String {
    format!("context=\"{label}\"")
}

/// The label in the options of a file system, as the mount table has them.
#[must_use]
pub fn mounted_label(options: &str) -> Option<&str> {
    let at = match options.strip_prefix("context=") {
        Some(value) => value,
        None => options.split_once(",context=")?.1,
    };
    match at.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').map(|(label, _)| label),
        None => at.split(',').next(),
    }
}

/// Access modes in metrics: of several, the one that lets most.
#[must_use]
pub fn mode(access_modes: &[String]) -> &'static str {
    let has = |mode: &str| access_modes.iter().any(|one| one == mode);
    match () {
        () if has("ReadWriteMany") => "RWX",
        () if has("ReadOnlyMany") => "ROX",
        () if has("ReadWriteOnce") => "RWO",
        () => "RWOP",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CONTEXTS: &str = "process = \"system_u:system_r:container_t:s0\"\n# file = \"no\"\n\
                            file = \"system_u:object_r:container_file_t:s0\"\nro_file=\"x\"\n";

    fn pod(of_pod: Value, own: [Value; 2]) -> Pod {
        let [one, other] = own;
        let container = |name: &str, own: Value| json!({"name": name, "volumeMounts": [{"name": "data", "mountPath": "/d"}], "securityContext": own});
        let bystander = json!({"name": "x", "securityContext": {"seLinuxOptions": {"level": "s0:c9"}}});
        serde_json::from_value(json!({"spec": {
            "securityContext": of_pod, "containers": [container("a", one), container("b", other), bystander],
        }}))
        .unwrap()
    }

    #[test]
    fn labels_are_found_in_the_mount_table() {
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        for (options, expected) in [
            (&*format!("rw,{},data=ordered", mount_option(label)), Some(label)),
            (&*mount_option(label), Some(label)),
            ("rw,context=u:r:t:s0", Some("u:r:t:s0")),
            ("rw,context=u:r:t:s0,size=1k", Some("u:r:t:s0")),
            ("rw,rootcontext=u:r:t:s0,seclabel", None),
            ("rw", None),
            ("", None),
        ] {
            assert_eq!(mounted_label(options), expected, "{options}");
        }
    }

    #[test]
    fn how_volumes_are_mounted() {
        let node = FileLabel::parse(CONTEXTS).unwrap();
        let level = |level: &str| json!({"seLinuxOptions": {"level": level}});
        let none = || json!({});
        let once = &["ReadWriteOncePod".to_owned()][..];
        let many = &["ReadWriteMany".to_owned()][..];
        let two = &["ReadWriteOncePod".to_owned(), "ReadWriteOnce".to_owned()][..];
        let is = |label: &str| Ok(Label::Mount(label.to_owned()));
        let plain = || is("system_u:object_r:container_file_t:s0:c1,c2");
        let several = || {
            Err(SeveralLabels(vec![
                "system_u:object_r:container_file_t:s0:c1,c2".into(),
                "system_u:object_r:container_file_t:s0:c3".into(),
            ]))
        };
        let recursive = json!({"seLinuxOptions": {"level": "s0:c1,c2"}, "seLinuxChangePolicy": "Recursive"});
        let full = json!({"seLinuxOptions": {"user": "u", "role": "r", "type": "t", "level": "s0:c1"}});
        let no_level = json!({"seLinuxOptions": {"type": "t"}});
        // The pod's context, those of two containers, access modes, whether the driver can, whether any mode will do.
        for (of_pod, own, modes, by_driver, any_mode, expected) in [
            (none(), [none(), none()], once, true, false, Ok(Label::None)),
            (level("s0:c1,c2"), [none(), none()], once, true, false, plain()),
            (level("s0:c1,c2"), [none(), none()], once, false, false, Ok(Label::None)),
            (level("s0:c1,c2"), [none(), none()], many, true, false, Ok(Label::None)),
            (level("s0:c1,c2"), [none(), none()], two, true, false, Ok(Label::None)),
            (level("s0:c1,c2"), [none(), none()], many, true, true, plain()),
            (recursive, [none(), none()], once, true, true, Ok(Label::None)),
            (
                level("s0:c1,c2"),
                [level("s0:c3"), level("s0:c3")],
                once,
                true,
                false,
                is("system_u:object_r:container_file_t:s0:c3"),
            ),
            (level("s0:c1,c2"), [none(), level("s0:c3")], once, true, false, several()),
            (level("s0:c1,c2"), [none(), level("s0:c3")], many, true, false, Ok(Label::Several)),
            (none(), [none(), level("s0:c1,c2")], once, true, false, plain()),
            (full, [none(), none()], once, true, false, is("u:object_r:container_file_t:s0:c1")),
            (level("s0\",rtdev=/dev/sdb,x=\""), [none(), none()], once, true, false, Ok(Label::None)),
            (no_level, [none(), none()], once, true, false, Ok(Label::None)),
        ] {
            let shown = format!("{of_pod} {own:?} {modes:?} {by_driver} {any_mode}");
            let volume = Labelled { name: "data", access_modes: modes, by_driver, any_mode };
            assert_eq!(node.decide(&pod(of_pod, own), volume), expected, "{shown}");
        }
    }

    #[test]
    fn what_a_node_says() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("etc/selinux/config", "# SELINUXTYPE=no\nSELINUX=enforcing\nSELINUXTYPE=mls\n");
        write("etc/selinux/mls/contexts/lxc_contexts", CONTEXTS);
        assert_eq!(FileLabel::below(root.path()), None, "it is not on");
        write("sys/fs/selinux/enforce", "1");
        assert_eq!(FileLabel::below(root.path()), FileLabel::parse(CONTEXTS));
        write("usr/share/containers/selinux/contexts", "file = \"u:r:t:s0\"\n");
        let own = FileLabel { user: "u".into(), role: "r".into(), kind: "t".into() };
        assert_eq!(FileLabel::below(root.path()), Some(own));
        for text in ["", "file", "file = \"a:b\"", "process = \"a:b:c:d\""] {
            assert_eq!(FileLabel::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn words_for_others() {
        assert_eq!(mount_option("u:r:t:s0:c1,c2"), "context=\"u:r:t:s0:c1,c2\"");
        for (modes, expected) in [
            (&["ReadWriteOnce", "ReadWriteMany"][..], "RWX"),
            (&["ReadOnlyMany"], "ROX"),
            (&["ReadWriteOnce", "ReadWriteOncePod"], "RWO"),
            (&["ReadWriteOncePod"], "RWOP"),
        ] {
            let modes: Vec<String> = modes.iter().map(|mode| (*mode).to_owned()).collect();
            assert_eq!(mode(&modes), expected);
        }
    }
}
