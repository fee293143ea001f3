//! The keeper against a server that the test plays.

use std::sync::Mutex;

use kubeapi::ObjectKey;
use serde_json::json;
use types::labels;

use super::*;

#[derive(Default)]
struct Server {
    asked: watch::Sender<Vec<String>>,
    failures: Mutex<Vec<ApiErrorKind>>,
    objects: watch::Sender<Option<Arc<Objects<Pod>>>>,
}

impl Server {
    fn answer(&self, what: String) -> Result<(), ApiError> {
        self.asked.send_modify(|asked| asked.push(what));
        match self.failures.lock().unwrap().pop() {
            Some(kind) => Err(ApiError { kind, code: 0, reason: String::new(), message: "no".into() }),
            None => Ok(()),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Objects<Pod>)) {
        self.objects.send_modify(|objects| change(Arc::make_mut(objects.get_or_insert_default())));
    }
}

impl MirrorApi for Arc<Server> {
    async fn create(&self, mirror: &Pod) -> Result<(), ApiError> {
        let hash = pod::annotation(mirror, labels::CONFIG_MIRROR).unwrap();
        self.answer(format!("create {} {hash}", mirror.metadata.name.as_deref().unwrap()))?;
        let mut object = mirror.clone();
        object.metadata.uid = Some(format!("uid-{hash}"));
        self.change(|objects| drop(objects.insert(ObjectKey::of(&object), Arc::new(object))));
        Ok(())
    }

    async fn delete(&self, pod: &PodRef) -> Result<(), ApiError> {
        self.answer(format!("delete {}", pod.uid))?;
        self.change(|objects| drop(objects.remove(&ObjectKey::new(&pod.name.namespace, &pod.name.name))));
        Ok(())
    }
}

struct Bed {
    server: Arc<Server>,
    pods: watch::Sender<Arc<StaticPods>>,
    node: watch::Sender<Option<Arc<Node>>>,
    failures: watch::Receiver<Arc<BTreeMap<PodName, Failure>>>,
}

impl Bed {
    fn new() -> Self {
        let server = Arc::new(Server::default());
        let (pods, node) = (watch::Sender::default(), watch::Sender::default());
        let metrics = Metrics::register(&Registry::new());
        let objects = server.objects.subscribe();
        let mirrors = Mirrors::new(Arc::clone(&server), pods.subscribe(), objects, node.subscribe(), metrics);
        let failures = mirrors.failures();
        tokio::spawn(mirrors.run());
        Self { server, pods, node, failures }
    }

    fn want(&self, hash: Option<&str>) {
        let wanted = hash.map(|hash| {
            let annotations = json!({"kubernetes.io/config.hash": hash});
            let meta = json!({"namespace": "n", "name": "a", "annotations": annotations});
            (PodName::new("n", "a"), Arc::new(serde_json::from_value(json!({ "metadata": meta })).unwrap()))
        });
        let pods =
            StaticPods { wanted: wanted.into_iter().collect(), complete: true, ..StaticPods::default() };
        self.pods.send_replace(Arc::new(pods));
    }

    fn register_node(&self) {
        let node = json!({"metadata": {"name": "node", "uid": "1"}});
        self.node.send_replace(Some(Arc::new(serde_json::from_value(node).unwrap())));
    }

    async fn settled(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_secs(300)).await;
        self.server.asked.borrow().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn mirrors_follow_their_pods() {
    let bed = Bed::new();
    bed.want(Some("h"));
    bed.server.change(|_| {});
    assert!(bed.settled().await.is_empty(), "nobody owns it yet");
    bed.register_node();
    assert_eq!(bed.settled().await, ["create a h"]);
    bed.want(Some("i"));
    assert_eq!(bed.settled().await[1..], ["delete uid-h", "create a i"]);
    // Somebody deletes it.
    bed.server.change(|objects| {
        let mirror = objects.values_mut().next().unwrap();
        let at = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        Arc::make_mut(mirror).metadata.deletion_timestamp = at;
    });
    assert_eq!(bed.settled().await[3..], ["delete uid-i", "create a i"]);
    bed.want(None);
    assert_eq!(bed.settled().await[5..], ["delete uid-i"]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_later_and_later() {
    let bed = Bed::new();
    bed.server.failures.lock().unwrap().extend([ApiErrorKind::NotFound; 4]);
    bed.register_node();
    bed.server.change(|_| {});
    let begun = Instant::now();
    bed.want(Some("h"));
    let mut failures = bed.failures.clone();
    let told = failures.wait_for(|failures| !failures.is_empty()).await.unwrap().clone();
    assert_eq!(told[&PodName::new("n", "a")].message, "it could not be created: no");
    let mut asked = bed.server.asked.subscribe();
    asked.wait_for(|asked| asked.len() == 5).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(1 + 2 + 4 + 8));
    assert_eq!(bed.settled().await.len(), 5);
    assert!(bed.failures.borrow().is_empty());
}
