//! What is to be done next with one volume: from who wants it and what is there of it. Pure.
//!
//! A volume is staged once on the node and published to each pod. What a pod wants is never unpublished, nothing is
//! unstaged while it is or may be published, and a directory is only removed when nothing is or may be mounted on it.

use std::collections::BTreeMap;

use types::PodUid;
use volume::claim::VolumeMode;

use crate::place::Place;

/// To whom a volume is published, and under which name (that of the PersistentVolume, or in the pod's spec).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Target {
    /// The pod.
    pub pod: PodUid,
    /// As what.
    pub mode: VolumeMode,
    /// The name.
    pub spec_name: String,
}

/// What is known of what a pod wants of a volume. Of whom nothing is known, nothing is touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// It is to have it.
    Wanted,
    /// It is not to have it any more: none of its containers runs.
    Leaving,
}

/// Who wants the volume.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Desired {
    /// What is known.
    pub wishes: BTreeMap<Target, Wish>,
    /// Whether it stays staged although no pod has it, since one may want it that is not among the wishes.
    pub keep_staged: bool,
}

/// What is there of the volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actual {
    /// Where it is staged.
    pub staged: Place,
    /// Where it is published: at least the targets of all wishes, and all of those that are not [`Place::Nothing`] unless
    /// it is to stay staged.
    pub published: BTreeMap<Target, Place>,
}

impl Actual {
    /// What is there at `target`.
    #[must_use]
    pub fn at(&self, target: &Target) -> Place {
        self.published.get(target).copied().unwrap_or(Place::Nothing)
    }
}

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Make the directory to stage in, with its note.
    PrepareStaging,
    /// Have the driver stage.
    Stage,
    /// Make the directory to publish in, with its note.
    PrepareTarget(Target),
    /// Have the driver publish.
    Publish(Target),
    /// Have the driver unpublish.
    Unpublish(Target),
    /// Remove the directory to publish in, with its note.
    ForgetTarget(Target),
    /// Have the driver unstage.
    Unstage,
    /// Remove the directory to stage in, with its note.
    ForgetStaging,
}

/// The next step; none when all is as it should be. `stages` says whether the driver stages at all.
#[must_use]
pub fn next(desired: &Desired, actual: &Actual, stages: bool) -> Option<Step> {
    for target in with(desired, Wish::Leaving) {
        match actual.at(target) {
            Place::Nothing => {}
            Place::Remains | Place::Prepared => return Some(Step::ForgetTarget(target.clone())),
            Place::Stray | Place::Uncertain | Place::Ready => return Some(Step::Unpublish(target.clone())),
        }
    }
    for target in with(desired, Wish::Wanted) {
        let place = actual.at(target);
        if place == Place::Ready {
            continue;
        }
        // The pod's note comes first: by it the pod's end finds what was begun for it.
        if matches!(place, Place::Nothing | Place::Remains | Place::Stray) {
            return Some(Step::PrepareTarget(target.clone()));
        }
        return Some(match actual.staged {
            Place::Nothing | Place::Remains | Place::Stray if stages => Step::PrepareStaging,
            Place::Prepared | Place::Uncertain if stages => Step::Stage,
            _ => Step::Publish(target.clone()),
        });
    }
    let is_used = with(desired, Wish::Wanted).next().is_some()
        || actual.published.values().any(|place| *place != Place::Nothing);
    if is_used || desired.keep_staged {
        return None;
    }
    match actual.staged {
        Place::Nothing => None,
        Place::Stray | Place::Uncertain | Place::Ready if stages => Some(Step::Unstage),
        // What a driver that does not stage left is a directory; if something is mounted on it, it is not removed.
        _ => Some(Step::ForgetStaging),
    }
}

fn with(desired: &Desired, wish: Wish) -> impl Iterator<Item = &Target> {
    desired.wishes.iter().filter(move |(_, its)| **its == wish).map(|(target, _)| target)
}

#[cfg(test)]
mod tests;
