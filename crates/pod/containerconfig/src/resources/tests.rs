use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tests::facts;

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn one(resources: Value) -> Pod {
    pod(json!({"containers": [{"name": "c", "resources": resources}]}))
}

fn of(pod: &Pod, facts: &NodeFacts) -> LinuxContainerResources {
    container_resources(pod, ContainerKind::Regular, &pod::regular_containers(pod)[0], false, facts)
}

fn sorted(unified: &HashMap<String, String>) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = unified.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn cpu_and_memory() {
    for (resources, shares, quota, memory) in [
        (json!({}), 2, 0, 0),
        (json!({"requests": {"cpu": "1m"}}), 2, 0, 0),
        (json!({"requests": {"cpu": "500m", "memory": "1Gi"}}), 512, 0, 0),
        (json!({"limits": {"cpu": "500m", "memory": "64Mi"}}), 512, 50_000, 64 << 20),
        (json!({"requests": {"cpu": "250m"}, "limits": {"cpu": "2"}}), 256, 200_000, 0),
        (json!({"limits": {"cpu": "5m"}}), 5, 1000, 0),
        (json!({"requests": {"cpu": "1000"}}), 262_144, 0, 0),
    ] {
        let linux = of(&one(resources.clone()), &facts());
        let actual = (linux.cpu_shares, linux.cpu_quota, linux.memory_limit_in_bytes);
        assert_eq!(actual, (shares, quota, memory), "{resources}");
        assert_eq!(linux.cpu_period, 100_000);
    }
}

#[test]
fn quota_off_and_other_periods() {
    let limited = one(json!({"limits": {"cpu": "1"}}));
    let mut facts = facts();
    let container = &pod::regular_containers(&limited)[0];
    let exclusive = container_resources(&limited, ContainerKind::Regular, container, true, &facts);
    assert_eq!((exclusive.cpu_quota, exclusive.cpu_period), (-1, 0));
    facts.cpu_cfs_period = Duration::from_millis(10);
    assert_eq!(of(&limited, &facts).cpu_quota, 10_000);
    facts.cpu_cfs_quota = false;
    assert_eq!((of(&limited, &facts).cpu_quota, of(&limited, &facts).cpu_period), (0, 0));
}

#[test]
fn limits_of_the_pod_count_for_containers_without() {
    let pod = pod(json!({"resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
        "containers": [{"name": "c", "resources": {"limits": {"memory": "512Mi"}}}]}));
    let linux = of(&pod, &facts());
    assert_eq!((linux.cpu_quota, linux.memory_limit_in_bytes), (200_000, 512 << 20));
}

#[test]
fn huge_pages_have_the_kernels_names() {
    for (bytes, name) in
        [(2 << 20, "2MB"), (1 << 30, "1GB"), (64 << 10, "64KB"), (1536 << 20, "1536MB"), (7, "7B")]
    {
        assert_eq!(page_size_name(bytes), name);
    }
    let pod = one(json!({"limits": {"hugepages-2Mi": "4Mi"}}));
    let limits = of(&pod, &facts()).hugepage_limits;
    let actual: Vec<_> = limits.iter().map(|limit| (limit.page_size.as_str(), limit.limit)).collect();
    assert_eq!(actual, [("2MB", 4 << 20), ("1GB", 0)]);
}

#[test]
fn swap() {
    let burstable = one(json!({"requests": {"memory": "1Gi"}}));
    let guaranteed = one(json!({"limits": {"cpu": "1", "memory": "1Gi"}}));
    let equal = one(json!({"requests": {"memory": "1Gi", "cpu": "1"}, "limits": {"memory": "1Gi"}}));
    let limited = Swap::Limited { capacity: 2 << 30 };
    let group = ("memory.oom.group", "1");
    for (pod, swap, expected) in [
        (&burstable, Swap::Unaccounted, vec![group]),
        (&burstable, Swap::NoSwap, vec![group, ("memory.swap.max", "0")]),
        (&burstable, limited, vec![group, ("memory.swap.max", "536870912")]),
        (&guaranteed, limited, vec![group, ("memory.swap.max", "0")]),
        (&equal, limited, vec![group, ("memory.swap.max", "0")]),
    ] {
        let facts = NodeFacts { swap, ..facts() };
        assert_eq!(sorted(&of(pod, &facts).unified), expected, "{swap:?}");
    }
    let v1 = NodeFacts { cgroup_v2: false, swap: Swap::NoSwap, ..facts() };
    let linux = of(&guaranteed, &v1);
    assert_eq!((linux.memory_swap_limit_in_bytes, linux.unified.len()), (1 << 30, 0));
    let single = NodeFacts { single_process_oom_kill: true, swap: Swap::Unaccounted, ..facts() };
    assert!(of(&burstable, &single).unified.is_empty());
}

