//! What pods refer to in the API server: environments, volumes, tokens, pull secrets, RuntimeClasses.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cri::v1::RuntimeHandler;
use kubeapi::{Deletion, Object};
use serde_json::{Value, json};
use testkit::pod::{PodBuilder, pod};
use tokio::time::Instant;
use types::corev1::{ConfigMap, Secret, Service, ServiceAccount};
use types::k8s::api::node::v1::RuntimeClass;

use crate::api_server::{ApiRig, Server};
use crate::rig::{DEADLINE, container, full};

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
    json!({"metadata": {"name": "settings", "namespace": "default"}, "data": {"level": level}})
}

/// A variable of the container `app` of the pod `name`, as the runtime was given it.
fn variable(api: &ApiRig, name: &str, variable: &str) -> Option<String> {
    api.rig.runtime.read(|store| {
        let envs = &store.container(name, "app")?.config.envs;
        let value = envs.iter().find(|pair| pair.key == variable)?.value.clone();
        Some(String::from_utf8(value).unwrap())
    })
}

/// What users do with objects of the namespace `default`.
impl Server {
    pub(crate) async fn make<K: Object>(&self, object: Value) {
        let object: K = serde_json::from_value(object).unwrap();
        self.client.create(Some("default"), &object).await.unwrap();
    }

    async fn change<K: Object>(&self, name: &str, patch: Value) {
        self.client.patch::<K>(Some("default"), name, None, &patch).await.unwrap();
    }

    async fn unmake<K: Object>(&self, name: &str) {
        self.client.delete::<K>(Some("default"), name, &Deletion::default()).await.unwrap();
    }
}

/// The directory of a volume of the pod `name`.
async fn volume(api: &ApiRig, name: &str, plugin: &str, volume: &str) -> PathBuf {
    let pod = api.server.pod(name).await;
    let pod = api.rig.root().join("pods").join(pod["metadata"]["uid"].as_str().unwrap());
    pod.join("volumes").join(format!("kubernetes.io~{plugin}")).join(volume)
}

/// Waits until the file at `path` has the content `expected`.
async fn until_file(api: &ApiRig, path: &Path, expected: Option<&str>) {
    let shown = || async { fs::read_to_string(path).ok().map_or(Value::Null, Value::String) };
    let wanted = expected.map_or(Value::Null, |text| json!(text));
    let what = format!("{} is {expected:?}", path.display());
    api.rig.until(&what, DEADLINE, shown, |now| *now == wanted).await;
}

/// Waits until the pod `name` has an event of this reason whose message contains `text`.
async fn until_event(api: &ApiRig, name: &str, reason: &str, text: &str) {
    let told = |event: &Value| {
        event.as_str().is_some_and(|event| event.contains(&format!(" {reason}: ")) && event.contains(text))
    };
    let has = |why: &Value| why["events"].as_array().is_some_and(|events| events.iter().any(told));
    api.rig.until_why(name, &format!("the event {reason} with {text:?}"), has).await;
}

#[tokio::test]
async fn a_change_of_a_config_map_reaches_the_file_at_once() {
    let api = ApiRig::start().await;
    api.server.make::<ConfigMap>(settings("info")).await;
    api.server.create(&with_settings("web", json!({}))).await;
    api.server.until_ready("web").await;
    let dir = volume(&api, "web", "configmap", "etc").await;
    let file = dir.join("level");
    until_file(&api, &file, Some("info")).await;

    let changed = Instant::now();
    api.server.change::<ConfigMap>("settings", json!({"data": {"level": "debug"}})).await;
    until_file(&api, &file, Some("debug")).await;
    println!("a change of a ConfigMap was in the file after {:?}", changed.elapsed());

    // A container that starts again after the object is gone has what was there.
    api.server.unmake::<ConfigMap>("settings").await;
    until_event(&api, "web", "FailedMount", "configmap \"settings\" not found").await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "debug");
    api.rig.runtime.exit_container("web", "app", 1);
    api.rig.until_store("started again", |store| store.starts("web", "app") == 2).await;
    api.server.make::<ConfigMap>(settings("trace")).await;
    until_file(&api, &file, Some("trace")).await;
    api.rig.assert_proper();
}

#[tokio::test]
async fn a_restart_writes_no_file_that_is_right() {
    let mut api = ApiRig::start().await;
    api.server.make::<ConfigMap>(settings("info")).await;
    api.server.create(&with_settings("web", json!({}))).await;
    api.server.until_ready("web").await;
    let dir = volume(&api, "web", "configmap", "etc").await;
    let version = fs::read_link(dir.join("..data")).unwrap();
    api.rig.kill();
    api.rig.launch();
    api.server.until_ready("web").await;
    api.server.change::<ConfigMap>("settings", json!({"metadata": {"labels": {"a": "b"}}})).await;
    // The next write shows that those before were seen.
    api.rig.until_why("web", "at rest", |why| why["step"] == "Running").await;
    assert_eq!(fs::read_link(dir.join("..data")).unwrap(), version);
    api.server.change::<ConfigMap>("settings", json!({"data": {"level": "debug"}})).await;
    until_file(&api, &dir.join("level"), Some("debug")).await;
    assert_eq!(api.rig.runtime.starts("web", "app"), 1);
}

