//! Which images go: decided from what is known of them, without clock or I/O.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// When images are removed (the fields of `KubeletConfiguration` of these names).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// `imageGCHighThresholdPercent`: how full the disk is when images are removed, in percent.
    pub high_threshold_percent: u8,
    /// `imageGCLowThresholdPercent`: how full it is to be after that.
    pub low_threshold_percent: u8,
    /// `imageMinimumGCAge`: what was first seen less long ago stays.
    pub minimum_age: Duration,
    /// `imageMaximumGCAge`: what was not used for longer goes, however empty the disk is; zero: nothing does.
    pub maximum_age: Duration,
}

/// 85 %, 80 %, two minutes and no maximum, as in Kubernetes.
impl Default for Policy {
    fn default() -> Self {
        Self {
            high_threshold_percent: 85,
            low_threshold_percent: 80,
            minimum_age: Duration::from_secs(120),
            maximum_age: Duration::ZERO,
        }
    }
}

impl Policy {
    /// Whether nothing is ever removed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.high_threshold_percent >= 100 && self.maximum_age.is_zero()
    }
}

/// How full the disk with the images is, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disk {
    /// Its size.
    pub capacity: u64,
    /// What can still be written.
    pub available: u64,
}

/// An image that is on the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The runtime's id.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it must stay: it is used, or the runtime has pinned it.
    pub kept: bool,
    /// When it was first seen; `None`: it was there at the start.
    pub first_seen: Option<Instant>,
    /// When it was last seen used; `None`: never since the start.
    pub last_used: Option<Instant>,
}

impl Candidate {
    /// Whether it is neither kept nor younger than the minimum.
    fn may_go(&self, policy: &Policy, now: Instant) -> bool {
        let young = self.first_seen.is_some_and(|at| now.saturating_duration_since(at) < policy.minimum_age);
        !self.kept && !young
    }
}

/// How many bytes are to be freed; 0 below the high threshold.
#[must_use]
pub fn excess(policy: &Policy, disk: Disk) -> u64 {
    let (capacity, available) = (u128::from(disk.capacity), u128::from(disk.available.min(disk.capacity)));
    if capacity == 0 || 100 - available * 100 / capacity < u128::from(policy.high_threshold_percent) {
        return 0;
    }
    let wanted = capacity * (100 - u128::from(policy.low_threshold_percent.min(100))) / 100;
    u64::try_from(wanted.saturating_sub(available)).unwrap_or(u64::MAX)
}

/// Images that have not been used for longer than `maximumAge`. Nothing counts as unused for longer than since
/// `start`, when looking began.
#[must_use]
pub fn expired<'a>(
    images: &'a [Candidate],
    policy: &Policy,
    start: Instant,
    now: Instant,
) -> Vec<&'a Candidate> {
    if policy.maximum_age.is_zero() {
        return Vec::new();
    }
    let unused_since = |image: &Candidate| image.last_used.or(image.first_seen).unwrap_or(start);
    let old = |image: &&Candidate| now.saturating_duration_since(unused_since(image)) > policy.maximum_age;
    in_order(images, policy, now).into_iter().filter(old).collect()
}

/// Images that free `bytes` together, or all that may go if they are too few: the least recently used ones first, and
/// of those used at the same time or never, the ones first seen earlier.
#[must_use]
pub fn choose<'a>(images: &'a [Candidate], policy: &Policy, bytes: u64, now: Instant) -> Vec<&'a Candidate> {
    let mut freed: u64 = 0;
    let enough_after = |image: &&Candidate| {
        let wanted = freed < bytes;
        freed = freed.saturating_add(image.size);
        wanted
    };
    in_order(images, policy, now).into_iter().take_while(enough_after).collect()
}

fn in_order<'a>(images: &'a [Candidate], policy: &Policy, now: Instant) -> Vec<&'a Candidate> {
    let mut images: Vec<_> = images.iter().filter(|image| image.may_go(policy, now)).collect();
    images.sort_by_key(|image| (image.last_used, image.first_seen));
    images
}

/// Since when images are there and when they were used, from one look at the runtime to the next.
#[derive(Default, Debug)]
pub(super) struct Ledger {
    looked: bool,
    images: HashMap<String, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Option<Instant>,
    used: Option<Instant>,
}

