//! Volumes and claims find each other.

use crate::cluster::Cluster;
use crate::manifests;

#[test]
fn real_claims_are_bound() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.create(manifests::VOLUME);
    cluster.create(manifests::CLAIM);
    // The controller binds as soon as it sees both.
    while !cluster.ok("get pvc x --no-headers").contains("Bound") {}
    let volume = cluster.ok("get pv x --no-headers");
    assert!(volume.contains("Bound") && volume.contains("default/x"), "{volume}");
    assert!(cluster.ok("describe pvc x").contains("1Gi"));
}
