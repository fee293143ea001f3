//! Security contexts, as the kernel has them.

use serde_json::{Value, json};
use testkit::pod::pod;

use crate::rig::{FOREVER, Rig};

/// A field of the first process' status.
async fn status(rig: &Rig, pod: &Value, container: &str, field: &str) -> String {
    let line = rig.sh(pod, container, &format!("grep '^{field}:' /proc/1/status")).await;
    let words: Vec<_> = line.split_whitespace().skip(1).collect();
    words.join(" ")
}

fn capabilities(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap()
}

#[tokio::test]
async fn real_a_security_context_reaches_the_process() {
    let mut rig = Rig::start().await;
    let spec = json!({
        "securityContext": {"supplementalGroups": [3000], "fsGroup": 2000, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    });
    let user = json!({
        "securityContext": {
            "runAsUser": 1000, "runAsGroup": 1001, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/scratch"}],
    });
    let able = json!({"securityContext": {"capabilities": {"add": ["SYS_TIME"], "drop": ["CHOWN"]}, "seccompProfile": {"type": "Unconfined"}}});
    let privileged = json!({"securityContext": {"privileged": true}});
    let mut builder = pod("secure").with_spec(&spec);
    for (name, fields) in [("user", &user), ("able", &able), ("privileged", &privileged)] {
        builder = builder.container(name, &FOREVER).with_container(name, fields);
    }
    rig.put("secure", &builder);
    let nobody = pod("nobody")
        .container("main", &FOREVER)
        .with_container("main", &json!({"securityContext": {"runAsNonRoot": true}}));
    rig.put("nobody", &nobody);

    let pod = rig.until_ready("secure").await;
    assert_eq!(status(&rig, &pod, "user", "Uid").await, "1000 1000 1000 1000");
    assert_eq!(status(&rig, &pod, "user", "Gid").await, "1001 1001 1001 1001");
    let groups = status(&rig, &pod, "user", "Groups").await;
    assert!(["2000", "3000"].iter().all(|group| groups.split(' ').any(|g| g == *group)), "{groups}");
    assert_eq!(status(&rig, &pod, "user", "NoNewPrivs").await, "1");
    assert_eq!(status(&rig, &pod, "user", "Seccomp").await, "2");
    assert_eq!(status(&rig, &pod, "user", "CapBnd").await, "0000000000000000");
    assert_ne!(rig.run(&pod, "user", "touch /tmp/no").await.exit_code, 0, "a read-only root is written to");
    assert_eq!(rig.sh(&pod, "user", "touch /scratch/yes && stat -c %g /scratch/yes").await, "2000\n");

    const CHOWN: u64 = 1;
    const SYS_TIME: u64 = 1 << 25;
    let effective = capabilities(&status(&rig, &pod, "able", "CapEff").await);
    assert_eq!((effective & CHOWN, effective & SYS_TIME), (0, SYS_TIME));
    assert_eq!(status(&rig, &pod, "able", "Seccomp").await, "0");
    assert_eq!(
        rig.sh(&pod, "able", "wc -c < /proc/timer_list").await.trim(),
        "0",
        "a masked path is readable"
    );
    assert_ne!(
        rig.run(&pod, "able", "echo 0 > /proc/sys/kernel/printk").await.exit_code,
        0,
        "/proc/sys is written to"
    );

    let all = capabilities(&status(&rig, &pod, "privileged", "CapEff").await);
    assert_ne!(all & (1 << 21), 0, "a privileged container lacks SYS_ADMIN");
    assert_eq!(status(&rig, &pod, "privileged", "Seccomp").await, "0");

    let refused = rig
        .until("nobody", "refused", |pod| {
            crate::rig::container(pod, "main")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
        })
        .await;
    let message = &crate::rig::container(&refused, "main")["state"]["waiting"]["message"];
    assert!(message.as_str().unwrap().contains("runAsNonRoot"), "{message}");
    rig.finish().await;
}
