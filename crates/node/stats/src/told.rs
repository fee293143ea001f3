//! What drivers tell of the volumes that they made. One question about a volume is under way at most; whoever asks while a
//! driver hangs does without its numbers, and an answer that comes late is there for the next one who asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use types::{PodRef, PodUid};

use crate::moment::Moment;
use crate::needs::{DriverUsage, PodView, Room, ShownTo};
use crate::summary::{ClaimReference, FsStats, VolumeHealth, VolumeStats};

/// How soon a volume that nothing was told of is asked for again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a volume is remembered that nobody asks for.
const KEPT: Duration = Duration::from_secs(600);

/// Which volume. All pods that have a claim have one volume.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Key {
    /// That of a claim.
    Claim(ClaimReference),
    /// One that lives with its pod, by its name there.
    OfPod(PodUid, String),
}

impl Key {
    /// The volume that `pod` calls `volume`, and has by `claim` if it has it by one.
    pub(crate) fn of(pod: &PodRef, volume: &str, claim: Option<&str>) -> Self {
        match claim {
            Some(name) => Self::Claim(ClaimReference {
                name: name.to_owned(),
                namespace: pod.name.namespace.to_string(),
            }),
            None => Self::OfPod(pod.uid.clone(), volume.to_owned()),
        }
    }

    pub(crate) fn claim(&self) -> Option<ClaimReference> {
        match self {
            Self::Claim(claim) => Some(claim.clone()),
            Self::OfPod(..) => None,
        }
    }
}

/// How full is a volume?
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    pub(crate) key: Key,
    /// At least one.
    shown_to: Vec<ShownTo>,
}

impl Question {
    /// What the first pod calls the volume.
    pub(crate) fn name(&self) -> &str {
        self.shown_to.first().map_or("", |shown| &shown.volume)
    }
}

/// What was told of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) moment: Moment,
    pub(crate) usage: DriverUsage,
}

impl Answer {
    /// As a pod has it that calls the volume `name`.
    pub(crate) fn stats(&self, name: String, key: &Key) -> VolumeStats {
        let usage = &self.usage;
        let fs = FsStats {
            time: self.moment.at,
            available_bytes: Some(usage.available_bytes),
            capacity_bytes: Some(usage.capacity_bytes),
            used_bytes: Some(usage.used_bytes),
            inodes_free: Some(usage.inodes_free),
            inodes: Some(usage.inodes),
            inodes_used: Some(usage.inodes_used),
        };
        let health = usage.abnormal.map(|abnormal| VolumeHealth { abnormal });
        VolumeStats { fs, name, claim: key.claim(), health }
    }
}

/// What was told, by volume.
pub(crate) type Answers = HashMap<Key, Answer>;

/// What has to be asked of drivers about the volumes of `pods`.
pub(crate) fn questions<'a>(pods: impl Iterator<Item = &'a PodView>) -> Vec<Question> {
    let mut all: Vec<Question> = Vec::new();
    let mut places = HashMap::new();
    for view in pods {
        let pod = &view.observed.pod;
        for volume in &view.volumes {
            let Room::Driver { claim } = &volume.room else { continue };
            let key = Key::of(pod, &volume.name, claim.as_deref());
            let place = *places.entry(key.clone()).or_insert_with(|| {
                all.push(Question { key, shown_to: Vec::new() });
                all.len() - 1
            });
            all[place].shown_to.push(ShownTo { pod: pod.clone(), volume: volume.name.clone() });
        }
    }
    all
}

/// What is known of each volume, and which are being asked for. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    slots: Arc<Mutex<HashMap<Key, Slot>>>,
    /// Told of each question that ends.
    ended: Arc<Notify>,
}

#[derive(Debug)]
struct Slot {
    /// What was told last; none if the last question brought nothing.
    last: Option<Answer>,
    /// When the last question ended, if one has.
    ended: Option<Moment>,
    /// Since when it is being asked for, if it is.
    busy: Option<Moment>,
    /// When somebody last wanted to know.
    wanted: Moment,
}

impl Slot {
    fn is_due(&self, now: Moment, max_age: Duration) -> bool {
        let max_age = if self.last.is_some() { max_age } else { max_age.min(AGAIN) };
        self.busy.is_none() && self.ended.is_none_or(|ended| now.since(ended) >= max_age)
    }
}

/// A volume that is being asked for. Dropping it ends that.
struct Busy {
    key: Key,
    told: Told,
    answer: Option<Answer>,
}

impl Busy {
    fn end(mut self, told: Option<DriverUsage>) {
        self.answer = told.map(|usage| Answer { moment: Moment::now(), usage });
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(slot) = self.told.lock().get_mut(&self.key) {
            *slot = Slot { last: self.answer, ended: Some(Moment::now()), busy: None, wanted: slot.wanted };
        }
        self.told.ended.notify_waiters();
    }
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answers to `questions`, asked anew with `ask` where what was told is older than `max_age`, and awaited for no
    /// longer than `patience`. While a driver takes longer, what it told before stays; once it has told nothing, it goes.
    pub(crate) async fn ask<F>(
        &self,
        questions: Vec<Question>,
        max_age: Duration,
        patience: Duration,
        ask: impl Fn(Vec<ShownTo>) -> F,
    ) -> Answers
    where
        F: Future<Output = Option<DriverUsage>> + Send + 'static,
    {
        let keys: Vec<Key> = questions.iter().map(|question| question.key.clone()).collect();
        for (busy, shown_to) in self.take_due(questions, Moment::now(), max_age) {
            let told = ask(shown_to);
            tokio::spawn(async move {
                busy.end(told.await);
            });
        }
        let _ = timeout(patience, self.until_told(&keys, patience)).await;
        let slots = self.lock();
        keys.into_iter().filter_map(|key| slots.get(&key)?.last.map(|last| (key, last))).collect()
    }

