//! Whether an image is pulled, and what pod and user are told about it.

#![allow(clippy::unwrap_used, reason = "it is a test")]

mod common;

use std::time::Duration;

use common::{APP, node, pod, request};
use image::Options;
use image::policy::PullPolicy::{Always, IfNotPresent, Never};
use testkit::fake::{Fault, Match};
use tokio::time::{Instant, advance};
use tonic::Code;

const NOT_FOUND: &str =
    "failed to pull and unpack image \"registry.example/app:1\": registry.example/app:1: not found";

#[tokio::test(start_paused = true)]
async fn policies() {
    let mut node = node(Options::default()).await;
    let web = pod("web");
    let pulled = node.images.ensure(&request(&web, APP, IfNotPresent)).await.unwrap();
    assert!(pulled.image_ref.starts_with("sha256:"), "{pulled:?}");
    assert_eq!(
        node.events(),
        [
            "Normal Pulling spec.containers{app}: Pulling image \"registry.example/app:1\"",
            "Normal Pulled spec.containers{app}: Successfully pulled image \"registry.example/app:1\" in 0s (0s including waiting). Image size: 10485760 bytes.",
        ]
    );
    for (policy, pulls) in [(IfNotPresent, 1), (Never, 1), (Always, 2)] {
        assert_eq!(node.images.ensure(&request(&web, APP, policy)).await.unwrap(), pulled);
        assert_eq!(node.fake.calls("PullImage"), pulls, "{policy:?}");
    }
    let present = "Normal Pulled spec.containers{app}: Container image \"registry.example/app:1\" already present on machine";
    assert_eq!(node.events()[..2], [present, present]);

    let error = node.images.ensure(&request(&web, "other", Never)).await.unwrap_err();
    assert_eq!(error.reason, "ErrImageNeverPull");
    assert_eq!(error.message, "Container image \"other\" is not present with pull policy of Never");
    assert_eq!(
        node.events(),
        [
            "Warning ErrImageNeverPull spec.containers{app}: Container image \"other\" is not present with pull policy of Never",
            "Warning Failed spec.containers{app}: Error: ErrImageNeverPull",
        ]
    );
    assert_eq!(
        node.metric("kubelet_image_manager_ensure_image_requests_total{"),
        [
            "kubelet_image_manager_ensure_image_requests_total{present_locally=\"false\",pull_policy=\"ifnotpresent\",pull_required=\"true\"} 1",
            "kubelet_image_manager_ensure_image_requests_total{present_locally=\"false\",pull_policy=\"never\",pull_required=\"false\"} 1",
            "kubelet_image_manager_ensure_image_requests_total{present_locally=\"true\",pull_policy=\"ifnotpresent\",pull_required=\"false\"} 1",
            "kubelet_image_manager_ensure_image_requests_total{present_locally=\"true\",pull_policy=\"never\",pull_required=\"false\"} 1",
            "kubelet_image_manager_ensure_image_requests_total{present_locally=\"unknown\",pull_policy=\"always\",pull_required=\"true\"} 1",
        ]
    );
    let count = "kubelet_image_pull_duration_seconds_count{image_size_in_bytes=\"0-10MB\"} 2";
    assert_eq!(node.metric("kubelet_image_pull_duration_seconds_count"), [count]);
}

