//! Secrets and ConfigMaps by each strategy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kubeapi::{ApiErrorKind, Changed, ObjectCache, ObjectKey, Strategy};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use types::PodUid;

use crate::server::{Answer, Asked, Server, failure, lines, list, within};

/// A server with one object, which its watches follow.
#[derive(Clone, Default)]
struct One(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    object: Option<Value>,
    watches: Vec<mpsc::Sender<Result<Value, ()>>>,
    forbidden: bool,
    /// It does not know lists that go on as watches.
    old: bool,
}

impl One {
    fn set(&self, version: u64, immutable: bool) {
        self.0.lock().unwrap().object = Some(json!({
            "metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": version.to_string()},
            "data": {"version": version.to_string()}, "immutable": immutable,
        }));
    }

    /// Changes the object, and tells all watches.
    async fn change(&self, kind: &str, version: u64) {
        self.set(version, false);
        let (event, watches) = {
            let state = self.0.lock().unwrap();
            (json!({"type": kind, "object": state.object}), state.watches.clone())
        };
        for watch in watches {
            let _ = watch.send(Ok(event.clone())).await;
        }
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let mut state = self.0.lock().unwrap();
        let selected = asked.query.get("fieldSelector").is_some_and(|fields| fields == "metadata.name=a");
        if asked.is_watch() {
            let (sender, answer) = lines();
            if is_stream(asked) {
                if state.old {
                    return failure(422, "Invalid", "sendInitialEvents is forbidden for watch");
                }
                if state.forbidden {
                    return failure(403, "Forbidden", "no relationship found between node and this object");
                }
                if let Some(object) = state.object.as_ref().filter(|_| selected) {
                    sender.try_send(Ok(json!({"type": "ADDED", "object": object}))).unwrap();
                }
                let meta =
                    json!({"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}});
                sender.try_send(Ok(json!({"type": "BOOKMARK", "object": {"metadata": meta}}))).unwrap();
            }
            state.watches.push(sender);
            return answer;
        }
        if asked.path.ends_with('a') {
            return match &state.object {
                Some(object) => Answer::Json(200, object.clone()),
                None => failure(404, "NotFound", "configmaps \"a\" not found"),
            };
        }
        if state.forbidden {
            return failure(403, "Forbidden", "no relationship found between node and this object");
        }
        list("1", &state.object.iter().filter(|_| selected).cloned().collect::<Vec<_>>())
    }

    async fn serve(&self) -> Server {
        let this = self.clone();
        Server::start(move |asked| this.answer(&asked)).await
    }
}

fn cache(server: &Server, strategy: Strategy) -> (ObjectCache<ConfigMap>, mpsc::Receiver<Changed>) {
    let (sender, changed) = mpsc::channel(8);
    (ObjectCache::new(&server.client(), strategy, sender), changed)
}

const WATCH: Strategy = Strategy::Watch { idle: Duration::from_secs(300) };

fn key() -> ObjectKey {
    ObjectKey::new("n", "a")
}

async fn version(cache: &ObjectCache<ConfigMap>) -> Result<String, ApiErrorKind> {
    let object = within(cache.get(&key())).await.map_err(|error| error.kind)?;
    Ok(object.data.as_ref().unwrap()["version"].clone())
}

fn is_stream(asked: &Asked) -> bool {
    asked.query.get("sendInitialEvents").is_some_and(|wanted| wanted == "true")
}

fn counts(server: &Server) -> HashMap<&'static str, usize> {
    let mut counts = HashMap::new();
    for asked in server.asked() {
        let what = match (asked.is_watch(), asked.path.ends_with('a')) {
            (true, _) if is_stream(&asked) => "stream",
            (true, _) => "watch",
            (_, true) => "get",
            _ => "list",
        };
        *counts.entry(what).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn one_watch_for_all_pods_that_refer_to_it() {
    let one = One::default();
    one.set(1, false);
    let server = one.serve().await;
    let (cache, mut changed) = cache(&server, WATCH);
    let (web, job): (PodUid, PodUid) = ("web".into(), "job".into());
    cache.register(&web, [key()]);
    cache.register(&job, [key(), ObjectKey::new("n", "missing")]);
    assert_eq!(version(&cache).await.unwrap(), "1");
    let error = within(cache.get(&ObjectKey::new("n", "missing"))).await.unwrap_err();
    assert_eq!(error.to_string(), "configmap \"missing\" not found");
    server.wait(|asked| asked.iter().filter(|asked| asked.is_watch()).count() == 2).await;
    cache.register(&job, [key()]);
    assert_eq!(cache.len(), 1);

    one.change("MODIFIED", 2).await;
    let expected = Changed { key: key(), pods: vec![job.clone(), web.clone()] };
    assert_eq!(within(changed.recv()).await, Some(expected));
    assert_eq!(version(&cache).await.unwrap(), "2");
    cache.unregister(&web);
    one.change("DELETED", 3).await;
    assert_eq!(within(changed.recv()).await, Some(Changed { key: key(), pods: vec![job.clone()] }));
    assert_eq!(version(&cache).await.unwrap_err(), ApiErrorKind::NotFound);
    assert_eq!(counts(&server), HashMap::from([("stream", 2)]));

    cache.unregister(&job);
    assert!(cache.is_empty());
    let watches = one.0.lock().unwrap().watches.clone();
    for watch in watches {
        within(watch.closed()).await;
    }
}

#[tokio::test]
async fn a_server_that_knows_no_streams_is_asked_for_lists() {
    let one = One::default();
    one.set(1, false);
    one.0.lock().unwrap().old = true;
    let server = one.serve().await;
    let (cache, mut changed) = cache(&server, WATCH);
    cache.register(&"web".into(), [key()]);
    assert_eq!(version(&cache).await.unwrap(), "1");
    server.wait(|asked| asked.iter().any(|asked| asked.is_watch() && !is_stream(asked))).await;
    one.change("MODIFIED", 2).await;
    assert!(within(changed.recv()).await.is_some());
    cache.register(&"web".into(), [key(), ObjectKey::new("n", "missing")]);
    within(cache.get(&ObjectKey::new("n", "missing"))).await.unwrap_err();
    assert_eq!(counts(&server)["stream"], 1, "it is tried once");
}

#[tokio::test]
async fn an_immutable_object_is_not_watched() {
    let one = One::default();
    one.set(1, true);
    let server = one.serve().await;
    let (cache, _changed) = cache(&server, WATCH);
    cache.register(&"web".into(), [key()]);
    assert_eq!(version(&cache).await.unwrap(), "1");
    let watches: Vec<_> = one.0.lock().unwrap().watches.drain(..).collect();
    for watch in watches {
        within(watch.closed()).await;
    }
    let before = server.asked().len();
    assert_eq!(version(&cache).await.unwrap(), "1");
    assert!(server.asked().len() <= before + 1, "at most the watch that was just about to begin");
    assert_eq!(counts(&server).get("get"), None);
}

#[tokio::test]
async fn a_watch_that_nobody_asks_for_pauses() {
    let one = One::default();
    one.set(1, false);
    let server = one.serve().await;
    let (cache, _changed) = cache(&server, Strategy::Watch { idle: Duration::from_millis(50) });
    cache.register(&"web".into(), [key()]);
    server.wait(|asked| asked.iter().any(Asked::is_watch)).await;
    let watch = one.0.lock().unwrap().watches[0].clone();
    within(watch.closed()).await;
    one.set(2, false);
    assert_eq!(version(&cache).await.unwrap(), "2", "and begins anew when it is asked for");
}

#[tokio::test]
async fn what_cannot_be_watched_is_read() {
    let one = One::default();
    one.set(1, false);
    one.0.lock().unwrap().forbidden = true;
    let server = one.serve().await;
    let (cache, mut changed) = cache(&server, WATCH);
    cache.register(&"web".into(), [key()]);
    assert_eq!(version(&cache).await.unwrap(), "1");
    assert_eq!(counts(&server)["get"], 1);
    one.0.lock().unwrap().forbidden = false;
    // The pod went on without the watch, which may have come late for what it wanted.
    assert!(within(changed.recv()).await.is_some());
    assert_eq!(version(&cache).await.unwrap(), "1");
    assert_eq!(counts(&server)["get"], 1);
}

#[tokio::test]
async fn kept_objects_are_read_again_when_they_are_old_or_a_pod_is_new() {
    let one = One::default();
    one.set(5, false);
    let server = one.serve().await;
    let (cache, _changed) = cache(&server, Strategy::Cache);
    cache.register(&"web".into(), [key()]);
    version(&cache).await.unwrap();
    one.set(6, false);
    assert_eq!(version(&cache).await.unwrap(), "5");
    assert_eq!(server.asked().len(), 1);
    cache.register(&"job".into(), [key()]);
    assert_eq!(version(&cache).await.unwrap(), "6");
    cache.set_ttl(Duration::ZERO);
    one.set(4, false);
    assert_eq!(version(&cache).await.unwrap(), "6", "never back in time");
    assert_eq!(server.asked()[2].query["resourceVersion"], "0");
    one.0.lock().unwrap().object = None;
    assert_eq!(version(&cache).await.unwrap_err(), ApiErrorKind::NotFound);
    cache.unregister(&"web".into());
    cache.unregister(&"job".into());
    assert!(cache.is_empty());
}

#[tokio::test]
async fn kept_objects_outlive_the_server() {
    let (down, server) = {
        let down = Arc::new(Mutex::new(false));
        let state = Arc::clone(&down);
        let server = Server::start(move |_| match *state.lock().unwrap() {
            true => failure(500, "InternalError", "no"),
            false => Answer::Json(200, json!({"metadata": {"name": "a"}})),
        })
        .await;
        (down, server)
    };
    let (sender, _changed) = mpsc::channel(1);
    let cache = ObjectCache::<Secret>::new(&server.client(), Strategy::Cache, sender);
    cache.set_ttl(Duration::ZERO);
    cache.register(&"web".into(), [key()]);
    within(cache.get(&key())).await.unwrap();
    *down.lock().unwrap() = true;
    within(cache.get(&key())).await.unwrap();
    cache.unregister(&"web".into());
    within(cache.get(&key())).await.unwrap_err();
}

#[tokio::test]
async fn read_each_time() {
    let one = One::default();
    one.set(1, false);
    let server = one.serve().await;
    let (cache, _changed) = cache(&server, Strategy::Get);
    cache.register(&"web".into(), [key()]);
    version(&cache).await.unwrap();
    one.set(2, false);
    assert_eq!(version(&cache).await.unwrap(), "2");
    assert_eq!(counts(&server), HashMap::from([("get", 2)]));
}
