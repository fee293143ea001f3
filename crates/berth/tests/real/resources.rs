//! Requests and limits, as the kernel has them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::pod::pod;

use crate::machine::{cgroup, first_process, is_v2, limit};
use crate::rig::{FOREVER, Rig, container, id};

fn oom_score(pid: u32) -> i64 {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse().unwrap()
}

/// Whether this process may lower what protects from the OOM killer.
fn may_protect() -> bool {
    let capabilities = rustix::thread::capabilities(None).unwrap();
    capabilities.effective.contains(rustix::thread::CapabilitySet::SYS_RESOURCE)
}

/// `cpu.max` of cgroup v2, or its halves on v1.
fn quota(cgroup: &Path) -> String {
    if is_v2() {
        return limit(cgroup, "", "cpu.max");
    }
    format!("{} {}", limit(cgroup, "cpu.cfs_quota_us", ""), limit(cgroup, "cpu.cfs_period_us", ""))
}

#[tokio::test]
async fn real_requests_and_limits_reach_the_cgroups() {
    let mut rig = Rig::with("podPidsLimit: 500\n", testkit::containerd::Options::default()).await;
    let burstable = json!({"resources": {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}});
    let guaranteed = json!({"resources": {"limits": {"cpu": "200m", "memory": "32Mi"}}});
    rig.put("burstable", &pod("burstable").container("main", &FOREVER).with_container("main", &burstable));
    rig.put("guaranteed", &pod("guaranteed").container("main", &FOREVER).with_container("main", &guaranteed));
    rig.put("effort", &pod("effort").container("main", &FOREVER));
    // A runtime that hears of the end before it hears of the kernel's reason takes it for an ordinary one, and containerd
    // 1.6 listens to the kernel only some time after the start: at the end of this test it does.
    let hungry = [
        "sh",
        "-c",
        "sleep 2; until [ -e /go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=200M count=1; code=$?; sleep 1; exit $code",
    ];
    rig.put(
        "hungry",
        &pod("hungry").restart_policy("Never").container("main", &hungry).with_container("main", &guaranteed),
    );
    let mi = |n: u64| (n << 20).to_string();

    for (name, class, shares, max, memory) in [
        ("burstable", "Burstable", "102", "50000 100000", mi(64)),
        ("guaranteed", "Guaranteed", "204", "20000 100000", mi(32)),
    ] {
        let pod = rig.until_ready(name).await;
        assert_eq!(pod["status"]["qosClass"], class);
        let first = first_process(&id(&pod, "main"));
        let (cpu, mem) = (cgroup(first, "cpu"), cgroup(first, "memory"));
        // The container's, and the pod's around it.
        for (cpu, mem) in [(&*cpu, &*mem), (cpu.parent().unwrap(), mem.parent().unwrap())] {
            if !is_v2() {
                assert_eq!(limit(cpu, "cpu.shares", ""), shares, "{}", cpu.display());
            }
            assert_eq!(quota(cpu), max, "{}", cpu.display());
            assert_eq!(limit(mem, "memory.limit_in_bytes", "memory.max"), memory, "{}", mem.display());
        }
        if is_v2() {
            assert_eq!(limit(&mem, "", "memory.swap.max"), "0", "{}", mem.display());
        }
        let pids = cgroup(first, "pids");
        assert_eq!(limit(pids.parent().unwrap(), "pids.max", "pids.max"), "500");
        let path = cpu.display().to_string();
        assert!(path.contains(&rig.containerd.instance().name()), "{path}");
        assert_eq!(path.contains("burstable"), class == "Burstable", "{path}");
    }
    let effort = rig.until_ready("effort").await;
    let first = first_process(&id(&effort, "main"));
    assert_eq!(limit(&cgroup(first, "cpu"), "cpu.shares", "cpu.weight"), if is_v2() { "1" } else { "2" });
    if may_protect() {
        // Static pods of a normal priority are treated by their class, as all pods are.
        assert_eq!(oom_score(first), 1000);
        let guaranteed = rig.pod("guaranteed").await;
        assert_eq!(oom_score(first_process(&id(&guaranteed, "main"))), -997);
        let burstable = rig.pod("burstable").await;
        let score = oom_score(first_process(&id(&burstable, "main")));
        assert!((3..1000).contains(&score), "{score}");
    } else {
        println!("skipped oom_score_adj: this machine does not let it be lowered (no CAP_SYS_RESOURCE)");
    }

    // The kernel tells apart that it ended and that memory ran out.
    let hungry = rig.until_ready("hungry").await;
    rig.sh(&hungry, "main", "touch /go").await;
    let ended = |pod: &Value| container(pod, "main")["state"]["terminated"].clone();
    let hungry = rig.until("hungry", "out of memory", |pod| ended(pod)["reason"] == "OOMKilled").await;
    assert_eq!(ended(&hungry)["exitCode"], 137, "{hungry:#}");
    rig.finish().await;
}