    /// Those of `questions` that have to be asked now, and that nobody asks. They are being asked from now on.
    fn take_due(
        &self,
        questions: Vec<Question>,
        now: Moment,
        max_age: Duration,
    ) -> Vec<(Busy, Vec<ShownTo>)> {
        let mut slots = self.lock();
        slots.retain(|_, slot| slot.busy.is_some() || now.since(slot.wanted) < KEPT);
        let mut due = Vec::new();
        for Question { key, shown_to } in questions {
            let new = || Slot { last: None, ended: None, busy: None, wanted: now };
            let slot = slots.entry(key.clone()).or_insert_with(new);
            slot.wanted = now;
            if slot.is_due(now, max_age) {
                slot.busy = Some(now);
                // What was told before stays for those who ask meanwhile.
                let answer = None;
                due.push((Busy { key, told: self.clone(), answer }, shown_to));
            }
        }
        due
    }

    /// Waits until none of `keys` is being asked for, but for those that have been for `patience` already.
    async fn until_told(&self, keys: &[Key], patience: Duration) {
        loop {
            let mut next = std::pin::pin!(self.ended.notified());
            next.as_mut().enable();
            let is_awaited = {
                let (slots, now) = (self.lock(), Moment::now());
                let busy = |key| slots.get(key).and_then(|slot: &Slot| slot.busy);
                keys.iter().filter_map(busy).any(|since| now.since(since) < patience)
            };
            if !is_awaited {
                return;
            }
            next.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::path::Path;

    use super::*;
    use crate::testing::{driver_usage, pod_view};

    const MINUTE: Duration = Duration::from_secs(60);
    const PATIENCE: Duration = Duration::from_secs(2);

    fn at(secs: u64) -> Moment {
        Moment { since_boot: Duration::from_secs(secs), ..Moment::now() }
    }

    fn asked() -> Vec<Question> {
        questions([&pod_view(Path::new("/r"))].into_iter())
    }

    #[test]
    fn when_a_volume_is_asked_for_again() {
        let answer = || Some(Answer { moment: at(100), usage: driver_usage(1) });
        // What was told last, when that was, whether it is being asked for, now.
        for (last, ended, busy, now, due) in [
            (None, None, false, 100, true),
            (None, None, true, 100, false),
            (answer(), Some(100), false, 159, false),
            (answer(), Some(100), false, 160, true),
            (answer(), Some(100), true, 160, false),
            (None, Some(100), false, 109, false),
            (None, Some(100), false, 110, true),
        ] {
            let slot = Slot { last, ended: ended.map(at), busy: busy.then(|| at(100)), wanted: at(100) };
            assert_eq!(slot.is_due(at(now), MINUTE), due, "{slot:?} at {now}");
        }
        let slot = Slot { last: None, ended: Some(at(100)), busy: None, wanted: at(100) };
        assert!(slot.is_due(at(101), Duration::from_secs(1)), "sooner, if all are asked for more often");
    }

    #[test]
    fn forgotten_when_nobody_asks() {
        let told = Told::default();
        drop(told.take_due(asked(), at(0), MINUTE));
        drop(told.take_due(Vec::new(), at(599), MINUTE));
        assert_eq!(told.lock().len(), 1);
        let hanging = told.take_due(asked(), at(1000), Duration::ZERO);
        drop(told.take_due(Vec::new(), at(5000), MINUTE));
        assert_eq!(told.lock().len(), 1, "it is being asked for");
        drop(hanging);
        drop(told.take_due(Vec::new(), at(5000), MINUTE));
        assert!(told.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_hangs_is_waited_for_once_and_asked_once() {
        let told = Told::default();
        let begun = tokio::time::Instant::now();
        let answers = told.ask(asked(), MINUTE, PATIENCE, |_| pending()).await;
        assert!(answers.is_empty());
        assert_eq!(begun.elapsed(), PATIENCE);
        let never =
            |_: Vec<ShownTo>| -> std::future::Ready<Option<DriverUsage>> { panic!("a second question") };
        assert!(told.ask(asked(), Duration::ZERO, PATIENCE, never).await.is_empty());
    }

    #[tokio::test]
    async fn the_last_answer_stays_until_there_is_none() {
        let told = Told::default();
        let answers = told.ask(asked(), MINUTE, PATIENCE, |_| ready(Some(driver_usage(3)))).await;
        let of = |answers: &Answers| answers.values().next().map(|answer| answer.usage);
        assert_eq!(of(&answers), Some(driver_usage(3)));
        let go = Arc::new(Notify::new());
        let waits = |_| {
            let go = Arc::clone(&go);
            async move {
                go.notified().await;
                None
            }
        };
        let slow = told.ask(asked(), Duration::ZERO, Duration::ZERO, waits).await;
        assert_eq!(of(&slow), Some(driver_usage(3)), "it takes long");
        go.notify_one();
        let none = told.ask(asked(), MINUTE, Duration::from_secs(60), |_| ready(None)).await;
        assert_eq!(of(&none), None);
    }
}
