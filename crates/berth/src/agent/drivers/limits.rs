//! Asks drivers again how many volumes they can have on the node: as often as their CSIDriver objects say, and when a volume
//! could not be attached for want of room (KEP-4876).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use csi::Policy;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kubeapi::{ObjectKey, Store};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use types::k8s::api::storage::v1::CSIDriver;

/// When each driver is asked next, and how often it is.
type Schedule = BTreeMap<String, (Instant, Duration)>;

/// Asks again.
pub(super) struct Limits {
    pub(super) drivers: csi::Drivers,
    pub(super) objects: Store<CSIDriver>,
    /// Drivers for whose volumes there was no room.
    pub(super) doubts: mpsc::Receiver<String>,
}

impl Limits {
    /// Asks until dropped. A driver that hangs holds up no other.
    pub(super) async fn run(mut self) {
        let (mut table, mut objects) = (self.drivers.subscribe(), self.objects.subscribe());
        let mut schedule = Schedule::new();
        let (mut asking, mut asked) = (FuturesUnordered::new(), BTreeSet::new());
        loop {
            let periods: BTreeMap<String, Duration> = {
                objects.borrow_and_update();
                let table = table.borrow_and_update();
                let period = |name: &String| {
                    let object = self.objects.get(&ObjectKey::new("", name));
                    Policy::of(object.as_deref()).limit_period.map(|period| (name.clone(), period))
                };
                table.keys().filter_map(period).collect()
            };
            let now = Instant::now();
            let due = adjust(&mut schedule, &periods, now);
            for name in due {
                if asked.insert(name.clone()) {
                    let drivers = self.drivers.clone();
                    asking.push(async move { (drivers.ask_again(&name).await, name) });
                }
            }
            let next = schedule.values().map(|(next, _)| *next).min();
            tokio::select! {
                changed = table.changed() => if changed.is_err() { return },
                Ok(()) = objects.changed() => {}
                Some(name) = self.doubts.recv() => {
                    schedule.entry(name).and_modify(|(next, _)| *next = now);
                }
                Some((answer, name)) = asking.next(), if !asking.is_empty() => {
                    if let Err(error) = answer {
                        let error = telemetry::chain(&error);
                        tracing::debug!(driver = name, error, "A CSI driver does not say how many volumes it can have");
                    }
                    asked.remove(&name);
                }
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
        }
    }
}

/// Brings the schedule up to `periods`, and returns who is to be asked now. A driver is first asked after its period: it
/// has said how many it can have when it registered.
fn adjust(schedule: &mut Schedule, periods: &BTreeMap<String, Duration>, now: Instant) -> BTreeSet<String> {
    schedule.retain(|name, (_, period)| periods.get(name) == Some(period));
    let mut due = BTreeSet::new();
    for (name, period) in periods {
        let (next, _) = schedule.entry(name.clone()).or_insert((now + *period, *period));
        if *next <= now {
            *next = now + *period;
            due.insert(name.clone());
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_when() {
        let (mut schedule, begun) = (Schedule::new(), Instant::now());
        let all = |text: &str| -> BTreeMap<String, Duration> {
            let one = |part: &str| {
                let (name, secs) = part.split_once('=').unwrap();
                (name.to_owned(), Duration::from_secs(secs.parse().unwrap()))
            };
            text.split(' ').filter(|part| !part.is_empty()).map(one).collect()
        };
        for (secs, periods, expected) in [
            (0, "a=10", ""),
            (9, "a=10 b=60", ""),
            (10, "a=10 b=60", "a"),
            (11, "a=10 b=60", ""),
            (12, "a=10 b=20", ""),
            (20, "a=10 b=20", "a"),
            (32, "b=20", "b"),
            (33, "a=10 b=20", ""),
            (43, "a=10", "a"),
        ] {
            let due = adjust(&mut schedule, &all(periods), begun + Duration::from_secs(secs));
            assert_eq!(due.into_iter().collect::<Vec<_>>().join(" "), expected, "after {secs} s");
        }
        assert_eq!(schedule.len(), 1);
    }
}
