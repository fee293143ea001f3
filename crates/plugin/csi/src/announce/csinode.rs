//! The node's CSINode object.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use types::k8s::api::storage::v1::{CSINode, CSINodeDriver, CSINodeSpec, VolumeNodeResources};
use types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::Known;
use crate::drivers::Registered;

/// The annotation with the in-tree plugins in whose place CSI drivers are used on the node (KEP-625).
pub const MIGRATED: &str = "storage.alpha.kubernetes.io/migrated-plugins";

/// Those of Kubernetes 1.36, sorted.
const PLUGINS: &str = "kubernetes.io/aws-ebs,kubernetes.io/azure-disk,kubernetes.io/azure-file,kubernetes.io/cinder,\
                       kubernetes.io/gce-pd,kubernetes.io/portworx-volume,kubernetes.io/vsphere-volume";

/// What is to be written next.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// Create it.
    Create(Box<CSINode>),
    /// Apply this strategic merge patch.
    Patch(Value),
    /// It belongs to a Node that is gone: delete the one with this UID.
    Delete {
        /// Its UID.
        uid: Option<String>,
    },
}

/// What is to be written next so that the object of the node `name`, whose Node has the UID `uid`, says what is `known`,
/// but for the drivers in `silent`; `None` if it does. Entries of others stay.
#[must_use]
pub fn next(
    existing: Option<&CSINode>,
    name: &str,
    uid: &str,
    known: &Known,
    silent: impl Fn(&str) -> bool,
) -> Option<Write> {
    let wanted =
        known.registered.iter().filter(|(name, _)| !silent(name)).map(|(name, one)| entry(name, one));
    let wanted: Vec<CSINodeDriver> = wanted.collect();
    let Some(existing) = existing else { return Some(Write::Create(Box::new(new(name, uid, wanted)))) };
    if !is_owned_by(existing, name, uid) {
        return Some(Write::Delete { uid: existing.metadata.uid.clone() });
    }
    let there = &existing.spec.drivers;
    let mut changes = Vec::new();
    for driver in &wanted {
        match there.iter().find(|entry| entry.name == driver.name) {
            None => changes.push(json!(driver)),
            Some(entry) if entry.node_id != driver.node_id || keys(entry) != keys(driver) => {
                // These cannot be changed: the entry goes, and comes anew with the next write.
                changes.push(without(&driver.name));
            }
            Some(entry) if count(entry) != count(driver) => {
                changes.push(json!({"name": driver.name, "allocatable": driver.allocatable}));
            }
            Some(_) => {}
        }
    }
    let is_gone =
        |name: &str| known.gone.contains(name) || (known.registered.contains_key(name) && silent(name));
    changes.extend(there.iter().filter(|entry| is_gone(&entry.name)).map(|entry| without(&entry.name)));
    let mut patch = Map::new();
    if !is_annotated(existing) {
        patch.insert("metadata".to_owned(), json!({"annotations": { MIGRATED: PLUGINS }}));
    }
    if !changes.is_empty() {
        patch.insert("spec".to_owned(), json!({"drivers": changes}));
    }
    if patch.is_empty() {
        return None;
    }
    patch.entry("metadata").or_insert_with(|| json!({}))["uid"] = json!(existing.metadata.uid);
    Some(Write::Patch(patch.into()))
}

fn new(name: &str, uid: &str, drivers: Vec<CSINodeDriver>) -> CSINode {
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    };
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        owner_references: Some(vec![owner]),
        annotations: Some([(MIGRATED.to_owned(), PLUGINS.to_owned())].into()),
        ..ObjectMeta::default()
    };
    CSINode { metadata, spec: CSINodeSpec { drivers } }
}

fn entry(name: &str, registered: &Registered) -> CSINodeDriver {
    let node = &registered.node;
    let keys: Vec<String> = node.topology.keys().cloned().collect();
    let count = node.max_volumes.map(|max| i32::try_from(max).unwrap_or(i32::MAX));
    CSINodeDriver {
        name: name.to_owned(),
        node_id: node.id.clone(),
        topology_keys: (!keys.is_empty()).then_some(keys),
        allocatable: count.map(|count| VolumeNodeResources { count: Some(count) }),
    }
}

fn without(driver: &str) -> Value {
    json!({"$patch": "delete", "name": driver})
}

fn keys(entry: &CSINodeDriver) -> BTreeSet<&String> {
    entry.topology_keys.iter().flatten().collect()
}

fn count(entry: &CSINodeDriver) -> Option<i32> {
    entry.allocatable.as_ref().and_then(|all| all.count)
}

