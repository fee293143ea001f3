//! Every verb on every kind: what kubectl does with an object from its creation to its end.

use crate::cluster::Cluster;
use crate::manifests;

/// A kind of which [`lives`] sees an object, always named `x`.
struct Kind {
    /// The resource as a command names it.
    resource: &'static str,
    /// As kubectl prints it: `pod`, `lease.coordination.k8s.io`.
    printed: &'static str,
    kind: &'static str,
    manifest: &'static str,
    /// What `-o wide` has at the top, in this order.
    columns: &'static [&'static str],
    /// What `describe` has.
    described: &'static [&'static str],
}

/// What all objects have in common.
#[track_caller]
fn lives(kind: &Kind) {
    let Some(cluster) = Cluster::with_node() else { return };
    let Kind { resource, printed, manifest, .. } = *kind;
    let name = &format!("{printed}/x");
    // Creating.
    assert_eq!(cluster.create(manifest), format!("{name} created"));
    let again = cluster.fed(&["create", "-f", "-"], manifest);
    assert!(again.code != 0 && again.err.contains("(AlreadyExists)"), "{}", again.err);
    // Reading.
    assert_eq!(cluster.ok(&format!("get {resource} x -o name")), *name);
    let read = cluster.json(&format!("get {resource} x"));
    assert_eq!((&read["kind"], &read["metadata"]["name"]), (&kind.kind.into(), &"x".into()));
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(read["metadata"][field].is_string(), "{field}: {read}");
    }
    let wide = cluster.ok(&format!("get {resource} x -o wide"));
    let top: Vec<&str> =
        wide.lines().next().unwrap().split("  ").map(str::trim).filter(|one| !one.is_empty()).collect();
    assert_eq!(top, kind.columns);
    let all = cluster.json(&format!("get {resource} -A --field-selector metadata.name=x"));
    assert_eq!((&all["kind"], all["items"].as_array().unwrap().len()), (&"List".into(), 1));
    let described = cluster.ok(&format!("describe {resource} x"));
    for section in std::iter::once(&"Name:").chain(kind.described) {
        assert!(described.contains(section), "{section}: {described}");
    }
    applied(&cluster, kind, name);
    labelled(&cluster, resource, name);
    patched(&cluster, resource, name);
    // Replacing, and its conflict.
    let read = cluster.ok(&format!("get {resource} x -o json"));
    assert_eq!(cluster.with(&["replace", "-f", "-"], &read), format!("{name} replaced"));
    cluster.ok(&format!("annotate {resource} x note=changed"));
    let stale = cluster.fed(&["replace", "-f", "-"], &read);
    assert!(
        stale.err.contains("(Conflict)") && stale.err.contains("the object has been modified"),
        "{}",
        stale.err
    );
    // The end. Newer kubectls say of which namespace.
    assert!(cluster.ok(&format!("delete {resource} x")).contains("\"x\" deleted"));
    assert!(cluster.fails(&format!("get {resource} x")).contains("(NotFound)"));
    assert!(cluster.fails(&format!("delete {resource} x")).contains("(NotFound)"));
    cluster.ok(&format!("delete {resource} x --ignore-not-found"));
}

fn applied(cluster: &Cluster, kind: &Kind, name: &str) {
    let resource = kind.resource;
    // The object was not made by `apply`, which therefore notes the manifest with the first one.
    assert_eq!(cluster.apply(kind.manifest), format!("{name} configured"));
    let version = || cluster.ok(&format!("get {resource} x -o jsonpath={{.metadata.resourceVersion}}"));
    let before = version();
    assert_eq!(cluster.apply(kind.manifest), format!("{name} unchanged"));
    assert_eq!(version(), before);
    let changed = kind.manifest.replacen("name: x", "name: x, annotations: {applied: once}", 1);
    if cluster.minor >= 27 {
        let differs = cluster.fed(&["diff", "-f", "-"], &changed);
        assert_eq!(differs.code, 1, "{}", differs.err);
        assert!(differs.out.contains("+    applied: once"), "{}", differs.out);
        let dry = cluster.with(&["apply", "--dry-run=server", "-f", "-"], &changed);
        assert_eq!(dry, format!("{name} configured (server dry run)"));
        assert_eq!(version(), before);
        assert_eq!(cluster.fed(&["diff", "-f", "-"], kind.manifest).code, 0);
    }
    assert_eq!(cluster.apply(&changed), format!("{name} configured"));
    assert_ne!(version(), before);
    assert_eq!(cluster.json(&format!("get {resource} x"))["metadata"]["annotations"]["applied"], "once");
    // What leaves the manifest leaves the object.
    cluster.apply(kind.manifest);
    assert!(cluster.json(&format!("get {resource} x"))["metadata"]["annotations"].get("applied").is_none());
}

fn labelled(cluster: &Cluster, resource: &str, name: &str) {
    for (verb, field, done) in [("label", "labels", "labeled"), ("annotate", "annotations", "annotated")] {
        let change = |change: &str| cluster.ok(&format!("{verb} {resource} x {change}"));
        let value = || cluster.json(&format!("get {resource} x"))["metadata"][field].get("tier").cloned();
        assert_eq!(change("tier=one"), format!("{name} {done}"));
        assert_eq!(value(), Some("one".into()));
        let refused = cluster.fails(&format!("{verb} {resource} x tier=two"));
        assert!(refused.contains("--overwrite is false"), "{refused}");
        change("tier=two --overwrite");
        assert_eq!(value(), Some("two".into()));
        if verb == "label" {
            assert_eq!(cluster.ok(&format!("get {resource} -A -l tier=two -o name")), name);
            assert_eq!(cluster.ok(&format!("get {resource} -A -l tier!=two,tier -o name")), "");
        }
        change("tier-");
        assert_eq!(value(), None);
    }
}

