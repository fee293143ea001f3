use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tests::facts;

fn build(
    spec: Value,
    read_file: &dyn Fn(&FileKeySelector) -> Result<Option<String>, String>,
) -> Result<Vec<Variable>, EnvError> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "1"}}, "spec": spec}))
    .unwrap();
    let pod_ips: Vec<IpAddr> = match pod::host_network(&pod) {
        true => vec![],
        false => vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
    };
    let container = &pod::regular_containers(&pod)[0];
    environment(&EnvInput { pod: &pod, container, pod_ips: &pod_ips, facts: &facts(), read_file })
}

fn of(env: Value) -> Result<Vec<(String, String)>, EnvError> {
    let spec = json!({"serviceAccountName": "robot", "containers": [{"name": "c", "env": env,
        "resources": {"requests": {"cpu": "1500m"}}}]});
    build(spec, &|_| Ok(None)).map(pairs)
}

fn pairs(variables: Vec<Variable>) -> Vec<(String, String)> {
    variables.into_iter().map(|variable| (variable.name, variable.value)).collect()
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
    assert_eq!(build(on_host, &|_| Ok(None)).unwrap()[0].value, "192.0.2.10");
    let cpu = json!([{"name": "V", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1"}}}]);
    assert_eq!(of(cpu).unwrap()[0].1, "2");
    let limit = json!([{"name": "V", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Gi"}}}]);
    assert_eq!(of(limit).unwrap()[0].1, "3", "what the node can give");
}

#[test]
fn objects_of_the_api_server() {
    let key = |kind: &str, optional: bool| json!([{"name": "V", "valueFrom": {kind: {"name": "o", "key": "k", "optional": optional}}}]);
    for (reference, kind) in [("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")] {
        assert_eq!(of(key(reference, true)).unwrap(), []);
        let error = EnvError::NeedsApi { subject: "variable \"V\"".into(), kind, object: "o".into() };
        assert_eq!(of(key(reference, false)), Err(error));
    }
    let from = |optional: bool| {
        let spec = json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "o", "optional": optional}}]}]});
        build(spec, &|_| Ok(None))
    };
    assert_eq!(from(true), Ok(vec![]));
    assert!(matches!(from(false), Err(EnvError::NeedsApi { kind: "Secret", .. })));
}

#[test]
fn files() {
    let with = |optional: bool, file: Result<Option<&str>, &str>| {
        let selector = json!({"volumeName": "v", "path": "env", "key": "K", "optional": optional});
        let spec = json!({"containers": [{"name": "c", "env": [{"name": "V", "valueFrom": {"fileKeyRef": selector}}]}]});
        let file = file.map(|text| text.map(str::to_owned)).map_err(str::to_owned);
        build(spec, &|selector| {
            assert_eq!((selector.volume_name.as_str(), selector.path.as_str()), ("v", "env"));
            file.clone()
        })
        .map(|variables| variables.into_iter().map(|variable| variable.value).collect::<Vec<_>>())
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
