use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn volume(name: &str, size: &str, more: Value) -> (&'static str, Value) {
    let mut volume = json!({"metadata": {"name": name, "labels": {"disk": name}}, "status": {"phase": "Available"},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}});
    json_patch::merge(&mut volume, &more);
    (VOLUMES, volume)
}

fn claim(more: Value) -> (&'static str, Value) {
    let mut claim = json!({"metadata": {"namespace": "a", "name": "c", "uid": "1"}, "status": {"phase": "Pending"},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "resources": {"requests": {"storage": "2Gi"}}}});
    json_patch::merge(&mut claim, &more);
    (CLAIMS, claim)
}

fn class(mode: &str, provisioner: &str) -> (&'static str, Value) {
    (CLASSES, json!({"metadata": {"name": "k"}, "provisioner": provisioner, "volumeBindingMode": mode}))
}

fn of_class() -> Value {
    json!({"spec": {"storageClassName": "k"}})
}

fn pod(node: &str) -> (&'static str, Value) {
    (
        "pods",
        json!({"metadata": {"namespace": "a", "name": "p"}, "spec": {"nodeName": node,
        "volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}}),
    )
}

fn reserved(name: &str, uid: &str) -> Value {
    json!({"spec": {"claimRef": {"namespace": "a", "name": name, "uid": uid}}})
}

/// What is to happen to the one claim, in words.
fn told(objects: Vec<(&'static str, Value)>) -> String {
    let objects = Snapshot::of(objects);
    let claim = claims(&objects).next().unwrap();
    match step(&objects, claim, NOW.parse().unwrap()) {
        None => String::new(),
        Some(Step::Bind(volume)) => format!("bind {}", object::name(&volume)),
        Some(Step::Lose) => "lose".to_owned(),
        Some(Step::Annotate(all)) => {
            let words = all.iter().map(|(key, value)| {
                format!(
                    "{}={value}",
                    key.replace("volume.kubernetes.io/", "").replace("volume.beta.kubernetes.io/", "beta/")
                )
            });
            words.collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn a_claim_gets_the_smallest_volume_that_gives_what_it_asks_for() {
    let none = || json!({});
    let fits = || volume("fit", "5Gi", none());
    for (name, objects, expected) in [
        ("nothing there", vec![claim(none())], ""),
        (
            "of three",
            vec![claim(none()), volume("small", "1Gi", none()), volume("big", "9Gi", none()), fits()],
            "bind fit",
        ),
        (
            "one that was made for it",
            vec![claim(none()), fits(), volume("mine", "9Gi", reserved("c", ""))],
            "bind mine",
        ),
        (
            "one that a provisioner made for it",
            vec![claim(none()), volume("mine", "9Gi", reserved("c", "1"))],
            "bind mine",
        ),
        (
            "one of a former claim of its name",
            vec![claim(none()), volume("v", "5Gi", reserved("c", "0"))],
            "",
        ),
        ("one of another claim", vec![claim(none()), volume("v", "5Gi", reserved("d", ""))], ""),
        (
            "the one that it names",
            vec![claim(json!({"spec": {"volumeName": "big"}})), fits(), volume("big", "9Gi", none())],
            "bind big",
        ),
        (
            "names a small one",
            vec![claim(json!({"spec": {"volumeName": "small"}})), volume("small", "1Gi", none())],
            "",
        ),
        ("another mode", vec![claim(json!({"spec": {"accessModes": ["ReadWriteMany"]}})), fits()], ""),
        ("a device", vec![claim(json!({"spec": {"volumeMode": "Block"}})), fits()], ""),
        ("another class", vec![claim(of_class()), fits()], ""),
        (
            "by a label",
            vec![claim(json!({"spec": {"selector": {"matchLabels": {"disk": "fit"}}}})), fits()],
            "bind fit",
        ),
        (
            "by an expression",
            vec![
                claim(
                    json!({"spec": {"selector": {"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["fit"]}]}}}),
                ),
                fits(),
            ],
            "",
        ),
        ("a selector that is none", vec![claim(json!({"spec": {"selector": 7}})), fits()], ""),
        (
            "a volume that is going",
            vec![claim(none()), volume("v", "5Gi", json!({"metadata": {"deletionTimestamp": NOW}}))],
            "",
        ),
    ] {
        assert_eq!(told(objects), expected, "{name}");
    }
}

#[test]
fn a_claim_is_lost_with_its_volume_and_gets_it_back() {
    let bound = |phase: &str| claim(json!({"spec": {"volumeName": "v"}, "status": {"phase": phase}}));
    let none = || json!({});
    for (name, objects, expected) in [
        ("bound", vec![bound("Bound"), volume("v", "5Gi", reserved("c", "1"))], ""),
        ("gone", vec![bound("Bound")], "lose"),
        ("another claim's", vec![bound("Bound"), volume("v", "5Gi", reserved("d", "2"))], "lose"),
        ("its reference is gone", vec![bound("Bound"), volume("v", "5Gi", none())], "bind v"),
        (
            "it is smaller than what is asked for by now",
            vec![bound("Bound"), volume("v", "1Gi", none())],
            "bind v",
        ),
        (
            "on its way out",
            vec![
                bound("Bound"),
                volume("v", "5Gi", reserved("c", "1")),
                volume(
                    "v",
                    "5Gi",
                    json!({"metadata": {"deletionTimestamp": NOW}, "spec": reserved("c", "1")["spec"]}),
                ),
            ],
            "",
        ),
        ("lost", vec![bound("Lost")], ""),
        ("back", vec![bound("Lost"), volume("v", "5Gi", none())], "bind v"),
        ("back for somebody else", vec![bound("Lost"), volume("v", "5Gi", reserved("d", ""))], ""),
    ] {
        assert_eq!(told(objects), expected, "{name}");
    }
}

#[test]
fn provisioners_are_told_of_claims() {
    let told_of = "storage-provisioner=d beta/storage-provisioner=d";
    let chosen = format!("selected-node=n {CHOSEN}={NOW}");
    let both = format!("{told_of} {chosen}");
    let known = |more: Value| {
        let mut claim = claim(of_class());
        let annotations = json!({"metadata": {"annotations": {PROVISIONER[0]: "d", PROVISIONER[1]: "d"}}});
        json_patch::merge(&mut claim.1, &annotations);
        json_patch::merge(&mut claim.1, &json!({"metadata": {"annotations": more}}));
        claim
    };
    let (now, later) = ("Immediate", "WaitForFirstConsumer");
    let fits = || volume("fit", "5Gi", of_class());
    for (name, objects, expected) in [
        ("at once", vec![claim(of_class()), class(now, "d")], told_of),
        ("told", vec![known(json!({})), class(now, "d")], ""),
        (
            "another one by now",
            vec![known(json!({})), class(now, "e")],
            "storage-provisioner=e beta/storage-provisioner=e",
        ),
        ("a class that is not there", vec![claim(of_class())], ""),
        ("nobody makes any", vec![claim(of_class()), class(now, NOBODY)], ""),
        ("there is one", vec![claim(of_class()), class(now, "d"), fits()], "bind fit"),
        ("no pod yet", vec![claim(of_class()), class(later, "d"), fits()], ""),
        ("a pod without a node", vec![claim(of_class()), class(later, "d"), fits(), pod("")], ""),
        ("a pod", vec![claim(of_class()), class(later, "d"), fits(), pod("n")], "bind fit"),
        ("a pod, and no volume", vec![claim(of_class()), class(later, "d"), pod("n")], &both),
        ("a pod, and nobody makes any", vec![claim(of_class()), class(later, NOBODY), pod("n")], ""),
        ("chosen", vec![known(json!({NODE: "n", CHOSEN: NOW})), class(later, "d"), pod("n")], ""),
        (
            "refused just now",
            vec![known(json!({CHOSEN: "2026-01-01T00:00:51Z"})), class(later, "d"), pod("n")],
            "",
        ),
        (
            "refused a while ago",
            vec![known(json!({CHOSEN: "2026-01-01T00:00:50Z"})), class(later, "d"), pod("n")],
            &chosen,
        ),
        (
            "refused tomorrow",
            vec![known(json!({CHOSEN: "2026-01-02T00:00:00Z"})), class(later, "d"), pod("n")],
            &chosen,
        ),
        (
            "no pod, and the volume was made for it",
            vec![
                claim(of_class()),
                class(later, "d"),
                volume(
                    "v",
                    "5Gi",
                    json!({"spec": {"storageClassName": "k", "claimRef": reserved("c", "")["spec"]["claimRef"]}}),
                ),
            ],
            "bind v",
        ),
    ] {
        assert_eq!(told(objects), expected, "{name}");
    }
}

#[test]
fn a_volume_says_whom_it_belongs_to() {
    let objects = Snapshot::of([claim(json!({"spec": {"volumeName": "v"}}))]);
    for (name, claim_ref, expected) in [
        ("v", json!({}), "Available"),
        ("v", reserved("c", ""), "Available"),
        ("v", reserved("c", "1"), "Bound"),
        ("second", reserved("c", "1"), "Available"),
        ("v", reserved("c", "0"), "Released"),
        ("v", reserved("d", "1"), "Released"),
    ] {
        assert_eq!(
            phase(&volume(name, "1Gi", claim_ref.clone()).1, &objects),
            expected,
            "{name} {claim_ref}"
        );
    }
}

#[test]
fn users_are_told_what_a_claim_waits_for() {
    let (now, later) = ("Immediate", "WaitForFirstConsumer");
    for (objects, expected) in [
        (vec![claim(json!({}))], "FailedBinding"),
        (vec![claim(of_class())], "ProvisioningFailed"),
        (vec![claim(of_class()), class(now, "d")], "ExternalProvisioning"),
        (vec![claim(of_class()), class(now, NOBODY)], "FailedBinding"),
        (vec![claim(of_class()), class(later, "d")], "WaitForFirstConsumer"),
        (vec![claim(of_class()), class(later, "d"), pod("n")], "ExternalProvisioning"),
        (vec![claim(json!({"spec": {"volumeName": "v"}}))], "FailedBinding"),
        (vec![claim(json!({"spec": {"volumeName": "v"}, "status": {"phase": "Lost"}}))], "ClaimLost"),
        (vec![claim(json!({"spec": {"volumeName": "v"}, "status": {"phase": "Bound"}}))], ""),
    ] {
        let mut objects = Snapshot::of(objects);
        let event = news(&objects).next();
        let reason = event.as_ref().map_or("", |event| text(event, "/reason"));
        assert_eq!(reason, expected);
        if let Some(event) = event {
            let before = objects.list(CLAIMS, None).map(|(_, claim)| (CLAIMS, (**claim).clone()));
            objects = Snapshot::of(before.chain([(told::STORE, event)]).collect::<Vec<_>>());
            let again = news(&objects).filter(|event| text(event, "/reason") == expected).count();
            assert_eq!(again, 0, "{expected} is told once");
        }
    }
}