fn patched(cluster: &Cluster, resource: &str, name: &str) {
    let add = r#"[{"op":"add","path":"/metadata/annotations/by","value":"json"}]"#;
    for (kind, patch) in [
        ("strategic", r#"{"metadata":{"annotations":{"by":"strategic"}}}"#),
        ("merge", r#"{"metadata":{"annotations":{"by":"merge"}}}"#),
        ("json", add),
    ] {
        // A JSON patch cannot add to a map that is not there, and the strategic one made it.
        let printed = cluster.ok(&format!("patch {resource} x --type={kind} -p {patch}"));
        assert_eq!(printed, format!("{name} patched"));
        let read = cluster.json(&format!("get {resource} x"));
        assert_eq!(read["metadata"]["annotations"]["by"], kind);
    }
    let same = cluster.ok(&format!("patch {resource} x --type=json -p {add}"));
    assert_eq!(same, format!("{name} patched (no change)"));
}

/// A test of its own for each kind.
macro_rules! kinds {
    ($($test:ident: $resource:literal, $printed:literal, $kind:literal, $manifest:expr, $columns:expr, $described:expr;)*) => {
        $(#[test]
        fn $test() {
            lives(&Kind { resource: $resource, printed: $printed, kind: $kind, manifest: $manifest, columns: &$columns,
                described: &$described });
        })*
    };
}

kinds! {
    real_namespaces: "ns", "namespace", "Namespace", manifests::NAMESPACE, ["NAME", "STATUS", "AGE"], ["Status:", "Active"];
    real_node_objects: "no", "node", "Node", manifests::EMPTY_NODE,
        ["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME"],
        ["Roles:", "Non-terminated Pods:"];
    real_pods: "po", "pod", "Pod", manifests::POD,
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"],
        ["Node:", "n1/", "Containers:", "Limits:", "Liveness:", "http-get http://:80/", "PLAIN:", "Conditions:",
            "PodScheduled", "Volumes:", "kube-api-access-", "QoS Class:", "Guaranteed", "Events:"];
    real_config_maps: "cm", "configmap", "ConfigMap", manifests::CONFIG_MAP, ["NAME", "DATA", "AGE"], ["Data\n===="];
    real_secrets: "secret", "secret", "Secret", manifests::SECRET, ["NAME", "TYPE", "DATA", "AGE"],
        ["Type:", "Opaque", "password:", "7 bytes"];
    real_services: "svc", "service", "Service", manifests::SERVICE,
        ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"],
        ["Selector:", "app=x", "ClusterIP", "10.96.", "TargetPort:", "Session Affinity:"];
    real_service_accounts: "sa", "serviceaccount", "ServiceAccount", manifests::SERVICE_ACCOUNT, ["NAME", "SECRETS", "AGE"],
        ["Image pull secrets:", "Tokens:"];
    real_events: "ev", "event", "Event", manifests::EVENT,
        ["NAME", "LAST SEEN", "TYPE", "REASON", "OBJECT", "SUBOBJECT", "SOURCE", "MESSAGE", "FIRST SEEN", "COUNT"],
        ["Involved Object:", "the image is there"];
    real_leases: "lease", "lease.coordination.k8s.io", "Lease", manifests::LEASE, ["NAME", "HOLDER", "AGE"],
        ["Holder Identity:", "Lease Duration Seconds:"];
    real_volumes: "pv", "persistentvolume", "PersistentVolume", manifests::VOLUME,
        ["NAME", "CAPACITY", "ACCESS MODES", "RECLAIM POLICY", "STATUS", "CLAIM", "STORAGECLASS", "REASON", "AGE", "VOLUMEMODE"],
        ["Reclaim Policy:", "Retain", "HostPath", "/tmp/x"];
    real_claims: "pvc", "persistentvolumeclaim", "PersistentVolumeClaim", manifests::CLAIM,
        ["NAME", "STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS", "AGE", "VOLUMEMODE"],
        ["Status:", "Pending", "StorageClass:", "Used By:"];
    real_runtime_classes: "runtimeclass", "runtimeclass.node.k8s.io", "RuntimeClass", manifests::RUNTIME_CLASS,
        ["NAME", "HANDLER", "AGE"], ["Handler:"];
    real_priority_classes: "pc", "priorityclass.scheduling.k8s.io", "PriorityClass", manifests::PRIORITY_CLASS,
        ["NAME", "VALUE", "GLOBAL-DEFAULT", "AGE", "PREEMPTIONPOLICY"], ["Value:", "1000"];
    real_csi_nodes: "csinode", "csinode.storage.k8s.io", "CSINode", manifests::CSI_NODE, ["NAME", "DRIVERS", "AGE"],
        ["d.example.com"];
    real_csi_drivers: "csidriver", "csidriver.storage.k8s.io", "CSIDriver", manifests::CSI_DRIVER,
        ["NAME", "ATTACHREQUIRED", "PODINFOONMOUNT", "STORAGECAPACITY", "TOKENREQUESTS", "REQUIRESREPUBLISH", "MODES", "AGE"],
        ["Attach Required:"];
    real_storage_classes: "sc", "storageclass.storage.k8s.io", "StorageClass", manifests::STORAGE_CLASS,
        ["NAME", "PROVISIONER", "RECLAIMPOLICY", "VOLUMEBINDINGMODE", "ALLOWVOLUMEEXPANSION", "AGE"], ["Provisioner:", "example.com/none"];
    real_signing_requests: "csr", "certificatesigningrequest.certificates.k8s.io", "CertificateSigningRequest",
        manifests::SIGNING_REQUEST, ["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"],
        ["Requesting User:", "admin", "Pending", "someone", "people"];
}