#[test]
fn oom_scores() {
    const GIB: i64 = 1 << 30;
    let score = |pod: &Pod, name: &str| {
        let (kind, container) = pod::container(pod, name).unwrap();
        oom_score_adj(pod, kind, &container, 4 * GIB)
    };
    assert_eq!(score(&one(json!({})), "c"), 1000);
    assert_eq!(score(&one(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "c"), -997);
    assert_eq!(score(&one(json!({"requests": {"memory": "1Gi"}})), "c"), 750);
    assert_eq!(score(&one(json!({"requests": {"memory": "1"}})), "c"), 999);
    assert_eq!(score(&one(json!({"requests": {"memory": "64Gi"}})), "c"), 3);
    let critical = pod(json!({"priority": 2_000_001_000, "priorityClassName": "system-node-critical",
        "containers": [{"name": "c"}]}));
    assert_eq!(score(&critical, "c"), -997);
    let several = pod(json!({
        "initContainers": [
            {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"memory": "64Mi"}}},
            {"name": "init", "resources": {"requests": {"memory": "64Mi"}}}],
        "containers": [
            {"name": "big", "resources": {"requests": {"memory": "2Gi"}}},
            {"name": "small", "resources": {"requests": {"memory": "1Gi"}}}]}));
    let scores: Vec<_> = ["side", "init", "big", "small"].iter().map(|name| score(&several, name)).collect();
    assert_eq!(scores, [500, 985, 500, 750]);
    let shared = pod(json!({"resources": {"requests": {"memory": "3Gi"}}, "containers": [
        {"name": "a", "resources": {"requests": {"memory": "1Gi"}}}, {"name": "b"}]}));
    assert_eq!((score(&shared, "a"), score(&shared, "b")), (500, 750));
}

#[test]
fn of_the_whole_pod() {
    let pod = pod(json!({"overhead": {"cpu": "100m", "memory": "64Mi"}, "containers": [
        {"name": "a", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "128Mi"}}},
        {"name": "b", "resources": {"requests": {"cpu": "400m"}, "limits": {"cpu": "1"}}}]}));
    let (whole, overhead) = sandbox_resources(&pod, &facts());
    assert_eq!((whole.cpu_shares, whole.cpu_quota, whole.memory_limit_in_bytes), (512, 100_000, 128 << 20));
    assert_eq!(
        (overhead.cpu_shares, overhead.cpu_quota, overhead.memory_limit_in_bytes),
        (102, 10_000, 64 << 20)
    );
    let none = sandbox_resources(&one(json!({})), &facts()).1;
    assert_eq!(none, LinuxContainerResources::default());
}

proptest! {
    #[test]
    fn burstable_is_between_guaranteed_and_best_effort(request in any::<i64>(), capacity in any::<i64>()) {
        prop_assert!((3..=999).contains(&burstable(request, capacity)));
    }

    #[test]
    fn whoever_asks_for_more_is_killed_later(a in 0..i64::MAX, b in 0..i64::MAX, capacity in 1..i64::MAX) {
        let (less, more) = (a.min(b), a.max(b));
        prop_assert!(burstable(less, capacity) >= burstable(more, capacity));
    }

    #[test]
    fn shares_and_quotas_stay_in_their_bounds(milli in 0..i64::MAX, period in 1000..1_000_000_i64) {
        prop_assert!((MIN_SHARES..=MAX_SHARES).contains(&cpu_shares(milli)));
        prop_assert!(milli == 0 || cpu_quota(milli, period) >= MIN_QUOTA_MICROS);
    }
}
