use axum::body::BodyDataStream;
use futures::StreamExt as _;

use super::*;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A watch under way.
struct Watch {
    body: BodyDataStream,
    lines: Vec<u8>,
}

impl Watch {
    async fn open(server: &Server, path: &str) -> Self {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = server.send(admin(), request).await;
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body().into_data_stream(), lines: Vec::new() }
    }

    /// The next event; none when the watch has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.lines.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.lines.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(Duration::from_secs(3600), self.body.next()).await.unwrap()?;
            self.lines.extend_from_slice(&chunk.unwrap());
        }
    }

    /// The next event's type and the name of its object.
    async fn told(&mut self) -> (String, String) {
        let event = self.next().await.unwrap();
        (event["type"].as_str().unwrap().to_owned(), crate::object::name(&event["object"]).to_owned())
    }
}

fn told(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_goes_on_from_a_list() {
    let server = Server::new().await;
    let (_, list) = server.get(MAPS).await;
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
    server.post(MAPS, json!({"metadata": {"name": "before"}})).await;
    let mut watch = Watch::open(&server, &format!("{MAPS}?watch=true&resourceVersion={revision}")).await;
    assert_eq!(watch.told().await, told("ADDED", "before"));
    server
        .post("/api/v1/namespaces/kube-public/configmaps", json!({"metadata": {"name": "elsewhere"}}))
        .await;
    server.patch(&format!("{MAPS}/before"), json!({"data": {"a": "b"}})).await;
    assert_eq!(watch.told().await, told("MODIFIED", "before"));
    server.delete(&format!("{MAPS}/before")).await;
    let gone = watch.next().await.unwrap();
    assert_eq!(gone["type"], "DELETED");
    let revision = server.api.store.snapshot().revision().to_string();
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], revision);
}

#[tokio::test]
async fn without_a_revision_it_begins_with_what_is_there() {
    let server = Server::new().await;
    let mut watch = Watch::open(&server, &format!("{MAPS}?watch=1")).await;
    assert_eq!(watch.told().await, told("ADDED", "kube-root-ca.crt"));
}

#[tokio::test]
async fn a_selector_makes_objects_come_and_go() {
    let server = Server::new().await;
    let (_, list) = server.get(MAPS).await;
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch =
        Watch::open(&server, &format!("{MAPS}?watch=1&labelSelector=a%3Db&resourceVersion={revision}")).await;
    server.post(MAPS, json!({"metadata": {"name": "c"}})).await;
    server.patch(&format!("{MAPS}/c"), json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(watch.told().await, told("ADDED", "c"));
    server.patch(&format!("{MAPS}/c"), json!({"metadata": {"labels": {"a": "x"}}})).await;
    assert_eq!(watch.told().await, told("DELETED", "c"));
    server.delete(&format!("{MAPS}/c")).await;
    server.post(MAPS, json!({"metadata": {"name": "d", "labels": {"a": "b"}}})).await;
    assert_eq!(watch.told().await, told("ADDED", "d"));
}

#[tokio::test]
async fn what_is_forgotten_is_gone() {
    let server = Server::new().await;
    let many = |txn: &mut crate::store::Txn| {
        for count in 0..2000 {
            txn.put("configmaps", json!({"metadata": {"namespace": "default", "name": "c"}, "count": count}));
        }
        Ok(())
    };
    server.api.store.write(many).await.unwrap();
    let mut watch = Watch::open(&server, &format!("{MAPS}?watch=1&resourceVersion=1")).await;
    let error = watch.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(error["object"]["reason"], "Expired");
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_while_nothing_happens() {
    let server = Server::new().await;
    let revision = server.api.store.snapshot().revision();
    let path =
        format!("{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={revision}&timeoutSeconds=70");
    let mut watch = Watch::open(&server, &path).await;
    server.post("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}})).await;
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    let now = server.api.store.snapshot().revision();
    let told: u64 = bookmark["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!((revision..=now).contains(&told));
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let server = Server::new().await;
    let query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut watch = Watch::open(&server, &format!("{MAPS}?{query}")).await;
    assert_eq!(watch.told().await, told("ADDED", "kube-root-ca.crt"));
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    server.post(MAPS, json!({"metadata": {"name": "c"}})).await;
    assert_eq!(watch.told().await, told("ADDED", "c"));
}
