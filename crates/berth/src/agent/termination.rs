//! Termination messages: the last words of containers that ended (Kubernetes: "Determine the Reason for Pod
//! Failure").

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::{ContainerId, ContainerState, ObservedContainer, ObservedPod, PodUid, labels, reason};

/// The most that is read of a termination message file, in bytes.
const MAX_FILE: u64 = 4096;

/// The messages of containers that ended, each read once.
pub(super) struct TerminationMessages {
    /// The directory of pods: what is read is there, whatever else a container has at the path of its message. A volume may be on
    /// a server that does not answer.
    pods_dir: PathBuf,
    read: Mutex<HashMap<PodUid, HashMap<ContainerId, Option<String>>>>,
}

impl TerminationMessages {
    /// None yet, of the pods whose directories are in `pods_dir`.
    pub(super) fn new(pods_dir: PathBuf) -> Self {
        Self { pods_dir, read: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, HashMap<ContainerId, Option<String>>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `observed` with the messages of its ended containers.
    pub(super) fn fill_in(&self, observed: &Arc<ObservedPod>) -> Arc<ObservedPod> {
        if observed.containers.iter().all(|container| container.state.exit().is_none()) {
            return Arc::clone(observed);
        }
        let mut all = self.lock();
        let known = all.entry(observed.pod.uid.clone()).or_default();
        known.retain(|id, _| observed.containers.iter().any(|container| container.id == *id));
        let mut filled = (**observed).clone();
        for container in &mut filled.containers {
            // A listing has no annotations; only an inspected container tells where its message is.
            if container.annotations.is_empty() {
                continue;
            }
            let message = match known.get(&container.id) {
                Some(message) => message.clone(),
                None if container.state.exit().is_some() => {
                    let own = self
                        .pods_dir
                        .join(observed.pod.uid.as_str())
                        .join("containers")
                        .join(&*container.name);
                    let message = read(container, &own);
                    known.insert(container.id.clone(), message.clone());
                    message
                }
                None => None,
            };
            if let (ContainerState::Exited(exit), Some(message)) = (&mut container.state, message) {
                exit.message = message;
            }
        }
        Arc::new(filled)
    }

    /// Forgets a pod that is gone.
    pub(super) fn forget(&self, pod: &PodUid) {
        self.lock().remove(pod);
    }
}

/// What `container` left: its file in its directory `own`, or the end of its log if it asked for that and failed.
fn read(container: &ObservedContainer, own: &Path) -> Option<String> {
    let exit = container.state.exit()?;
    let path = container.annotations.get(labels::TERMINATION_MESSAGE_PATH)?;
    let is_message = |mount: &&types::observed::ObservedMount| {
        mount.container_path == *path && Path::new(&mount.host_path).parent() == Some(own)
    };
    let mount = container.mounts.iter().find(is_message)?;
    if let Some(message) = read_file(Path::new(&mount.host_path)).filter(|message| !message.is_empty()) {
        return Some(message);
    }
    let policy = container.annotations.get(labels::TERMINATION_MESSAGE_POLICY)?;
    let from_log = policy == "FallbackToLogsOnError"
        && exit.code != 0
        && exit.reason != reason::terminated::CONTAINER_CANNOT_RUN
        && !container.log_path.is_empty();
    if !from_log {
        return None;
    }
    logs::termination_message(Path::new(&container.log_path)).ok()
}

fn read_file(path: &Path) -> Option<String> {
    // The container could write here: no link is followed and no pipe is waited for.
    let (dir, name) = (path.parent()?, path.file_name()?);
    let dir = linux::beneath::Root::open(dir).ok()?;
    let file = dir.open_file(Path::new(name), linux::beneath::Links::Refuse).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use jiff::Timestamp;
    use types::observed::{Exit, ObservedMount};
    use types::{PodName, PodRef};

    use super::*;

    #[test]
    fn only_the_containers_own_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("u/containers/c");
        std::fs::create_dir_all(&own).unwrap();
        let [volume, message] = [dir.path().join("volume"), own.join("1")];
        std::fs::write(&volume, "of a volume").unwrap();
        let at = |path: &Path| ObservedMount {
            container_path: "/dev/termination-log".to_owned(),
            host_path: path.display().to_string(),
            readonly: false,
            recursive_read_only: false,
        };
        let observed = ObservedPod {
            pod: PodRef { name: PodName::new("n", "p"), uid: "u".into() },
            sandboxes: Vec::new(),
            containers: vec![ObservedContainer {
                id: "1".into(),
                name: "c".into(),
                sandbox: "s".into(),
                state: ContainerState::Exited(Exit {
                    code: 0,
                    reason: String::new(),
                    message: String::new(),
                    started_at: None,
                    finished_at: Timestamp::UNIX_EPOCH,
                }),
                created_at: Timestamp::UNIX_EPOCH,
                image: String::new(),
                image_ref: String::new(),
                image_id: String::new(),
                hash: String::new(),
                restart_count: 0,
                log_path: String::new(),
                mounts: vec![at(&volume), at(&message)],
                user: None,
                resources: None,
                annotations: Arc::new(
                    [(labels::TERMINATION_MESSAGE_PATH.to_owned(), "/dev/termination-log".to_owned())].into(),
                ),
            }],
        };
        let said = |observed: ObservedPod| {
            let messages = TerminationMessages::new(dir.path().to_owned());
            let filled = messages.fill_in(&Arc::new(observed));
            filled.containers[0].state.exit().unwrap().message.clone()
        };
        assert_eq!(said(observed.clone()), "");
        std::fs::write(&message, "of its own").unwrap();
        assert_eq!(said(observed), "of its own");
    }
}
