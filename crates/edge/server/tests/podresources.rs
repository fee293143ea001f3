//! The PodResources service on its socket, with clients that call it by all kinds of names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use localgrpc::podresources::v1::pod_resources_lister_client::PodResourcesListerClient;
use localgrpc::podresources::v1::{
    AllocatableResourcesRequest, AllocatableResourcesResponse, GetPodResourcesRequest,
    ListPodResourcesRequest, ListPodResourcesResponse,
};
use localgrpc::podresources::v1alpha1;
use localgrpc::podresources::v1alpha1::pod_resources_lister_client::PodResourcesListerClient as OldClient;
use prost::Message as _;
use server::{Holder, Holders, ListenError, Metrics, serve_pod_resources};
use telemetry::metrics::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

const DEADLINE: Duration = Duration::from_secs(15);

struct One;

impl Holders for One {
    fn holders(&self) -> Vec<Holder> {
        let pod = |name: &str| {
            let pod = serde_json::json!({
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"containers": [{"name": "app"}]},
            });
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        vec![Holder { pod: pod("web"), active: true }, Holder { pod: pod("done"), active: false }]
    }
}

struct Rig {
    dir: tempfile::TempDir,
    registry: Registry,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ListenError>>,
}

impl Rig {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // What a dead process left.
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("kubelet.sock")).unwrap());
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).pod_resources;
        let (socket, stop) = (dir.path().join("kubelet.sock"), CancellationToken::new());
        let serving = stop.clone();
        let task =
            tokio::spawn(async move { serve_pod_resources(&socket, Arc::new(One), metrics, serving).await });
        let rig = Self { dir, registry, stop, task };
        let listening = async {
            while UnixStream::connect(rig.socket()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, listening).await.unwrap();
        rig
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("kubelet.sock")
    }

    async fn channel(&self) -> Channel {
        let socket = self.socket();
        let connector = service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
    }
}

#[tokio::test]
async fn both_versions_are_answered_and_counted() {
    let rig = Rig::start().await;
    assert_eq!(rig.socket().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = PodResourcesListerClient::new(rig.channel().await);
    let listed = client.list(ListPodResourcesRequest {}).await.unwrap().into_inner().pod_resources;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_str(), listed[0].namespace.as_str()), ("web", "default"));
    assert_eq!(listed[0].containers[0].name, "app");
    let allocatable = client.get_allocatable_resources(AllocatableResourcesRequest {}).await.unwrap();
    assert_eq!(allocatable.into_inner(), AllocatableResourcesResponse::default());
    let get = |name: &str| GetPodResourcesRequest {
        pod_name: name.to_owned(),
        pod_namespace: "default".to_owned(),
    };
    let got = client.get(get("web")).await.unwrap().into_inner().pod_resources.unwrap();
    assert_eq!(got, listed[0]);
    let refused = client.get(get("done")).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unknown, "pod done in namespace default not found")
    );

    let mut old = OldClient::new(rig.channel().await);
    let listed = old.list(v1alpha1::ListPodResourcesRequest {}).await.unwrap().into_inner().pod_resources;
    let names: Vec<_> = listed.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["done", "web"]);

    let page = rig.registry.encode();
    for (name, count) in [
        ("requests_total{server_api_version=\"v1\"}", 4),
        ("requests_total{server_api_version=\"v1alpha1\"}", 1),
        ("requests_list{server_api_version=\"v1\"}", 1),
        ("requests_get_allocatable{server_api_version=\"v1\"}", 1),
        ("requests_get{server_api_version=\"v1\"}", 2),
        ("errors_get{server_api_version=\"v1\"}", 1),
    ] {
        let line = format!("kubelet_pod_resources_endpoint_{name} {count}\n");
        assert!(page.contains(&line), "{line}{page}");
    }
    rig.stop.cancel();
    timeout(DEADLINE, rig.task).await.unwrap().unwrap().unwrap();
    assert!(!rig.dir.path().join("kubelet.sock").exists());
}

#[tokio::test]
async fn whoever_asks_too_often_is_refused_and_may_ask_again() {
    let rig = Rig::start().await;
    let client = PodResourcesListerClient::new(rig.channel().await);
    let asked: Vec<_> = (0..200)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.list(ListPodResourcesRequest {}).await })
        })
        .collect();
    let mut refused = 0;
    for answer in asked {
        if let Err(error) = answer.await.unwrap() {
            assert_eq!((error.code(), error.message()), (Code::ResourceExhausted, "rejected by rate limit"));
            refused += 1;
        }
    }
    assert!(refused > 0, "200 at once are too many");
    let mut client = client;
    let again = async { while client.list(ListPodResourcesRequest {}).await.is_err() {} };
    timeout(DEADLINE, again).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_is_in_use_is_left() {
    let rig = Rig::start().await;
    let metrics = Metrics::register(&Registry::new()).pod_resources;
    let socket = rig.socket();
    let second = serve_pod_resources(&socket, Arc::new(One), metrics, CancellationToken::new()).await;
    assert!(matches!(second, Err(ListenError::InUse(_))));
    assert!(socket.exists());
}

#[tokio::test]
async fn the_name_that_a_client_has_for_the_server_does_not_matter() {
    let rig = Rig::start().await;
    let path = "/var/lib/kubelet/pod-resources/kubelet.sock";
    for name in ["localhost", "", path, &path.replace('/', "%2F"), "unix:///a.sock", "[", "a b"] {
        let answer = Raw::connect(&rig.socket()).await.list(name).await;
        // An empty name is left to the library, which takes none.
        assert_eq!(answer.is_some(), !name.is_empty(), "{name:?}");
        assert!(answer.is_none_or(|answer| answer.pod_resources[0].name == "web"));
    }
    // What is said once is referred to later.
    let mut twice = Raw::connect(&rig.socket()).await;
    assert!(twice.list(path).await.is_some());
    assert!(twice.send(&[0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]).await.is_some());
}

/// A client that says what it is told to: the library would not say it.
struct Raw {
    stream: UnixStream,
    next: u32,
}

impl Raw {
    async fn connect(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        Self { stream, next: 1 }
    }

    /// Calls List by that name, with headers as grpc-go has them; all are kept in the table.
    async fn list(&mut self, name: &str) -> Option<ListPodResourcesResponse> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let fields = [
            &[0x83, 0x86, 0x44][..],
            &text("/v1.PodResourcesLister/List"),
            &[0x41],
            &text(name),
            &[0x5f],
            &text("application/grpc"),
            &[0x40],
            &text("te"),
            &text("trailers"),
        ];
        self.send(&fields.concat()).await
    }

    /// Sends a request without content; gives its answer, or nothing if it was reset.
    async fn send(&mut self, fields: &[u8]) -> Option<ListPodResourcesResponse> {
        let stream = self.next;
        self.next += 2;
        self.frame(1, 0x4, stream, fields).await;
        self.frame(0, 0x1, stream, &[0; 5]).await;
        let mut message = Vec::new();
        loop {
            let (kind, flags, of, payload) = timeout(DEADLINE, self.receive()).await.unwrap();
            match kind {
                0 if of == stream => message.extend_from_slice(&payload),
                3 if of == stream => return None,
                7 => panic!("the connection is given up: {payload:?}"),
                _ => {}
            }
            if of == stream && flags & 1 != 0 {
                return Some(ListPodResourcesResponse::decode(&message[5..]).unwrap());
            }
        }
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).await.unwrap();
    }

    async fn receive(&mut self) -> (u8, u8, u32, Vec<u8>) {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.unwrap();
        (head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload)
    }
}
