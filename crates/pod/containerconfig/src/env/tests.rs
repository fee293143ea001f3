use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tests::facts;

fn build(spec: Value, files: &EnvFiles) -> Result<Vec<Variable>, EnvError> {
    build_with(spec, &[], &Objects::default(), files)
}

fn build_with(
    spec: Value,
    services: &[ServiceLink],
    objects: &Objects,
    files: &EnvFiles,
) -> Result<Vec<Variable>, EnvError> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "1"}}, "spec": spec}))
    .unwrap();
    let pod_ips: Vec<IpAddr> = match pod::host_network(&pod) {
        true => vec![],
        false => vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
    };
    let container = &pod::regular_containers(&pod)[0];
    let facts = facts();
    environment(&EnvInput {
        pod: &pod,
        container,
        pod_ips: &pod_ips,
        services,
        objects,
        facts: &facts,
        files,
    })
}

fn of(env: Value) -> Result<Vec<(String, String)>, EnvError> {
    let spec = json!({"serviceAccountName": "robot", "containers": [{"name": "c", "env": env,
        "resources": {"requests": {"cpu": "1500m"}}}]});
    build(spec, &EnvFiles::new()).map(pairs)
}

fn pairs(variables: Vec<Variable>) -> Vec<(String, String)> {
    variables.into_iter().map(|variable| (variable.name, text(&variable.value))).collect()
}

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

fn field(path: &str) -> Value {
    json!([{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}])
}

