//! What pods refer to in the API server: environments, volumes, pull secrets, RuntimeClasses.

use std::fs;
use std::os::unix::fs::MetadataExt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cri::v1::RuntimeHandler;
use serde_json::{Value, json};
use testkit::pod::{PodBuilder, pod};
use tokio::time::Instant;
use types::corev1::{ConfigMap, Secret, Service};
use types::k8s::api::node::v1::RuntimeClass;

use crate::cluster::{Cluster, NAMESPACE};
use crate::rig::{container, full};

/// A pod that shows the ConfigMap `settings` at `/etc/app`.
fn with_settings(name: &str, source: Value) -> PodBuilder {
    let mut volume = json!({"name": "etc", "configMap": {"name": "settings"}});
    volume["configMap"].as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    pod(name)
        .container("app", &["run"])
        .with_container("app", &json!({"volumeMounts": [{"name": "etc", "mountPath": "/etc/app"}]}))
        .with_spec(&json!({"volumes": [volume]}))
}

fn settings(level: &str) -> Value {
    json!({"metadata": {"name": "settings", "namespace": NAMESPACE}, "data": {"level": level}})
}

/// A variable of the container `app` of the pod `name`, as the runtime was given it.
fn variable(cluster: &Cluster, name: &str, variable: &str) -> Option<String> {
    cluster.rig.runtime.read(|store| {
        let envs = &store.container(&full(name), "app")?.config.envs;
        let value = envs.iter().find(|pair| pair.key == variable)?.value.clone();
        Some(String::from_utf8(value).unwrap())
    })
}

#[tokio::test]
async fn a_change_of_a_config_map_reaches_the_file_at_once() {
    let cluster = Cluster::start("").await;
    cluster.create::<ConfigMap>(settings("info")).await;
    cluster.run(&with_settings("web", json!({}))).await;
    cluster.rig.until_ready("web").await;
    let dir = cluster.volume("web", "configmap", "etc").await;
    let file = dir.join("level");
    cluster.until_file(&file, Some("info")).await;

    let changed = Instant::now();
    cluster.patch::<ConfigMap>("settings", json!({"data": {"level": "debug"}})).await;
    cluster.until_file(&file, Some("debug")).await;
    println!("a change of a ConfigMap was in the file after {:?}", changed.elapsed());

    // A container that starts again after the object is gone has what was there.
    cluster.delete::<ConfigMap>("settings").await;
    cluster.until_event("web", "FailedMount", "configmap \"settings\" not found").await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "debug");
    cluster.rig.runtime.exit_container(&full("web"), "app", 1);
    cluster.rig.until_store("started again", |store| store.starts(&full("web"), "app") == 2).await;
    cluster.create::<ConfigMap>(settings("trace")).await;
    cluster.until_file(&file, Some("trace")).await;
    cluster.rig.assert_proper();
}

#[tokio::test]
async fn a_restart_writes_no_file_that_is_right() {
    let mut cluster = Cluster::start("").await;
    cluster.create::<ConfigMap>(settings("info")).await;
    cluster.run(&with_settings("web", json!({}))).await;
    cluster.rig.until_ready("web").await;
    let dir = cluster.volume("web", "configmap", "etc").await;
    let version = fs::read_link(dir.join("..data")).unwrap();
    cluster.rig.kill();
    cluster.rig.launch();
    cluster.rig.until_ready("web").await;
    cluster.patch::<ConfigMap>("settings", json!({"metadata": {"labels": {"a": "b"}}})).await;
    // The next write shows that those before were seen.
    cluster.rig.until_why("web", "at rest", |why| why["step"] == "Running").await;
    assert_eq!(fs::read_link(dir.join("..data")).unwrap(), version);
    cluster.patch::<ConfigMap>("settings", json!({"data": {"level": "debug"}})).await;
    cluster.until_file(&dir.join("level"), Some("debug")).await;
    assert_eq!(cluster.rig.runtime.starts(&full("web"), "app"), 1);
}

#[tokio::test]
async fn a_missing_config_map_holds_up_its_pod_alone_until_it_comes() {
    let cluster = Cluster::start("").await;
    cluster.run(&with_settings("waits", json!({}))).await;
    cluster.run(&with_settings("optional", json!({"optional": true}))).await;
    cluster.rig.until_ready("optional").await;
    let told = "MountVolume.SetUp failed for volume \"etc\" : configmap \"settings\" not found";
    cluster.until_event("waits", "FailedMount", told).await;
    assert_eq!(cluster.rig.runtime.starts(&full("waits"), "app"), 0);

    let came = Instant::now();
    cluster.create::<ConfigMap>(settings("info")).await;
    cluster.rig.until_ready("waits").await;
    println!("a pod that waited for a ConfigMap was ready {:?} after it came", came.elapsed());
    let file = cluster.volume("optional", "configmap", "etc").await.join("level");
    cluster.until_file(&file, Some("info")).await;
    cluster.delete::<ConfigMap>("settings").await;
    cluster.until_file(&file, None).await;
    cluster.rig.assert_proper();
}

