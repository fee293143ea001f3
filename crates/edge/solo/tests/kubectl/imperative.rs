//! Commands that make and change objects without a manifest.

use crate::cluster::Cluster;
use crate::manifests;

#[test]
fn real_create() {
    let Some(cluster) = Cluster::start() else { return };
    for (what, made) in [
        ("ns team", "namespace/team"),
        ("sa robot", "serviceaccount/robot"),
        ("cm c --from-literal=a=b", "configmap/c"),
        ("secret generic s --from-literal=a=b", "secret/s"),
        ("secret docker-registry d --docker-username=a --docker-password=b", "secret/d"),
        ("service clusterip i --tcp=80:8080", "service/i"),
        ("service externalname e --external-name=a.example.com", "service/e"),
        ("priorityclass p --value=7", "priorityclass.scheduling.k8s.io/p"),
    ] {
        assert_eq!(cluster.ok(&format!("create {what}")), format!("{made} created"));
    }
    assert_eq!(cluster.ok("get secret s -o jsonpath={.data.a}"), "Yg==");
    assert_eq!(cluster.ok("get secret d -o jsonpath={.type}"), "kubernetes.io/dockerconfigjson");
    assert_eq!(cluster.ok("get svc i -o jsonpath={.spec.ports[0].targetPort}"), "8080");
    assert!(cluster.fails("create cm c").contains("already exists"));
    let file = cluster.file("greeting", "hello");
    cluster.ok(&format!("create cm f --from-file={file}"));
    assert_eq!(cluster.ok("get cm f -o jsonpath={.data.greeting}"), "hello");
}

#[test]
fn real_run_expose_and_set() {
    let Some(cluster) = Cluster::with_node() else { return };
    assert_eq!(cluster.ok("run shell --image=busybox:1 --labels=app=shell -- sleep 60"), "pod/shell created");
    assert_eq!(cluster.ok("get pod shell -o jsonpath={.spec.containers[0].args}"), r#"["sleep","60"]"#);
    assert_eq!(cluster.ok("expose pod shell --port=80 --name=front"), "service/front exposed");
    assert_eq!(cluster.ok("get svc front -o jsonpath={.spec.selector.app}"), "shell");
    assert_eq!(cluster.ok("set image pod/shell shell=busybox:2"), "pod/shell image updated");
    assert_eq!(cluster.ok("get pod shell -o jsonpath={.spec.containers[0].image}"), "busybox:2");
    assert_eq!(cluster.ok("get pod shell -o jsonpath={.metadata.generation}"), "2");
    assert!(cluster.fails("set env pod/shell A=b").contains("pod updates may not change fields"));
    assert!(cluster.fails("set image pod/shell other=busybox:2").contains("unable to find container"));
    cluster.ok("delete pod shell --grace-period=0 --force");
}

#[test]
fn real_edit_and_replace() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.create(manifests::CONFIG_MAP);
    let editor = cluster.file("editor", "#!/bin/sh\nsed -i 's/a: \"1\"/a: \"2\"/' \"$1\"\n");
    let editor = format!("sh {editor}");
    let edit = || cluster.run_in(&[("KUBE_EDITOR", &editor)], &["edit", "cm", "x"]);
    assert_eq!(edit().out.trim(), "configmap/x edited");
    assert_eq!(cluster.ok("get cm x -o jsonpath={.data.a}"), "2");
    let again = edit();
    assert!((again.out + &again.err).contains("no changes made"));
    let uid = || cluster.ok("get cm x -o jsonpath={.metadata.uid}");
    let before = uid();
    cluster.with(&["replace", "-f", "-"], manifests::CONFIG_MAP);
    assert_eq!((cluster.ok("get cm x -o jsonpath={.data.a}"), uid()), ("1".to_owned(), before.clone()));
    cluster.with(&["replace", "--force", "-f", "-"], manifests::CONFIG_MAP);
    assert_ne!(uid(), before);
    assert!(cluster.fed(&["replace", "-f", "-"], manifests::SECRET).err.contains("(NotFound)"));
}

#[test]
fn real_lists_and_directories() {
    let Some(cluster) = Cluster::start() else { return };
    let many = [manifests::CONFIG_MAP, manifests::SECRET, manifests::SERVICE].join("\n---\n");
    assert_eq!(cluster.apply(&many).lines().count(), 3);
    assert_eq!(cluster.apply(&many).lines().filter(|line| line.ends_with("unchanged")).count(), 3);
    assert_eq!(cluster.with(&["delete", "-f", "-"], &many).lines().count(), 3);
}
