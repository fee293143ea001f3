//! Selectors, namespaces and what goes with a namespace.

use crate::cluster::Cluster;
use crate::manifests;

#[test]
fn real_selection() {
    let Some(cluster) = Cluster::with_node() else { return };
    cluster.create(manifests::NAMESPACE);
    for (name, app) in [("one", "a"), ("two", "b"), ("three", "b")] {
        let pod = manifests::POD
            .replace("name: x", &format!("name: {name}"))
            .replace("app: x", &format!("app: {app}"));
        cluster.create(&pod);
        cluster.with(&["create", "-n", "x", "-f", "-"], &pod);
    }
    for (selection, expected) in [
        ("-l app=b", "pod/three\npod/two"),
        ("-l app!=b", "pod/one"),
        ("-l app", "pod/one\npod/three\npod/two"),
        ("-l !app", ""),
        ("--field-selector metadata.name=one", "pod/one"),
        ("--field-selector spec.nodeName=n1,metadata.name!=one", "pod/three\npod/two"),
        ("--field-selector status.phase=Running", ""),
        ("-l app=a -n x", "pod/one"),
        ("-l app=a -A", "pod/one\npod/one"),
        ("-l app=a -n nowhere", ""),
    ] {
        assert_eq!(cluster.ok(&format!("get pods {selection} -o name")), expected, "{selection}");
    }
    assert_eq!(cluster.ok_args(&["get", "pods", "-l", "app in (a, c)", "-o", "name"]), "pod/one");
    assert!(cluster.ok("get pods -A -L app").lines().next().unwrap().ends_with("APP"));
    assert_eq!(
        cluster.ok("get pods -A --sort-by=.metadata.name -o jsonpath={.items[0].metadata.name}"),
        "one"
    );
    assert_eq!(cluster.ok("get pods --chunk-size=1 -o name").lines().count(), 3);
    cluster.ok("label pods --all tier=web");
    assert_eq!(cluster.ok("delete pods -l app=b").lines().count(), 2);
    assert_eq!(cluster.ok("get pods -l tier=web -o name"), "pod/one");
    cluster.ok("delete pods --all");
    assert_eq!(cluster.ok("get pods -A -o name").lines().count(), 3);
    // Everything in a namespace goes with it.
    cluster.ok("delete ns x");
    assert_eq!(cluster.ok("get pods -A -o name"), "");
}
