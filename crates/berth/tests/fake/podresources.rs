//! The PodResources service of the whole program.

use hyper_util::rt::TokioIo;
use localgrpc::podresources::v1::pod_resources_lister_client::PodResourcesListerClient;
use localgrpc::podresources::v1::{GetPodResourcesRequest, ListPodResourcesRequest};
use serde_json::{Value, json};
use testkit::pod::pod;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::rig::{DEADLINE, Rig};

async fn client(rig: &Rig) -> Option<PodResourcesListerClient<Channel>> {
    let socket = rig.root().join("pod-resources/kubelet.sock");
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await;
    channel.ok().map(PodResourcesListerClient::new)
}

/// The pods with their containers; null while nobody answers.
async fn listed(rig: &Rig) -> Value {
    let Some(mut client) = client(rig).await else { return Value::Null };
    let Ok(answer) = client.list(ListPodResourcesRequest {}).await else { return Value::Null };
    let pods = answer.into_inner().pod_resources.into_iter().map(|pod| {
        let names = pod.containers.into_iter().map(|container| container.name);
        (format!("{}/{}", pod.namespace, pod.name), json!(names.collect::<Vec<_>>()))
    });
    Value::Object(pods.collect())
}

#[tokio::test]
async fn it_tells_of_pods_that_run_also_after_a_crash() {
    let mut rig = Rig::start().await;
    rig.put(
        &pod("web").init_container("once", &["true"]).sidecar("proxy", &["nc"]).container("app", &["httpd"]),
    );
    rig.put(&pod("job").restart_policy("Never").container("job", &["true"]));
    rig.until_store("it runs", |store| store.is_running("web-node", "once")).await;
    rig.runtime.exit_container("web-node", "once", 0);
    rig.until_ready("web").await;
    rig.until_ready("job").await;
    let both = json!({"default/job-node": ["job"], "default/web-node": ["proxy", "app"]});
    rig.until("both are told of", DEADLINE, || listed(&rig), |answer| *answer == both).await;

    rig.runtime.exit_container("job-node", "job", 0);
    rig.until_phase("job", "Succeeded").await;
    let one = json!({"default/web-node": ["proxy", "app"]});
    let shows_one = |answer: &Value| *answer == one;
    rig.until("the pod that ended is not told of", DEADLINE, || listed(&rig), shows_one).await;
    let mut asked = client(&rig).await.unwrap();
    let get = |name: &str| GetPodResourcesRequest {
        pod_name: name.to_owned(),
        pod_namespace: "default".to_owned(),
    };
    assert!(asked.get(get("web-node")).await.is_ok());
    assert!(asked.get(get("job-node")).await.is_err());

    // The socket of the one that was killed is still there.
    rig.kill();
    rig.launch();
    rig.until("another one answers", DEADLINE, || listed(&rig), shows_one).await;
    let page = rig.ask("/metrics").await.unwrap();
    assert!(
        page.contains("kubelet_pod_resources_endpoint_requests_list{server_api_version=\"v1\"} "),
        "{page}"
    );
    assert!(rig.terminate().await.success());
    assert!(!rig.root().join("pod-resources/kubelet.sock").exists());
}
