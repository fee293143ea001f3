//! What a user is told about the node. Pure.

use types::corev1::{Node, NodeCondition};
use types::reason::event as reason;
use types::{Event, EventKind};

use crate::object::is_schedulable;

/// What a condition's turns are called: its type, the reason when it becomes True and when it becomes False.
const TURNS: [(&str, &str, &str); 4] = [
    ("MemoryPressure", reason::NODE_HAS_INSUFFICIENT_MEMORY, reason::NODE_HAS_SUFFICIENT_MEMORY),
    ("DiskPressure", reason::NODE_HAS_DISK_PRESSURE, reason::NODE_HAS_NO_DISK_PRESSURE),
    ("PIDPressure", reason::NODE_HAS_INSUFFICIENT_PID, reason::NODE_HAS_SUFFICIENT_PID),
    ("Ready", reason::NODE_READY, reason::NODE_NOT_READY),
];

/// The events of what the agent changed: conditions that turned, and a boot. `before` is `None` for a node that was
/// created; of that, it is told how it starts out, but not that it is not ready yet.
#[must_use]
pub fn of_status(name: &str, before: Option<&Node>, after: &Node) -> Vec<Event> {
    let mut events = Vec::new();
    let boot_id = |node: &Node| Some(node.status.as_ref()?.node_info.as_ref()?.boot_id.clone());
    let old_boot = before.and_then(boot_id).filter(|id| !id.is_empty());
    if let Some((old, new)) = old_boot.zip(boot_id(after))
        && old != new
    {
        let message = format!("the machine of node {name} was booted; its boot id is {new}");
        events.push(Event::node(EventKind::Warning, reason::REBOOTED, message));
    }
    for (type_, on, off) in TURNS {
        let (old, new) = (before.and_then(|node| status(node, type_)), status(after, type_));
        if old == new || (old.is_none() && new == Some("False") && type_ == "Ready") {
            continue;
        }
        match new {
            Some("True") => events.push(now_is(name, on)),
            Some("False") => events.push(now_is(name, off)),
            _ => {}
        }
    }
    events
}

/// The event of an administrator's `kubectl cordon` or `uncordon` between two versions of the node.
#[must_use]
pub fn of_cordon(name: &str, before: &Node, after: &Node) -> Option<Event> {
    let schedulable = is_schedulable(after);
    let reason = if schedulable { reason::NODE_SCHEDULABLE } else { reason::NODE_NOT_SCHEDULABLE };
    (schedulable != is_schedulable(before)).then(|| now_is(name, reason))
}

fn now_is(name: &str, reason: &'static str) -> Event {
    Event::node(EventKind::Normal, reason, format!("node {name} is now {reason}"))
}

fn status<'a>(node: &'a Node, type_: &str) -> Option<&'a str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let condition: &NodeCondition = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some(&condition.status)
}

#[cfg(test)]
mod tests {
    use types::corev1::NodeSpec;

    use std::borrow::Cow;

    use super::*;
    use crate::facts::Pressure;
    use crate::object::{Registration, initial, kept};
    use crate::testing::{Scene, later, now, runtime};

    fn reasons(before: Option<&Node>, after: &Node) -> Vec<Cow<'static, str>> {
        of_status("node-1", before, after).into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn turns_are_told_once() {
        let mut scene = Scene::ready();
        scene.runtime = runtime(false, true);
        let created = initial(&Registration::default(), scene.inputs(), now());
        assert_eq!(
            reasons(None, &created),
            ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]
        );
        scene.runtime = runtime(true, true);
        let ready = kept(&created, scene.inputs(), later(1));
        assert_eq!(reasons(Some(&created), &ready), ["NodeReady"]);
        assert_eq!(reasons(Some(&ready), &kept(&ready, scene.inputs(), later(2))), Vec::<&str>::new());

        scene.strain.pressures.insert(Pressure::Disk);
        scene.runtime = runtime(true, false);
        let bad = kept(&ready, scene.inputs(), later(3));
        assert_eq!(reasons(Some(&ready), &bad), ["NodeHasDiskPressure", "NodeNotReady"]);
    }

    #[test]
    fn a_boot_is_a_warning() {
        let mut scene = Scene::ready();
        let before = initial(&Registration::default(), scene.inputs(), now());
        scene.facts.machine.boot_id = "boot-2".to_owned();
        let after = kept(&before, scene.inputs(), later(1));
        let events = of_status("node-1", Some(&before), &after);
        assert_eq!((events.len(), &*events[0].reason, events[0].kind), (1, "Rebooted", EventKind::Warning));
        assert!(events[0].message.ends_with("boot-2"));
        let bare = Node { status: None, ..before };
        assert!(!reasons(Some(&bare), &after).contains(&"Rebooted".into()));
    }

    #[test]
    fn cordons() {
        let node = |unschedulable| {
            let spec = NodeSpec { unschedulable, ..NodeSpec::default() };
            Node { spec: Some(spec), ..Node::default() }
        };
        for (before, after, expected) in [
            (None, Some(true), Some("NodeNotSchedulable")),
            (Some(true), None, Some("NodeSchedulable")),
            (Some(true), Some(false), Some("NodeSchedulable")),
            (None, Some(false), None),
            (Some(true), Some(true), None),
        ] {
            let event = of_cordon("n", &node(before), &node(after));
            assert_eq!(event.as_ref().map(|event| &*event.reason), expected);
        }
    }
}
