use super::*;
use crate::resource::Keeping;

#[tokio::test]
async fn what_there_is() {
    let server = Server::new().await;
    assert_eq!(server.get("/api").await.1["versions"], json!(["v1"]));
    let (_, groups) = server.get("/apis").await;
    let groups: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert!(groups.contains(&"coordination.k8s.io") && groups.contains(&"certificates.k8s.io"), "{groups:?}");
    assert_eq!(server.get("/apis/node.k8s.io").await.1["preferredVersion"]["groupVersion"], "node.k8s.io/v1");
    let (_, resources) = server.get("/api/v1").await;
    let find = |name: &str| {
        resources["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|resource| resource["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(find("pods")["shortNames"], json!(["po"]));
    assert_eq!(find("pods/eviction")["group"], "policy");
    assert_eq!(find("serviceaccounts/token")["kind"], "TokenRequest");
    assert_eq!(server.get("/apis/apps/v1").await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/version").await.1["major"], "1");
    assert_eq!(server.get("/openapi/v2").await.1["swagger"], "2.0");
    let (_, index) = server.get("/openapi/v3").await;
    for entry in index["paths"].as_object().unwrap().values() {
        let (code, document) = server.get(entry["serverRelativeURL"].as_str().unwrap()).await;
        assert_eq!((code, &document["openapi"]), (StatusCode::OK, &json!("3.0.0")));
    }
}

#[tokio::test]
async fn every_resource_can_be_listed_and_watched() {
    let server = Server::new().await;
    for resource in crate::resource::RESOURCES.iter().filter(|one| one.keeping == Keeping::Stored) {
        let root = if resource.group.is_empty() {
            "/api/v1".to_owned()
        } else {
            format!("/apis/{}", resource.api_version())
        };
        let (code, list) = server.get(&format!("{root}/{}", resource.plural)).await;
        assert_eq!((code, &list["kind"]), (StatusCode::OK, &json!(format!("{}List", resource.kind))));
        let (code, _) = server.get(&format!("{root}/{}?watch=1&timeoutSeconds=0", resource.plural)).await;
        assert_eq!(code, StatusCode::OK);
    }
}
