//! What of a node is news, and the strategic merge patch that tells it. Pure.

use serde_json::{Map, Value, json};
use types::corev1::{Node, NodeCondition, NodeStatus};

use crate::status::OWNED;

/// The fields of the status that the node agent writes, but for conditions and addresses, which are merged otherwise.
const FIELDS: [&str; 9] = [
    "allocatable",
    "capacity",
    "daemonEndpoints",
    "declaredFeatures",
    "features",
    "images",
    "nodeInfo",
    "runtimeHandlers",
    "volumesInUse",
];

/// How much there is to tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum News {
    /// Nothing but that the node lives.
    None,
    /// Something that can wait until the next report.
    Some,
    /// A condition holds that did not, or the other way round: pods come and go by it. Or other volumes are in use: pods
    /// wait for that here, and elsewhere for a volume that is used here no longer.
    Urgent,
}

/// What the API server did not take over when it was told: fields that its version does not have.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Unheard(Map<String, Value>);

impl Unheard {
    /// What of `told` is not in the server's `answer`.
    #[must_use]
    pub fn of(answer: &Node, told: &Node) -> Self {
        let mut unheard = changes(answer, told);
        // Every server knows this one. What it says otherwise is put right.
        if let Some(Value::Object(status)) = unheard.get_mut("status") {
            status.remove("volumesInUse");
            if status.is_empty() {
                unheard.remove("status");
            }
        }
        Self(unheard)
    }
}

/// How much of `after` is new to somebody who knows `before`. Heartbeats are no news, nor is what went `unheard` already.
#[must_use]
pub fn news(before: &Node, after: &Node, unheard: &Unheard) -> News {
    let none = NodeStatus::default();
    let (old, new) = (before.status.as_ref().unwrap_or(&none), after.status.as_ref().unwrap_or(&none));
    let statuses = |status| owned(status).map(|(place, condition)| (place, condition.status.as_str()));
    if !statuses(old).eq(statuses(new)) || old.volumes_in_use != new.volumes_in_use {
        return News::Urgent;
    }
    let text = |condition: &NodeCondition| {
        let since = condition.last_transition_time.clone();
        (condition.reason.clone(), condition.message.clone(), since)
    };
    let said = |status| owned(status).map(move |(_, condition)| text(condition));
    let changes = changes(before, after);
    let heard = changes.is_empty() || changes == unheard.0;
    let same = said(old).eq(said(new)) && old.addresses == new.addresses && heard;
    if same { News::None } else { News::Some }
}

/// The strategic merge patch, for the status of the node, that makes `after` of `before`. All owned conditions are in it,
/// since it is a heartbeat too.
#[must_use]
pub fn body(before: &Node, after: &Node) -> Value {
    let none = NodeStatus::default();
    let (old, new) = (before.status.as_ref().unwrap_or(&none), after.status.as_ref().unwrap_or(&none));
    let mut patch = changes(before, after);
    let conditions: Vec<Value> = owned(new).map(|(_, condition)| json!(condition)).collect();
    let status = patch.entry("status").or_insert_with(|| json!({}));
    status["conditions"] = conditions.into();
    if old.addresses != new.addresses {
        let mut addresses: Vec<Value> =
            new.addresses.iter().flatten().map(|address| json!(address)).collect();
        // The API merges addresses by their type, of which there may be two.
        if old.addresses.iter().flatten().next().is_some() {
            addresses.push(json!({ "$patch": "replace" }));
        }
        status["addresses"] = addresses.into();
    }
    patch.into()
}

/// The owned conditions, each with its place in [`OWNED`], in that order.
fn owned(status: &NodeStatus) -> impl Iterator<Item = (usize, &NodeCondition)> {
    OWNED.into_iter().enumerate().filter_map(|(place, type_)| {
        let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == type_)?;
        Some((place, condition))
    })
}