#[tokio::test(start_paused = true)]
async fn a_name_without_a_tag_is_completed_and_not_otherwise_changed() {
    let node = node(Options::default()).await;
    node.images.ensure(&request(&pod("web"), "busybox", IfNotPresent)).await.unwrap();
    assert!(node.fake.read(|store| store.images().contains_key("busybox:latest")));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_none() {
    let mut node = node(Options::default()).await;
    let error = node.images.ensure(&request(&pod("web"), "UPPER", Always)).await.unwrap_err();
    assert_eq!((error.reason, error.retry_in), ("InvalidImageName", None));
    assert!(error.message.starts_with("Failed to apply default image tag \"UPPER\": "), "{error}");
    let events = node.events();
    assert_eq!(events[0], format!("Warning InspectFailed spec.containers{{app}}: {error}"));
    assert_eq!(events[1], "Warning Failed spec.containers{app}: Error: InvalidImageName");
    assert_eq!(node.fake.calls("PullImage"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_inspected() {
    let mut node = node(Options::default()).await;
    let fault = node.fake.fault(Match::call("ImageStatus"), Fault::Fail(Code::Internal, "disk gone".into()));
    let web = pod("web");
    let error = node.images.ensure(&request(&web, APP, IfNotPresent)).await.unwrap_err();
    assert_eq!((error.reason, error.retry_in), ("ImageInspectError", None));
    assert!(error.message.starts_with("Failed to inspect image \"registry.example/app:1\": "), "{error}");
    assert!(error.message.ends_with("disk gone"), "{error}");
    assert_eq!(node.events().len(), 2);
    // After the pull too; and that is no failure of the pull.
    let error = node.images.ensure(&request(&web, APP, Always)).await.unwrap_err();
    assert_eq!((error.reason, error.retry_in), ("ImageInspectError", None));
    drop(fault);
    node.images.ensure(&request(&web, APP, Always)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failed_pull_is_told_and_then_waited_for() {
    let mut node = node(Options::default()).await;
    node.fake.set_pullable(&[]);
    let web = pod("web");
    let request = request(&web, APP, IfNotPresent);
    let error = node.images.ensure(&request).await.unwrap_err();
    assert_eq!((error.reason, error.message.as_str()), ("ErrImagePull", NOT_FOUND));
    assert_eq!(error.retry_in, Some(Duration::from_secs(10)));
    assert_eq!(
        node.events(),
        [
            "Normal Pulling spec.containers{app}: Pulling image \"registry.example/app:1\"".to_owned(),
            format!(
                "Warning Failed spec.containers{{app}}: Failed to pull image \"registry.example/app:1\": {NOT_FOUND}"
            ),
            "Warning Failed spec.containers{app}: Error: ErrImagePull".to_owned(),
        ]
    );
    advance(Duration::from_secs(4)).await;
    let error = node.images.ensure(&request).await.unwrap_err();
    assert_eq!(error.reason, "ImagePullBackOff");
    assert_eq!(
        error.message,
        format!("Back-off pulling image \"registry.example/app:1\": ErrImagePull: {NOT_FOUND}")
    );
    assert!(error.retry_in.is_some_and(|wait| wait <= Duration::from_secs(6)), "{error:?}");
    assert_eq!(
        node.events(),
        [
            "Normal BackOff spec.containers{app}: Back-off pulling image \"registry.example/app:1\"",
            "Warning Failed spec.containers{app}: Error: ImagePullBackOff",
        ]
    );
    assert_eq!(node.fake.calls("PullImage"), 1);
    // Another pod is not held up by it.
    let other = pod("other");
    assert_eq!(
        node.images.ensure(&common::request(&other, APP, Always)).await.unwrap_err().reason,
        "ErrImagePull"
    );
}

#[tokio::test(start_paused = true)]
async fn back_off_grows_and_ends_with_a_success() {
    let node = node(Options::default()).await;
    node.fake.set_pullable(&[]);
    let web = pod("web");
    let request = request(&web, APP, Always);
    for seconds in [10, 20, 40, 80, 160, 300, 300] {
        let error = node.images.ensure(&request).await.unwrap_err();
        assert_eq!((error.reason, error.retry_in), ("ErrImagePull", Some(Duration::from_secs(seconds))));
        advance(Duration::from_secs(seconds)).await;
    }
    node.fake.set_pullable(&[APP]);
    node.images.ensure(&request).await.unwrap();
    node.fake.set_pullable(&[]);
    let error = node.images.ensure(&request).await.unwrap_err();
    assert_eq!(error.retry_in, Some(Duration::from_secs(10)));
    node.images.forget(&web.uid);
    let error = node.images.ensure(&request).await.unwrap_err();
    assert_eq!((error.reason, error.retry_in), ("ErrImagePull", Some(Duration::from_secs(10))));
}

#[tokio::test(start_paused = true)]
async fn reasons_that_the_runtime_gives() {
    let node = node(Options::default()).await;
    for (text, reason) in [
        ("RegistryUnavailable: no route to registry.example", "RegistryUnavailable"),
        ("SignatureValidationFailed: unsigned", "SignatureValidationFailed"),
        ("pull failed: RegistryUnavailable", "ErrImagePull"),
    ] {
        let fault = Fault::Fail(Code::Unknown, text.to_owned());
        let _up = node.fake.fault(Match::call("PullImage").times(1), fault);
        let web = pod(reason);
        let error = node.images.ensure(&request(&web, APP, Always)).await.unwrap_err();
        assert_eq!((error.reason, error.message.as_str()), (reason, text));
        let error = node.images.ensure(&request(&web, APP, Always)).await.unwrap_err();
        assert_eq!(error.reason, "ImagePullBackOff");
        assert!(error.message.ends_with(&format!("{reason}: {text}")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_pulls() {
    let mut node = node(Options { registry_pull_qps: 1, registry_burst: 2, ..Options::default() }).await;
    let web = pod("web");
    for image in ["a", "b"] {
        node.images.ensure(&request(&web, image, Always)).await.unwrap();
    }
    node.events();
    let error = node.images.ensure(&request(&web, "c", Always)).await.unwrap_err();
    assert_eq!((error.reason, error.message.as_str()), ("ErrImagePull", "pull QPS exceeded"));
    assert_eq!(
        node.events()[1],
        "Warning Failed spec.containers{app}: Failed to pull image \"c\": pull QPS exceeded"
    );
    advance(error.retry_in.unwrap()).await;
    node.images.ensure(&request(&web, "c", Always)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn credentials_one_after_the_other() {
    let config = r#"{"auths": {
        "registry.example": {"username": "any", "password": "1"},
        "registry.example/app": {"username": "app", "password": "2"},
        "elsewhere.example": {"username": "nobody", "password": "3"}
    }}"#;
    let node = node(Options::default()).await;
    node.has_credentials(config);
    let denied = Fault::Fail(Code::Unauthenticated, "denied".into());
    let fault = node.fake.fault(Match::call("PullImage").times(1), denied.clone());
    node.images.ensure(&request(&pod("web"), APP, Always)).await.unwrap();
    drop(fault);
    node.images.ensure(&request(&pod("web"), "free.example/x", Always)).await.unwrap();
    assert_eq!(node.fake.read(|store| store.pull_users().to_vec()), ["app", "any", ""]);
    let _up = node.fake.fault(Match::call("PullImage"), denied);
    let error = node.images.ensure(&request(&pod("web"), APP, Always)).await.unwrap_err();
    assert_eq!((error.reason, error.message.as_str()), ("ErrImagePull", "denied"));
    assert_eq!(node.fake.calls("PullImage"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_pull_tells_how_long_it_took() {
    let mut node = node(Options::default()).await;
    node.fake.set_latency("PullImage", Duration::from_millis(65_250));
    let begun = Instant::now();
    node.images.ensure(&request(&pod("web"), APP, Always)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(65));
    let told = node.events().pop().unwrap();
    assert!(told.contains(" in 1m5.25"), "{told}");
}
