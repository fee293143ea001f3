//! Termination messages: the last words of containers that ended (Kubernetes: "Determine the Reason for Pod
//! Failure").

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::{ContainerId, ContainerState, ObservedContainer, ObservedPod, PodUid, labels, reason};

/// The most that is read of a termination message file, in bytes.
const MAX_FILE: u64 = 4096;

/// The messages of containers that ended, each read once.
#[derive(Default)]
pub(super) struct TerminationMessages {
    read: Mutex<HashMap<PodUid, HashMap<ContainerId, Option<String>>>>,
}

impl TerminationMessages {
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
                    let message = read(container);
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

/// What `container` left: its file, or the end of its log if it asked for that and failed.
fn read(container: &ObservedContainer) -> Option<String> {
    let exit = container.state.exit()?;
    let path = container.annotations.get(labels::TERMINATION_MESSAGE_PATH)?;
    let mount = container.mounts.iter().find(|mount| mount.container_path == *path)?;
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
