//! The HTTP source: GETs a Pod or a list of pods every `httpCheckFrequency`.

mod fetch;

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use types::{Pod, SourceKind};

pub(crate) use fetch::Endpoint;
pub use fetch::EndpointError;

use crate::diff::Found;
use crate::identity::Origin;
use crate::manifest::{self, Manifest, Rules};
use crate::problem::{Finding, Reason, Severity};
use crate::reading::Reading;

/// How long one request may take, connecting and reading included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs until nobody listens.
pub(crate) async fn run(
    endpoint: &Endpoint,
    node_name: &str,
    rules: Rules,
    period: Duration,
    readings: &mpsc::Sender<Reading>,
) {
    let mut state = State::new(Origin::url(endpoint.url(), node_name), rules);
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = match timeout(TIMEOUT, endpoint.get()).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(telemetry::chain(&error)),
            Err(_) => Err(format!("no whole answer within {} s", TIMEOUT.as_secs())),
        };
        if let Some(reading) = state.take(answer)
            && readings.send(reading).await.is_err()
        {
            return;
        }
    }
}

/// What the URL answered so far.
struct State {
    origin: Origin,
    rules: Rules,
    /// The body that was read last.
    last: Option<Bytes>,
    /// The pods of the last good one, or of the good part of the first one.
    good: Option<Vec<Pod>>,
    /// Whether that was the whole of it.
    whole: bool,
}

impl State {
    fn new(origin: Origin, rules: Rules) -> Self {
        Self { origin, rules, last: None, good: None, whole: true }
    }

    /// What an answer says; nothing if it is the same body again.
    fn take(&mut self, answer: Result<Bytes, String>) -> Option<Reading> {
        let body = match answer {
            Ok(body) if body.is_empty() => {
                // Nothing was ever said to run: that is known now.
                self.good.get_or_insert_default();
                return Some(self.failed("the answer is empty; send an empty PodList to run nothing"));
            }
            Ok(body) => body,
            Err(message) => return Some(self.failed(&message)),
        };
        if self.last.as_ref() == Some(&body) {
            return None;
        }
        let Manifest { pods, mut findings } = manifest::read_answer(&body, &self.origin, &self.rules);
        self.last = Some(body);
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            // One bad pod in a list must not stop the pods that run from the last good one.
            let kept = self.good.as_ref().is_some_and(|good| !good.is_empty());
            if kept {
                for finding in &mut findings {
                    finding.message.push_str(" (the pods keep running as the last good answer said)");
                }
            } else {
                (self.good, self.whole) = (Some(pods), false);
            }
        } else {
            (self.good, self.whole) = (Some(pods), true);
        }
        Some(self.reading(findings))
    }

    fn failed(&mut self, message: &str) -> Reading {
        self.last = None;
        self.reading(vec![Finding::error(Reason::FetchFailed, message)])
    }

    fn reading(&self, findings: Vec<Finding>) -> Reading {
        let place = &self.origin.place;
        let found = |pods: &Vec<Pod>| {
            pods.iter().map(|pod| Found { place: place.clone(), pod: pod.clone() }).collect::<Vec<_>>()
        };
        let now = Timestamp::now();
        Reading {
            kind: SourceKind::Http,
            found: self.good.as_ref().map(found),
            whole: self.whole,
            problems: findings.into_iter().map(|finding| finding.of(place, now)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(name: &str) -> Result<Bytes, String> {
        Ok(format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"{name}\"}},
             \"spec\": {{\"containers\": [{{\"name\": \"a\", \"image\": \"b:1\"}}]}}}}"
        )
        .into())
    }

    #[test]
    fn the_last_good_answer_stays() {
        let mut state = State::new(Origin::url("http://x/", "n"), Rules::default());
        assert!(state.take(Err("no route".into())).unwrap().found.is_none());
        assert_eq!(state.take(body("a")).unwrap().found.unwrap().len(), 1);
        assert!(state.take(body("a")).is_none());
        for bad in [Err("down".to_owned()), Ok(Bytes::new()), Ok("bad: [".into()), body("A_")] {
            let reading = state.take(bad).unwrap();
            assert_eq!(reading.found.unwrap()[0].pod.metadata.name.as_deref(), Some("a-n"));
            assert_eq!(reading.problems.len(), 1);
        }
        let empty = "{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": []}";
        let reading = state.take(Ok(empty.into())).unwrap();
        assert!(reading.found.unwrap().is_empty() && reading.problems.is_empty());
    }

    #[test]
    fn an_empty_answer_means_seen() {
        let mut state = State::new(Origin::url("http://x/", "n"), Rules::default());
        assert_eq!(state.take(Ok(Bytes::new())).unwrap().found.map(|found| found.len()), Some(0));
    }
}
