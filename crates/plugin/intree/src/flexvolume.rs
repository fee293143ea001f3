//! `flexVolume`: a program of somebody else that mounts, called with words and JSON. Pure (Kubernetes: "Volumes,
//! flexVolume"; the calls are in "FlexVolume" of the community's documents on development).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::Command;
use crate::layout::{Device, is_name};

/// A volume of a driver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flex {
    /// The driver's name, such as `example.com/lvm`.
    pub driver: String,
    /// The file system that is asked for.
    pub fs_type: String,
    /// What the driver is told of the volume.
    pub options: BTreeMap<String, String>,
    /// Of the Secret that is for the driver, in base64.
    pub secret: Secret,
    /// What the driver is told of the pod.
    pub pod: BTreeMap<String, String>,
}

/// The keys and values of a Secret. Shown to nobody.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Secret(
    /// By key.
    pub BTreeMap<String, String>,
);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a driver can do, as it says when it is asked for the first time. What it does not say, it can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Capabilities {
    /// Whether its volumes are attached to the node first.
    pub(crate) attach: bool,
    /// Whether files are given to the pod's group.
    pub(crate) fs_group: bool,
    /// Whether the file systems of its volumes have to be made larger on nodes.
    pub(crate) resizes: bool,
}

/// What a driver answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// It did it.
    Done {
        capabilities: Capabilities,
        /// The device that it attached, or that is attached.
        device: String,
    },
    /// It does not do such things: somebody else has to.
    NotSupported,
}

/// A driver did not do it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FlexError {
    /// It says why.
    #[error("{call} command failed, status: {status}, reason: {message}")]
    Failed {
        /// What it was asked.
        call: String,
        /// `Failure`, as a rule.
        status: String,
        /// The reason.
        message: String,
    },
    /// It says something strange.
    #[error("the answer of the FlexVolume driver to {call} is not JSON of the kind that is expected: {why}")]
    Answer {
        /// What it was asked.
        call: String,
        /// What is wrong.
        why: String,
    },
    /// It is not there.
    #[error("there is no FlexVolume driver at {}: install it, or correct volumePluginDir or the volume's driver", _0.display())]
    NoDriver(PathBuf),
    /// It wants its volumes attached.
    #[error(
        "volumes of FlexVolume driver {0} have to be attached to the node first, and the control plane has not said where this one is"
    )]
    NotAttached(String),
}

/// Whether a text can be the name of a driver: with a vendor before it or without.
pub(crate) fn is_driver(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() <= 2 && parts.iter().all(|part| is_name(part) && !part.contains('~'))
}

/// The program of the driver `name` below `dir`.
pub(crate) fn program(dir: &Path, name: &str) -> PathBuf {
    let last = name.rsplit('/').next().unwrap_or(name);
    dir.join(name.replace('/', "~")).join(last)
}

impl Flex {
    /// Its device, for the volume `spec_name`. None if a name leads elsewhere.
    pub(crate) fn device(&self, spec_name: &str) -> Option<Device> {
        is_driver(&self.driver).then(|| Device::flex(&self.driver, spec_name)).flatten()
    }

    /// What the driver is told of the volume; with `about_pod`, when it is for a pod.
    fn told(&self, spec_name: &str, read_only: bool, about_pod: Option<Option<u32>>) -> String {
        let mut all = BTreeMap::from([
            ("kubernetes.io/fsType".to_owned(), self.fs_type.clone()),
            ("kubernetes.io/readwrite".to_owned(), if read_only { "ro" } else { "rw" }.to_owned()),
            ("kubernetes.io/pvOrVolumeName".to_owned(), spec_name.to_owned()),
        ]);
        if let Some(group) = about_pod {
            all.extend(self.pod.clone());
            let secret = self.secret.0.iter();
            all.extend(secret.map(|(key, value)| (format!("kubernetes.io/secret/{key}"), value.clone())));
            let group = group.map(|id| ("kubernetes.io/mounterArgs.FsGroup".to_owned(), id.to_string()));
            all.extend(group);
        }
        // The volume's own word counts.
        all.extend(self.options.clone());
        let all: serde_json::Map<String, Value> =
            all.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
        Value::Object(all).to_string()
    }

