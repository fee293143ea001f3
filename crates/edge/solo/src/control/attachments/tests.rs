use super::*;

const NODES: &str = "nodes";
const UNIQUE: &str = "kubernetes.io/csi/d^h";
const ISCSI: &str = "kubernetes.io/iscsi/10.0.0.1:iqn:0";
const FOREIGN: &str = "example.com/lvm/x";

fn own() -> String {
    attachment_name("d", "h", "n")
}

/// The objects of a node `n` with a pod that has a volume, each of them as it is to be changed.
#[derive(Clone)]
struct Scene {
    pod: Option<Value>,
    claim: Value,
    volume: Value,
    driver: Option<Value>,
    attachments: Vec<Value>,
    node: Value,
}

impl Scene {
    fn new() -> Self {
        Self {
            pod: Some(
                json!({"metadata": {"namespace": "a", "name": "p", "uid": "1"}, "status": {"phase": "Pending"},
                "spec": {"nodeName": "n", "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}),
            ),
            claim: json!({"metadata": {"namespace": "a", "name": "c", "uid": "2"}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}),
            volume: json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": "2"}, "accessModes": ["ReadWriteOnce"],
                "csi": {"driver": "d", "volumeHandle": "h"}}}),
            driver: Some(json!({"metadata": {"name": "d"}, "spec": {"attachRequired": true}})),
            attachments: Vec::new(),
            node: json!({"metadata": {"name": "n", "annotations": {MANAGED: "true"}, "creationTimestamp": "2026-01-02T00:00:00Z"},
                "status": {}}),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn in_use(self, names: &[&str]) -> Self {
        self.with(|scene| scene.node["status"]["volumesInUse"] = json!(names))
    }

    fn listed(self, names: &[&str]) -> Self {
        let list: Vec<Value> = names.iter().map(|name| json!({"name": name, "devicePath": ""})).collect();
        self.with(|scene| scene.node["status"]["volumesAttached"] = json!(list))
    }

    fn attachment(self, attached: bool) -> Self {
        self.named_attachment(&own(), "n", attached)
    }

    fn named_attachment(self, name: &str, node: &str, attached: bool) -> Self {
        let attachment = json!({"apiVersion": VERSION, "kind": KIND,
            "metadata": {"name": name, "creationTimestamp": "2026-01-03T00:00:00Z", "finalizers": ["external-attacher/d"]},
            "spec": {"attacher": "d", "nodeName": node, "source": {"persistentVolumeName": "pv"}}, "status": {"attached": attached}});
        self.with(|scene| scene.attachments.push(attachment))
    }

    fn being_detached(self) -> Self {
        self.with(|scene| {
            scene.attachments[0]["metadata"]["deletionTimestamp"] = json!("2026-01-04T00:00:00Z");
        })
    }

    fn without_pod(self) -> Self {
        self.with(|scene| scene.pod = None)
    }

    fn snapshot(self) -> Snapshot {
        let claims =
            [("persistentvolumeclaims", self.claim), ("persistentvolumes", self.volume), (NODES, self.node)];
        let pods = self.pod.map(|pod| ("pods", pod));
        let drivers = self.driver.map(|driver| ("csidrivers.storage.k8s.io", driver));
        let attachments = self.attachments.into_iter().map(|attachment| (STORE, attachment));
        Snapshot::of(claims.into_iter().chain(pods).chain(drivers).chain(attachments))
    }

    /// What is to be done, in words.
    fn told(self) -> String {
        let objects = self.snapshot();
        let all = nodes(&objects).flat_map(|node| changes(&objects, node));
        let words = all.map(|change| match change {
            Change::Attach(attachment) => {
                format!("attach {}", text(&attachment, "/spec/source/persistentVolumeName"))
            }
            Change::Detach(attachment) => {
                format!("detach {}", text(&attachment, "/spec/source/persistentVolumeName"))
            }
            Change::Tell(node) => {
                let listed = object::list(&node, "/status/volumesAttached").iter();
                format!("attached: {}", listed.map(|one| text(one, "/name")).collect::<Vec<_>>().join(" "))
            }
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn volumes_are_attached_for_pods_that_may_start() {
    let of_pod = |change: fn(&mut Value)| Scene::new().with(|scene| change(scene.pod.as_mut().unwrap()));
    for (name, scene, expected) in [
        ("a pod of the node", Scene::new(), "attach pv"),
        ("no CSIDriver", Scene::new().with(|scene| scene.driver = None), "attach pv"),
        (
            "a driver that does not attach",
            Scene::new()
                .with(|scene| scene.driver.as_mut().unwrap()["spec"]["attachRequired"] = json!(false)),
            "",
        ),
        ("no pod", Scene::new().without_pod(), ""),
        ("a pod of another node", of_pod(|pod| pod["spec"]["nodeName"] = json!("m")), ""),
        ("a pod that has ended", of_pod(|pod| pod["status"]["phase"] = json!("Succeeded")), ""),
        (
            "a pod that is to end",
            of_pod(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z")),
            "",
        ),
        (
            "a claim that is not bound",
            Scene::new().with(|scene| scene.claim["status"]["phase"] = json!("Pending")),
            "",
        ),
        (
            "a volume of another claim",
            Scene::new().with(|scene| scene.volume["spec"]["claimRef"]["uid"] = json!("3")),
            "",
        ),
        (
            "somebody else's claim under the name of the pod's own",
            of_pod(|pod| pod["spec"]["volumes"] = json!([{"name": "v", "ephemeral": {}}]))
                .with(|scene| scene.claim["metadata"]["name"] = json!("p-v")),
            "",
        ),
        ("a volume of no driver", Scene::new().with(|scene| scene.volume["spec"]["csi"] = Value::Null), ""),
        (
            "a node that attaches itself",
            Scene::new().with(|scene| scene.node["metadata"]["annotations"] = json!({})),
            "",
        ),
        ("asked for already", Scene::new().attachment(false), ""),
        ("on its way out", Scene::new().attachment(true).being_detached(), ""),
        ("attached to another node", Scene::new().named_attachment("csi-m", "m", true), ""),
        (
            "attached to another node as well",
            Scene::new().named_attachment("csi-m", "m", true).with(|scene| {
                scene.volume["spec"]["accessModes"] = json!(["ReadWriteMany"]);
            }),
            "attach pv",
        ),
    ] {
        assert_eq!(scene.told(), expected, "{name}");
    }
}

#[test]
fn the_node_is_told_of_what_is_attached_once_it_has_it_in_use() {
    let listed = "attached: kubernetes.io/csi/d^h";
    for (name, scene, expected) in [
        ("not attached", Scene::new().attachment(false).in_use(&[UNIQUE]), ""),
        ("attached and not in use", Scene::new().attachment(true), ""),
        ("attached and in use", Scene::new().attachment(true).in_use(&[UNIQUE]), listed),
        ("told", Scene::new().attachment(true).in_use(&[UNIQUE]).listed(&[UNIQUE]), ""),
        ("in use no more", Scene::new().attachment(true).listed(&[UNIQUE]), ""),
        (
            "attached no more",
            Scene::new().attachment(false).in_use(&[UNIQUE]).listed(&[UNIQUE]),
            "attached: ",
        ),
        (
            "being detached",
            Scene::new().attachment(true).being_detached().in_use(&[UNIQUE]).listed(&[UNIQUE]),
            "attached: ",
        ),
        ("lost", Scene::new().in_use(&[UNIQUE]).listed(&[UNIQUE]), "attach pv, attached: "),
        (
            "a disk of the network",
            Scene::new().attachment(false).in_use(&[ISCSI]),
            "attached: kubernetes.io/iscsi/10.0.0.1:iqn:0",
        ),
        ("a disk that is in use no more", Scene::new().attachment(false).listed(&[ISCSI]), "attached: "),
        ("of others", Scene::new().attachment(false).in_use(&[FOREIGN]), ""),
        ("of others, told by others", Scene::new().attachment(false).listed(&[FOREIGN]), ""),
        (
            "nonsense",
            Scene::new().attachment(true).in_use(&["", "kubernetes.io/csi/", "kubernetes.io/csi/d"]),
            "",
        ),
    ] {
        assert_eq!(scene.told(), expected, "{name}");
    }
}

#[test]
fn nothing_is_detached_that_a_pod_has_or_that_is_in_use() {
    let free = || Scene::new().without_pod().attachment(true);
    let of_former_node = || {
        free().with(|scene| {
            scene.attachments[0]["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        })
    };
    let ended = Scene::new().attachment(true).with(|scene| {
        scene.pod.as_mut().unwrap()["status"]["phase"] = json!("Failed");
    });
    let ending = Scene::new().attachment(true).with(|scene| {
        scene.pod.as_mut().unwrap()["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z");
    });
    for (name, scene, expected) in [
        ("nobody's", free(), "detach pv"),
        ("nobody's, and told", free().listed(&[UNIQUE]), "attached: , detach pv"),
        ("in use", free().in_use(&[UNIQUE]).listed(&[UNIQUE]), ""),
        (
            "in use, of a volume that is gone",
            free()
                .in_use(&[UNIQUE])
                .listed(&[UNIQUE])
                .with(|scene| scene.volume = json!({"metadata": {"name": "other"}})),
            "",
        ),
        ("of a pod that has ended", ended.clone(), "detach pv"),
        ("of a pod that has ended, in use", ended.in_use(&[UNIQUE]).listed(&[UNIQUE]), ""),
        ("of a pod that is to end", ending, ""),
        ("never attached", Scene::new().without_pod().attachment(false), "detach pv"),
        ("on its way out", free().being_detached(), ""),
        ("of a Node that was made anew", of_former_node(), ""),
        (
            "of a Node that was made anew and had it in use",
            of_former_node().listed(&[UNIQUE]),
            "attached: , detach pv",
        ),
        ("of another node", Scene::new().without_pod().named_attachment(&own(), "m", true), ""),
        ("of another hand", Scene::new().without_pod().named_attachment("by-hand", "n", true), ""),
        (
            "of a node that attaches itself",
            free().with(|scene| scene.node["metadata"]["annotations"] = json!({})),
            "",
        ),
    ] {
        assert_eq!(scene.told(), expected, "{name}");
    }
}

#[test]
fn what_is_made_is_as_other_control_planes_make_it() {
    let objects = Scene::new().snapshot();
    let node = objects.get(NODES, "", "n").unwrap();
    let [Change::Attach(made)] = &*changes(&objects, node) else { panic!() };
    assert_eq!(object::name(made), own());
    // sha256sum of "hdn".
    assert_eq!(own(), "csi-9072ed11cc1acb5fa433a877ff339b6311d013f33bddd1d0092711a8ace5b16d");
    assert_eq!(
        made["spec"],
        json!({"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "pv"}})
    );
}
