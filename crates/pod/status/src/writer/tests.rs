//! The writer against a server that the test plays.

use std::collections::VecDeque;
use std::sync::Mutex;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use kubeapi::ObjectKey;
use serde_json::json;

use super::*;

/// A server: what it was asked, and how it answers the next times. It takes over what it is told.
struct Server {
    asked: watch::Sender<Vec<String>>,
    failures: Mutex<HashMap<String, VecDeque<ApiErrorKind>>>,
    objects: watch::Sender<Option<Arc<Objects<Pod>>>>,
    /// Answers wait while this is set.
    slow: watch::Sender<bool>,
    /// Whether the watch shows what was written.
    echo: bool,
    /// Fields that this server does not know.
    deaf_to: Option<&'static str>,
}

impl Server {
    async fn answer(&self, what: String, pod: &PodRef) -> Result<(), ApiError> {
        self.asked.send_modify(|asked| asked.push(what));
        self.slow.subscribe().wait_for(|slow| !slow).await.unwrap();
        if pod.name.name.starts_with("hangs") {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let (kind, code) = (ApiErrorKind::Timeout, 0);
            return Err(ApiError { kind, code, reason: String::new(), message: "no answer".into() });
        }
        let failure = self.failures.lock().unwrap().get_mut(&*pod.name.name).and_then(VecDeque::pop_front);
        match failure {
            Some(kind) => Err(ApiError { kind, code: 0, reason: String::new(), message: "no".into() }),
            None => Ok(()),
        }
    }

    fn change(&self, pod: &PodRef, change: impl FnOnce(&mut Pod)) -> Pod {
        let objects = self.objects.borrow().clone().unwrap();
        let key = ObjectKey::new(&pod.name.namespace, &pod.name.name);
        let mut object = (*objects[&key]).clone();
        change(&mut object);
        let version: u64 = object.metadata.resource_version.as_deref().unwrap().parse().unwrap();
        object.metadata.resource_version = Some((version + 1).to_string());
        if self.echo {
            let mut objects = (*objects).clone();
            objects.insert(key, Arc::new(object.clone()));
            self.objects.send_replace(Some(Arc::new(objects)));
        }
        object
    }
}

impl StatusApi for Arc<Server> {
    async fn patch_status(&self, pod: &PodRef, mut patch: Value) -> Result<Pod, ApiError> {
        let status = patch["status"].take();
        self.answer(format!("{} {}", pod.name.name, status["phase"].as_str().unwrap_or("-")), pod).await?;
        Ok(self.change(pod, |object| {
            let mut value = json!(object.status);
            for (key, new) in status.as_object().unwrap() {
                if self.deaf_to != Some(key.as_str()) {
                    value[key] = new.clone();
                }
            }
            object.status = serde_json::from_value(value).unwrap();
        }))
    }

    async fn delete(&self, pod: &PodRef) -> Result<(), ApiError> {
        self.answer(format!("{} delete", pod.name.name), pod).await
    }
}

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "n", "name": name, "uid": name, "resourceVersion": "1"},
        "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}
    }))
    .unwrap()
}

struct Bed {
    server: Arc<Server>,
    store: StatusStore,
    asked: watch::Receiver<Vec<String>>,
    health: watch::Sender<Health>,
    failures: watch::Receiver<Arc<BTreeMap<PodUid, Failure>>>,
    writer: tokio::task::JoinHandle<()>,
}

