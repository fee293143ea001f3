//! What a container sees of its pod: environment, downward API, names and resolver.

use serde_json::json;
use testkit::pod::pod;

use crate::rig::{FOREVER, Rig};

#[tokio::test]
async fn real_a_container_sees_its_environment_names_and_resolver() {
    let mut rig = Rig::start().await;
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let spec = json!({
        "hostname": "inn", "subdomain": "road",
        "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["seven.example", "seven"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["example"], "options": [{"name": "ndots", "value": "2"}]},
        "volumes": [{"name": "about", "downwardAPI": {"defaultMode": 0o440, "items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "deep/memory", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"}},
        ]}}],
    });
    let main = json!({
        "env": [
            {"name": "A", "value": "one"}, {"name": "B", "value": "$(A)-$$(A)-$(NONE)"},
            field("NAME", "metadata.name"), field("UID", "metadata.uid"), field("IP", "status.podIP"),
            field("COLOUR", "metadata.labels['colour']"), field("NODE", "spec.nodeName"),
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
        ],
        "args": ["$(B)"],
        "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "24Mi"}},
        "volumeMounts": [{"name": "about", "mountPath": "/about"}],
    });
    rig.put(
        "facts",
        &pod("facts")
            .with_metadata(&json!({"labels": {"colour": "blue"}}))
            .container("main", &["sh", "-c", "echo \"$0\"; trap 'exit 0' TERM; sleep 100000 & wait"])
            .with_container("main", &main)
            .with_spec(&spec),
    );
    let pod = rig.until_ready("facts").await;
    rig.until_log("facts", "main", "one-$(A)-$(NONE)\n").await;
    let env = rig.sh(&pod, "main", "env").await;
    let ip = pod["status"]["podIP"].as_str().unwrap();
    for line in [
        "B=one-$(A)-$(NONE)".to_owned(),
        format!("NAME={}", rig.full("facts")),
        format!("UID={}", pod["metadata"]["uid"].as_str().unwrap()),
        format!("IP={ip}"),
        "COLOUR=blue".to_owned(),
        format!("NODE={}", rig.node.name()),
        "CPU=50".to_owned(),
        "HOSTNAME=inn".to_owned(),
    ] {
        assert!(env.lines().any(|have| have == line), "{line} is missing in\n{env}");
    }
    assert_eq!(rig.sh(&pod, "main", "cat /about/labels /about/deep/memory").await, "colour=\"blue\"24");
    assert_eq!(rig.sh(&pod, "main", "stat -L -c %a /about/labels").await, "440\n");
    assert_eq!(rig.sh(&pod, "main", "hostname").await, "inn\n");
    let hosts = rig.sh(&pod, "main", "cat /etc/hosts").await;
    assert!(hosts.contains("192.0.2.7\tseven.example\tseven"), "{hosts}");
    assert!(hosts.lines().any(|line| line.starts_with(ip) && line.contains("inn")), "{hosts}");
    let resolver = rig.sh(&pod, "main", "cat /etc/resolv.conf").await;
    for line in ["nameserver 192.0.2.53", "search example", "options ndots:2"] {
        assert!(resolver.lines().any(|have| have.trim() == line), "{line} is missing in\n{resolver}");
    }
    // Another container of another pod has names of its own.
    rig.put("plain", &testkit::pod::pod("plain").container("main", &FOREVER));
    let plain = rig.until_ready("plain").await;
    assert_eq!(rig.sh(&plain, "main", "hostname").await.trim(), rig.full("plain"));
    rig.finish().await;
}
