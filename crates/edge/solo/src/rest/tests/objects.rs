use super::*;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_life_of_an_object() {
    let server = Server::new().await;
    let (code, created) = server.post(MAPS, json!({"metadata": {"name": "c"}, "data": {"a": "1"}})).await;
    assert_eq!(code, StatusCode::CREATED);
    assert_eq!(created["kind"], "ConfigMap");
    assert_eq!(created["metadata"]["namespace"], "default");
    for field in ["uid", "creationTimestamp", "resourceVersion"] {
        assert!(created["metadata"][field].is_string(), "{field}");
    }
    let (code, refused) = server.post(MAPS, json!({"metadata": {"name": "c"}})).await;
    assert_eq!((code, &refused["reason"]), (StatusCode::CONFLICT, &json!("AlreadyExists")));
    assert_eq!(refused["message"], "configmaps \"c\" already exists");

    let path = &format!("{MAPS}/c");
    assert_eq!(server.get(path).await.1, created);
    let mut changed = created.clone();
    changed["data"]["a"] = "2".into();
    let (code, updated) = server.put(path, changed.clone()).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(updated["data"]["a"], "2");
    assert_ne!(updated["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    // The same write again is one of an old version.
    changed["data"]["a"] = "3".into();
    let (code, refused) = server.put(path, changed).await;
    assert_eq!((code, &refused["reason"]), (StatusCode::CONFLICT, &json!("Conflict")));

    let (code, gone) = server.delete(path).await;
    assert_eq!((code, &gone["status"]), (StatusCode::OK, &json!("Success")));
    let (code, refused) = server.get(path).await;
    assert_eq!((code, &refused["reason"]), (StatusCode::NOT_FOUND, &json!("NotFound")));
    assert_eq!(refused["details"], json!({"name": "c", "kind": "configmaps"}));
}

#[tokio::test]
async fn names_are_generated() {
    let server = Server::new().await;
    let (_, created) = server.post(MAPS, json!({"metadata": {"generateName": "c-"}})).await;
    let name = created["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("c-") && name.len() == 7, "{name}");
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let server = Server::new().await;
    for (path, body, code, message) in [
        (MAPS, json!({"metadata": {"name": "A"}}), 422, "metadata.name: Invalid value: \"A\""),
        (MAPS, json!({"metadata": {"name": "a", "labels": {"-": "x"}}}), 422, "metadata.labels"),
        (MAPS, json!({"metadata": {"name": "a"}, "data": {"a/b": "x"}}), 422, "data[a/b]: Invalid value"),
        (MAPS, json!({"metadata": {"name": "a"}, "data": 1}), 400, "cannot be handled as a ConfigMap"),
        (MAPS, json!({"kind": "Secret", "metadata": {"name": "a"}}), 400, "do not match"),
        (MAPS, json!({"metadata": {"name": "a", "namespace": "other"}}), 400, "does not match the namespace"),
        (MAPS, json!([1]), 400, "not an object"),
        (
            "/api/v1/namespaces/none/configmaps",
            json!({"metadata": {"name": "a"}}),
            404,
            "namespaces \"none\" not found",
        ),
        ("/api/v1/nothings", json!({}), 404, "could not find"),
        (
            "/api/v1/namespaces/default/secrets",
            json!({"metadata": {"name": "a"}, "type": "kubernetes.io/tls"}),
            422,
            "tls.crt",
        ),
    ] {
        let (found, status) = server.post(path, body).await;
        assert_eq!(found.as_u16(), code, "{status}");
        assert!(status["message"].as_str().unwrap().contains(message), "{status}");
    }
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let (code, status) = server.post(&strict, json!({"metadata": {"name": "a"}, "dta": {}})).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    assert!(status["message"].as_str().unwrap().contains("unknown field \"dta\""), "{status}");
    let (code, _) = server.typed(admin(), Method::POST, MAPS, "text/plain", json!({})).await;
    assert_eq!(code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (code, _) = server
        .typed(
            admin(),
            Method::PATCH,
            &format!("{MAPS}/kube-root-ca.crt"),
            "application/apply-patch+yaml",
            json!({}),
        )
        .await;
    assert_eq!(code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let server = Server::new().await;
    let before = server.api.store.snapshot().revision();
    let (code, _) = server.post(&format!("{MAPS}?dryRun=All"), json!({"metadata": {"name": "c"}})).await;
    assert_eq!(code, StatusCode::CREATED);
    let (code, _) =
        server.patch(&format!("{MAPS}/kube-root-ca.crt?dryRun=All"), json!({"data": {"x": "y"}})).await;
    assert_eq!(code, StatusCode::OK);
    let (code, _) = server.delete(&format!("{MAPS}/kube-root-ca.crt?dryRun=All")).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(server.api.store.snapshot().revision(), before);
}

#[tokio::test]
async fn three_kinds_of_patches() {
    let server = Server::new().await;
    server.post(MAPS, json!({"metadata": {"name": "c"}, "data": {"a": "1"}})).await;
    let path = &format!("{MAPS}/c");
    let patch = async |kind: &str, body| server.typed(admin(), Method::PATCH, path, kind, body).await;
    let (code, map) = patch("application/merge-patch+json", json!({"data": {"b": "2", "a": null}})).await;
    assert_eq!((code, &map["data"]), (StatusCode::OK, &json!({"b": "2"})));
    let (code, map) =
        patch("application/json-patch+json", json!([{"op": "add", "path": "/data/c", "value": "3"}])).await;
    assert_eq!((code, &map["data"]), (StatusCode::OK, &json!({"b": "2", "c": "3"})));
    let (code, map) =
        patch("application/strategic-merge-patch+json", json!({"data": {"$patch": "replace", "d": "4"}}))
            .await;
    assert_eq!((code, &map["data"]), (StatusCode::OK, &json!({"d": "4"})));
    let (code, _) =
        patch("application/json-patch+json", json!([{"op": "test", "path": "/data/d", "value": "5"}])).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    // A patch may insist on the version it is for.
    let old = json!({"metadata": {"resourceVersion": "1"}, "data": {"e": "5"}});
    assert_eq!(patch("application/merge-patch+json", old).await.0, StatusCode::CONFLICT);
    // A patch without news is no write.
    let before = server.api.store.snapshot().revision();
    patch("application/merge-patch+json", json!({"data": {"d": "4"}})).await;
    assert_eq!(server.api.store.snapshot().revision(), before);
}

#[tokio::test]
async fn what_says_it_never_changes_does_not() {
    let server = Server::new().await;
    server.post(MAPS, json!({"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": true})).await;
    let (code, _) = server.patch(&format!("{MAPS}/c"), json!({"data": {"a": "2"}})).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    let (code, _) = server.patch(&format!("{MAPS}/c"), json!({"metadata": {"labels": {"a": "2"}}})).await;
    assert_eq!(code, StatusCode::OK);
}

#[tokio::test]
async fn secrets_take_plain_text() {
    let server = Server::new().await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"a": "hello"}});
    let (_, created) = server.post("/api/v1/namespaces/default/secrets", secret).await;
    assert_eq!(created["data"], json!({"a": "aGVsbG8="}));
    assert_eq!(created["type"], "Opaque");
    assert!(created.get("stringData").is_none());
}

#[tokio::test]
async fn services_get_addresses() {
    let server = Server::new().await;
    let path = "/api/v1/namespaces/default/services";
    let make = |name: &str| json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    let (_, one) = server.post(path, make("one")).await;
    let (_, two) = server.post(path, make("two")).await;
    assert_eq!(one["spec"]["clusterIP"], "10.96.0.10");
    assert_eq!(two["spec"]["clusterIP"], "10.96.0.11");
    assert_eq!(one["spec"]["ports"], json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]));
    let mut taken = make("three");
    taken["spec"]["clusterIP"] = "10.96.0.10".into();
    assert_eq!(server.post(path, taken).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let mut headless = make("four");
    headless["spec"]["clusterIP"] = "None".into();
    assert_eq!(server.post(path, headless).await.1["spec"]["clusterIP"], "None");
    // An update that does not name the address keeps it.
    let (code, kept) = server.put(&format!("{path}/one"), make("one")).await;
    assert_eq!((code, &kept["spec"]["clusterIP"]), (StatusCode::OK, &json!("10.96.0.10")));
}

#[tokio::test]
async fn events_have_two_faces() {
    let server = Server::new().await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started", "message": "hello", "type": "Normal", "count": 2});
    server.post("/api/v1/namespaces/default/events", event).await;
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let (_, seen) = server.get(&format!("{path}/e")).await;
    assert_eq!(seen["apiVersion"], "events.k8s.io/v1");
    assert_eq!((&seen["note"], &seen["regarding"]["name"]), (&json!("hello"), &json!("p")));
    let (code, patched) = server
        .typed(
            admin(),
            Method::PATCH,
            &format!("{path}/e"),
            "application/merge-patch+json",
            json!({"note": "again"}),
        )
        .await;
    assert_eq!((code, &patched["note"]), (StatusCode::OK, &json!("again")));
    let selected = "/api/v1/events?fieldSelector=involvedObject.name%3Dp,type%3DNormal";
    assert_eq!(server.get(selected).await.1["items"][0]["message"], "again");
    let (code, _) = server.post(path, json!({"metadata": {"name": "f"}, "eventTime": "2026-01-01T00:00:00.000000Z", "regarding": {"name": "q"}, "note": "n"})).await;
    assert_eq!(code, StatusCode::CREATED);
    let (_, core) = server.get("/api/v1/namespaces/default/events/f").await;
    assert_eq!((&core["message"], &core["involvedObject"]["name"]), (&json!("n"), &json!("q")));
}