    /// Attaches the volume to the node `node`.
    pub(crate) fn attach(&self, dir: &Path, spec_name: &str, read_only: bool, node: &str) -> Command {
        let told = self.told(spec_name, read_only, None);
        call(dir, &self.driver, "attach").secret(told).arg(node)
    }

    /// Waits until the volume is attached as `device`.
    pub(crate) fn wait(&self, dir: &Path, spec_name: &str, read_only: bool, device: &str) -> Command {
        let told = self.told(spec_name, read_only, None);
        call(dir, &self.driver, "waitforattach").arg(device).secret(told)
    }

    /// Mounts `device` at `point`, for all pods.
    pub(crate) fn mount_device(
        &self,
        dir: &Path,
        spec_name: &str,
        read_only: bool,
        point: &Path,
        device: &str,
    ) -> Command {
        let told = self.told(spec_name, read_only, None);
        call(dir, &self.driver, "mountdevice").arg(point).arg(device).secret(told)
    }

    /// Makes the file system of the volume, which is on `device` and mounted at `point`, as large as the first of `sizes`
    /// says, which is not what it was: the second. In bytes.
    pub(crate) fn expand(
        &self,
        dir: &Path,
        spec_name: &str,
        device: &Path,
        point: &Path,
        sizes: [u64; 2],
    ) -> Command {
        let told = self.told(spec_name, false, None);
        let command = call(dir, &self.driver, "expandfs").secret(told).arg(device).arg(point);
        command.args(sizes.map(|size| size.to_string()))
    }

    /// Mounts the volume at `point`, for a pod whose group is `group`.
    pub(crate) fn mount(
        &self,
        dir: &Path,
        spec_name: &str,
        read_only: bool,
        point: &Path,
        group: Option<u32>,
    ) -> Command {
        let told = self.told(spec_name, read_only, Some(group));
        call(dir, &self.driver, "mount").arg(point).secret(told)
    }
}

/// Asks a driver what it can do.
pub(crate) fn init(dir: &Path, driver: &str) -> Command {
    call(dir, driver, "init")
}

/// Unmounts what is at `point`, for a pod.
pub(crate) fn unmount(dir: &Path, driver: &str, point: &Path) -> Command {
    call(dir, driver, "unmount").arg(point)
}

/// Unmounts the device at `point`.
pub(crate) fn unmount_device(dir: &Path, driver: &str, point: &Path) -> Command {
    call(dir, driver, "unmountdevice").arg(point)
}

/// Detaches the volume `name` from the node `node`.
pub(crate) fn detach(dir: &Path, driver: &str, name: &str, node: &str) -> Command {
    call(dir, driver, "detach").arg(name).arg(node)
}

fn call(dir: &Path, driver: &str, what: &str) -> Command {
    Command::new(program(dir, driver)).arg(what)
}

