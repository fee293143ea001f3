use proptest::prelude::{Just, Strategy as _, prop_assert_eq, prop_oneof, proptest};
use serde_json::json;

use super::*;

fn patched(kind: &str, mut object: Value, patch: Value) -> Value {
    apply(kind, &mut object, patch).unwrap();
    object
}

fn pod(patch: Value) -> Value {
    let object = json!({
        "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x/a", "x/b"]},
        "spec": {
            "containers": [
                {"name": "one", "image": "i:1", "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "b"}], "command": ["x", "y"]},
                {"name": "two", "image": "i:2", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "tolerations": [{"key": "a"}, {"key": "b"}],
        },
    });
    patched("Pod", object, patch)
}

#[test]
fn maps_merge_and_null_removes() {
    let pod = pod(json!({"metadata": {"labels": {"a": null, "c": "3"}}}));
    assert_eq!(pod["metadata"]["labels"], json!({"b": "2", "c": "3"}));
}

#[test]
fn lists_merge_by_their_key_or_are_replaced() {
    let pod = pod(json!({"spec": {
        "containers": [{"name": "two", "image": "i:3"}, {"name": "three", "image": "i:4", "env": [{"name": "X", "value": null}]}],
        "tolerations": [{"key": "c"}]}}));
    let containers = pod["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 3);
    assert_eq!(containers[1]["image"], "i:3");
    assert_eq!(containers[1]["ports"][0]["containerPort"], 80);
    assert_eq!(containers[2], json!({"name": "three", "image": "i:4", "env": [{"name": "X"}]}));
    assert_eq!(pod["spec"]["tolerations"], json!([{"key": "c"}]));
}

#[test]
fn nested_lists_merge_too() {
    let pod = pod(json!({"spec": {"containers": [{"name": "one", "command": ["z"],
        "env": [{"name": "B", "value": "bb"}, {"$patch": "delete", "name": "A"}]}]}}));
    assert_eq!(pod["spec"]["containers"][0]["env"], json!([{"name": "B", "value": "bb"}]));
    assert_eq!(pod["spec"]["containers"][0]["command"], json!(["z"]));
}

#[test]
fn directives_of_maps() {
    let patched = pod(json!({"metadata": {"labels": {"$patch": "replace", "z": "9"}}}));
    assert_eq!(patched["metadata"]["labels"], json!({"z": "9"}));
    let patched = pod(json!({"metadata": {"labels": {"$patch": "delete"}}}));
    assert_eq!(patched["metadata"].get("labels"), None);
    let patched = pod(
        json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}),
    );
    assert_eq!(patched["spec"]["volumes"], json!([{"name": "v", "hostPath": {"path": "/"}}]));
}

#[test]
fn directives_of_lists() {
    let patched =
        pod(json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "new", "image": "n"}]}}));
    assert_eq!(patched["spec"]["containers"], json!([{"name": "new", "image": "n"}]));
    let patched = pod(
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"], "finalizers": ["x/c", "x/b"]}}),
    );
    assert_eq!(patched["metadata"]["finalizers"], json!(["x/b", "x/c"]));
}

#[test]
fn order_of_elements() {
    let patched = pod(
        json!({"spec": {"$setElementOrder/containers": [{"name": "two"}, {"name": "new"}, {"name": "one"}],
        "containers": [{"name": "new", "image": "n"}]}}),
    );
    let names: Vec<&str> = patched["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| object::text(container, "/name"))
        .collect();
    assert_eq!(names, ["two", "new", "one"]);
    // What the order does not name stays beside its neighbours.
    let patched = pod(json!({"spec": {"$setElementOrder/containers": [{"name": "two"}]}}));
    assert_eq!(patched["spec"]["containers"][0]["name"], "one");
    let patched = pod(json!({"metadata": {"$setElementOrder/finalizers": ["x/b", "x/a"]}}));
    assert_eq!(patched["metadata"]["finalizers"], json!(["x/b", "x/a"]));
}

#[test]
fn conditions_of_a_status() {
    let object = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}],
        "containerStatuses": [{"name": "a"}]}});
    let patched = patched(
        "Pod",
        object,
        json!({"status": {"$setElementOrder/conditions": [{"type": "Ready"}, {"type": "Other"}],
        "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "b"}]}}),
    );
    assert_eq!(patched["status"]["conditions"][0], json!({"type": "Ready", "status": "True"}));
    assert_eq!(patched["status"]["conditions"][1]["type"], "Other");
    assert_eq!(patched["status"]["containerStatuses"], json!([{"name": "b"}]));
}

#[test]
fn what_is_no_patch() {
    for patch in [
        json!({"$unknown": 1}),
        json!({"spec": {"$patch": "explode"}}),
        json!({"spec": {"containers": [{"image": "without a name"}]}}),
        json!({"spec": {"containers": ["text"]}}),
        json!({"spec": {"$setElementOrder/containers": 1}}),
    ] {
        let mut object = json!({});
        assert!(apply("Pod", &mut object, patch.clone()).is_err(), "{patch}");
    }
}

fn value() -> impl proptest::strategy::Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("a")),
        Just(json!("delete")),
        Just(json!(1)),
        Just(json!(true))
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key = prop_oneof![
            Just("spec"),
            Just("containers"),
            Just("name"),
            Just("env"),
            Just("metadata"),
            Just("finalizers"),
            Just("$patch"),
            Just("$retainKeys"),
            Just("$setElementOrder/containers"),
            Just("$deleteFromPrimitiveList/finalizers"),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key.prop_map(str::to_owned), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics(object in value(), patch in value()) {
        let mut object = object;
        let _ = apply("Pod", &mut object, patch);
    }

    /// A patch of plain values puts them there, and putting them there twice is the same as once.
    #[test]
    fn idempotent(values in proptest::collection::btree_map("[a-d]", "[a-z]", 0..4), image in "[a-z]{1,3}") {
        let patch = json!({"metadata": {"labels": values}, "spec": {"containers": [{"name": "one", "image": image}]}});
        let once = pod(patch.clone());
        prop_assert_eq!(once["spec"]["containers"][0]["image"].as_str(), Some(image.as_str()));
        for (key, value) in &values {
            prop_assert_eq!(object::label(&once, key), Some(value.as_str()));
        }
        prop_assert_eq!(patched("Pod", once.clone(), patch), once);
    }
}