impl Ledger {
    /// Takes note of a look at `now`. Images that are no longer there are forgotten. `used` has ids or names.
    pub(super) fn saw(
        &mut self,
        images: Vec<cri::Image>,
        used: &BTreeSet<String>,
        now: Instant,
    ) -> Vec<Candidate> {
        let first = self.looked.then_some(now);
        self.looked = true;
        let before = std::mem::take(&mut self.images);
        let candidate = |image: cri::Image| {
            let mut names = std::iter::once(&image.id).chain(&image.repo_tags).chain(&image.repo_digests);
            let in_use = names.any(|name| used.contains(name));
            let mut seen = before.get(&image.id).copied().unwrap_or(Seen { first, used: None });
            if in_use {
                seen.used = Some(now);
            }
            self.images.insert(image.id.clone(), seen);
            Candidate {
                id: image.id,
                size: image.size,
                kept: in_use || image.pinned,
                first_seen: seen.first,
                last_used: seen.used,
            }
        };
        images.into_iter().map(candidate).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// `seen` and `used` in seconds since `start`.
    fn image(start: Instant, id: &str, size: u64, seen: Option<u64>, used: Option<u64>) -> Candidate {
        let at = |at: u64| start + secs(at);
        Candidate { id: id.to_owned(), size, kept: false, first_seen: seen.map(at), last_used: used.map(at) }
    }

    fn ids(images: &[&Candidate]) -> String {
        images.iter().map(|image| image.id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn how_much_is_to_be_freed() {
        let policy = Policy::default();
        for (capacity, available, bytes) in [
            (1000, 1000, 0),
            (1000, 160, 0),
            // 15 % free: 85 % full, and 20 % are to be free.
            (1000, 150, 50),
            (1000, 0, 200),
            (0, 0, 0),
            // More free than there is: nonsense that asks for nothing.
            (1000, 2000, 0),
            (u64::MAX, 0, u64::MAX / 5),
        ] {
            assert_eq!(excess(&policy, Disk { capacity, available }), bytes, "{capacity} {available}");
        }
        let off = Policy { high_threshold_percent: 100, ..policy };
        assert!(off.is_off() && !Policy { maximum_age: secs(1), ..off }.is_off() && !policy.is_off());
        assert_eq!(excess(&off, Disk { capacity: 1000, available: 10 }), 0);
    }

    #[test]
    fn least_recently_used_goes_first() {
        let start = Instant::now();
        let now = start + secs(1000);
        let mut images = [
            image(start, "late", 10, None, Some(900)),
            image(start, "seen", 10, Some(100), None),
            image(start, "old", 10, None, None),
            image(start, "early", 10, Some(50), Some(200)),
            image(start, "young", 10, Some(881), None),
            image(start, "kept", 10, None, None),
        ];
        images[5].kept = true;
        let chosen = |bytes| ids(&choose(&images, &Policy::default(), bytes, now));
        assert_eq!(chosen(0), "");
        assert_eq!(chosen(1), "old");
        assert_eq!(chosen(10), "old");
        assert_eq!(chosen(11), "old seen");
        assert_eq!(chosen(30), "old seen early");
        assert_eq!(chosen(1000), "old seen early late");
    }

    #[test]
    fn what_was_not_used_for_long_goes() {
        let start = Instant::now();
        let images = [
            image(start, "never", 1, None, None),
            image(start, "used", 1, None, Some(500)),
            image(start, "seen", 1, Some(400), None),
        ];
        let policy = Policy { maximum_age: secs(600), ..Policy::default() };
        let gone = |at, policy| ids(&expired(&images, policy, start, start + secs(at)));
        assert_eq!(gone(600, &policy), "");
        assert_eq!(gone(601, &policy), "never");
        assert_eq!(gone(1001, &policy), "never seen");
        assert_eq!(gone(1101, &policy), "never seen used");
        assert_eq!(gone(9999, &Policy::default()), "");
    }

    #[test]
    fn the_ledger_remembers_and_forgets() {
        let start = Instant::now();
        let on_node = |id: &str| cri::Image {
            id: id.to_owned(),
            repo_tags: vec![format!("{id}:1")],
            ..cri::Image::default()
        };
        let mut ledger = Ledger::default();
        let used = BTreeSet::from(["a:1".to_owned()]);
        let first = ledger.saw(vec![on_node("a"), on_node("b")], &used, start);
        assert_eq!((first[0].kept, first[0].first_seen, first[0].last_used), (true, None, Some(start)));
        assert_eq!((first[1].kept, first[1].last_used), (false, None));
        let later = start + secs(5);
        let second = ledger.saw(vec![on_node("a"), on_node("c")], &BTreeSet::new(), later);
        assert_eq!((second[0].kept, second[0].last_used), (false, Some(start)));
        assert_eq!(second[1].first_seen, Some(later));
        assert_eq!(ledger.images.len(), 2);
    }

    fn any_image() -> impl Strategy<Value = (u64, bool, Option<u64>, Option<u64>)> {
        (0..100u64, any::<bool>(), prop::option::of(0..1000u64), prop::option::of(0..1000u64))
    }

    proptest! {
        #[test]
        fn only_what_may_go_and_no_more_than_needed(
            drawn in prop::collection::vec(any_image(), 0..30),
            bytes in 0..2000u64,
        ) {
            let (start, policy) = (Instant::now(), Policy::default());
            let now = start + secs(1000);
            let images: Vec<_> = drawn.iter().enumerate().map(|(i, (size, kept, seen, used))| Candidate {
                kept: *kept,
                ..image(start, &i.to_string(), *size, *seen, *used)
            }).collect();
            let chosen = choose(&images, &policy, bytes, now);
            prop_assert!(chosen.iter().all(|image| image.may_go(&policy, now)));
            let freed: u64 = chosen.iter().map(|image| image.size).sum();
            let all: u64 = images.iter().filter(|image| image.may_go(&policy, now)).map(|i| i.size).sum();
            prop_assert!(freed >= bytes.min(all));
            if let Some((last, _)) = chosen.split_last() {
                prop_assert!(freed - last.size < bytes);
            }
            // Whatever stays was used no earlier than what goes.
            let newest = chosen.iter().map(|image| image.last_used).max().flatten();
            for stays in images.iter().filter(|i| i.may_go(&policy, now) && !chosen.contains(i)) {
                prop_assert!(stays.last_used >= newest);
            }
        }

        #[test]
        fn freeing_the_excess_reaches_the_low_threshold(capacity in 1..u64::MAX, available: u64, high in 1..=100u8, low in 0..100u8) {
            prop_assume!(low < high);
            let policy = Policy { high_threshold_percent: high, low_threshold_percent: low, ..Policy::default() };
            let bytes = excess(&policy, Disk { capacity, available });
            let after = Disk { capacity, available: available.min(capacity).saturating_add(bytes).saturating_add(1) };
            prop_assert!(after.available <= capacity.saturating_add(1));
            if bytes > 0 {
                let low_first = Policy { high_threshold_percent: low.saturating_add(2).min(100), ..policy };
                prop_assert_eq!(excess(&low_first, after), 0);
            }
        }
    }
}
