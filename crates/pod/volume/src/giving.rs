//! Telling a pod that its volume takes long to be given to its group (Kubernetes: "Configure volume permission and ownership
//! change policy for Pods").

use std::path::{Path, PathBuf};
use std::time::Duration;

use task::events::Recorder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use types::{Event, PodRef, reason};

use crate::ownership::Progress;

/// When it is told first.
const FIRST: Duration = Duration::from_secs(30);
/// How often it is told then.
const EACH: Duration = Duration::from_secs(60);

/// Records events of `pod` for as long as its volume in `dir` is being given to its group, until whoever does it drops the
/// other end of `ended`.
pub async fn tell(
    recorder: Recorder,
    pod: PodRef,
    dir: PathBuf,
    progress: Progress,
    mut ended: oneshot::Receiver<()>,
) {
    let dir = shown(&dir, &pod);
    let warn = |message| {
        let why = reason::event::VOLUME_PERMISSION_CHANGE_IN_PROGRESS;
        recorder.record(Event::warning(&pod, why, message));
    };
    if timeout(FIRST, &mut ended).await.is_ok() {
        return;
    }
    warn(format!(
        "Setting volume ownership for {dir} is taking longer than expected, consider using OnRootMismatch - \
         https://kubernetes.io/docs/tasks/configure-pod-container/security-context/\
         #configure-volume-permission-and-ownership-change-policy-for-pods"
    ));
    while timeout(EACH, &mut ended).await.is_err() {
        warn(format!("Setting volume ownership for {dir}, processed {} files.", progress.files()));
    }
}

/// The path from the pod's UID on.
fn shown(dir: &Path, pod: &PodRef) -> String {
    let dir = dir.display().to_string();
    dir.find(pod.uid.as_str()).map_or_else(|| dir.clone(), |at| dir[at..].to_owned())
}

#[cfg(test)]
mod tests {
    use types::PodName;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_told_again_and_again() {
        let pod = PodRef { name: PodName::new("shop", "db"), uid: "u1".into() };
        let (recorder, mut events) = Recorder::channel(8);
        let (done, ended) = oneshot::channel();
        let dir = PathBuf::from("/r/pods/u1/volumes/x/mount");
        let told = tokio::spawn(tell(recorder, pod, dir, Progress::default(), ended));
        tokio::time::sleep(FIRST + EACH + Duration::from_secs(1)).await;
        drop(done);
        told.await.unwrap();
        let first = events.recv().await.unwrap();
        assert_eq!(first.reason, "VolumePermissionChangeInProgress");
        assert!(
            first.message.starts_with("Setting volume ownership for u1/volumes/x/mount is taking longer")
        );
        let second = events.recv().await.unwrap();
        assert_eq!(second.message, "Setting volume ownership for u1/volumes/x/mount, processed 0 files.");
        assert!(events.recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_a_moment_is_not_told() {
        let pod = PodRef { name: PodName::new("shop", "db"), uid: "u1".into() };
        let (recorder, mut events) = Recorder::channel(8);
        let (done, ended) = oneshot::channel();
        drop(done);
        tell(recorder, pod, PathBuf::from("/elsewhere"), Progress::default(), ended).await;
        assert!(events.recv().await.is_none());
    }
}