#[test]
fn values_refer_to_those_before_them() {
    let env = of(json!([
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-$(C)-$$(A)"},
        {"name": "C", "value": "3"},
        {"name": "A", "value": "$(A)$(C)"},
        {"name": "EMPTY"},
    ]));
    let expected = [("A", "13"), ("B", "1-$(C)-$(A)"), ("C", "3"), ("EMPTY", "")];
    assert_eq!(env.unwrap(), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn fields() {
    for (path, value) in [
        ("metadata.name", "p"),
        ("metadata.labels['a']", "1"),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "robot"),
        ("status.hostIP", "192.0.2.10"),
        ("status.hostIPs", "192.0.2.10"),
        ("status.podIP", "10.0.0.2"),
        ("status.podIPs", "10.0.0.2,fd00::2"),
    ] {
        assert_eq!(of(field(path)).unwrap()[0].1, value, "{path}");
    }
    for path in ["metadata.labels", "metadata.annotations", "status.phase"] {
        assert!(matches!(of(field(path)), Err(EnvError::Downward { .. })), "{path}");
    }
    let on_host = json!({"hostNetwork": true, "containers": [{"name": "c", "env": field("status.podIP")}]});
    assert_eq!(build(on_host, &EnvFiles::new()).unwrap()[0].value, b"192.0.2.10");
    let cpu = json!([{"name": "V", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1"}}}]);
    assert_eq!(of(cpu).unwrap()[0].1, "2");
    let limit = json!([{"name": "V", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Gi"}}}]);
    assert_eq!(of(limit).unwrap()[0].1, "3", "what the node can give");
}

/// The ConfigMap `m` with one key and the Secret `s` with two, and that there is nothing else.
fn objects() -> Objects {
    let map = json!({"data": {"K": "of map"}, "binaryData": {"B": "AAAA"}});
    let secret = json!({"data": {"K": "b2Ygc2VjcmV0", "BIN": "/w=="}});
    Objects {
        config_maps: [
            ("m".to_owned(), Ok(Arc::new(serde_json::from_value(map).unwrap()))),
            ("gone".to_owned(), Err(ObjectError::no_config_map("gone"))),
            ("away".to_owned(), Err(ObjectError::Unavailable { message: "server away".to_owned() })),
        ]
        .into(),
        secrets: [
            ("s".to_owned(), Ok(Arc::new(serde_json::from_value(secret).unwrap()))),
            ("gone".to_owned(), Err(ObjectError::no_secret("gone"))),
        ]
        .into(),
        ..Objects::default()
    }
}

fn of_objects(container: Value) -> Result<Vec<(String, Vec<u8>)>, EnvError> {
    let mut all = json!({"name": "c"});
    all.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let variables = build_with(json!({"containers": [all]}), &[], &objects(), &EnvFiles::new())?;
    Ok(variables.into_iter().map(|variable| (variable.name, variable.value)).collect())
}

#[test]
fn keys_of_config_maps_and_secrets() {
    for (reference, object, key, optional, expected) in [
        ("configMapKeyRef", "m", "K", false, Ok(Some("of map"))),
        ("configMapKeyRef", "m", "B", false, Err("couldn't find key B in ConfigMap ns/m")),
        ("configMapKeyRef", "m", "X", true, Ok(None)),
        ("configMapKeyRef", "gone", "K", true, Ok(None)),
        ("configMapKeyRef", "gone", "K", false, Err("configmap \"gone\" not found")),
        ("configMapKeyRef", "away", "K", true, Err("server away")),
        ("secretKeyRef", "s", "K", false, Ok(Some("of secret"))),
        ("secretKeyRef", "s", "X", false, Err("couldn't find key X in Secret ns/s")),
        ("secretKeyRef", "s", "X", true, Ok(None)),
        ("secretKeyRef", "gone", "K", true, Ok(None)),
        ("secretKeyRef", "gone", "K", false, Err("secret \"gone\" not found")),
    ] {
        let selector = json!({"name": object, "key": key, "optional": optional});
        let env = of_objects(json!({"env": [{"name": "V", "valueFrom": {reference: selector}}]}));
        let value =
            env.map(|env| env.first().map(|(_, value)| text(value))).map_err(|error| error.to_string());
        assert_eq!(
            value,
            expected.map(|value| value.map(str::to_owned)).map_err(str::to_owned),
            "{selector}"
        );
    }
}

#[test]
fn whole_objects_come_before_single_variables() {
    let env = of_objects(json!({
        "envFrom": [{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}},
            {"configMapRef": {"name": "gone", "optional": true}}, {"secretRef": {"name": "gone", "optional": true}}],
        "env": [{"name": "A", "value": "$(K) $(S_K) $(S_BIN)"}, {"name": "K", "value": "own"}]}));
    let expected: [(&str, &[u8]); 4] =
        [("K", b"own"), ("S_BIN", b"\xff"), ("S_K", b"of secret"), ("A", b"of map of secret $(S_BIN)")];
    assert_eq!(env.unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
    for (source, message) in [
        (json!({"configMapRef": {"name": "gone"}}), "configmap \"gone\" not found"),
        (json!({"secretRef": {"name": "gone", "optional": false}}), "secret \"gone\" not found"),
        (json!({"configMapRef": {"name": "away", "optional": true}}), "server away"),
    ] {
        assert_eq!(of_objects(json!({"envFrom": [source]})).unwrap_err().to_string(), message);
    }
}

#[test]
fn services_come_last_and_can_be_referred_to() {
    let service =
        json!({"metadata": {"name": "db"}, "spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 5432}]}});
    let link = ServiceLink::of(&serde_json::from_value(service).unwrap()).unwrap();
    let spec = json!({"containers": [{"name": "c", "env": [
        {"name": "URL", "value": "pg://$(DB_SERVICE_HOST):$(DB_SERVICE_PORT)"}, {"name": "DB_PORT", "value": "mine"}]}]});
    let env = pairs(build_with(spec, &[link], &Objects::default(), &EnvFiles::new()).unwrap());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        env[..3],
        [pair("URL", "pg://10.0.0.9:5432"), pair("DB_PORT", "mine"), pair("DB_SERVICE_HOST", "10.0.0.9"),]
    );
    assert_eq!(env.iter().filter(|(name, _)| name == "DB_PORT").count(), 1);
}

#[test]
fn files() {
    let with = |optional: bool, file: Result<Option<&str>, &str>| {
        let selector = json!({"volumeName": "v", "path": "env", "key": "K", "optional": optional});
        let spec = json!({"containers": [{"name": "c", "env": [{"name": "V", "valueFrom": {"fileKeyRef": selector}}]}]});
        let file = file.map(|text| text.map(str::to_owned)).map_err(str::to_owned);
        let files = EnvFiles::from([(("v".to_owned(), "env".to_owned()), file)]);
        build(spec, &files)
            .map(|variables| variables.iter().map(|variable| text(&variable.value)).collect::<Vec<_>>())
    };
    assert_eq!(with(false, Ok(Some("K='x'"))), Ok(vec!["x".to_owned()]));
    assert_eq!(with(true, Ok(Some(""))), Ok(vec![]));
    assert_eq!(with(true, Ok(None)), Ok(vec![]));
    for (file, problem) in [
        (Ok(Some("L='x'")), "it does not set \"K\""),
        (Ok(None), "there is no such file"),
        (Ok(Some("K=x")), "line 1: the value must be in single quotes"),
        (Err("too large"), "too large"),
    ] {
        let error = with(false, file).unwrap_err().to_string();
        assert!(error.ends_with(problem), "{error}");
    }
}

proptest! {
    /// Whatever the values hold, each name comes out once, with its last value where nothing refers to others.
    #[test]
    fn names_are_unique(entries in prop::collection::vec(("[A-D]", "[a-z$]{0,5}"), 0..12)) {
        let env: Vec<_> = entries.iter().map(|(name, value)| json!({"name": name, "value": value.replace('$', "$$")})).collect();
        let built = of(Value::Array(env)).unwrap();
        for (at, (name, value)) in built.iter().enumerate() {
            let last = entries.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v);
            prop_assert_eq!(Some(value), last);
            prop_assert!(built[at + 1..].iter().all(|(other, _)| other != name));
        }
    }
}
