//! Who makes way for a critical pod (Kubernetes: "Guaranteed Scheduling For Critical Add-On Pods").

use types::resources::{CPU, MEMORY};
use types::{Pod, PodRef, QosClass, Quantity, pod};

use crate::AdmitInput;
use crate::fit::{self, Shortage, in_units};

/// What is still wanting, by resource; always more than nothing.
type Wanting = Vec<(String, i64)>;

/// A pod that may be preempted.
#[derive(Clone)]
struct Candidate<'a> {
    pod: &'a Pod,
    requests: types::resources::Amounts,
}

impl Candidate<'_> {
    fn gives(&self, resource: &str) -> i64 {
        in_units(resource, self.requests.get(resource).copied().unwrap_or(Quantity::ZERO))
    }
}

/// The pods whose end makes up for the shortages, or `None` if no set of pods does. As few and as fitting ones as a
/// greedy choice finds, and none of a better QoS class as long as those of a lesser one suffice.
pub(crate) fn victims(input: &AdmitInput<'_>, shortages: &[Shortage]) -> Option<Vec<PodRef>> {
    let wanting: Wanting =
        shortages.iter().map(|shortage| (shortage.resource.clone(), shortage.missing())).collect();
    let of_class = |class: QosClass| -> Vec<Candidate<'_>> {
        input
            .others()
            .filter(|other| makes_way(input.pod, other) && QosClass::of(other) == class)
            .map(|pod| Candidate { pod, requests: fit::requests(pod) })
            .collect()
    };
    let best_effort = of_class(QosClass::BestEffort);
    let burstable = of_class(QosClass::Burstable);
    let guaranteed = of_class(QosClass::Guaranteed);

    // From the best class down: what would still be wanting if all of the lesser ones were gone.
    let guaranteed = nearest(guaranteed, without(&wanting, best_effort.iter().chain(&burstable)))?;
    let burstable = nearest(burstable, without(&wanting, best_effort.iter().chain(&guaranteed)))?;
    let best_effort = nearest(best_effort, without(&wanting, burstable.iter().chain(&guaranteed)))?;
    let all = guaranteed.iter().chain(&burstable).chain(&best_effort);
    Some(all.map(|candidate| PodRef::of(candidate.pod)).collect())
}

/// Whether `other` may be stopped for `pod`'s sake.
fn makes_way(pod: &Pod, other: &Pod) -> bool {
    let priority = |pod: &Pod| pod::spec(pod).priority;
    (pod::is_critical(pod) && !pod::is_critical(other))
        || priority(pod).zip(priority(other)).is_some_and(|(own, others)| own > others)
}

fn without<'a>(wanting: &Wanting, gone: impl Iterator<Item = &'a Candidate<'a>>) -> Wanting {
    let mut left = wanting.clone();
    for candidate in gone {
        for (resource, amount) in &mut left {
            *amount = amount.saturating_sub(candidate.gives(resource));
        }
    }
    left.retain(|(_, amount)| *amount > 0);
    left
}

/// Candidates that make up for all that is wanting, each time the one that comes nearest to it; among equals, the
/// one that asks for the least.
fn nearest<'a>(mut candidates: Vec<Candidate<'a>>, mut wanting: Wanting) -> Option<Vec<Candidate<'a>>> {
    let mut chosen = Vec::new();
    while !wanting.is_empty() {
        let size = |candidate: &Candidate<'_>| (candidate.gives(MEMORY), candidate.gives(CPU));
        let order = |(_, a): &(usize, &Candidate<'a>), (_, b): &(usize, &Candidate<'a>)| {
            distance(&wanting, a).total_cmp(&distance(&wanting, b)).then_with(|| size(a).cmp(&size(b)))
        };
        let (best, _) = candidates.iter().enumerate().min_by(order)?;
        let best = candidates.swap_remove(best);
        wanting = without(&wanting, std::iter::once(&best));
        chosen.push(best);
    }
    Some(chosen)
}

/// How much would still be wanting without `candidate`: the sum, over resources, of the square of the part missing.
fn distance(wanting: &Wanting, candidate: &Candidate<'_>) -> f64 {
    let part = |(resource, amount): &(String, i64)| {
        let left = amount.saturating_sub(candidate.gives(resource)).max(0);
        (left as f64 / *amount as f64).powi(2)
    };
    wanting.iter().map(part).sum()
}
