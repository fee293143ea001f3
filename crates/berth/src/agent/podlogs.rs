//! Which of a container's instances a request for its log means, and its log.

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use logs::{LogOptions, LogReader, Stream};
use server::{LogFile, LogQuery, LogStream, Refusal};
use tokio::sync::watch;
use types::{ContainerId, ObservedPod, corev1, reason};

/// The instance of `container` whose log is wanted, by the id that `status` shows (`containerd://…`). Errors are in the
/// words that users of Kubernetes know.
pub(super) fn chosen<'a>(
    status: &'a corev1::PodStatus,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<&'a str, String> {
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let mut all = lists.into_iter().flatten().flatten();
    let Some(shown) = all.find(|status| status.name == container) else {
        return Err(format!("container {container:?} in pod {pod:?} is not available"));
    };
    let ended = |state: &'a Option<corev1::ContainerState>| {
        let terminated = state.as_ref()?.terminated.as_ref()?;
        terminated.container_id.as_deref().filter(|id| !id.is_empty())
    };
    let last = ended(&shown.last_state);
    if previous {
        let missing = || format!("previous terminated container {container:?} in pod {pod:?} not found");
        return last.ok_or_else(missing);
    }
    let waiting = |why: &str| format!("container {container:?} in pod {pod:?} is waiting to start{why}");
    let state = shown.state.as_ref();
    if state.is_some_and(|state| state.running.is_some()) {
        return shown.container_id.as_deref().ok_or_else(|| waiting(" - no logs yet"));
    }
    // A container that never started leaves no instance of its own: then the one before is what there is.
    if let Some(id) = ended(&shown.state).or(last) {
        return Ok(id);
    }
    let why = state.and_then(|state| state.waiting.as_ref()).and_then(|waiting| waiting.reason.as_deref());
    Err(match why {
        Some(reason::waiting::ERR_IMAGE_PULL) => waiting(": trying and failing to pull image"),
        Some(reason::waiting::IMAGE_PULL_BACK_OFF) => waiting(": image can't be pulled"),
        Some(why) if !why.is_empty() => waiting(&format!(": {why}")),
        _ => waiting(" - no logs yet"),
    })
}

/// A log that can be read.
pub(super) struct PodLog {
    path: PathBuf,
    id: ContainerId,
    ended: bool,
}

impl PodLog {
    /// The log of the instance with the id `id` (`containerd://…`) among those that the runtime has.
    pub(super) fn of(observed: &ObservedPod, id: &str) -> Option<Self> {
        let found = observed.containers.iter().find(|instance| id.ends_with(instance.id.as_str()))?;
        (!found.log_path.is_empty()).then(|| Self {
            path: PathBuf::from(&found.log_path),
            id: found.id.clone(),
            ended: !found.state.may_run(),
        })
    }

    /// Opens it as `query` says. What goes on in `observed` tells when a log that is followed has ended.
    pub(super) async fn open(
        self,
        query: &LogQuery,
        observed: watch::Receiver<Arc<ObservedPod>>,
    ) -> Result<LogFile, Refusal> {
        let options = options(query, Timestamp::now());
        let opened = match query.follow && !self.ended {
            true => LogReader::follow(&self.path, options, ended_watch(observed, self.id)).await,
            false => LogReader::open(&self.path, options).await,
        };
        let reader = opened.map_err(|error| Refusal::bad_request(telemetry::chain(&error)))?;
        let pieces = reader.into_stream();
        Ok(pieces.map(|piece| piece.map_err(|error| std::io::Error::other(telemetry::chain(&error)))).boxed())
    }
}

fn options(query: &LogQuery, now: Timestamp) -> LogOptions {
    let ago = query
        .since_seconds
        .and_then(|seconds| now.checked_sub(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok());
    LogOptions {
        tail: query.tail_lines,
        since: query.since_time.or(ago),
        limit_bytes: query.limit_bytes,
        timestamps: query.timestamps,
        stream: match query.stream {
            LogStream::All => None,
            LogStream::Stdout => Some(Stream::Stdout),
            LogStream::Stderr => Some(Stream::Stderr),
        },
    }
}

/// Becomes true when that instance does not run any more. The task that looks ends with it, or with the one who asks.
fn ended_watch(mut observed: watch::Receiver<Arc<ObservedPod>>, id: ContainerId) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let ended = |pod: &Arc<ObservedPod>| {
            pod.containers
                .iter()
                .find(|instance| instance.id == id)
                .is_none_or(|found| !found.state.may_run())
        };
        tokio::select! {
            _ = observed.wait_for(ended) => { sender.send_replace(true); }
            () = sender.closed() => {}
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn choose(state: Value, last: Value, previous: bool) -> Result<String, String> {
        let own = json!({"name": "app", "containerID": "c://own", "state": state, "lastState": last,
            "ready": false, "restartCount": 0, "image": "", "imageID": ""});
        let status: corev1::PodStatus = serde_json::from_value(json!({"containerStatuses": [own]})).unwrap();
        chosen(&status, "web", "app", previous).map(str::to_owned)
    }

    #[test]
    fn the_instance_is_the_one_that_the_status_shows() {
        let (running, none) = (json!({"running": {}}), json!({}));
        let ended = |id: &str| json!({"terminated": {"containerID": id, "exitCode": 0}});
        let waits = |reason: &str| json!({"waiting": {"reason": reason}});
        for (state, last, previous, expected) in [
            (running.clone(), none.clone(), false, "c://own"),
            (running.clone(), ended("c://last"), true, "c://last"),
            (running, none.clone(), true, "previous terminated container \"app\" in pod \"web\" not found"),
            (ended("c://now"), ended("c://last"), false, "c://now"),
            (ended(""), ended("c://last"), false, "c://last"),
            (waits("CrashLoopBackOff"), ended("c://last"), false, "c://last"),
            (waits("ContainerCreating"), none.clone(), false, "is waiting to start: ContainerCreating"),
            (waits("ErrImagePull"), none.clone(), false, "trying and failing to pull image"),
            (waits("ImagePullBackOff"), none.clone(), false, "image can't be pulled"),
            (none.clone(), none, false, "no logs yet"),
        ] {
            let chosen = choose(state.clone(), last, previous).unwrap_or_else(|error| error);
            assert!(chosen.ends_with(expected), "{state}: {chosen}");
        }
        let empty = corev1::PodStatus::default();
        assert!(chosen(&empty, "web", "app", false).unwrap_err().ends_with("is not available"));
    }

    #[test]
    fn times_are_absolute() {
        let now: Timestamp = "2024-01-01T00:01:00Z".parse().unwrap();
        let query = LogQuery { since_seconds: Some(60), stream: LogStream::Stderr, ..LogQuery::default() };
        let options = options(&query, now);
        assert_eq!(options.since, Some("2024-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(options.stream, Some(Stream::Stderr));
    }

    #[tokio::test]
    async fn whoever_stops_following_leaves_no_task() {
        let pod = types::PodRef { name: types::PodName::new("a", "b"), uid: "u".into() };
        let sender = watch::Sender::new(Arc::new(ObservedPod::absent(pod)));
        let receiver = ended_watch(sender.subscribe(), "none".into());
        let mut ended = receiver.clone();
        assert!(*ended.wait_for(|ended| *ended).await.unwrap(), "it is not there");
        drop((receiver, ended));
        while sender.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