/// What a driver has answered to the call `call`.
pub(crate) fn answer(call: &str, output: &str) -> Result<Answer, FlexError> {
    let strange = |why: String| FlexError::Answer { call: call.to_owned(), why };
    let answer: Value = serde_json::from_str(output.trim()).map_err(|error| strange(error.to_string()))?;
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    if !answer.is_object() {
        return Err(strange("it is no object".to_owned()));
    }
    match text("status").as_str() {
        "Success" => {}
        "Not supported" => return Ok(Answer::NotSupported),
        status => {
            let (status, message) = (status.to_owned(), text("message"));
            return Err(FlexError::Failed { call: call.to_owned(), status, message });
        }
    }
    // The key was never given a name of its own, so any spelling will do.
    let said = answer
        .as_object()
        .and_then(|all| all.iter().find(|(key, _)| key.eq_ignore_ascii_case("capabilities")));
    let can = |key: &str| said.and_then(|(_, said)| said[key].as_bool()).unwrap_or(true);
    let capabilities =
        Capabilities { attach: can("attach"), fs_group: can("fsGroup"), resizes: can("requiresFSResize") };
    Ok(Answer::Done { capabilities, device: text("device") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flex() -> Flex {
        let map = |all: &[(&str, &str)]| {
            all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Flex {
            driver: "example.com/lvm".into(),
            fs_type: "ext4".into(),
            options: map(&[("volumeID", "v1")]),
            secret: Secret(map(&[("password", "aHVudGVyMg==")])),
            pod: map(&[("kubernetes.io/pod.name", "web")]),
        }
    }

    fn line(command: &Command) -> String {
        let words: Vec<String> = [command.program.as_os_str()]
            .into_iter()
            .chain(command.exposed())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.join(" ")
    }

    #[test]
    fn calls() {
        let (dir, flex) = (Path::new("/p"), flex());
        let program = "/p/example.com~lvm/lvm";
        let told = r#"{"kubernetes.io/fsType":"ext4","kubernetes.io/pvOrVolumeName":"pv","kubernetes.io/readwrite":"rw","volumeID":"v1"}"#;
        assert_eq!(line(&init(dir, &flex.driver)), format!("{program} init"));
        assert_eq!(line(&flex.attach(dir, "pv", false, "node")), format!("{program} attach {told} node"));
        assert_eq!(
            line(&flex.wait(dir, "pv", false, "/dev/x")),
            format!("{program} waitforattach /dev/x {told}")
        );
        assert_eq!(
            line(&flex.mount_device(dir, "pv", false, Path::new("/m"), "/dev/x")),
            format!("{program} mountdevice /m /dev/x {told}")
        );
        assert_eq!(
            line(&flex.expand(dir, "pv", Path::new("/dev/x"), Path::new("/m"), [9, 8])),
            format!("{program} expandfs {told} /dev/x /m 9 8")
        );
        let told = r#"{"kubernetes.io/fsType":"ext4","kubernetes.io/mounterArgs.FsGroup":"7","kubernetes.io/pod.name":"web","kubernetes.io/pvOrVolumeName":"pv","kubernetes.io/readwrite":"ro","kubernetes.io/secret/password":"aHVudGVyMg==","volumeID":"v1"}"#;
        let mount = flex.mount(dir, "pv", true, Path::new("/v"), Some(7));
        assert_eq!(line(&mount), format!("{program} mount /v {told}"));
        assert!(!format!("{mount}{flex:?}").contains("aHVudGVyMg"));
        assert_eq!(line(&unmount(dir, "lvm", Path::new("/v"))), "/p/lvm/lvm unmount /v");
        assert_eq!(line(&unmount_device(dir, "lvm", Path::new("/m"))), "/p/lvm/lvm unmountdevice /m");
        assert_eq!(line(&detach(dir, "lvm", "pv", "node")), "/p/lvm/lvm detach pv node");
    }

    #[test]
    fn answers() {
        let all = Capabilities { attach: true, fs_group: true, resizes: true };
        let done = |capabilities, device: &str| Answer::Done { capabilities, device: device.into() };
        let table = [
            (r#"{"status": "Success"}"#, done(all, "")),
            ("\n{\"status\": \"Success\", \"device\": \"/dev/x\"}\n", done(all, "/dev/x")),
            (
                r#"{"status": "Success", "capabilities": {"attach": false, "fsGroup": false}}"#,
                done(Capabilities { attach: false, fs_group: false, resizes: true }, ""),
            ),
            (
                r#"{"status": "Success", "Capabilities": {"attach": false, "requiresFSResize": false}}"#,
                done(Capabilities { attach: false, fs_group: true, resizes: false }, ""),
            ),
            (r#"{"status": "Not supported"}"#, Answer::NotSupported),
        ];
        for (output, expected) in table {
            assert_eq!(answer("mount", output), Ok(expected), "{output}");
        }
        let error = answer("mount", r#"{"status": "Failure", "message": "no such volume"}"#).unwrap_err();
        assert_eq!(error.to_string(), "mount command failed, status: Failure, reason: no such volume");
        for output in ["", "[]", "oops", "{\"status\": 1}"] {
            assert!(answer("mount", output).is_err(), "{output}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(text in "\\PC{0,80}") {
            let _ = answer("mount", &text);
            let _ = answer("mount", &format!("{{\"status\": {text:?}, \"capabilities\": {text:?}}}"));
        }
    }

    #[test]
    fn names_of_drivers() {
        assert!(is_driver("lvm") && is_driver("example.com/lvm"));
        for name in ["", "/", "a/", "../x", "a/b/c", "a~b"] {
            assert!(!is_driver(name), "{name}");
            assert_eq!(Flex { driver: name.into(), ..flex() }.device("v"), None, "{name}");
        }
    }
}
