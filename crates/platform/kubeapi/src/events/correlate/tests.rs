use proptest::prelude::*;
use types::PodName;

use super::*;

fn pod(name: &str) -> PodRef {
    PodRef { name: PodName::new("default", name), uid: name.into() }
}

struct Told {
    correlator: Correlator,
    start: Instant,
}

impl Told {
    fn new() -> Self {
        Self { correlator: Correlator::new(), start: Instant::now() }
    }

    fn tell(&mut self, name: &str, reason: &'static str, message: &str, seconds: u64) -> Option<Outgoing> {
        let event = Event::warning(&pod(name), reason, message);
        let at = Timestamp::from_second(1_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        self.correlator.correlate(event, name, at, self.start + Duration::from_secs(seconds))
    }
}

#[test]
fn the_same_is_counted() {
    let mut told = Told::new();
    let first = told.tell("web", "BackOff", "again", 0).unwrap();
    assert_eq!((first.count, first.again, first.message.as_str()), (1, false, "again"));
    assert!(first.name.starts_with("web."));
    let second = told.tell("web", "BackOff", "again", 60).unwrap();
    assert_eq!((second.count, second.again, &second.name, second.first), (2, true, &first.name, first.first));
    assert!(second.last > first.last);
    let other = told.tell("job", "BackOff", "again", 60).unwrap();
    assert_eq!(other.count, 1);
    assert_ne!(told.tell("web", "BackOff", "other", 60).unwrap().name, first.name);
}

#[test]
fn many_similar_ones_become_one() {
    let mut told = Told::new();
    for index in 0..9 {
        assert_eq!(told.tell("web", "Failed", &format!("at {index}"), index).unwrap().count, 1);
    }
    let tenth = told.tell("web", "Failed", "at 9", 9).unwrap();
    assert_eq!((tenth.count, tenth.message.as_str()), (1, "(combined from similar events): at 9"));
    let next = told.tell("web", "Failed", "at 10", 10).unwrap();
    assert_eq!((next.count, &next.name), (2, &tenth.name));
    assert_eq!(told.tell("web", "Killing", "at 11", 11).unwrap().message, "at 11", "another reason");
    let later = told.tell("web", "Failed", "at 12", 11 + 601).unwrap();
    assert_eq!(later.message, "at 12", "long after the last one");
}

#[test]
fn too_many_about_one_object_are_left_out() {
    let mut told = Told::new();
    let sent = (0..40).filter(|_| told.tell("web", "Unhealthy", "no", 0).is_some()).count();
    assert_eq!(sent, 25);
    assert!(told.tell("job", "Unhealthy", "no", 0).is_some(), "another pod");
    assert!(told.tell("web", "Killing", "no", 299).is_none());
    let next = told.tell("web", "Unhealthy", "no", 300).unwrap();
    assert_eq!(next.count, 41, "those that were left out count");
}

proptest! {
    /// No two objects have the same name, however fast events come, and a count never falls.
    #[test]
    fn names_are_unique(events in prop::collection::vec((0..3u8, 0..20u8, 0..100u64), 0..200)) {
        let mut told = Told::new();
        let mut names = std::collections::HashMap::new();
        let mut now = 0;
        for (reason, message, gap) in events {
            now += gap;
            let reason = ["A", "B", "C"][usize::from(reason)];
            if let Some(outgoing) = told.tell("web", reason, &message.to_string(), now) {
                let (key, count) = names.entry(outgoing.name.clone()).or_insert((outgoing.key.clone(), 0));
                prop_assert_eq!(&*key, &outgoing.key);
                prop_assert!(outgoing.count > *count);
                *count = outgoing.count;
            }
        }
    }
}