#[tokio::test]
async fn an_environment_comes_from_objects_and_services() {
    let cluster = Cluster::start("").await;
    let port = json!([{"name": "sql", "port": 5432, "protocol": "TCP"}]);
    let db = json!({"metadata": {"name": "my-db"}, "spec": {"clusterIP": "10.96.7.7", "ports": port}});
    cluster.create::<Service>(db).await;
    cluster.create::<ConfigMap>(settings("info")).await;
    let env = json!([
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": true}}},
        {"name": "URL", "value": "pg://$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT_SQL)"}]);
    let from = json!([{"prefix": "APP_", "configMapRef": {"name": "settings"}}]);
    cluster
        .run(
            &pod("web")
                .container("app", &["run"])
                .with_container("app", &json!({"env": env, "envFrom": from})),
        )
        .await;
    let waits = |message: &'static str| {
        move |pod: &Value| {
            let waiting = &container(pod, "app")["state"]["waiting"];
            waiting["reason"] == "CreateContainerConfigError" && waiting["message"] == message
        }
    };
    cluster.rig.until_pod("web", "no Secret", waits("secret \"db\" not found")).await;
    cluster.until_event("web", "Failed", "Error: secret \"db\" not found").await;
    let meta = json!({"name": "db", "namespace": NAMESPACE});
    cluster.create::<Secret>(json!({"metadata": meta, "stringData": {"user": "me"}})).await;
    cluster.rig.until_pod("web", "no key", waits("couldn't find key password in Secret default/db")).await;

    let came = Instant::now();
    cluster.patch::<Secret>("db", json!({"stringData": {"password": "hunter2"}})).await;
    cluster.rig.until_ready("web").await;
    println!("a container that waited for a key of a Secret was ready {:?} after it came", came.elapsed());
    for (name, value) in [
        ("PASSWORD", Some("hunter2")),
        ("NONE", None),
        ("APP_level", Some("info")),
        ("URL", Some("pg://10.96.7.7:5432")),
        ("MY_DB_PORT", Some("tcp://10.96.7.7:5432")),
        ("KUBERNETES_SERVICE_PORT_HTTPS", Some("443")),
    ] {
        assert_eq!(variable(&cluster, "web", name).as_deref(), value, "{name}");
    }
    cluster.rig.assert_proper();
}

#[tokio::test]
async fn images_are_pulled_with_the_pods_secrets() {
    let cluster = Cluster::start("").await;
    let auths = json!({"auths": {"registry.example": {"username": "robot", "password": "p"}}}).to_string();
    let secret = json!({"metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": auths}});
    cluster.create::<Secret>(secret).await;
    let private = pod("web")
        .container("app", &["run"])
        .with_container("app", &json!({"image": "registry.example/team/app:1"}))
        .with_spec(&json!({"imagePullSecrets": [{"name": "none"}, {"name": "pull"}]}));
    cluster.run(&private).await;
    cluster.rig.until_ready("web").await;
    cluster.rig.runtime.read(|store| assert_eq!(store.pull_users(), ["robot"]));
    let told =
        "Unable to retrieve some image pull secrets (none); attempting to pull the image may not succeed.";
    cluster.until_event("web", "FailedToRetrieveImagePullSecret", told).await;
}

#[tokio::test]
async fn a_runtime_class_is_looked_up_and_waited_for() {
    let cluster = Cluster::start("").await;
    let handler = |name: &str| RuntimeHandler { name: name.to_owned(), ..RuntimeHandler::default() };
    cluster.rig.runtime.set_handlers(vec![handler(""), handler("kata")]);
    let class = async || {
        let class: RuntimeClass =
            serde_json::from_value(json!({"metadata": {"name": "boxed"}, "handler": "kata"})).unwrap();
        cluster.admin.create(None, &class).await.unwrap();
    };
    let boxed = |name: &str| pod(name).with_spec(&json!({"runtimeClassName": "boxed"}));
    // The API server refuses a pod whose class is missing; a static pod waits for it.
    cluster.rig.put(&boxed("early"));
    let told = "runtimeclass.node.k8s.io \"boxed\" not found";
    cluster.until_event("early", "FailedCreatePodSandBox", told).await;
    class().await;
    cluster.rig.until_ready("early").await;
    cluster.run(&boxed("late")).await;
    cluster.rig.until_ready("late").await;
    cluster.rig.runtime.read(|store| {
        for name in ["early", "late"] {
            assert_eq!(store.sandboxes(&full(name))[0].runtime_handler, "kata", "{name}");
        }
    });
}

#[tokio::test]
async fn tokens_are_bound_to_their_pod_and_outlive_a_restart() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: tokens are in a tmpfs, which takes root");
        return;
    }
    let mut cluster = Cluster::start("").await;
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600, "audience": "vault"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]);
    let web = pod("web")
        .container("app", &["run"])
        .with_container("app", &json!({"volumeMounts": [{"name": "access", "mountPath": "/access"}]}))
        .with_spec(&json!({"serviceAccountName": "default", "automountServiceAccountToken": false,
            "securityContext": {"runAsUser": 1000},
            "volumes": [{"name": "access", "projected": {"sources": sources}}]}));
    let object = cluster.run(&web).await;
    cluster.rig.until_ready("web").await;
    let dir = cluster.volume("web", "projected", "access").await;
    cluster.until_file(&dir.join("namespace"), Some(NAMESPACE)).await;
    assert!(fs::read_to_string(dir.join("ca.crt")).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let meta = fs::metadata(dir.join("token")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (1000, 0o600));
    let claims = claims(&fs::read_to_string(dir.join("token")).unwrap());
    assert_eq!(claims["aud"], json!(["vault"]));
    assert_eq!(claims["kubernetes.io"]["pod"]["uid"], json!(object.metadata.uid));
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 600);

    // A restart asks for no token that is there.
    let version = fs::read_link(dir.join("..data")).unwrap();
    cluster.rig.kill();
    cluster.rig.launch();
    cluster.rig.until_ready("web").await;
    cluster.rig.until_why("web", "at rest", |why| why["step"] == "Running").await;
    assert_eq!(fs::read_link(dir.join("..data")).unwrap(), version);
    cluster.rig.assert_proper();
}

/// What a token says.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
