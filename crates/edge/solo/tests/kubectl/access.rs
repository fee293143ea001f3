//! Who one is, what one may do, and tokens.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::manifests;

#[test]
fn real_what_one_may_do() {
    let Some(cluster) = Cluster::start() else { return };
    assert_eq!(cluster.ok("auth can-i * *"), "yes");
    assert_eq!(cluster.ok("auth can-i delete nodes"), "yes");
    assert!(cluster.ok("auth can-i --list").contains("*.*"));
    let robot = "--as system:serviceaccount:default:robot";
    assert_eq!(cluster.run(&["auth", "can-i", "list", "pods", "--as", "bob"]).out.trim(), "no");
    assert!(cluster.fails(&format!("auth can-i list pods {robot}")).starts_with("no"));
    assert!(cluster.ok(&format!("auth can-i --list {robot}")).contains("selfsubjectaccessreviews"));
    assert!(cluster.fails(&format!("get pods {robot}")).contains("(Forbidden)"));
    assert!(cluster.fails("get pods --as bob").contains("User \"bob\" cannot list resource \"pods\""));
    if cluster.minor >= 27 {
        assert!(cluster.ok("auth whoami").contains("system:masters"));
        assert!(
            cluster.ok("auth whoami --as bob --as-group people").contains("[people system:authenticated]")
        );
    }
}

#[test]
fn real_reviews() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.create(manifests::SERVICE_ACCOUNT);
    let asked = |user: &str| {
        let review = format!(
            "{{apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview, spec: {{user: {user}, groups: [\"system:nodes\"], resourceAttributes: {{verb: get, resource: nodes, name: n1}}}}}}"
        );
        let answer: Value =
            serde_json::from_str(&cluster.with(&["create", "-f", "-", "-o", "json"], &review)).unwrap();
        answer["status"]["allowed"].clone()
    };
    assert_eq!(asked("system:node:n1"), true);
    assert_eq!(asked("bob"), false);
    if cluster.minor < 24 {
        return;
    }
    let token = cluster.ok("create token x");
    let whose = |token: &str| {
        let review =
            format!("{{apiVersion: authentication.k8s.io/v1, kind: TokenReview, spec: {{token: {token}}}}}");
        let answer: Value =
            serde_json::from_str(&cluster.with(&["create", "-f", "-", "-o", "json"], &review)).unwrap();
        answer["status"].clone()
    };
    assert_eq!(whose(&token)["user"]["username"], "system:serviceaccount:default:x");
    assert_eq!(whose("nonsense")["authenticated"], false);
    assert!(cluster.fails("create token nobody").contains("not found"));
    assert!(cluster.fails("create token x --duration 1m").contains("10 minutes"));
    // It is a token of the service account, which may not do much.
    let refused = cluster.fails(&format!(
        "get pods --token {token} --kubeconfig /dev/null --server {} --insecure-skip-tls-verify",
        cluster.ok("config view -o jsonpath={.clusters[0].cluster.server}")
    ));
    assert!(refused.contains("system:serviceaccount:default:x"), "{refused}");
}

#[test]
fn real_certificates_are_approved_and_denied() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.create(manifests::SIGNING_REQUEST);
    cluster.create(&manifests::SIGNING_REQUEST.replace("name: x", "name: z"));
    assert!(cluster.ok("certificate approve x").contains("approved"));
    assert!(cluster.ok("certificate deny z").contains("denied"));
    // The controller signs as soon as it sees the approval.
    let condition = |name: &str| cluster.ok(&format!("get csr {name} --no-headers"));
    while !condition("x").contains("Approved,Issued") {
        assert!(condition("x").contains("Approved"));
    }
    assert!(condition("z").contains("Denied"));
    assert!(!cluster.ok("get csr x -o jsonpath={.status.certificate}").is_empty());
}