#[tokio::test]
async fn a_missing_config_map_holds_up_its_pod_alone_until_it_comes() {
    let api = ApiRig::start().await;
    api.server.create(&with_settings("waits", json!({}))).await;
    api.server.create(&with_settings("optional", json!({"optional": true}))).await;
    api.server.until_ready("optional").await;
    let told = "MountVolume.SetUp failed for volume \"etc\" : configmap \"settings\" not found";
    until_event(&api, "waits", "FailedMount", told).await;
    assert_eq!(api.rig.runtime.starts("waits", "app"), 0);

    let came = Instant::now();
    api.server.make::<ConfigMap>(settings("info")).await;
    api.server.until_ready("waits").await;
    println!("a pod that waited for a ConfigMap was ready {:?} after it came", came.elapsed());
    let file = volume(&api, "optional", "configmap", "etc").await.join("level");
    until_file(&api, &file, Some("info")).await;
    api.server.unmake::<ConfigMap>("settings").await;
    until_file(&api, &file, None).await;
    api.rig.assert_proper();
}

#[tokio::test]
async fn without_a_watch_files_follow_with_the_next_sync() {
    for strategy in ["Get", "Cache"] {
        let more = format!("configMapAndSecretChangeDetectionStrategy: {strategy}\nsyncFrequency: 1s\n");
        let mut api = ApiRig::prepare(&more).await;
        api.rig.launch();
        api.server.until_node("registered", |node| !node.is_null()).await;
        // How long objects are kept is for the control plane to say.
        let ttl = json!({"metadata": {"annotations": {"node.alpha.kubernetes.io/ttl": "0"}}});
        api.server.patch_node(ttl).await;
        api.server.make::<ConfigMap>(settings("info")).await;
        api.server.create(&with_settings("web", json!({}))).await;
        api.server.until_ready("web").await;
        let file = volume(&api, "web", "configmap", "etc").await.join("level");
        api.server.change::<ConfigMap>("settings", json!({"data": {"level": "debug"}})).await;
        until_file(&api, &file, Some("debug")).await;
        let watched = |request: &String| request.contains("configmaps") && request.contains("watch");
        assert!(!api.server.requests().iter().any(watched), "{strategy}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_holds_up_no_container() {
    let mut api = ApiRig::start().await;
    api.server.make::<ConfigMap>(settings("info")).await;
    let env = json!({"envFrom": [{"configMapRef": {"name": "settings"}}]});
    api.server.create(&with_settings("web", json!({})).with_container("app", &env)).await;
    api.server.until_ready("web").await;
    let file = volume(&api, "web", "configmap", "etc").await.join("level");
    api.server.stop().await;
    api.rig.runtime.exit_container("web", "app", 1);
    api.rig.until_store("started again", |store| store.starts("web", "app") == 2).await;
    assert_eq!(variable(&api, "web", "level").as_deref(), Some("info"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "info");

    api.server.come_back().await;
    api.server.change::<ConfigMap>("settings", json!({"data": {"level": "debug"}})).await;
    until_file(&api, &file, Some("debug")).await;
    api.rig.assert_proper();
}

#[tokio::test]
async fn an_environment_comes_from_objects_and_services() {
    let api = ApiRig::start().await;
    let port = json!([{"name": "sql", "port": 5432, "protocol": "TCP"}]);
    let db = json!({"metadata": {"name": "my-db"}, "spec": {"clusterIP": "10.96.7.7", "ports": port}});
    api.server.make::<Service>(db).await;
    api.server.make::<ConfigMap>(settings("info")).await;
    let env = json!([
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": true}}},
        {"name": "URL", "value": "pg://$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT_SQL)"}]);
    let from = json!([{"prefix": "APP_", "configMapRef": {"name": "settings"}}]);
    api.server
        .create(
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
    api.server.until_pod("web", "no Secret", waits("secret \"db\" not found")).await;
    until_event(&api, "web", "Failed", "Error: secret \"db\" not found").await;
    let meta = json!({"name": "db", "namespace": "default"});
    api.server.make::<Secret>(json!({"metadata": meta, "stringData": {"user": "me"}})).await;
    api.server.until_pod("web", "no key", waits("couldn't find key password in Secret default/db")).await;

    let came = Instant::now();
    api.server.change::<Secret>("db", json!({"stringData": {"password": "hunter2"}})).await;
    api.server.until_ready("web").await;
    println!("a container that waited for a key of a Secret was ready {:?} after it came", came.elapsed());
    for (name, value) in [
        ("PASSWORD", Some("hunter2")),
        ("NONE", None),
        ("APP_level", Some("info")),
        ("URL", Some("pg://10.96.7.7:5432")),
        ("MY_DB_PORT", Some("tcp://10.96.7.7:5432")),
        ("KUBERNETES_SERVICE_PORT_HTTPS", Some("443")),
    ] {
        assert_eq!(variable(&api, "web", name).as_deref(), value, "{name}");
    }
    api.rig.assert_proper();
}

#[tokio::test]
async fn images_are_pulled_with_the_pods_secrets() {
    let api = ApiRig::start().await;
    let auths = json!({"auths": {"registry.example": {"username": "robot", "password": "p"}}}).to_string();
    let secret = json!({"metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": auths}});
    api.server.make::<Secret>(secret).await;
    let private = pod("web")
        .container("app", &["run"])
        .with_container("app", &json!({"image": "registry.example/team/app:1"}))
        .with_spec(&json!({"imagePullSecrets": [{"name": "none"}, {"name": "pull"}]}));
    api.server.create(&private).await;
    api.server.until_ready("web").await;
    api.rig.runtime.read(|store| assert_eq!(store.pull_users(), ["robot"]));
    let told =
        "Unable to retrieve some image pull secrets (none); attempting to pull the image may not succeed.";
    until_event(&api, "web", "FailedToRetrieveImagePullSecret", told).await;
}

#[tokio::test]
async fn a_runtime_class_is_looked_up_and_waited_for() {
    let api = ApiRig::start().await;
    let handler = |name: &str| RuntimeHandler { name: name.to_owned(), ..RuntimeHandler::default() };
    api.rig.runtime.set_handlers(vec![handler(""), handler("kata")]);
    let class = async || {
        let class: RuntimeClass =
            serde_json::from_value(json!({"metadata": {"name": "boxed"}, "handler": "kata"})).unwrap();
        api.server.client.create(None, &class).await.unwrap();
    };
    let boxed = |name: &str| pod(name).with_spec(&json!({"runtimeClassName": "boxed"}));
    // The API server refuses a pod whose class is missing; a static pod waits for it.
    api.rig.put(&boxed("early"));
    let told = "runtimeclass.node.k8s.io \"boxed\" not found";
    until_event(&api, &full("early"), "FailedCreatePodSandBox", told).await;
    class().await;
    api.rig.until_ready("early").await;
    api.server.create(&boxed("late")).await;
    api.server.until_ready("late").await;
    api.rig.runtime.read(|store| {
        for name in [&*full("early"), "late"] {
            assert_eq!(store.sandboxes(name)[0].runtime_handler, "kata", "{name}");
        }
    });
}

#[tokio::test]
async fn tokens_are_bound_to_their_pod_and_outlive_a_restart() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: tokens are in a tmpfs, which takes root");
        return;
    }
    let mut api = ApiRig::start().await;
    api.server.make::<ServiceAccount>(json!({"metadata": {"name": "robot"}})).await;
    api.server.make::<ConfigMap>(settings("info")).await;
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600, "audience": "vault"}},
        {"configMap": {"name": "settings", "items": [{"key": "level", "path": "etc/level"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]);
    let web = pod("web")
        .container("app", &["run"])
        .with_container("app", &json!({"volumeMounts": [{"name": "access", "mountPath": "/access"}]}))
        .with_spec(&json!({"serviceAccountName": "robot", "automountServiceAccountToken": false,
            "securityContext": {"runAsUser": 1000},
            "volumes": [{"name": "access", "projected": {"sources": sources}}]}));
    api.server.create(&web).await;
    let object = api.server.until_ready("web").await;
    let dir = volume(&api, "web", "projected", "access").await;
    until_file(&api, &dir.join("namespace"), Some("default")).await;
    until_file(&api, &dir.join("etc/level"), Some("info")).await;
    let meta = fs::metadata(dir.join("token")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (1000, 0o600));
    let claims = claims(&fs::read_to_string(dir.join("token")).unwrap());
    assert_eq!(claims["aud"], json!(["vault"]));
    assert_eq!(claims["kubernetes.io"]["pod"]["uid"], object["metadata"]["uid"]);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 600);

    // A restart asks for no token that is there.
    let version = fs::read_link(dir.join("..data")).unwrap();
    api.rig.kill();
    api.server.forget_requests();
    api.rig.launch();
    api.rig.until_why("web", "at rest", |why| why["step"] == "Running").await;
    assert_eq!(fs::read_link(dir.join("..data")).unwrap(), version);
    let asked = api.server.requests();
    assert!(!asked.iter().any(|request| request.ends_with("/token")), "{asked:?}");
    api.rig.assert_proper();
}

/// What a token says.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
