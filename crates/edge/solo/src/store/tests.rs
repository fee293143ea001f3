use serde_json::json;

use super::*;

fn object(name: &str, value: u64) -> serde_json::Value {
    json!({"metadata": {"namespace": "a", "name": name}, "value": value})
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let revision = {
        let store = Store::open(&path).unwrap();
        store.write(|txn| Ok(txn.put("pods", object("one", 1)))).await.unwrap();
        store.write(|txn| Ok(txn.put("pods", object("two", 1)))).await.unwrap();
        store.write(|txn| Ok(txn.remove("pods", "a", "one"))).await.unwrap();
        // What a kill -9 leaves: the file as it is, without the database being closed.
        std::fs::copy(&path, dir.path().join("copy")).unwrap();
        store.snapshot().revision()
    };
    let store = Store::open(&dir.path().join("copy")).unwrap();
    let snapshot = store.snapshot();
    assert_eq!(snapshot.revision(), revision);
    assert_eq!(snapshot.list("pods", None).map(|(key, _)| key.name.as_str()).collect::<Vec<_>>(), ["two"]);
    // What happened before is forgotten, what happens from here on is not.
    let feed = store.feed("pods");
    assert_eq!(feed.after(revision - 1).unwrap_err(), Gap { oldest: revision });
    assert!(feed.after(revision).unwrap().is_empty());
}

#[tokio::test]
async fn a_write_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let before = store.snapshot().revision();
    let failed: Result<(), _> = store
        .write(|txn| {
            txn.put("pods", object("one", 1));
            Err(ApiError::bad_request("no"))
        })
        .await;
    failed.unwrap_err();
    assert_eq!(store.snapshot().revision(), before);
    assert!(store.snapshot().get("pods", "a", "one").is_none());
}

#[tokio::test]
async fn a_write_without_news_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let first = store.write(|txn| Ok(txn.put("pods", object("one", 1)))).await.unwrap();
    let second = store.write(|txn| Ok(txn.put("pods", object("one", 1)))).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(store.feed("pods").after(store.snapshot().revision()).unwrap().len(), 0);
}

#[tokio::test]
async fn history_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let start = store.snapshot().revision();
    store
        .write(|txn| {
            for value in 0..2000 {
                txn.put("pods", object("one", value));
            }
            Ok(())
        })
        .await
        .unwrap();
    let feed = store.feed("pods");
    let gap = feed.after(start).unwrap_err();
    assert_eq!(feed.after(gap.oldest).unwrap().len(), feed::REMEMBERED);
}

#[tokio::test]
async fn lists_are_of_one_namespace_or_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    store
        .write(|txn| {
            for (resource, namespace, name) in [
                ("pods", "a", "x"),
                ("pods", "b", "w"),
                ("pods", "ab", "v"),
                ("podsx", "a", "u"),
                ("nodes", "", "n"),
            ] {
                txn.put(resource, json!({"metadata": {"namespace": namespace, "name": name}}));
            }
            Ok(())
        })
        .await
        .unwrap();
    let snapshot = store.snapshot();
    let names =
        |namespace| snapshot.list("pods", namespace).map(|(key, _)| key.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(None), ["x", "v", "w"]);
    assert_eq!(names(Some("a")), ["x"]);
    assert_eq!(snapshot.list("nodes", None).count(), 1);
}
