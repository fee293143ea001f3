//! A node in which everything that can go wrong does, at random: calls fail, hang, are done late or never, and berth is
//! killed between any two steps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Desired, Step, Target, Wish, next, target};
use crate::place::{Known, Place, Shown};
use crate::plan::Actual;

const PODS: [&str; 3] = ["a", "b", "c"];

/// How a call to the driver ends.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Ending {
    /// It is done.
    Done,
    /// It is refused, and was not done.
    Refused,
    /// There is no answer; it is done later, or never.
    Pending,
    /// It is done, and the answer is lost.
    Lost,
}

#[derive(Clone, Debug)]
enum Event {
    /// One step, with this ending if it is a call.
    Step(Ending),
    /// berth is killed and starts again.
    Kill,
    /// What was pending is done now.
    Late,
    /// A pod comes, if it was never there.
    Come(usize),
    /// A pod goes, if it is there.
    Go(usize),
}

/// One place, as it really is.
#[derive(Clone, Default, Debug)]
struct Spot {
    shown: Shown,
    known: Known,
    /// Calls for whose end nobody waits: whether each makes or takes away.
    pending: Vec<bool>,
}

impl Spot {
    fn place(&self) -> Place {
        Place::of(self.shown, self.known)
    }

    /// Directory and note are made.
    fn prepare(&mut self) {
        self.known = self.place().prepared();
        self.shown.directory = true;
        self.shown.note = true;
    }

    /// The driver is asked to make it, or to take it away. It does one thing at a time with a volume: that a call was
    /// done means that those before it have ended.
    fn ask(&mut self, make: bool, ending: Ending) {
        let before = std::mem::replace(&mut self.known, Known::Asked);
        match ending {
            Ending::Done => {
                self.pending.clear();
                self.shown.mounted = make;
                self.known = if make { Known::Done { mounted: true } } else { Known::Undone };
            }
            Ending::Refused if before == Known::Fresh => self.known = Known::Undone,
            Ending::Refused => {}
            Ending::Pending => self.pending.push(make),
            Ending::Lost => {
                self.pending.clear();
                self.shown.mounted = make;
            }
        }
    }

    fn late(&mut self) {
        for make in std::mem::take(&mut self.pending) {
            self.shown.mounted = make;
        }
    }

    fn forget(&mut self) {
        assert!(!self.shown.mounted, "a directory is removed that is a mount point");
        assert!(self.pending.is_empty(), "a directory is removed on which something may still be mounted");
        *self = Self::default();
    }
}

#[derive(Clone, Default, Debug)]
struct Node {
    staged: Spot,
    targets: BTreeMap<Target, Spot>,
    wishes: BTreeMap<Target, Wish>,
}

impl Node {
    fn next(&self) -> Option<Step> {
        let published = self.targets.iter().map(|(target, spot)| (target.clone(), spot.place())).collect();
        let desired = Desired { wishes: self.wishes.clone(), keep_staged: false };
        next(&desired, &Actual { staged: self.staged.place(), published }, true)
    }

    fn spots(&mut self) -> impl Iterator<Item = &mut Spot> {
        self.targets.values_mut().chain([&mut self.staged])
    }

    fn take(&mut self, step: Step, ending: Ending) {
        match step {
            Step::PrepareStaging => self.staged.prepare(),
            Step::Stage => {
                assert!(self.staged.shown.note, "staged without a note");
                self.staged.ask(true, ending);
            }
            Step::PrepareTarget(target) => self.targets.entry(target).or_default().prepare(),
            Step::Publish(target) => {
                assert!(self.staged.shown.mounted, "published without being staged");
                let spot = self.targets.get_mut(&target).unwrap();
                assert!(spot.shown.note, "published without a note");
                spot.ask(true, ending);
                spot.shown.mark = ending == Ending::Done;
            }
            Step::Unpublish(target) => {
                assert_eq!(self.wishes.get(&target), Some(&Wish::Leaving), "unpublished though wanted");
                let spot = self.targets.get_mut(&target).unwrap();
                spot.shown.mark = false;
                spot.ask(false, ending);
            }
            Step::ForgetTarget(target) => self.targets.get_mut(&target).unwrap().forget(),
            Step::Unstage => {
                for (target, spot) in &self.targets {
                    assert!(!spot.shown.mounted, "unstaged while {target:?} has it");
                    assert!(spot.pending.is_empty(), "unstaged while {target:?} may get it");
                }
                self.staged.ask(false, ending);
            }
            Step::ForgetStaging => self.staged.forget(),
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Step(ending) => {
                if let Some(step) = self.next() {
                    self.take(step, *ending);
                }
            }
            Event::Kill => self.spots().for_each(|spot| spot.known = Known::Unknown),
            Event::Late => self.spots().for_each(Spot::late),
            Event::Come(pod) => {
                self.wishes.entry(target(PODS[*pod])).or_insert(Wish::Wanted);
            }
            Event::Go(pod) => {
                if let Some(wish) = self.wishes.get_mut(&target(PODS[*pod])) {
                    *wish = Wish::Leaving;
                }
            }
        }
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let ending = prop_oneof![
        4 => Just(Ending::Done),
        1 => Just(Ending::Refused),
        1 => Just(Ending::Pending),
        1 => Just(Ending::Lost),
    ];
    let event = prop_oneof![
        8 => ending.prop_map(Event::Step),
        1 => Just(Event::Kill),
        1 => Just(Event::Late),
        2 => (0..PODS.len()).prop_map(Event::Come),
        1 => (0..PODS.len()).prop_map(Event::Go),
    ];
    prop::collection::vec(event, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What must never happen is asserted in the model.
    #[test]
    fn nothing_is_lost_and_all_is_well_in_the_end(events in events()) {
        let mut node = Node::default();
        for event in &events {
            node.happen(event);
        }
        // From now on all goes well.
        node.happen(&Event::Late);
        for _ in 0..40 {
            let Some(step) = node.next() else { break };
            node.take(step, Ending::Done);
        }
        prop_assert_eq!(node.next(), None);
        let mut is_used = false;
        for (target, wish) in &node.wishes {
            let spot = node.targets.get(target).cloned().unwrap_or_default();
            match wish {
                Wish::Wanted => {
                    is_used = true;
                    prop_assert!(spot.shown.mounted, "{:?} lacks it", target);
                }
                Wish::Leaving => prop_assert_eq!(spot.place(), Place::Nothing),
            }
        }
        if !is_used {
            prop_assert_eq!(node.staged.place(), Place::Nothing, "left behind");
        }
    }
}
