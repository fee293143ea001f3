use super::*;

async fn with_maps(server: &Server, count: usize) {
    for index in 0..count {
        let map =
            json!({"metadata": {"name": format!("m{index}"), "labels": {"odd": (index % 2).to_string()}}});
        server.post("/api/v1/namespaces/kube-public/configmaps", map).await;
    }
}

#[tokio::test]
async fn pages() {
    let server = Server::new().await;
    with_maps(&server, 6).await;
    let path = "/api/v1/namespaces/kube-public/configmaps";
    let mut seen = Vec::new();
    let mut next = String::new();
    let mut pages = 0;
    loop {
        let (code, list) = server.get(&format!("{path}?limit=3&continue={next}")).await;
        assert_eq!(code, StatusCode::OK, "{list}");
        seen.extend(names(&list).into_iter().map(str::to_owned));
        pages += 1;
        match list["metadata"]["continue"].as_str() {
            Some(token) => next = token.to_owned(),
            None => break,
        }
        assert_eq!(list["metadata"]["remainingItemCount"], 7 - seen.len());
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, ["kube-root-ca.crt", "m0", "m1", "m2", "m3", "m4", "m5"]);
    assert_eq!(server.get(&format!("{path}?continue=nonsense")).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn selectors() {
    let server = Server::new().await;
    with_maps(&server, 4).await;
    let get = async |query: &str| server.get(&format!("/api/v1/configmaps?{query}")).await;
    assert_eq!(names(&get("labelSelector=odd%3D1").await.1), ["m1", "m3"]);
    assert_eq!(names(&get("labelSelector=odd+in+(0,1)&fieldSelector=metadata.name%3Dm2").await.1), ["m2"]);
    assert_eq!(names(&get("fieldSelector=metadata.namespace%3Ddefault").await.1), ["kube-root-ca.crt"]);
    assert_eq!(get("fieldSelector=data%3Da").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(get("labelSelector=%3Da").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn revisions() {
    let server = Server::new().await;
    let get = async |query: &str| server.get(&format!("/api/v1/configmaps?{query}")).await;
    let (_, list) = get("").await;
    let revision: u64 = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert_eq!(revision, server.api.store.snapshot().revision());
    assert_eq!(get("resourceVersion=0").await.0, StatusCode::OK);
    assert_eq!(
        get(&format!("resourceVersion={revision}&resourceVersionMatch=NotOlderThan")).await.0,
        StatusCode::OK
    );
    assert_eq!(
        get(&format!("resourceVersion={revision}&resourceVersionMatch=Exact")).await.0,
        StatusCode::OK
    );
    assert_eq!(get("resourceVersion=1&resourceVersionMatch=Exact").await.0, StatusCode::GONE);
    let (code, status) = get(&format!("resourceVersion={}", revision + 1)).await;
    assert_eq!((code, &status["reason"]), (StatusCode::GATEWAY_TIMEOUT, &json!("Timeout")));
}

#[tokio::test]
async fn tables() {
    let server = Server::new().await;
    server.with_node().await;
    server.with_pod("web").await;
    let ask = async |accept: &str, path: &str| {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
        read(server.send(admin(), request).await).await
    };
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    for path in ["/api/v1/pods", "/api/v1/namespaces/default/pods/web"] {
        let (code, table) = ask(accept, path).await;
        assert_eq!((code, &table["kind"]), (StatusCode::OK, &json!("Table")));
        assert_eq!(
            table["rows"][0]["cells"].as_array().unwrap()[..3],
            [json!("web"), json!("0/1"), json!("Pending")]
        );
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert!(table["metadata"]["resourceVersion"].is_string());
    }
    let (_, list) =
        ask("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "/api/v1/pods").await;
    assert_eq!(list["items"][0]["metadata"]["name"], "web");
    assert!(list["items"][0].get("spec").is_none());
    assert_eq!(
        ask("application/vnd.kubernetes.protobuf", "/api/v1/pods").await.0,
        StatusCode::NOT_ACCEPTABLE
    );
}
