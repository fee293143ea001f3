//! Events are one kind with two faces: `v1`, in which they are stored, and `events.k8s.io/v1`.

use serde_json::Value;

use super::View;
use crate::object;

/// Fields by their name in `v1` and in `events.k8s.io/v1`.
const NAMES: [(&str, &str); 6] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];
const COMPONENT: (&str, &str) = ("reportingComponent", "reportingController");

pub(super) const VIEW: View = View { show, store };

fn show(event: &Value) -> Value {
    let mut event = event.clone();
    let map = object::as_map(&mut event);
    for (core, events) in NAMES.into_iter().chain([COMPONENT]) {
        if let Some(value) = map.remove(core) {
            map.insert(events.to_owned(), value);
        }
    }
    map.insert("apiVersion".to_owned(), "events.k8s.io/v1".into());
    event
}

fn store(mut event: Value) -> Value {
    let map = object::as_map(&mut event);
    for (core, events) in NAMES.into_iter().chain([COMPONENT]) {
        if let Some(value) = map.remove(events) {
            map.insert(core.to_owned(), value);
        }
    }
    // The types of `v1` have these in every event.
    object::map_in(map, "involvedObject");
    map.insert("apiVersion".to_owned(), "v1".into());
    event
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_and_back() {
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": {"name": "a"}, "note": "n",
            "reason": "R", "reportingController": "c", "deprecatedCount": 3});
        let stored = store(event.clone());
        assert_eq!(stored["involvedObject"]["name"], "a");
        assert_eq!(stored["message"], "n");
        assert_eq!(stored["reportingComponent"], "c");
        assert_eq!(show(&stored), event);
    }
}
