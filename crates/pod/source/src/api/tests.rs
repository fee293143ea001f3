use kubeapi::ObjectKey;
use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> Arc<Pod> {
    let mut base = json!({
        "metadata": {"namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Pending"}
    });
    merge(&mut base, value);
    Arc::new(serde_json::from_value(base).unwrap())
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

fn pod(name: &str, uid: &str) -> Arc<Pod> {
    object(json!({"metadata": {"name": name, "uid": uid}}))
}

fn objects(pods: &[Arc<Pod>]) -> Objects<Pod> {
    pods.iter().map(|pod| (ObjectKey::of(&**pod), Arc::clone(pod))).collect()
}

fn words(changes: &[PodChange]) -> Vec<String> {
    let word = |change: &PodChange| match change {
        PodChange::Set(pod) => {
            format!("set {} {}", PodRef::of(pod).uid, pod::annotation(pod, labels::CONFIG_SEEN).unwrap())
        }
        PodChange::Remove(pod) => format!("remove {}", pod.uid),
        PodChange::Seen { source, whole } => format!("seen {source} {whole}"),
    };
    changes.iter().map(word).collect()
}

#[test]
fn what_goes_comes_before_what_comes() {
    let mut source = ApiSource::new(&[]);
    let old =
        object(json!({"metadata": {"name": "z", "uid": "1", "creationTimestamp": "2025-01-01T00:00:00Z"}}));
    let first = objects(&[pod("a", "2"), old.clone(), pod("b", "3")]);
    assert_eq!(words(&source.changes(&first, "t1")), ["set 1 t1", "set 2 t1", "set 3 t1"], "by age");
    assert!(source.changes(&first, "t2").is_empty());
    let labelled = object(json!({"metadata": {"name": "a", "uid": "2", "labels": {"l": "1"}}}));
    let changes = source.changes(&objects(&[labelled, old, pod("b", "4")]), "t2");
    assert_eq!(words(&changes), ["remove 3", "set 4 t2", "set 2 t1"], "another UID is another pod");
}

#[test]
fn of_the_status_only_what_others_decide_is_news() {
    let gated = |status: Value| {
        object(json!({"metadata": {"name": "a", "uid": "1"}, "status": status,
            "spec": {"readinessGates": [{"conditionType": "lb"}]}}))
    };
    let mut source = ApiSource::new(&[]);
    source.changes(&objects(&[gated(json!({"phase": "Pending"}))]), "t");
    for (status, news) in [
        (json!({"phase": "Running", "podIP": "10.0.0.1"}), 0),
        (json!({"phase": "Running", "conditions": [{"type": "other", "status": "True"}]}), 0),
        (json!({"phase": "Running", "conditions": [{"type": "lb", "status": "False"}]}), 1),
        (json!({"phase": "Running", "conditions": [{"type": "lb", "status": "True"}]}), 1),
        (json!({"phase": "Failed", "conditions": [{"type": "lb", "status": "True"}]}), 1),
    ] {
        assert_eq!(source.changes(&objects(&[gated(status.clone())]), "t").len(), news, "{status}");
    }
    let deleting = object(json!({"metadata": {"name": "a", "uid": "1",
        "deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}}));
    assert_eq!(source.changes(&objects(&[deleting]), "t").len(), 1);
}

#[test]
fn mirrors_and_what_is_no_pod_disturb_nobody() {
    let mirror = object(
        json!({"metadata": {"name": "m", "uid": "9", "annotations": {"kubernetes.io/config.mirror": "h"}}}),
    );
    let nameless = object(json!({"metadata": {"uid": "8"}}));
    let empty = object(json!({"metadata": {"name": "e", "uid": "7"}, "spec": {"containers": []}}));
    let changes = ApiSource::new(&[]).changes(&objects(&[mirror, nameless, empty, pod("a", "1")]), "t");
    assert_eq!(words(&changes), ["set 1 t"]);
}

#[test]
fn nobody_passes_for_a_static_pod_and_gates_hold() {
    let object = object(json!({
        "metadata": {"name": "a", "uid": "1", "annotations": {"kubernetes.io/config.source": "file"}},
        "spec": {"hostnameOverride": "h", "resources": {"limits": {"cpu": "1"}}}
    }));
    let off = [Feature::HostnameOverride, Feature::PodLevelResources];
    let changes = ApiSource::new(&off).changes(&objects(&[object]), "t");
    let [PodChange::Set(handed)] = &changes[..] else { panic!("{changes:?}") };
    assert!(!pod::is_static(handed));
    assert_eq!(pod::spec(handed).hostname_override, None);
    assert!(pod::spec(handed).resources.is_some(), "refused rather than run without");
}

#[tokio::test]
async fn the_source_is_seen_once_the_server_has_told() {
    let (sender, objects_seen) = watch::channel(None);
    let (changes, mut queue) = mpsc::channel(8);
    let running = tokio::spawn(ApiSource::new(&[]).run(objects_seen, changes));
    tokio::task::yield_now().await;
    assert!(queue.try_recv().is_err());
    sender.send_replace(Some(Arc::new(objects(&[pod("a", "1")]))));
    let mut came = vec![queue.recv().await.unwrap(), queue.recv().await.unwrap()];
    assert!(words(&came)[0].starts_with("set 1 ") && words(&came)[1] == "seen api true");
    sender.send_replace(Some(Arc::default()));
    came = vec![queue.recv().await.unwrap()];
    assert_eq!(words(&came), ["remove 1"]);
    drop(queue);
    drop(sender);
    running.await.unwrap();
}
