//! How many volumes pods are to have, and have. Nothing is decided by it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telemetry::metrics::{Declaration, MetricKind, Registry, Stability};
use types::PodUid;

/// The family.
pub const TOTAL_VOLUMES: Declaration = Declaration {
    name: "volume_manager_total_volumes",
    help: "Volumes that containers of pods use, by plugin, and by whether they are to be there (desired_state_of_world) or are \
           (actual_state_of_world).",
    stability: Stability::Alpha,
    kind: MetricKind::Gauge,
    labels: &["plugin_name", "state"],
};

/// The plugin of a volume of which it is not known yet.
const UNKNOWN: &str = "N/A";

/// The volumes of all pods. Clones are the same.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally(Arc<Mutex<HashMap<PodUid, OfPod>>>);

#[derive(Default, Debug)]
struct OfPod {
    /// The pod uses them no longer.
    leaves: bool,
    /// By their names in the pod.
    volumes: HashMap<String, OfVolume>,
}

#[derive(Default, Debug)]
struct OfVolume {
    plugin: Option<String>,
    made: bool,
}

impl Tally {
    /// Whether nothing was said of the pod yet.
    pub(crate) fn is_new(&self, pod: &PodUid) -> bool {
        !self.lock().contains_key(pod)
    }

    /// `pod` is to have the volume `name`.
    pub(crate) fn wants(&self, pod: &PodUid, name: &str, plugin: Option<&str>) {
        let mut all = self.lock();
        let volume = all.entry(pod.clone()).or_default().volumes.entry(name.to_owned()).or_default();
        if volume.plugin.is_none() {
            volume.plugin = plugin.map(str::to_owned);
        }
    }

    /// `pod` has it, of which [`Tally::wants`] was said. Returns whether its plugin is known.
    pub(crate) fn has(&self, pod: &PodUid, name: &str) -> bool {
        let mut all = self.lock();
        let volume = all.get_mut(pod).and_then(|of| of.volumes.get_mut(name));
        volume.is_none_or(|volume| {
            volume.made = true;
            volume.plugin.is_some()
        })
    }

    /// The volume `name`, which `pod` has, is of this plugin.
    pub(crate) fn is_of(&self, pod: &PodUid, name: &str, plugin: String) {
        if let Some(volume) = self.lock().get_mut(pod).and_then(|of| of.volumes.get_mut(name)) {
            volume.plugin = Some(plugin);
        }
    }

    /// `pod` is to have none any more.
    pub(crate) fn leaves(&self, pod: &PodUid) {
        if let Some(of) = self.lock().get_mut(pod) {
            of.leaves = true;
        }
    }

    /// `pod` has none any more.
    pub(crate) fn forget(&self, pod: &PodUid) {
        self.lock().remove(pod);
    }

    /// Has `registry` show how many there are.
    pub(crate) fn expose(&self, registry: &Registry) {
        let this = self.clone();
        registry.collector(Box::new(move |encoder| {
            let mut family = encoder.declared(&TOTAL_VOLUMES);
            for ((plugin, state), count) in this.counts() {
                family.sample(&[("plugin_name", &plugin), ("state", state)], f64::from(count));
            }
        }));
    }

    fn counts(&self) -> BTreeMap<(String, &'static str), u32> {
        let mut counts = BTreeMap::new();
        for of in self.lock().values() {
            for volume in of.volumes.values() {
                let plugin = volume.plugin.as_deref().unwrap_or(UNKNOWN);
                let states = [("actual_state_of_world", volume.made), ("desired_state_of_world", !of.leaves)];
                for (state, _) in states.into_iter().filter(|(_, is)| *is) {
                    *counts.entry((plugin.to_owned(), state)).or_default() += 1;
                }
            }
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, OfPod>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_first_wish_to_the_end() {
        let (tally, pod) = (Tally::default(), PodUid::from("u"));
        let counts = |tally: &Tally| -> Vec<String> {
            let counts = tally.counts().into_iter();
            counts.map(|((plugin, state), count)| format!("{plugin} {} {count}", &state[..1])).collect()
        };
        assert!(tally.is_new(&pod));
        tally.wants(&pod, "a", Some("dir"));
        tally.wants(&pod, "b", Some("dir"));
        tally.wants(&pod, "c", None);
        assert_eq!(counts(&tally), ["N/A d 1", "dir d 2"]);
        assert_eq!((tally.has(&pod, "a"), tally.has(&pod, "c")), (true, false));
        tally.is_of(&pod, "c", "csi".to_owned());
        tally.wants(&pod, "c", None);
        assert!(tally.has(&pod, "c"));
        assert_eq!(counts(&tally), ["csi a 1", "csi d 1", "dir a 1", "dir d 2"]);
        tally.leaves(&pod);
        assert_eq!(counts(&tally), ["csi a 1", "dir a 1"]);
        assert!(!tally.is_new(&pod));
        tally.forget(&pod);
        assert!(tally.has(&pod, "a"), "nothing is to be found out of it");
        tally.is_of(&pod, "a", "dir".to_owned());
        assert_eq!(counts(&tally), Vec::<String>::new());
    }
}