impl Bed {
    fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {})
    }

    fn with(names: &[&str], change: impl FnOnce(&mut Server)) -> Self {
        let objects = names.iter().map(|name| (ObjectKey::new("n", name), Arc::new(pod(name)))).collect();
        let mut server = Server {
            asked: watch::Sender::default(),
            failures: Mutex::default(),
            objects: watch::Sender::new(Some(Arc::new(objects))),
            slow: watch::Sender::new(false),
            echo: true,
            deaf_to: None,
        };
        change(&mut server);
        let server = Arc::new(server);
        let store = StatusStore::default();
        let health = watch::Sender::new(Health::Connected { since: Timestamp::UNIX_EPOCH });
        let metrics = Metrics::register(&telemetry::metrics::Registry::new());
        let writer = StatusWriter::new(
            Arc::clone(&server),
            store.clone(),
            server.objects.subscribe(),
            health.subscribe(),
            &metrics,
        );
        let asked = server.asked.subscribe();
        let failures = writer.failures();
        Self { asked, server, store, health, failures, writer: tokio::spawn(writer.run()) }
    }

    fn fail(&self, name: &str, kinds: impl IntoIterator<Item = ApiErrorKind>) {
        self.server.failures.lock().unwrap().insert(name.to_owned(), kinds.into_iter().collect());
    }

    fn set(&self, name: &str, phase: &str) {
        self.set_over(name, phase, false);
    }

    fn set_over(&self, name: &str, phase: &str, over: bool) {
        let status = PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() };
        self.store.set(&pod(name), status, over).unwrap();
    }

    async fn until(&mut self, wanted: &[&str]) {
        let all = |asked: &Vec<String>| wanted.iter().all(|one| asked.iter().any(|asked| asked == one));
        let waited = tokio::time::timeout(Duration::from_secs(600), self.asked.wait_for(all)).await;
        assert!(waited.is_ok_and(|seen| seen.is_ok()), "{wanted:?}: {:?}", *self.server.asked.borrow());
    }

    /// What the server was asked once nothing more is to come.
    async fn settled(&mut self) -> Vec<String> {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!self.writer.is_finished());
        self.asked.borrow().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn news_is_written_at_once_and_nothing_twice() {
    let mut bed = Bed::new(&["a"]);
    bed.set("a", "Pending");
    assert!(bed.settled().await.is_empty(), "the server knows that");
    let begun = Instant::now();
    bed.set("a", "Running");
    bed.until(&["a Running"]).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(bed.settled().await, ["a Running"]);
    // Somebody else overwrites it.
    let object = PodRef::of(&pod("a"));
    bed.server.change(&object, |pod| pod.status.as_mut().unwrap().phase = Some("Pending".into()));
    assert_eq!(bed.settled().await, ["a Running", "a Running"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_lags_behind_has_nothing_written_twice() {
    let mut bed = Bed::with(&["a"], |server| server.echo = false);
    bed.set("a", "Running");
    assert_eq!(bed.settled().await, ["a Running"]);
    // The watch shows something older than the answer.
    bed.server.objects.send_modify(|objects| {
        let mut labelled = pod("a");
        labelled.metadata.labels = Some([("l".to_owned(), "1".to_owned())].into());
        Arc::make_mut(objects.as_mut().unwrap()).insert(ObjectKey::new("n", "a"), Arc::new(labelled));
    });
    assert_eq!(bed.settled().await, ["a Running"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_latest_status_is_written() {
    let mut bed = Bed::new(&["a"]);
    bed.server.slow.send_replace(true);
    bed.set("a", "Running");
    bed.until(&["a Running"]).await;
    bed.set("a", "Unknown");
    bed.set("a", "Failed");
    bed.server.slow.send_replace(false);
    assert_eq!(bed.settled().await, ["a Running", "a Failed"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_tried_again_and_holds_up_nobody() {
    let mut bed = Bed::new(&["a", "b"]);
    let full = ApiErrorKind::TooManyRequests { retry_after: None };
    let broken = ApiErrorKind::Server { retry_after: None };
    bed.fail("a", [full, broken, ApiErrorKind::Conflict]);
    let begun = Instant::now();
    bed.set("a", "Running");
    bed.until(&["a Running"]).await;
    bed.set("b", "Running");
    bed.until(&["b Running"]).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let told = bed.failures.wait_for(|failures| !failures.is_empty()).await.unwrap().clone();
    assert_eq!(told[&PodUid::from("a")].reason, "StatusNotWritten");
    let asked = bed.settled().await;
    assert!(bed.failures.borrow().is_empty());
    assert_eq!(asked.iter().filter(|one| *one == "a Running").count(), 4);
    assert_eq!(asked.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn however_many_hang_each_gets_its_turn() {
    let hanging: Vec<_> = (0..PARALLEL * 3).map(|index| format!("hangs-{index}")).collect();
    let names: Vec<_> = hanging.iter().map(String::as_str).chain(["last"]).collect();
    let mut bed = Bed::new(&names);
    for name in &names {
        bed.set(name, "Running");
    }
    bed.until(&["last Running"]).await;
}

#[tokio::test(start_paused = true)]
async fn all_are_tried_at_once_when_the_server_is_back() {
    let mut bed = Bed::new(&["a", "b"]);
    bed.fail("a", [ApiErrorKind::Unreachable; 12]);
    bed.fail("b", [ApiErrorKind::Unreachable; 12]);
    bed.set("a", "Running");
    bed.set("b", "Running");
    tokio::time::sleep(Duration::from_secs(30)).await;
    bed.server.failures.lock().unwrap().clear();
    let before = bed.asked.borrow().len();
    bed.health.send_replace(Health::Connected { since: Timestamp::UNIX_EPOCH });
    bed.asked.wait_for(|asked| asked.len() == before + 2).await.unwrap();
    assert_eq!(bed.settled().await.len(), before + 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_deleted_after_its_last_status_and_once() {
    let mut bed = Bed::new(&["a"]);
    bed.server.change(&PodRef::of(&pod("a")), |pod| {
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    });
    bed.set("a", "Running");
    bed.set("a", "Failed");
    assert_eq!(bed.settled().await, ["a Failed"]);
    bed.set_over("a", "Failed", true);
    // A finalizer of somebody else holds it.
    assert_eq!(bed.settled().await, ["a Failed", "a delete"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_know_is_told_once() {
    let mut bed = Bed::with(&["a"], |server| server.deaf_to = Some("qosClass"));
    let status = |phase: &str| PodStatus {
        phase: Some(phase.to_owned()),
        qos_class: Some("Burstable".to_owned()),
        ..PodStatus::default()
    };
    bed.store.set(&pod("a"), status("Running"), false).unwrap();
    assert_eq!(bed.settled().await, ["a Running"]);
    bed.store.set(&pod("a"), status("Failed"), false).unwrap();
    assert_eq!(bed.settled().await, ["a Running", "a Failed"]);
}
