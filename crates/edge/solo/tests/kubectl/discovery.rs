//! What the server says of itself.

use crate::cluster::Cluster;

#[test]
fn real_what_there_is() {
    let Some(cluster) = Cluster::start() else { return };
    let version = cluster.json("version");
    assert_eq!(version["serverVersion"]["minor"], "36");
    assert!(cluster.ok("cluster-info").contains("is running at"));
    let resources = cluster.ok("api-resources");
    for (name, group) in
        [("pods", "v1"), ("leases", "coordination.k8s.io/v1"), ("csidrivers", "storage.k8s.io/v1")]
    {
        let row = resources.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(row.contains(group), "{row}");
    }
    let watched = cluster.ok("api-resources --namespaced=false --verbs=watch -o name");
    assert!(watched.contains("nodes") && !watched.contains("tokenreviews") && !watched.contains("pods"));
    assert!(cluster.ok("api-versions").lines().any(|line| line == "certificates.k8s.io/v1"));
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(cluster.ok(&format!("get --raw {path}")), "ok");
    }
    assert!(cluster.ok("get --raw /api/v1/namespaces/default").contains("\"kind\":\"Namespace\""));
    assert!(cluster.ok("get all -A").contains("service/kubernetes"));
}

/// The schema has the kinds, and no fields below their parts.
#[test]
fn real_explanations_end_at_the_parts_of_a_kind() {
    let Some(cluster) = Cluster::start() else { return };
    if cluster.minor < 27 {
        assert!(cluster.fails("explain pod").contains("couldn't find resource"));
        return;
    }
    let explained = cluster.ok("explain pod");
    assert!(explained.contains("KIND:       Pod") && explained.contains("spec"), "{explained}");
    assert!(cluster.ok("explain lease").contains("coordination.k8s.io"));
    cluster.fails("explain pod.spec.containers");
}

#[test]
fn real_what_is_not_there() {
    let Some(cluster) = Cluster::with_node() else { return };
    for (args, expected) in [
        ("scale deployment a --replicas=2", "doesn't have a resource type \"deployment\""),
        ("scale node n1 --replicas=2", "could not find the requested resource"),
        ("rollout restart deployment/a", "doesn't have a resource type \"deployment\""),
        ("rollout status node/n1", "no status viewer"),
        ("create deployment a --image=b", "could not find the requested resource"),
        ("create job a --image=b", "could not find the requested resource"),
        ("top nodes", "does not say where its API is"),
    ] {
        let refused = cluster.fails(args);
        assert!(refused.contains(expected), "{args}: {refused}");
    }
}