/// What is merged plainly: labels, annotations, and the fields of the status.
fn changes(before: &Node, after: &Node) -> Map<String, Value> {
    let mut patch = Map::new();
    for (part, fields) in [("metadata", &["labels", "annotations"][..]), ("status", &FIELDS[..])] {
        let (before, after) = match part {
            "metadata" => (json!(before.metadata), json!(after.metadata)),
            _ => (json!(before.status), json!(after.status)),
        };
        let mut changed = Map::new();
        for field in fields {
            if let Some(change) = difference(before.get(field), after.get(field)) {
                changed.insert((*field).to_owned(), change);
            }
        }
        if !changed.is_empty() {
            patch.insert(part.to_owned(), changed.into());
        }
    }
    patch
}

/// What a merge patch has to say to make `after` of `before`; `None` if they are the same.
fn difference(before: Option<&Value>, after: Option<&Value>) -> Option<Value> {
    match (before, after) {
        (before, after) if before == after => None,
        (_, None) => Some(Value::Null),
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
            let changed =
                keys.filter_map(|key| Some((key.clone(), difference(before.get(key), after.get(key))?)));
            Some(Value::Object(changed.collect()))
        }
        (_, Some(after)) => Some(after.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::facts::{Obstacle, Pressure, Strain};
    use crate::object::{Registration, initial, kept};
    use crate::testing::{Scene, image, later, merge, now, runtime};

    fn node(scene: &Scene) -> Node {
        initial(&Registration::default(), scene.inputs(), now())
    }

    fn news(before: &Node, after: &Node) -> News {
        super::news(before, after, &Unheard::default())
    }

    #[test]
    fn what_an_old_server_drops_is_told_once() {
        let mut scene = Scene::ready();
        let told = node(&scene);
        let mut answer = told.clone();
        answer.status.as_mut().unwrap().declared_features = None;
        let again = kept(&answer, scene.inputs(), now());
        assert_eq!(news(&answer, &again), News::Some);
        let unheard = Unheard::of(&answer, &told);
        assert_eq!(super::news(&answer, &again, &unheard), News::None);
        scene.facts.port += 1;
        let changed = kept(&answer, scene.inputs(), now());
        assert_eq!(super::news(&answer, &changed, &unheard), News::Some);
    }

    #[test]
    fn a_heartbeat_has_the_conditions_only() {
        let scene = Scene::ready();
        let before = node(&scene);
        let after = kept(&before, scene.inputs(), later(300));
        assert_eq!(news(&before, &after), News::None);
        let body = body(&before, &after);
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["status"]);
        assert_eq!(body["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["conditions"]);
        assert_eq!(body["status"]["conditions"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_condition_that_turns_is_urgent_and_a_new_message_is_not() {
        let mut scene = Scene::ready();
        let before = node(&scene);
        scene.runtime = runtime(false, true);
        let down = kept(&before, scene.inputs(), later(1));
        assert_eq!(news(&before, &down), News::Urgent);
        scene.runtime.reasons = vec!["another one".to_owned()];
        assert_eq!(news(&down, &kept(&down, scene.inputs(), later(2))), News::Some);
    }

    #[test]
    fn volumes_in_use_are_urgent_and_every_server_knows_them() {
        let mut scene = Scene::ready();
        let before = node(&scene);
        let volumes = std::collections::BTreeMap::from([("v".to_owned(), 1)]);
        scene.in_use = Some(crate::InUse { generation: 1, volumes });
        let after = kept(&before, scene.inputs(), now());
        assert_eq!(news(&before, &after), News::Urgent);
        assert_eq!(body(&before, &after)["status"]["volumesInUse"], serde_json::json!(["v"]));
        assert_eq!(body(&after, &before)["status"]["volumesInUse"], Value::Null);
        let unheard = Unheard::of(&before, &after);
        assert_eq!(super::news(&before, &after, &unheard), News::Urgent);
    }

    #[test]
    fn addresses_are_replaced_as_a_whole() {
        let mut scene = Scene::ready();
        let before = node(&scene);
        scene.facts.addresses.internal.push("fd00::1".parse().unwrap());
        let after = kept(&before, scene.inputs(), now());
        assert_eq!(news(&before, &after), News::Some);
        let replaced = body(&before, &after)["status"]["addresses"].clone();
        assert_eq!(
            replaced,
            json!([
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "InternalIP", "address": "fd00::1"},
                {"type": "Hostname", "address": "node-1"},
                {"$patch": "replace"},
            ])
        );
        let bare = Node { status: None, ..before };
        assert_eq!(body(&bare, &after)["status"]["addresses"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn what_is_gone_is_null() {
        let mut scene = Scene::ready();
        scene.facts.machine.swap_bytes = 5;
        let before = node(&scene);
        scene.facts.machine.swap_bytes = 0;
        scene.facts.capacity.retain(|name, _| !name.starts_with("hugepages"));
        let body = body(&before, &kept(&before, scene.inputs(), now()));
        assert_eq!(body["status"]["nodeInfo"], json!({"swap": null}));
        assert_eq!(body["status"]["capacity"], json!({"hugepages-2Mi": null}));
    }

    prop_compose! {
        fn scenes()(
            ready: bool, network: bool, pressures in prop::collection::btree_set(0..3usize, 0..3),
            obstacle in prop::option::of("[a-z]{1,4}"), images in prop::option::of(prop::collection::vec(0..5u64, 0..5)),
            ips in prop::sample::subsequence(vec!["10.0.0.1", "10.0.0.2", "fd00::1"], 0..3),
            cloud: bool, given: bool, port in 0..3u16, swap in 0..2u64, huge: bool, boot in 0..2u8,
            runtime_known: bool, features in prop::collection::vec("[AB]", 0..2),
        ) -> Scene {
            let mut scene = Scene::ready();
            if runtime_known {
                scene.runtime = runtime(ready, network);
            } else {
                scene.runtime = crate::RuntimeHealth::unknown(now());
                scene.facts.runtime = None;
            }
            let all = [Pressure::Memory, Pressure::Disk, Pressure::Pid];
            let pressures: BTreeSet<Pressure> = pressures.into_iter().map(|n| all[n]).collect();
            let obstacles = obstacle.into_iter().map(|why| (Obstacle::Storage, why)).collect();
            scene.strain = Strain { pressures, obstacles };
            scene.facts.images = images
                .map(|sizes| Arc::new(sizes.into_iter().map(|size| image(&format!("sha256:{size}"), size)).collect()));
            let ips: Vec<std::net::IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
            scene.facts.addresses = crate::Addresses {
                given: if given { ips.clone() } else { Vec::new() }, internal: ips, external_cloud: cloud,
            };
            scene.facts.port = port;
            scene.facts.machine.swap_bytes = swap;
            scene.facts.machine.boot_id = format!("boot-{boot}");
            scene.facts.declared_features = features;
            if !huge {
                scene.facts.capacity.retain(|name, _| !name.starts_with("hugepages"));
                scene.facts.allocatable.retain(|name, _| !name.starts_with("hugepages"));
            }
            scene
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn the_patch_makes_the_new_node_of_the_old(first in scenes(), second in scenes(), bare: bool) {
            let mut before = node(&first);
            if bare {
                before.status = None;
            }
            let theirs = json!({"type": "NetworkUnavailable", "status": "False"});
            let theirs: NodeCondition = serde_json::from_value(theirs).unwrap();
            before.status.get_or_insert_default().conditions.get_or_insert_default().insert(0, theirs);
            let after = kept(&before, second.inputs(), later(60));
            let patched: Node = merge(&before, &body(&before, &after));
            prop_assert_eq!(&patched, &after);
            prop_assert_eq!(news(&patched, &kept(&patched, second.inputs(), later(120))), News::None);
        }
    }
}