fn is_owned_by(existing: &CSINode, name: &str, uid: &str) -> bool {
    let mut owners = existing.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.kind == "Node" && owner.name == name && owner.uid == uid)
}

fn is_annotated(existing: &CSINode) -> bool {
    let said = existing.metadata.annotations.as_ref().and_then(|all| all.get(MIGRATED));
    let set = |text: &str| text.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
    said.is_some_and(|said| set(said) == set(PLUGINS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::testing::known;

    fn existing(drivers: Value) -> CSINode {
        let object = json!({
            "metadata": {
                "name": "n", "uid": "c", "annotations": { MIGRATED: PLUGINS },
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
            },
            "spec": {"drivers": drivers},
        });
        serde_json::from_value(object).unwrap()
    }

    fn write(existing: Option<&CSINode>, known: &Known) -> Option<Write> {
        next(existing, "n", "u", known, |name| name == "silent")
    }

    #[test]
    fn a_new_one_belongs_to_its_node() {
        let drivers = known(&[("d", "id", 3, &[("zone", "z"), ("rack", "r")]), ("silent", "s", 0, &[])]);
        let Some(Write::Create(new)) = write(None, &drivers) else { panic!() };
        let entry = json!([{"name": "d", "nodeID": "id", "topologyKeys": ["rack", "zone"], "allocatable": {"count": 3}}]);
        assert_eq!(json!(new.spec.drivers), entry);
        assert_eq!(
            json!(new.metadata.owner_references),
            json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}])
        );
        assert_eq!(new.metadata.annotations.as_ref().unwrap()[MIGRATED], PLUGINS);
        let mut there = new.clone();
        there.metadata.uid = Some("c".into());
        assert_eq!(write(Some(&there), &drivers), None);
        let Some(Write::Create(empty)) = write(None, &known(&[])) else { panic!() };
        assert_eq!(json!(empty.spec), json!({"drivers": []}));
    }

    #[test]
    fn one_of_another_node_goes_first() {
        let mut other = existing(json!([]));
        other.metadata.owner_references.as_mut().unwrap()[0].uid = "before".into();
        let gone = Some(Write::Delete { uid: Some("c".into()) });
        assert_eq!(write(Some(&other), &known(&[])), gone);
        other.metadata.owner_references = None;
        assert_eq!(write(Some(&other), &known(&[])), gone);
    }

    #[test]
    fn entries() {
        let d = |id: &'static str, max| ("d", id, max, &[("zone", "z")][..]);
        let there =
            json!({"name": "d", "nodeID": "id", "topologyKeys": ["zone"], "allocatable": {"count": 3}});
        let theirs = json!({"name": "other", "nodeID": "x", "topologyKeys": null});
        let table = [
            (json!([there, theirs]), d("id", 3), json!(null)),
            (json!([theirs]), d("id", 3), json!([there])),
            (json!([there, theirs]), d("id", 4), json!([{"name": "d", "allocatable": {"count": 4}}])),
            (json!([there]), d("id", 0), json!([{"name": "d", "allocatable": null}])),
            (json!([there]), d("id", u32::MAX), json!([{"name": "d", "allocatable": {"count": i32::MAX}}])),
            (json!([there]), d("id-2", 3), json!([{"$patch": "delete", "name": "d"}])),
            (json!([there]), ("d", "id", 3, &[][..]), json!([{"$patch": "delete", "name": "d"}])),
            (json!([there, theirs]), d("", 0), json!([{"$patch": "delete", "name": "d"}])),
            (json!([theirs]), d("", 0), json!(null)),
        ];
        for (drivers, driver, expected) in table {
            let write = write(Some(&existing(drivers.clone())), &known(&[driver]));
            let patch = write.map(|write| match write {
                Write::Patch(patch) => patch,
                other => panic!("{other:?}"),
            });
            let expected = (!expected.is_null())
                .then(|| json!({"metadata": {"uid": "c"}, "spec": {"drivers": expected}}));
            assert_eq!(patch, expected, "{drivers} {driver:?}");
        }
        let refused = known(&[("silent", "s", 0, &[])]);
        let before = existing(json!([{"name": "silent", "nodeID": "s"}]));
        let Some(Write::Patch(patch)) = write(Some(&before), &refused) else { panic!() };
        assert_eq!(patch["spec"]["drivers"], json!([{"$patch": "delete", "name": "silent"}]));
        let mut before = existing(json!([]));
        before.metadata.annotations = None;
        let Some(Write::Patch(patch)) = write(Some(&before), &known(&[])) else { panic!() };
        assert_eq!(patch, json!({"metadata": {"uid": "c", "annotations": { MIGRATED: PLUGINS }}}));
    }
}
