//! What is known of each path, and which are being looked at.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Ask, Finds, Found, How, lock};
use crate::moment::Moment;

/// How long a path is remembered that nobody asks for.
const KEPT: Duration = Duration::from_secs(600);

/// All paths.
#[derive(Debug, Default)]
pub(super) struct Slots {
    paths: HashMap<PathBuf, Slot>,
    /// Told of each look that ends.
    ended: Arc<Notify>,
}

#[derive(Debug)]
struct Slot {
    last: Option<Found>,
    /// How long the last look took.
    took: Duration,
    /// Since when it is being looked at, if it is.
    busy: Option<Moment>,
    asked: Moment,
}

/// A path that is being looked at. Dropping it ends the look.
pub(super) struct Busy {
    pub(super) ask: Ask,
    /// How long the last look took.
    pub(super) took: Duration,
    slots: Arc<Mutex<Slots>>,
}

impl Busy {
    /// Writes down what was found.
    pub(super) fn found(&self, found: Found, took: Duration) {
        if let Some(slot) = lock(&self.slots).paths.get_mut(&self.ask.path) {
            slot.last = Some(found);
            slot.took = took;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.paths.get_mut(&self.ask.path) {
            slot.busy = None;
        }
        slots.ended.notify_waiters();
    }
}

impl Slots {
    /// Those of `asks` that have to be looked at now, and that nobody looks at. They are being looked at from now on.
    pub(super) fn take_due(shared: &Arc<Mutex<Self>>, asks: &[Ask], now: Moment) -> Vec<Busy> {
        let mut slots = lock(shared);
        slots.paths.retain(|_, slot| slot.busy.is_some() || now.since(slot.asked) < KEPT);
        let mut due = Vec::new();
        for ask in asks {
            let new = || Slot { last: None, took: Duration::ZERO, busy: None, asked: now };
            let slot = slots.paths.entry(ask.path.clone()).or_insert_with(new);
            slot.asked = now;
            if slot.busy.is_none() && !slot.last.is_some_and(|last| will_do(&last, ask, now)) {
                slot.busy = Some(now);
                due.push(Busy { ask: ask.clone(), took: slot.took, slots: Arc::clone(shared) });
            }
        }
        due
    }

    /// What tells of each look that ends.
    pub(super) fn ended(&self) -> Arc<Notify> {
        Arc::clone(&self.ended)
    }

    /// Whether somebody looks for what `asks` want, and has not done so for `patience` yet.
    pub(super) fn is_awaited(&self, asks: &[Ask], begun: Moment, patience: Duration) -> bool {
        asks.iter().filter_map(|ask| Some((ask, self.paths.get(&ask.path)?))).any(|(ask, slot)| {
            let under_way = slot.busy.is_some_and(|since| Moment::now().since(since) < patience);
            under_way && !slot.last.is_some_and(|last| will_do(&last, ask, begun))
        })
    }

    /// What is known for `asks` by those who began to look at `begun`.
    pub(super) fn answer(&self, asks: &[Ask], begun: Moment) -> Finds {
        let mut answered = HashSet::new();
        let mut found = Finds::new();
        for ask in asks.iter().filter(|ask| answered.insert(&ask.path)) {
            let Some(last) = self.paths.get(&ask.path).and_then(|slot| slot.last) else { continue };
            // A file system that hangs is not shown as it was; a large directory is, with its time.
            if ask.how != How::Full || will_do(&last, ask, begun) {
                found.insert(ask.path.clone(), last);
            }
        }
        found
    }
}

/// Whether `last` answers `ask` for one who asks at `now`.
fn will_do(last: &Found, ask: &Ask, now: Moment) -> bool {
    let fresh = last.moment.since_boot >= now.since_boot || now.since(last.moment) < ask.max_age;
    fresh && (ask.how == How::Full || last.below.is_some())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use linux::diskuse::DiskUse;
    use linux::statfs::FsUsage;

    use super::*;

    fn at(secs: u64) -> Moment {
        Moment { since_boot: Duration::from_secs(secs), ..Moment::now() }
    }

    fn ask(how: How, max_age: u64) -> Ask {
        Ask { path: "/v".into(), how, quick: false, max_age: Duration::from_secs(max_age) }
    }

    fn found(secs: u64, below: bool) -> Found {
        Found { moment: at(secs), fs: FsUsage::default(), below: below.then(DiskUse::default) }
    }

    #[test]
    fn one_look_at_a_time() {
        let slots = Arc::new(Mutex::new(Slots::default()));
        let asks = [ask(How::Below, 60)];
        let first = Slots::take_due(&slots, &asks, at(100));
        assert_eq!(first.len(), 1);
        assert!(Slots::take_due(&slots, &asks, at(300)).is_empty(), "it hangs");
        assert!(lock(&slots).answer(&asks, at(300)).is_empty());
        first[0].found(found(400, true), Duration::from_secs(300));
        drop(first);
        assert!(Slots::take_due(&slots, &asks, at(459)).is_empty(), "it is known");
        let again = Slots::take_due(&slots, &asks, at(460));
        assert_eq!(again[0].took, Duration::from_secs(300));
        drop(again);
        assert_eq!(Slots::take_due(&slots, &asks, at(460)).len(), 1, "a look that failed is made again");
    }

    #[test]
    fn what_is_too_old_is_shown_of_directories_alone() {
        let slots = Arc::new(Mutex::new(Slots::default()));
        for busy in Slots::take_due(&slots, &[ask(How::Below, 60)], at(100)) {
            busy.found(found(100, true), Duration::ZERO);
        }
        let slots = lock(&slots);
        for (how, now, shown) in [
            (How::Below, 1000, true),
            (How::Full, 1000, false),
            (How::Full, 159, true),
            (How::Full, 100, true),
        ] {
            let finds = slots.answer(&[ask(how, 60)], at(now));
            assert_eq!(finds.contains_key(Path::new("/v")), shown, "{how:?} at {now}");
        }
    }

    #[test]
    fn how_full_it_is_does_not_answer_what_is_below() {
        let slots = Arc::new(Mutex::new(Slots::default()));
        for busy in Slots::take_due(&slots, &[ask(How::Full, 60)], at(100)) {
            busy.found(found(100, false), Duration::ZERO);
        }
        assert_eq!(Slots::take_due(&slots, &[ask(How::Below, 60)], at(101)).len(), 1);
    }

    #[test]
    fn forgotten_when_nobody_asks() {
        let slots = Arc::new(Mutex::new(Slots::default()));
        drop(Slots::take_due(&slots, &[ask(How::Full, 60)], at(0)));
        let hanging = Slots::take_due(&slots, &[Ask { path: "/hangs".into(), ..ask(How::Full, 60) }], at(0));
        drop(Slots::take_due(&slots, &[], at(599)));
        assert_eq!(lock(&slots).paths.len(), 2);
        drop(Slots::take_due(&slots, &[], at(600)));
        assert_eq!(lock(&slots).paths.keys().collect::<Vec<_>>(), [Path::new("/hangs")]);
        drop(hanging);
    }
}
