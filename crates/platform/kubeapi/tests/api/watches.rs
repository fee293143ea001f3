//! Lists and watches over the wire.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kubeapi::{Change, ObjectKey, Selection, Store, Watch};
use serde_json::{Value, json};

use crate::server::{Answer, Server, failure, lines, list, within};

fn object(name: &str, version: &str) -> Value {
    json!({"metadata": {"namespace": "n", "name": name, "resourceVersion": version, "managedFields": [{}]}})
}

fn event(kind: &str, object: &Value) -> Result<Value, ()> {
    Ok(json!({"type": kind, "object": object}))
}

/// In short: `=a,b` for a list, `+a@7` and `-a`.
fn short(change: Option<Change<Pod>>) -> String {
    let name = |pod: &Pod| pod.metadata.name.clone().unwrap();
    match change.unwrap() {
        Change::Listed(pods) => {
            format!("={}", pods.iter().map(|pod| name(pod)).collect::<Vec<_>>().join(","))
        }
        Change::Applied(pod) => {
            assert_eq!(pod.metadata.managed_fields, None);
            format!("+{}@{}", name(&pod), pod.metadata.resource_version.clone().unwrap())
        }
        Change::Deleted(pod) => format!("-{}", name(&pod)),
    }
}

#[tokio::test]
async fn lists_and_follows_over_broken_connections() {
    let (first, answer) = lines();
    let (second, next) = lines();
    let (third, last) = lines();
    let watches = Mutex::new(vec![last, next, answer]);
    let server = Server::start(move |asked| {
        if asked.is_watch() {
            watches.lock().unwrap().pop().unwrap_or(Answer::Never)
        } else {
            list("10", &[object("a", "3"), json!({"metadata": {"name": "odd"}, "spec": 7}), object("b", "4")])
        }
    })
    .await;
    let mut watch = Watch::<Pod>::start(&server.client(), Selection::field("spec.nodeName", "w"));
    assert_eq!(short(within(watch.next()).await), "=a,b", "without the one that cannot be read");
    first.send(event("MODIFIED", &object("a", "11"))).await.unwrap();
    assert_eq!(short(within(watch.next()).await), "+a@11");
    first.send(event("BOOKMARK", &json!({"metadata": {"resourceVersion": "20"}}))).await.unwrap();
    first.send(event("DELETED", &object("b", "21"))).await.unwrap();
    assert_eq!(short(within(watch.next()).await), "-b");
    first.send(Err(())).await.unwrap();
    second.send(event("BOOKMARK", &json!({"metadata": {"resourceVersion": "30"}}))).await.unwrap();
    drop(second);
    // An object that is larger than before, and larger than one read.
    let mut large = object("a", "31");
    large["metadata"]["annotations"] = json!({"large": "x".repeat(1 << 20)});
    third.send(event("MODIFIED", &large)).await.unwrap();
    assert_eq!(short(within(watch.next()).await), "+a@31");

    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    for asked in &asked {
        assert_eq!(asked.query["fieldSelector"], "spec.nodeName=w");
    }
    assert_eq!((asked[0].query["resourceVersion"].as_str(), asked[0].is_watch()), ("0", false));
    assert_eq!(asked[1].query["resourceVersion"], "10");
    assert_eq!(asked[1].query["allowWatchBookmarks"], "true");
    assert_eq!(asked[2].query["resourceVersion"], "21");
    assert_eq!(asked[3].query["resourceVersion"], "30", "a bookmark counts");
    assert!(watch.health().borrow().is_connected());
}

#[tokio::test]
async fn lists_anew_in_pages_after_410() {
    let pages = AtomicUsize::new(0);
    let (_open, watching) = lines();
    let watching = Mutex::new(Some(watching));
    let server = Server::start(move |asked| {
        if asked.is_watch() {
            return match asked.query["resourceVersion"].as_str() {
                "10" => failure(410, "Expired", "too old resource version: 10 (90)"),
                _ => watching.lock().unwrap().take().unwrap(),
            };
        }
        if asked.query.get("resourceVersion").is_some_and(|version| version == "0") {
            return list("10", &[object("a", "1")]);
        }
        let page = |next: &str, name: &str| {
            Answer::Json(
                200,
                json!({"metadata": {"resourceVersion": "90", "continue": next}, "items": [object(name, "80")]}),
            )
        };
        match (asked.query.get("limit").map(String::as_str), pages.fetch_add(1, SeqCst)) {
            (Some("500"), 0) => page("more", "b"),
            (Some("500"), 1) => failure(410, "Expired", "the provided continue parameter is too old"),
            (None, 2) => page("", "c"),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let mut watch = Watch::<Pod>::start(&server.client(), Selection::default());
    assert_eq!(short(within(watch.next()).await), "=a");
    assert_eq!(short(within(watch.next()).await), "=c");
    let asked = server
        .wait(|asked| {
            asked.last().is_some_and(|asked| {
                asked.query.get("resourceVersion").is_some_and(|version| version == "90")
            })
        })
        .await;
    assert_eq!(asked[3].query["continue"], "more");
}

#[tokio::test]
async fn many_watches_do_not_hold_up_calls() {
    let server = Server::start(|asked| {
        if asked.is_watch() {
            let (sender, answer) = lines();
            tokio::spawn(async move { sender.closed().await });
            answer
        } else if asked.path.ends_with("configmaps") {
            list("1", &[])
        } else {
            Answer::Json(200, json!({"metadata": {"name": "a"}}))
        }
    })
    .await;
    let client = server.client();
    let watches: Vec<_> = (0..150)
        .map(|index| Watch::<ConfigMap>::start(&client, Selection::object(Some("n"), &index.to_string())))
        .collect();
    server.wait(|asked| asked.iter().filter(|asked| asked.is_watch()).count() == 150).await;
    within(client.get::<Service>(Some("n"), "a")).await.unwrap();
    drop(watches);
}

#[tokio::test]
async fn a_store_has_everything_and_keeps_it_while_the_server_is_away() {
    let (events, answer) = lines();
    let answer = Mutex::new(Some(answer));
    let server = Server::start(move |asked| match asked.is_watch() {
        true => answer.lock().unwrap().take().unwrap_or_else(|| failure(500, "InternalError", "no")),
        false => list("1", &[object("a", "1")]),
    })
    .await;
    let store = Store::<Service>::start(&server.client(), Selection::default());
    assert!(store.objects().is_none());
    within(store.synced()).await;
    assert!(store.get(&ObjectKey::new("n", "a")).is_some());
    let mut changes = store.subscribe();
    events.send(event("ADDED", &object("b", "2"))).await.unwrap();
    let key = ObjectKey::new("n", "b");
    within(changes.wait_for(|objects| objects.as_ref().unwrap().contains_key(&key))).await.unwrap();
    drop(events);
    let mut health = store.health();
    within(health.wait_for(|health| !health.is_connected())).await.unwrap();
    assert_eq!(store.objects().unwrap().len(), 2);
}
